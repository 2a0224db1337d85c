import type { Place } from './ast.ts';
import { ScriptError } from './error.ts';

export type TokenKind =
  | 'float'
  | 'int'
  | 'hex'
  | 'word'
  | 'string'
  | 'command'
  | 'code'
  | 'option'
  | 'address'
  | 'ellipsis'
  | 'punct'
  | 'end';

export interface Token extends Place {
  kind: TokenKind;
  /** As written; of strings, commands and code what is between the quotes. */
  text: string;
}

const SKIP = /[\s]+|\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
/** In this order; where two could match, the longer one is first, as in flex. */
const RULES: readonly (readonly [TokenKind, RegExp, number])[] = [
  ['code', /%\{([\s\S]*?)\}%/y, 1],
  ['command', /`((?:\\[\s\S]|[^`\\])*)`/y, 1],
  ['string', /"((?:\\[\s\S]|[^"\\])*)"/y, 1],
  ['option', /--[A-Za-z0-9_]+(?:=(?:"[^"]*"|`[^`]*`|[^\s"`]+(?:"[^"]*"|`[^`]*`)?))?/y, 0],
  ['ellipsis', /\.\.\./y, 0],
  ['address', /\d+\.\d+\.\d+\.\d+/y, 0],
  ['float', /\d*\.\d+/y, 0],
  ['hex', /0[xX][0-9a-fA-F]+(?![A-Za-z0-9_])/y, 0],
  ['int', /\d+(?![A-Za-z0-9_])/y, 0],
  ['word', /[A-Za-z0-9_]+/y, 0],
  ['punct', /<<|>>|\S/y, 0],
];

/** Cuts a script into tokens; the last one is `end`. */
export function lex(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  const place = new Places(text);
  let at = 0;
  for (;;) {
    at = skip(text, at);
    if (at >= text.length) break;
    const where = place.of(at);
    const [kind, end, value] = next(text, at);
    if (kind === 'punct' && (value === '"' || value === '`'))
      throw new ScriptError(file, where, `${value} without its end`);
    if (kind === 'punct' && text.startsWith('/*', at)) throw new ScriptError(file, where, '/* without */');
    tokens.push({ kind, text: value, ...where });
    at = end;
  }
  tokens.push({ kind: 'end', text: 'end of script', ...place.of(text.length) });
  return tokens;
}

function skip(text: string, from: number): number {
  SKIP.lastIndex = from;
  let at = from;
  while (SKIP.test(text)) {
    at = SKIP.lastIndex;
  }
  return at;
}

function next(text: string, at: number): [TokenKind, number, string] {
  for (const [kind, re, group] of RULES) {
    re.lastIndex = at;
    const m = re.exec(text);
    if (m !== null) return [kind, re.lastIndex, m[group]!];
  }
  throw new Error('a rule matches every character');
}

/** Lines and columns of growing offsets. */
class Places {
  private readonly text: string;
  private line = 1;
  private lineAt = 0;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  of(at: number): Place {
    for (; this.at < at; this.at++) {
      if (this.text[this.at] !== '\n') continue;
      this.line++;
      this.lineAt = this.at + 1;
    }
    return { line: this.line, column: at - this.lineAt + 1 };
  }
}
