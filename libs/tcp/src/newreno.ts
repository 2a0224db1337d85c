import { CA_RECOVERY } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { payloadLen } from './rtx-queue.ts';
import { markLost, splitRec } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';

/** Without SACK: each duplicate ACK is a segment that has left the network, nobody knows which (RFC 5681, RFC 6582). */

/**
 * tcp_newreno_mark_lost(): the first segment counts as lost when enough duplicates came, and in recovery each ACK that
 * does not reach the end says which segment is missing next (RFC 6582 3.2 step 3).
 */
export function newRenoMarkLost(cx: TcpContext, sk: TcpSock, unaAdvanced: boolean): void {
  const enough = sk.caState < CA_RECOVERY && sk.sackedOut >= sk.reordering;
  if (!enough && !(sk.caState === CA_RECOVERY && unaAdvanced)) return;
  const r = sk.rtx.first!;
  if (r.lost) return;
  if (r.segs > 1 && payloadLen(r) > r.mss) splitRec(sk, 0, r.seq + r.mss);
  markLost(cx, sk, r);
}

/** tcp_add_reno_sack(): duplicate ACKs came. */
export function addRenoSack(cx: TcpContext, sk: TcpSock, dupAcks: number): void {
  if (dupAcks === 0) return;
  const prior = sk.sackedOut;
  sk.sackedOut += dupAcks;
  checkRenoReordering(cx, sk, 0);
  if (sk.sackedOut > prior) sk.delivered += sk.sackedOut - prior;
}

/** tcp_remove_reno_sacks(): one of the acknowledged segments filled the hole, the others had sent the duplicates. */
export function removeRenoSacks(cx: TcpContext, sk: TcpSock, acked: number): void {
  if (acked > 0) {
    sk.delivered += Math.max(acked - sk.sackedOut, 1);
    sk.sackedOut = Math.max(0, sk.sackedOut - (acked - 1));
  }
  checkRenoReordering(cx, sk, acked);
}

/** tcp_limit_reno_sacked(): with at least one hole there cannot be more duplicates than segments behind it. */
export function limitRenoSacked(sk: TcpSock): boolean {
  const holes = Math.min(Math.max(sk.lostOut, 1), sk.packetsOut);
  if (sk.sackedOut + holes <= sk.packetsOut) return false;
  sk.sackedOut = sk.packetsOut - holes;
  return true;
}

/** tcp_check_reno_reordering(): more duplicates than there can be come from reordering. */
function checkRenoReordering(cx: TcpContext, sk: TcpSock, addend: number): void {
  if (!limitRenoSacked(sk)) return;
  sk.reordering = Math.min(sk.packetsOut + addend, cx.sysctl.tcpMaxReordering);
  sk.loss.reordSeen++;
  cx.env.mib.inc('TcpExtTCPRenoReorder');
}
