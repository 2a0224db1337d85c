import { TCP_FIN, TCP_SYN } from '@skbus/wire';
import type { Script, TcpPacket } from './lang/ast.ts';
import type { Timestamps } from './run/ts-variation.ts';

/** Ways to run a script that must not change what comes out. */

const U32 = 2 ** 32;

function packets(script: Script, direction: 'in' | 'out'): TcpPacket[] {
  return script.events.flatMap(({ action }) =>
    action.kind === 'packet' && action.direction === direction && action.packet.proto === 'tcp' ? [action.packet] : [],
  );
}

const isSyn = (p: TcpPacket): boolean => (p.flags.bits & TCP_SYN) !== 0;

/**
 * Initial sequence numbers with which both directions cross 2^32: in the middle of the first data, or with the SYN where
 * there is no data.
 */
export function wrapOf(script: Script): { iss: number; remoteShift: number } {
  const incoming = packets(script, 'in');
  const isn = incoming.find(isSyn)?.seq ?? 0;
  return { iss: firstAt(packets(script, 'out'), 0), remoteShift: firstAt(incoming, isn) };
}

/** What to add to the script's numbers. */
function firstAt(all: readonly TcpPacket[], isn: number): number {
  const data = all.find((p) => p.len > 1);
  // In packets without SYN the numbers count from the SYN (conn.ts).
  const base = data === undefined || isSyn(data) ? 0 : isn;
  const at = data === undefined ? (all[0]?.seq ?? 0) + 1 : base + data.seq + (data.len >> 1);
  return (U32 - (at % U32)) % U32;
}

/** Segments up to this are not cut differently when a timestamp takes 12 bytes of the MSS. */
const SMALL = 500;

/** Whether the script can be run with timestamps that it does not mention, or without those that it does. */
export function timestampsOf(script: Script): Timestamps | undefined {
  const [incoming, outgoing] = [packets(script, 'in'), packets(script, 'out')];
  if (script.events.some((e) => e.action.kind === 'code') || outgoing.some((p) => p.len > SMALL)) return undefined;
  const commands = [script.init, ...script.events.map((e) => e.action)].filter((a) => a?.kind === 'command');
  if (commands.some((c) => c!.text.includes('timestamps'))) return undefined;
  const all = [...incoming, ...outgoing];
  const has = (p: TcpPacket): boolean => p.options !== 'any' && p.options.some((o) => o.kind === 'ts');
  const syns = incoming.filter((p) => (p.flags.bits & TCP_SYN) !== 0);
  if (syns.length === 0) return undefined;
  // A newer timestamp lets a SYN into a TIME-WAIT (RFC 6191), which is another outcome.
  const fin = incoming.findIndex((p) => (p.flags.bits & TCP_FIN) !== 0);
  if (fin >= 0 && incoming.findLastIndex((p) => (p.flags.bits & TCP_SYN) !== 0) > fin) return undefined;
  if (!all.some(has)) return 'on';
  return syns.every(has) ? 'off' : undefined;
}
