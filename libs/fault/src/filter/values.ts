import type { FilterField, NumberReader } from './field.ts';
import { FilterFailure } from './failure.ts';
import type { Token } from './lexer.ts';
import { parseAddress, parseBool, parseBytes, parseEther, parseNumber } from './literal.ts';
import type { PacketView } from './packet-view.ts';
import type { Operand, SliceRange } from './syntax.ts';

export type NumberType = 'uint' | 'bool' | 'ipv4' | 'mac';

/** An operand with its type, ready to be read; `whose`: how errors name it. */
export type Values =
  | { kind: 'number'; type: NumberType; max: number; whose: string; read: readonly NumberReader[]; mask?: number }
  | { kind: 'bytes'; whose: string; read: readonly BytesReader[]; length?: number }
  | { kind: 'text'; whose: string; read: readonly TextReader[] }
  | { kind: 'none'; whose: string; test: (v: PacketView) => boolean };

export type BytesReader = (v: PacketView) => Uint8Array | undefined;
export type TextReader = (v: PacketView) => string | undefined;

const U32_MAX = 0xffffffff;

/** What an operand reads. A literal means what its neighbour is. */
export function valuesOf(o: Operand, beside?: Values): Values {
  switch (o.kind) {
    case 'field':
      return ofField(o.field);
    case 'slice':
      return ofSlice(o.of, o.token, o.ranges);
    case 'mask':
      return ofMask(o);
    default:
      if (beside === undefined) throw new FilterFailure(o.token, `'${o.token.text}' needs a field beside it`);
      return ofLiteral(o.token, beside);
  }
}

function ofField(f: FilterField): Values {
  const whose = f.name;
  switch (f.type) {
    case 'uint':
    case 'bool':
    case 'ipv4':
    case 'mac':
      return { kind: 'number', type: f.type, max: f.max ?? U32_MAX, whose, read: f.read! };
    case 'bytes':
    case 'protocol':
      return { kind: 'bytes', whose, read: [(v) => (f.span!(v) ? v.bytes(v.from, v.to) : undefined)] };
    case 'text':
      return { kind: 'text', whose, read: [f.text!] };
    default:
      return { kind: 'none', whose, test: f.present! };
  }
}

/** Whether a field is there at all. */
export function presence(f: FilterField): (v: PacketView) => boolean {
  if (f.present) return f.present;
  if (f.span) return f.span;
  if (f.text) return (v) => f.text!(v) !== undefined;
  const read = f.read!;
  return (v) => read.some((r) => r(v) >= 0);
}

function ofSlice(f: FilterField, token: Token, ranges: readonly SliceRange[]): Values {
  const length = ranges.reduce<number | undefined>(
    (n, r) => (n === undefined || r.length === undefined ? undefined : n + r.length),
    0,
  );
  const out = { kind: 'bytes' as const, whose: `${f.name}[…]`, ...(length !== undefined && { length }) };
  if (f.span) {
    // Only what the slice asks for is collected: a payload may be long and in many pieces.
    const one = (v: PacketView, from: number, to: number) =>
      ranges.map((r) => cut(r, from, to, (a, b) => v.bytes(a, b)));
    return { ...out, read: [(v) => (f.span!(v) ? joined(one(v, v.from, v.to)) : undefined)] };
  }
  if (f.type !== 'mac' && f.type !== 'ipv4')
    throw new FilterFailure(token, `${f.name} is no run of bytes and cannot be sliced`);
  const read = addressBytes(f.type, f.read!).map((bytes) => (v: PacketView) => {
    const all = bytes(v);
    return all && joined(ranges.map((r) => cut(r, 0, all.length, (a, b) => all.subarray(a, b))));
  });
  return { ...out, read };
}

/** Addresses as the bytes that a header holds. */
function addressBytes(type: 'mac' | 'ipv4', readers: readonly NumberReader[]): BytesReader[] {
  const size = type === 'mac' ? 6 : 4;
  return readers.map((read) => (v) => {
    const value = read(v);
    if (value < 0) return undefined;
    return Uint8Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * (size - 1 - i))) & 255);
  });
}

/** For `contains` and `matches`, which look into an Ethernet address too. */
export function asBytes(values: Values): Values {
  if (values.kind !== 'number' || values.type !== 'mac') return values;
  return { kind: 'bytes', whose: values.whose, read: addressBytes('mac', values.read) };
}

function cut(r: SliceRange, from: number, to: number, bytes: (from: number, to: number) => Uint8Array) {
  const start = r.from < 0 ? to + r.from : from + r.from;
  const end = r.length === undefined ? to : start + r.length;
  return start < from || end > to || end <= start ? undefined : bytes(start, end);
}

/** All of them in a row; a packet too short for one of them has none. */
function joined(parts: readonly (Uint8Array | undefined)[]): Uint8Array | undefined {
  if (parts.length === 1) return parts[0];
  const out: number[] = [];
  for (const p of parts) {
    if (p === undefined) return undefined;
    out.push(...p);
  }
  return Uint8Array.from(out);
}

function ofMask(o: Extract<Operand, { kind: 'mask' }>): Values {
  const left = valuesOf(o.left);
  const right = valuesOf(o.right, left);
  const whose = `${left.whose} &`;
  if (
    left.kind === 'number' &&
    right.kind === 'number' &&
    left.type === right.type &&
    /^(uint|ipv4)$/.test(left.type)
  ) {
    const read = left.read.flatMap((a) =>
      right.read.map((b) => (v: PacketView) => {
        const [x, y] = [a(v), b(v)];
        return x < 0 || y < 0 ? -1 : (x & y) >>> 0;
      }),
    );
    return { kind: 'number', type: left.type, max: left.max, whose, read };
  }
  if (left.kind === 'bytes' && right.kind === 'bytes') {
    const read = left.read.flatMap((a) =>
      right.read.map((b) => (v: PacketView) => {
        const [x, y] = [a(v), b(v)];
        return x === undefined || y === undefined || x.length !== y.length ? undefined : x.map((n, i) => n & y[i]!);
      }),
    );
    return { kind: 'bytes', whose, read, ...(left.length !== undefined && { length: left.length }) };
  }
  throw new FilterFailure(o.token, `${left.whose} & ${right.whose}: & needs two numbers, two addresses or two slices`);
}

function ofLiteral(token: Token, beside: Values): Values {
  const { whose } = beside;
  switch (beside.kind) {
    case 'number': {
      const { value, mask } = numberLiteral(token, beside.type, beside.max, whose);
      const out: Values = {
        kind: 'number',
        type: beside.type,
        max: beside.max,
        whose: token.text,
        read: [() => value],
      };
      if (mask !== undefined) out.mask = mask;
      return out;
    }
    case 'bytes': {
      const bytes = parseBytes(token, whose);
      return { kind: 'bytes', whose: token.text, read: [() => bytes], length: bytes.length };
    }
    case 'text':
      return { kind: 'text', whose: token.text, read: [() => token.text] };
    default:
      throw new FilterFailure(token, `${whose} is there or is not; it has no value to compare`);
  }
}

/** A number in the form of its type: 0x12, True, 10.0.0.1, 02:00:…. Throws FilterFailure. */
export function numberLiteral(
  token: Token,
  type: NumberType,
  max: number,
  whose: string,
): { value: number; mask?: number } {
  switch (type) {
    case 'uint':
      return { value: parseNumber(token, max, whose) };
    case 'bool':
      return { value: parseBool(token, whose) };
    case 'ipv4': {
      const parsed = parseAddress(token, whose);
      return parsed.mask === U32_MAX ? { value: parsed.value } : parsed;
    }
    default:
      return { value: parseEther(token, whose) };
  }
}
