import { FilterFailure } from './failure.ts';
import { filterField, unknownField } from './fields.ts';
import { lex, type Token } from './lexer.ts';
import type { Expr, Operand, Quantifier, Relation, SetItem, SliceRange } from './syntax.ts';

/** What to write, which relation that is, and whether one of several values is enough (Wireshark 4: `!=` is about all). */
const RELATIONS: Readonly<Record<string, readonly [Relation, Quantifier]>> = {
  '==': ['==', 'any'],
  eq: ['==', 'any'],
  any_eq: ['==', 'any'],
  '===': ['==', 'all'],
  all_eq: ['==', 'all'],
  '!=': ['!=', 'all'],
  ne: ['!=', 'all'],
  all_ne: ['!=', 'all'],
  '!==': ['!=', 'any'],
  '~=': ['!=', 'any'],
  any_ne: ['!=', 'any'],
  '<': ['<', 'any'],
  lt: ['<', 'any'],
  '<=': ['<=', 'any'],
  le: ['<=', 'any'],
  '>': ['>', 'any'],
  gt: ['>', 'any'],
  '>=': ['>=', 'any'],
  ge: ['>=', 'any'],
};
const AND = ['&&', 'and'];
const OR = ['||', 'or'];
const NOT = ['!', 'not'];
const MASK = ['&', 'bitand', 'bitwise_and'];
const MATCHES = ['~', 'matches'];
const KEYWORDS = new Set([
  ...Object.keys(RELATIONS),
  ...AND,
  ...OR,
  ...NOT,
  ...MASK,
  ...MATCHES,
  'in',
  'contains',
  'any',
  'all',
]);
/** Deep enough for people, shallow enough for the call stack. */
const DEPTH_MAX = 200;

/** `undefined`: there is nothing in it. Throws FilterFailure. */
export function parse(text: string): Expr | undefined {
  return new Parser(lex(text)).whole();
}

/** or: and { "||" and } · and: not { "&&" not } · not: "!" not | test · test: "(" or ")" | operand [relation operand | …] */
class Parser {
  private readonly tokens: readonly Token[];
  private at = 0;
  private depth = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  whole(): Expr | undefined {
    if (this.peek().kind === 'end') return undefined;
    const expr = this.or();
    if (this.peek().kind !== 'end') throw this.unexpected('the end, or && or ||');
    return expr;
  }

  private peek(): Token {
    return this.tokens[this.at]!;
  }

  private take(): Token {
    return this.tokens[this.at++]!;
  }

  /** Takes the next token if it is one of these. */
  private accept(texts: readonly string[]): Token | undefined {
    const t = this.peek();
    return (t.kind === 'symbol' || t.kind === 'word') && texts.includes(t.text) ? this.take() : undefined;
  }

  private expect(text: string): void {
    if (!this.accept([text])) throw this.unexpected(`'${text}'`);
  }

  private unexpected(wanted: string): FilterFailure {
    const t = this.peek();
    return new FilterFailure(t, `expected ${wanted}, not ${t.kind === 'end' ? 'the end' : `'${t.text}'`}`);
  }

  private or(): Expr {
    let left = this.and();
    while (this.accept(OR)) left = { op: 'or', left, right: this.and() };
    return left;
  }

  private and(): Expr {
    let left = this.not();
    while (this.accept(AND)) left = { op: 'and', left, right: this.not() };
    return left;
  }

  private not(): Expr {
    if (++this.depth > DEPTH_MAX) throw new FilterFailure(this.peek(), `nested deeper than ${DEPTH_MAX}`);
    const expr: Expr = this.accept(NOT) ? { op: 'not', arg: this.not() } : this.test();
    this.depth--;
    return expr;
  }

  private test(): Expr {
    if (this.accept(['('])) {
      const expr = this.or();
      this.expect(')');
      return expr;
    }
    const quantifier = this.accept(['any', 'all']);
    const left = this.operand();
    if (left.kind === 'literal') throw new FilterFailure(left.token, literalAlone(left.token));
    const at = this.peek();
    const relation = at.kind === 'string' ? undefined : RELATIONS[at.text];
    if (relation) {
      this.take();
      const all = quantifier ? (quantifier.text as Quantifier) : relation[1];
      return { op: 'compare', relation: relation[0], quantifier: all, at, left, right: this.operand(left) };
    }
    if (quantifier) throw this.unexpected(`a comparison after '${quantifier.text}'`);
    if (this.accept(['contains'])) return { op: 'contains', at, left, right: this.operand(left) };
    if (this.accept(MATCHES)) return { op: 'matches', at, left, right: this.operand(left) };
    if (this.accept(['in'])) return { op: 'in', left, set: this.set(left) };
    if (at.text === 'not' && this.tokens[this.at + 1]?.text === 'in') {
      this.at += 2;
      return { op: 'not', arg: { op: 'in', left, set: this.set(left) } };
    }
    return { op: 'test', arg: left };
  }

  /** `{1, 2, 10..20}`; commas may be left out, as they had to be before Wireshark 3.6. */
  private set(left: Operand): SetItem[] {
    this.expect('{');
    const items: SetItem[] = [];
    do {
      const from = this.operand(left);
      items.push(this.accept(['..']) ? { from, to: this.operand(left) } : { from });
      if (this.accept([',']) && this.peek().text === '}') throw this.unexpected('a value');
    } while (!this.accept(['}']));
    return items;
  }

  /** `beside`: what it is compared with. A name beside a text is a text (`skb.layer == tcp`). */
  private operand(beside?: Operand): Operand {
    let left = this.term(beside);
    for (let token = this.accept(MASK); token; token = this.accept(MASK))
      left = { kind: 'mask', token, left, right: this.term(left) };
    return left;
  }

  private term(beside?: Operand): Operand {
    const token = this.peek();
    if (token.kind === 'string' || token.kind === 'char') return { kind: 'literal', token: this.take() };
    if (token.kind !== 'word' || KEYWORDS.has(token.text))
      throw this.unexpected(beside === undefined ? 'a field or a protocol' : 'a value or a field');
    this.take();
    const isText = beside?.kind === 'field' && beside.field.type === 'text';
    const field = isText && !token.text.includes('.') ? undefined : filterField(token.text);
    if (field === undefined) {
      if (!isText && looksLikeName(token.text)) throw new FilterFailure(token, unknownField(token.text));
      return { kind: 'literal', token };
    }
    if (this.peek().kind !== 'slice') return { kind: 'field', field, token };
    return { kind: 'slice', of: field, token, ranges: sliceRanges(this.take()) };
  }
}

/** A protocol's name and something behind it: nobody means a literal by that. */
const looksLikeName = (text: string): boolean =>
  /^[a-z][a-z_]*\.[a-z]/i.test(text) && !/^[0-9a-f]{2}(\.[0-9a-f]{2})*$/i.test(text);

const literalAlone = (token: Token): string =>
  token.kind === 'word' && /^[a-z]/i.test(token.text)
    ? unknownField(token.text)
    : `a comparison begins with a field, and '${token.text}' is none`;

/** Inside the brackets: `i`, `i:length`, `i-j`, `:length`, `i:`, several with commas. */
function sliceRanges(token: Token): SliceRange[] {
  return token.text.split(',').map((part) => {
    const m = /^\s*(?:(-?\d+)?\s*(:)\s*(\d+)?|(-?\d+)\s*-\s*(-?\d+)|(-?\d+))\s*$/.exec(part);
    if (!m) throw new FilterFailure(token, `[${part}] is no slice; write [3], [0:4] (four from 0), [0-3] or [4:]`);
    const [, from = '0', colon, length, first, last, single] = m;
    const range: SliceRange = { from: Number(single ?? first ?? from) };
    if (single !== undefined) range.length = 1;
    else if (last !== undefined) range.length = Number(last) - Number(first) + 1;
    else if (colon && length !== undefined) range.length = Number(length);
    if (
      range.length !== undefined &&
      (range.length <= 0 || (last !== undefined && Number(first) < 0 !== Number(last) < 0))
    )
      throw new FilterFailure(token, `[${part}] holds no byte`);
    return range;
  });
}
