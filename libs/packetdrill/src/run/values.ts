import { parseIpv4 } from '@skbus/skb';
import type { Expr, Field } from '../lang/ast.ts';
import { printExpr } from '../lang/print.ts';
import { constant } from './constants.ts';

/** A value that makes no sense where it stands; the runner adds the place. */
export class ValueError extends Error {
  override name = 'ValueError';
  readonly at: Expr;

  constructor(at: Expr, what: string) {
    super(what);
    this.at = at;
  }
}

/** The number an expression stands for. */
export function number(e: Expr): number {
  switch (e.kind) {
    case 'int':
      return e.value;
    case 'word': {
      const v = constant(e.name);
      if (v === undefined) throw new ValueError(e, `'${e.name}' is no constant that is known here`);
      return v;
    }
    case 'unary':
      return e.op === '-' ? -number(e.of) : ~number(e.of);
    case 'binary':
      return binary(e.op, number(e.left), number(e.right));
    case 'call':
      if ((e.name === 'htons' || e.name === 'htonl' || e.name === 'sizeof') && e.args.length === 1)
        return number(e.args[0]!);
      if (e.name === 'inet_addr' && e.args[0]?.kind === 'string') return ipv4(e.args[0], e.args[0].value);
      throw new ValueError(e, `'${e.name}(…)' is no value that is known here`);
    default:
      throw new ValueError(e, `expected a number, found ${printExpr(e)}`);
  }
}

function binary(op: (Expr & { kind: 'binary' })['op'], a: number, b: number): number {
  switch (op) {
    case '|':
      return unsigned(a | b, a, b);
    case '&':
      return unsigned(a & b, a, b);
    case '^':
      return unsigned(a ^ b, a, b);
    case '<<':
      return a * 2 ** b;
    case '>>':
      return Math.floor(a / 2 ** b);
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    default:
      return Math.trunc(a / b);
  }
}

/** JavaScript's bit operators give signed numbers; flags such as EPOLLET are not. */
const unsigned = (n: number, a: number, b: number): number => (a >= 0 && b >= 0 ? n >>> 0 : n);

function ipv4(at: Expr, text: string): number {
  const a = parseIpv4(text);
  if (a === undefined) throw new ValueError(at, `'${text}' is no IPv4 address`);
  return a;
}

/** A field of a struct by its name. */
export function field(e: Expr, name: string): Expr | undefined {
  return fields(e).find((f) => f.name === name)?.value;
}

export function fields(e: Expr): Field[] {
  if (e.kind !== 'struct') throw new ValueError(e, `expected {…}, found ${printExpr(e)}`);
  return e.fields;
}

export function items(e: Expr): Expr[] {
  if (e.kind === 'list') return e.items;
  if (e.kind === 'struct') return e.fields.map((f) => f.value);
  throw new ValueError(e, `expected […], found ${printExpr(e)}`);
}

/** `{sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr("192.0.2.1")}`; `...`: undefined; `AF_UNSPEC`: no address. */
export function address(e: Expr): { ip: string; port: number; family: number } | undefined {
  if (e.kind === 'ellipsis') return undefined;
  if (e.kind === 'word') return { family: number(e), ip: '0.0.0.0', port: 0 };
  const need = (name: string): Expr => {
    const v = field(e, name);
    if (v === undefined) throw new ValueError(e, `expected a field ${name}`);
    return v;
  };
  const family = number(need('sa_family'));
  if (family === 10) throw new ValueError(e, 'IPv6 is not supported yet');
  const a = number(need('sin_addr'));
  const ip = [a >>> 24, (a >>> 16) & 255, (a >>> 8) & 255, a & 255].join('.');
  return { ip, port: number(need('sin_port')), family };
}
