import { TCP_ACK, TCP_RST, TCP_SYN } from '@skbus/wire';
import type { TcpOption, TcpPacket, Us } from '../lang/ast.ts';
import type { Conn } from './conn.ts';
import { encodeTcpOptions } from '../wire/tcp-options.ts';

/** A script that says nothing of timestamps is run with them, one that has them without: the rest must stay the same. */
export type Timestamps = 'on' | 'off';

/** With a timestamp in the header, one block less fits (RFC 7323 appendix A, RFC 2018 3). */
const SACK_BLOCKS_WITH_TS = 3;
const REMOTE_CLOCK_MS = 1_000_000;
const MAX_OPTIONS = 40;

/** The options of a packet on its way to the stack. */
export function varyInbound(
  mode: Timestamps,
  conn: Conn,
  flags: number,
  options: readonly TcpOption[],
  atUs: Us,
): TcpOption[] {
  const rest = options.filter((o) => o.kind !== 'nop' && o.kind !== 'eol' && o.kind !== 'ts');
  const syn = (flags & TCP_SYN) !== 0;
  if (mode === 'off') return padded(rest);
  if (syn) conn.ts.theirs = true;
  if ((flags & TCP_RST) !== 0 || !conn.ts.theirs) return [...options];
  const ecr = (flags & TCP_ACK) !== 0 ? conn.ts.last : 0;
  const all = padded([...rest, { kind: 'ts', val: REMOTE_CLOCK_MS + Math.floor(atUs / 1000), ecr }]);
  return encodeTcpOptions(all).length > MAX_OPTIONS ? [...options] : all;
}

function padded(options: TcpOption[]): TcpOption[] {
  while (encodeTcpOptions(options).length % 4 !== 0) options.push({ kind: 'nop' });
  return options;
}

/** Both packets without what the variation changes; a sentence if a timestamp is there, or missing, against RFC 7323. */
export function varyOutbound(
  mode: Timestamps,
  conn: Conn,
  expected: TcpPacket,
  actual: TcpPacket,
): { expected: TcpPacket; actual: TcpPacket; wrong: string | undefined } {
  const { options } = actual;
  const ts = options === 'any' ? undefined : options.find((o) => o.kind === 'ts');
  const { bits } = actual.flags;
  if ((bits & TCP_SYN) !== 0) conn.ts.ours = ts !== undefined;
  const strip = (p: TcpPacket): TcpPacket => ({
    ...p,
    options:
      p.options === 'any' ? 'any' : p.options.filter((o) => o.kind !== 'nop' && o.kind !== 'ts').map(fewer(mode)),
  });
  let wrong: string | undefined;
  const negotiated = conn.ts.ours && conn.ts.theirs;
  if (mode === 'off' && ts !== undefined) wrong = 'a timestamp, and they are switched off';
  if (mode === 'on' && negotiated && ts === undefined && (bits & TCP_RST) === 0)
    wrong = 'no timestamp, and both sides agreed on them';
  return { expected: strip(expected), actual: strip(actual), wrong };
}

const fewer =
  (mode: Timestamps) =>
  (o: TcpOption): TcpOption =>
    mode === 'on' && o.kind === 'sack' ? { ...o, blocks: o.blocks.slice(0, SACK_BLOCKS_WITH_TS) } : o;
