import type { Expr } from '../lang/ast.ts';
import { printExpr } from '../lang/print.ts';
import type { SysOpt } from '../sys.ts';
import { field, items, number, ValueError } from './values.ts';

/** Socket options: what a script writes, what C lays out. */

/** A name (TCP_CONGESTION), as opposed to a key that is written as a string. */
const NAME = /^[ -~]+$/;

/** setsockopt's value; `length` is what its last argument says. */
export function optOf(e: Expr, length?: number): SysOpt {
  if (e.kind === 'string') {
    if (NAME.test(e.value)) return { kind: 'string', value: e.value };
    const value = new Uint8Array(length ?? e.value.length);
    for (let i = 0; i < Math.min(value.length, e.value.length); i++) value[i] = e.value.charCodeAt(i);
    return { kind: 'bytes', value };
  }
  if (e.kind === 'list') {
    if (e.items.length === 1) return optOf(e.items[0]!);
    const b = new Uint8Array(4 * e.items.length);
    const view = new DataView(b.buffer);
    for (const [i, x] of e.items.entries()) view.setInt32(4 * i, number(x) | 0, true);
    return { kind: 'bytes', value: b };
  }
  if (e.kind !== 'struct') return { kind: 'int', value: number(e) };
  const onoff = field(e, 'onoff') ?? field(e, 'l_onoff');
  if (onoff !== undefined) {
    const linger = field(e, 'linger') ?? field(e, 'l_linger');
    return { kind: 'linger', onoff: number(onoff), linger: linger === undefined ? 0 : number(linger) };
  }
  const sec = field(e, 'tv_sec');
  if (sec !== undefined) {
    const usec = field(e, 'tv_usec');
    return { kind: 'timeval', sec: number(sec), usec: usec === undefined ? 0 : number(usec) };
  }
  throw new ValueError(e, `${printExpr(e)} is no socket option's value that is known here`);
}

/** How long the buffer is that C would pass to getsockopt. */
export function optLength(e: Expr | undefined): number {
  if (e === undefined || e.kind === 'ellipsis') return 256;
  const first = items(e)[0];
  return first === undefined || first.kind === 'ellipsis' ? 256 : number(first);
}

/** How what getsockopt gave differs from what the script says; undefined: not at all. */
export function optDifference(expected: Expr, got: Uint8Array): string | undefined {
  if (expected.kind === 'ellipsis') return undefined;
  const inner = expected.kind === 'list' && expected.items.length === 1 ? expected.items[0]! : expected;
  if (inner.kind === 'ellipsis') return undefined;
  const view = new DataView(got.buffer, got.byteOffset, got.byteLength);
  const int = (at: number): number => (at + 4 <= got.length ? view.getInt32(at, true) : (got[at] ?? Number.NaN));
  const differs = (want: unknown, have: unknown): string | undefined =>
    want === have ? undefined : `the option: expected ${String(want)}, and it is ${String(have)}`;
  if (inner.kind === 'string') return differs(inner.value, textOf(got));
  if (inner.kind === 'list') {
    return differs(inner.items.map((x) => number(x) | 0).join(' '), inner.items.map((_, i) => int(4 * i)).join(' '));
  }
  if (inner.kind !== 'struct') return differs(number(inner) | 0, int(0));
  const want = optOf(inner);
  if (want.kind === 'linger') return differs(`${want.onoff} ${want.linger}`, `${int(0)} ${int(4)}`);
  if (want.kind === 'timeval') return differs(`${want.sec} ${want.usec}`, `${int(0)} ${int(8)}`);
  return undefined;
}

function textOf(b: Uint8Array): string {
  const end = b.indexOf(0);
  return String.fromCharCode(...b.subarray(0, end < 0 ? b.length : end));
}
