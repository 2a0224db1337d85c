import { FilterFailure } from './failure.ts';

/** `slice`: what stands between brackets. `word`: a name or a literal; which one, the parser decides. */
export type TokenKind = 'word' | 'string' | 'char' | 'slice' | 'symbol' | 'end';

export interface Token {
  kind: TokenKind;
  /** Of a string or a character: what it stands for, each byte one code unit. */
  text: string;
  column: number;
  length: number;
}

const SYMBOLS = [
  '===',
  '!==',
  '==',
  '!=',
  '~=',
  '>=',
  '<=',
  '&&',
  '||',
  '..',
  '>',
  '<',
  '!',
  '&',
  '~',
  '(',
  ')',
  '{',
  '}',
  ',',
];
/** Bytes with dashes, which are no part of other words: 02-00-0a-4d-00-01. */
const DASHED = /[0-9a-f]{2}(?:-[0-9a-f]{2})+(?![\w.:])/iy;
/** One dot is part of a word (tcp.port, 10.77.0.1), two are a range. */
const WORD = /(?:[\w:/]|\.(?!\.))+/y;

export function lex(text: string): Token[] {
  const out: Token[] = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at]!)) {
      at++;
      continue;
    }
    const token = next(text, at);
    out.push(token);
    at = token.column + token.length;
  }
  // The end is one column wide, so that an error there has something to point at.
  out.push({ kind: 'end', text: '', column: text.length, length: 1 });
  return out;
}

function next(text: string, at: number): Token {
  const c = text[at]!;
  if (c === '"') return quoted(text, at, at + 1);
  if (c === "'") return character(text, at);
  if (/r"/iy.test(text.slice(at, at + 2))) return raw(text, at);
  if (c === '[') return slice(text, at);
  const word = sticky(DASHED, text, at) ?? sticky(WORD, text, at);
  if (word !== undefined) return { kind: 'word', text: word, column: at, length: word.length };
  const symbol = SYMBOLS.find((s) => text.startsWith(s, at));
  if (symbol === undefined) throw new FilterFailure({ column: at, length: 1 }, `'${c}' means nothing here`);
  return { kind: 'symbol', text: symbol, column: at, length: symbol.length };
}

function sticky(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

function slice(text: string, at: number): Token {
  const end = text.indexOf(']', at);
  if (end < 0) throw new FilterFailure({ column: at, length: 1 }, "'[' is not closed by ']'");
  return { kind: 'slice', text: text.slice(at + 1, end), column: at, length: end + 1 - at };
}

/** `r"…"`: backslashes mean themselves, which regular expressions like. */
function raw(text: string, at: number): Token {
  const end = text.indexOf('"', at + 2);
  if (end < 0) throw new FilterFailure({ column: at, length: 2 }, 'the string is not closed');
  return { kind: 'string', text: utf8(text.slice(at + 2, end)), column: at, length: end + 1 - at };
}

function quoted(text: string, column: number, from: number): Token {
  let out = '';
  let at = from;
  while (at < text.length && text[at] !== '"') {
    const [value, length] = text[at] === '\\' ? escape(text, at) : plain(text, at);
    out += value;
    at += length;
  }
  if (at >= text.length) throw new FilterFailure({ column, length: 1 }, 'the string is not closed');
  return { kind: 'string', text: out, column, length: at + 1 - column };
}

function character(text: string, column: number): Token {
  const at = column + 1;
  if (at >= text.length || text[at] === "'")
    throw new FilterFailure({ column, length: 2 }, "expected one character between ' and '");
  const [value, length] = text[at] === '\\' ? escape(text, at) : plain(text, at);
  if (value.length !== 1 || text[at + length] !== "'")
    throw new FilterFailure({ column, length: length + 1 }, "expected one character between ' and '");
  return { kind: 'char', text: value, column, length: length + 2 };
}

const plain = (text: string, at: number): [string, number] => {
  const c = String.fromCodePoint(text.codePointAt(at)!);
  return [utf8(c), c.length];
};

const ESCAPES: Record<string, string> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

/** C's escapes: \n, \", \x0d, \15. Returns the byte and how many characters wrote it. */
function escape(text: string, at: number): [string, number] {
  const code = /\\(?:x([0-9a-f]{1,2})|([0-3]?[0-7]{1,2}))/iy;
  code.lastIndex = at;
  const m = code.exec(text);
  if (m)
    return [
      String.fromCodePoint(m[1] === undefined ? Number.parseInt(m[2]!, 8) : Number.parseInt(m[1], 16)),
      m[0].length,
    ];
  const value = ESCAPES[text[at + 1] ?? ''];
  if (value === undefined)
    throw new FilterFailure(
      { column: at, length: 2 },
      `${text.slice(at, at + 2)} is no escape; a backslash is written \\\\, or use r"…"`,
    );
  return [value, 2];
}

/** One code unit for each byte of the text's UTF-8: packets hold bytes. */
function utf8(text: string): string {
  let out = '';
  for (const c of text) {
    const n = c.codePointAt(0)!;
    if (n < 0x80) out += c;
    else if (n < 0x800) out += String.fromCodePoint(0xc0 | (n >>> 6), 0x80 | (n & 63));
    else if (n < 0x10000) out += String.fromCodePoint(0xe0 | (n >>> 12), 0x80 | ((n >>> 6) & 63), 0x80 | (n & 63));
    else
      out += String.fromCodePoint(
        0xf0 | (n >>> 18),
        0x80 | ((n >>> 12) & 63),
        0x80 | ((n >>> 6) & 63),
        0x80 | (n & 63),
      );
  }
  return out;
}
