import type { BinaryOp, Expr, Field } from './ast.ts';
import type { Tokens } from './tokens.ts';

/** C's precedence, the loosest first. */
const LEVELS: readonly (readonly BinaryOp[])[] = [['|'], ['^'], ['&'], ['<<', '>>'], ['+', '-'], ['*', '/']];

export function parseExpr(t: Tokens, level = 0): Expr {
  const ops = LEVELS[level];
  if (ops === undefined) return parseUnary(t);
  let left = parseExpr(t, level + 1);
  for (;;) {
    const op = ops.find((o) => t.peek().kind === 'punct' && t.is(o));
    if (op === undefined) return left;
    const { line, column } = t.next();
    left = { kind: 'binary', op, left, right: parseExpr(t, level + 1), line, column };
  }
}

/** Without binary operators: what follows a call's `=`, where the next event's `+` or `*` is near. */
export function parseUnary(t: Tokens): Expr {
  const { line, column } = t.peek();
  for (const op of ['-', '~'] as const) {
    if (!t.take(op)) continue;
    const of = parseUnary(t);
    if (op === '-' && of.kind === 'int' && !of.hex) return { ...of, value: -of.value, line, column };
    return { kind: 'unary', op, of, line, column };
  }
  return parsePrimary(t);
}

function parsePrimary(t: Tokens): Expr {
  const token = t.peek();
  const at = { line: token.line, column: token.column };
  switch (token.kind) {
    case 'ellipsis':
      t.next();
      return { kind: 'ellipsis', ...at };
    case 'int':
    case 'hex':
      t.next();
      return { kind: 'int', value: Number(token.text), hex: token.kind === 'hex', ...at };
    case 'string':
      return { kind: 'string', value: parseStrings(t), ...at };
    case 'word':
      t.next();
      if (!t.take('(')) return { kind: 'word', name: token.text, ...at };
      return { kind: 'call', name: token.text, args: parseList(t, ')'), ...at };
    default:
      break;
  }
  if (t.take('[')) return { kind: 'list', items: parseList(t, ']'), ...at };
  if (t.take('{')) return { kind: 'struct', fields: parseFields(t), ...at };
  if (t.take('(')) {
    const inner = parseExpr(t);
    t.expect(')');
    return inner;
  }
  return t.fail('expected a value');
}

/** Neighbouring strings are one, as in C; `"abc"...` says that more may follow. */
function parseStrings(t: Tokens): string {
  let s = '';
  for (let part = t.takeKind('string'); part !== undefined; part = t.takeKind('string')) s += unescape(part.text);
  t.takeKind('ellipsis');
  return s;
}

/** The rest of a list up to `end`, which is taken, too. */
export function parseList(t: Tokens, end: ')' | ']'): Expr[] {
  const items: Expr[] = [];
  if (t.take(end)) return items;
  do items.push(parseExpr(t));
  while (t.take(','));
  t.expect(end, `',' or '${end}'`);
  return items;
}

function parseFields(t: Tokens): Field[] {
  const fields: Field[] = [];
  if (t.take('}')) return fields;
  do fields.push(parseField(t));
  while (t.take(','));
  t.expect('}', "',' or '}'");
  return fields;
}

function parseField(t: Tokens): Field {
  const value = parseExpr(t);
  if (!t.take('=')) return { name: undefined, count: undefined, value };
  if (value.kind === 'word') return { name: value.name, count: undefined, value: parseExpr(t) };
  if (value.kind === 'call' && value.args.length === 1)
    return { name: value.name, count: value.args[0], value: parseExpr(t) };
  return t.failAt(value, "expected a field's name before '='");
}

const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r', '0': '\0' };

function unescape(s: string): string {
  return s.replace(/\\(x[0-9a-fA-F]{2}|[\s\S])/g, (_, c: string) =>
    c.length > 1 ? String.fromCharCode(parseInt(c.slice(1), 16)) : (ESCAPES[c] ?? c),
  );
}
