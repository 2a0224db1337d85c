import type { Packet, TcpPacket, Us } from '../lang/ast.ts';
import type { LiveTcp } from '../wire/live.ts';
import type { Conn } from './conn.ts';

/**
 * Timestamps of a packet that is expected: what the script calls the stack's clock is paired with what the clock shows. With
 * --tcp_ts_tick_usecs its pace is checked; without, any value will do. `actual` is given the script's value where it fits,
 * so that the options compare equal. Returns what is wrong.
 */
export function compareTimestamps(
  conn: Conn,
  expected: TcpPacket,
  actual: TcpPacket,
  live: LiveTcp,
  o: { atUs: Us; tickUs: Us; toleranceUs: Us },
): string[] {
  const options = actual.options === 'any' ? [] : actual.options;
  const mine = options.find((x) => x.kind === 'ts');
  const seen = live.options.find((x) => x.kind === 'ts');
  const want = expected.options === 'any' ? undefined : expected.options.find((x) => x.kind === 'ts');
  if (mine === undefined || seen === undefined || want === undefined) return [];
  conn.tsVals.set(want.val, seen.val);
  conn.tsBase ??= { script: want.val, live: seen.val, atUs: o.atUs };
  const { tsBase } = conn;
  mine.val = want.val;
  if (o.tickUs === 0) return [];
  const ticks = (seen.val - tsBase.live) | 0;
  const wanted = (want.val - tsBase.script) | 0;
  if (Math.abs(ticks - wanted) * o.tickUs <= Math.max(o.toleranceUs, o.tickUs)) return [];
  return [`timestamp: expected ${want.val}, and it is ${(tsBase.script + ticks) >>> 0}`];
}

/** `actual` with the timestamp value that the script names: for comparisons in which the clock has no part. */
export function sameTimestamp(expected: Packet, actual: Packet): Packet {
  if (expected.proto !== 'tcp' || actual.proto !== 'tcp') return actual;
  if (expected.options === 'any' || actual.options === 'any') return actual;
  const want = expected.options.find((o) => o.kind === 'ts');
  if (want === undefined) return actual;
  return { ...actual, options: actual.options.map((o) => (o.kind === 'ts' ? { ...o, val: want.val } : o)) };
}
