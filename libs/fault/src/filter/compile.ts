import { FilterFailure } from './failure.ts';
import type { PacketView } from './packet-view.ts';
import type { Expr, Operand, Quantifier, Relation, SetItem } from './syntax.ts';
import { asBytes, presence, valuesOf, type Values } from './values.ts';

export type Test = (v: PacketView) => boolean;

/** Turns the syntax tree into one closure, and checks the types on the way. Throws FilterFailure. */
export function compile(expr: Expr): Test {
  switch (expr.op) {
    case 'and': {
      const [a, b] = [compile(expr.left), compile(expr.right)];
      return (v) => a(v) && b(v);
    }
    case 'or': {
      const [a, b] = [compile(expr.left), compile(expr.right)];
      return (v) => a(v) || b(v);
    }
    case 'not': {
      const a = compile(expr.arg);
      return (v) => !a(v);
    }
    case 'test':
      return truth(expr.arg);
    case 'compare':
      return comparison(expr);
    case 'contains':
      return containing(expr);
    case 'matches':
      return matching(expr);
    default:
      return membership(expr.left, expr.set);
  }
}

function truth(o: Operand): Test {
  if (o.kind === 'field') return presence(o.field);
  const values = valuesOf(o);
  if (values.kind === 'number') return (v) => values.read.some((r) => r(v) > 0);
  if (values.kind !== 'bytes') throw new FilterFailure(o.token, `${values.whose} is no condition`);
  if (o.kind === 'slice') return (v) => values.read.some((r) => r(v) !== undefined);
  return (v) => values.read.some((r) => r(v)?.some((byte) => byte !== 0));
}

type Comparison = Extract<Expr, { op: 'compare' }>;

function comparison(expr: Comparison): Test {
  const left = valuesOf(expr.left);
  const right = valuesOf(expr.right, left);
  if (left.kind === 'none')
    throw new FilterFailure(expr.at, `${left.whose} is there or is not; it has no value to compare`);
  if (left.kind === 'number' && right.kind === 'number' && left.type === right.type)
    return numbers(left, right, expr.relation, expr.quantifier);
  if (left.kind === 'text' && right.kind === 'text')
    return pairs(left.read, right.read, (a, b) => HOLDS[expr.relation](a < b ? -1 : a > b ? 1 : 0, 0), expr.quantifier);
  if (left.kind === 'bytes' && right.kind === 'bytes') {
    // Wireshark's versions do not agree on whether the longer or the later one is greater.
    if (expr.relation !== '==' && expr.relation !== '!=') orderable(expr, left, right);
    return pairs(left.read, right.read, (a, b) => HOLDS[expr.relation](compareBytes(a, b), 0), expr.quantifier);
  }
  throw new FilterFailure(expr.right.token, `${left.whose} and ${right.whose} are of different types`);
}

function orderable(expr: Comparison, left: Values & { kind: 'bytes' }, right: Values & { kind: 'bytes' }): void {
  if (left.length === undefined || left.length !== right.length)
    throw new FilterFailure(expr.at, 'only slices of the same length have an order');
}

const HOLDS: Readonly<Record<Relation, (a: number, b: number) => boolean>> = {
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

type Numbers = Values & { kind: 'number' };

function numbers(left: Numbers, right: Numbers, relation: Relation, quantifier: Quantifier): Test {
  const compare = HOLDS[relation];
  const mask = right.mask;
  const read = mask === undefined ? left.read : left.read.map((r) => masked(r, mask));
  const [a, b] = [read[0]!, right.read[0]!];
  if (read.length === 1 && right.read.length === 1) {
    return (v) => {
      const x = a(v);
      if (x < 0) return false;
      const y = b(v);
      return y >= 0 && compare(x, y);
    };
  }
  // As in pairs(), without a value that stands for "not there" besides -1: these are the filters that people write most.
  const all = quantifier === 'all';
  return (v) => {
    let some = false;
    for (const l of read) {
      const x = l(v);
      if (x < 0) continue;
      for (const r of right.read) {
        const y = r(v);
        if (y < 0) continue;
        some = true;
        if (compare(x, y) !== all) return !all;
      }
    }
    return some && all;
  };
}

const masked = (read: (v: PacketView) => number, mask: number) => (v: PacketView) => {
  const x = read(v);
  return x < 0 ? -1 : (x & mask) >>> 0;
};

/** Every value on the left with every one on the right; without a pair nothing holds, not even `!=`. */
function pairs<T>(
  left: readonly ((v: PacketView) => T | undefined)[],
  right: readonly ((v: PacketView) => T | undefined)[],
  compare: (a: T, b: T) => boolean,
  quantifier: Quantifier,
): Test {
  const all = quantifier === 'all';
  return (v) => {
    let some = false;
    for (const l of left) {
      const a = l(v);
      if (a === undefined) continue;
      for (const r of right) {
        const b = r(v);
        if (b === undefined) continue;
        some = true;
        if (compare(a, b) !== all) return !all;
      }
    }
    return some && all;
  };
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

/** Any value that is one of the set's, or between two of them. */
function membership(left: Operand, set: readonly SetItem[]): Test {
  const values = valuesOf(left);
  const tests = set.map((item) => {
    const base = { op: 'compare' as const, quantifier: 'any' as const, at: item.from.token, left };
    if (item.to === undefined) return comparison({ ...base, relation: '==', right: item.from });
    const [from, to] = [valuesOf(item.from, values), valuesOf(item.to, values)];
    if (
      values.kind !== 'number' ||
      from.kind !== 'number' ||
      to.kind !== 'number' ||
      from.type !== values.type ||
      to.type !== values.type ||
      (from.mask ?? to.mask) !== undefined
    )
      throw new FilterFailure(item.from.token, 'a range needs two numbers or two addresses');
    return between(values, from, to);
  });
  return (v) => tests.some((t) => t(v));
}

/** Both bounds hold for the same value. */
function between(values: Numbers, from: Numbers, to: Numbers): Test {
  return (v) =>
    values.read.some((read) => {
      const x = read(v);
      return x >= 0 && from.read.some((r) => r(v) >= 0 && r(v) <= x) && to.read.some((r) => r(v) >= x);
    });
}

function containing(expr: Extract<Expr, { op: 'contains' | 'matches' }>): Test {
  const left = asBytes(valuesOf(expr.left));
  const right = valuesOf(expr.right, left);
  if (left.kind === 'text' && right.kind === 'text')
    return pairs(left.read, right.read, (a, b) => a.includes(b), 'any');
  if (left.kind === 'bytes' && right.kind === 'bytes') return pairs(left.read, right.read, includesBytes, 'any');
  throw new FilterFailure(expr.at, `${left.whose} is no run of bytes: nothing can be in it`);
}

function includesBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (b.length === 0) return true;
  const last = a.length - b.length;
  for (let i = a.indexOf(b[0]!); i >= 0 && i <= last; i = a.indexOf(b[0]!, i + 1)) {
    let n = 1;
    while (n < b.length && a[i + n] === b[n]) n++;
    if (n === b.length) return true;
  }
  return false;
}

/** A regular expression over bytes; upper and lower case are the same, as in Wireshark. */
function matching(expr: Extract<Expr, { op: 'contains' | 'matches' }>): Test {
  const left = asBytes(valuesOf(expr.left));
  const { right } = expr;
  if (right.kind !== 'literal' || right.token.kind !== 'string')
    throw new FilterFailure(right.token, 'matches needs a regular expression in double quotes');
  let pattern: RegExp;
  try {
    pattern = new RegExp(right.token.text, 'i');
  } catch (e) {
    throw new FilterFailure(right.token, (e as Error).message);
  }
  const test = (text: string | undefined): boolean => text !== undefined && pattern.test(text);
  if (left.kind === 'text') return (v) => left.read.some((r) => test(r(v)));
  if (left.kind !== 'bytes')
    throw new FilterFailure(expr.at, `${left.whose} is no text and no bytes: nothing can match it`);
  return (v) => left.read.some((r) => test(latin1(r(v))));
}

function latin1(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  let out = '';
  // In pieces: a call takes only so many arguments.
  for (let i = 0; i < bytes.length; i += 4096) out += String.fromCodePoint(...bytes.subarray(i, i + 4096));
  return out;
}
