import type { Place } from './ast.ts';
import { ScriptError } from './error.ts';
import { lex, type Token, type TokenKind } from './lexer.ts';

/** The tokens of a script with a cursor. Words that the script (or the caller) defined are replaced as they are read. */
export class Tokens {
  readonly file: string;
  /** The caller's definitions; they hold, whatever the script says. */
  private readonly given: ReadonlyMap<string, string>;
  private readonly defines: Map<string, string>;
  private readonly list: Token[];
  private at = 0;

  constructor(
    text: string,
    file: string,
    given: ReadonlyMap<string, string>,
    usual: readonly (readonly [string, string])[] = [],
  ) {
    this.file = file;
    this.given = given;
    this.defines = new Map([...usual, ...given]);
    this.list = lex(text, file);
  }

  define(name: string, value: string): void {
    if (!this.given.has(name)) this.defines.set(name, value);
  }

  /** The token `ahead` of the next one. */
  peek(ahead = 0): Token {
    const t = this.list[Math.min(this.at + ahead, this.list.length - 1)]!;
    const value = t.kind === 'word' ? this.defines.get(t.text) : undefined;
    return value === undefined ? t : defined(t, value);
  }

  next(): Token {
    const t = this.peek();
    if (t.kind !== 'end') this.at++;
    return t;
  }

  /** Is the next token this one? Words, numbers and punctuation by their text. */
  is(text: string): boolean {
    const t = this.peek();
    return t.text === text && (t.kind === 'punct' || t.kind === 'word');
  }

  /** Takes the next token if it is `text`. */
  take(text: string): boolean {
    if (!this.is(text)) return false;
    this.at++;
    return true;
  }

  takeKind(kind: TokenKind): Token | undefined {
    return this.peek().kind === kind ? this.next() : undefined;
  }

  expect(text: string, what = `'${text}'`): Token {
    if (!this.is(text)) this.fail(`expected ${what}`);
    return this.next();
  }

  expectKind(kind: TokenKind, what: string): Token {
    const t = this.takeKind(kind);
    if (t === undefined) this.fail(`expected ${what}`);
    return t;
  }

  /** A whole number, decimal or hexadecimal, from 0 to `max`. */
  integer(what: string, max = 0xffff_ffff): number {
    const t = this.takeKind('int') ?? this.takeKind('hex');
    if (t === undefined) this.fail(`expected ${what}`);
    const n = Number(t.text);
    if (n > max) throw new ScriptError(this.file, t, `${what} ${t.text} is more than ${max}`);
    return n;
  }

  /** Complains about the next token. */
  fail(what: string): never {
    const t = this.peek();
    throw new ScriptError(this.file, t, `${what}, found ${t.kind === 'end' ? t.text : `'${t.text}'`}`);
  }

  failAt(at: Place, what: string): never {
    throw new ScriptError(this.file, at, what);
  }
}

/** `--define=CC="reno"`: what the word stands for says what kind of token it becomes. */
function defined(t: Token, value: string): Token {
  const inner = value.slice(1, -1);
  if (value.startsWith('"')) return { ...t, kind: 'string', text: inner };
  if (value.startsWith('`')) return { ...t, kind: 'command', text: inner };
  if (/^\d+$/.test(value)) return { ...t, kind: 'int', text: value };
  if (/^0[xX][0-9a-fA-F]+$/.test(value)) return { ...t, kind: 'hex', text: value };
  return { ...t, text: value };
}
