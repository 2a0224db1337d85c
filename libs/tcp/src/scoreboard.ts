import type { TcpContext } from './context.ts';
import { segsOf, type TxRec } from './rtx-queue.ts';
import type { TcpSock } from './sock.ts';

/**
 * The scoreboard (RFC 6675 3): each record may be SACKed, lost, retransmitted, and the sock counts the segments of each
 * kind. Lost and retransmitted together means that the retransmission is in flight.
 */

/** tcp_mark_skb_lost(): the record, or its retransmission if it was known to be lost already. */
export function markLost(cx: TcpContext, sk: TcpSock, r: TxRec): void {
  if (r.sacked) return;
  const { loss } = sk;
  if (!r.lost) {
    r.lost = true;
    sk.lostOut += r.segs;
    loss.lost += r.segs;
    sk.cc.skbMarkedLost?.(cx, sk, r);
  } else if (r.retrans) {
    r.retrans = false;
    sk.retransOut -= r.segs;
    loss.lost += r.segs;
    cx.env.mib.inc('TcpExtTCPLostRetransmit', r.segs);
    sk.cc.skbMarkedLost?.(cx, sk, r);
  }
  if (r.seq < loss.retransHint) loss.retransHint = r.seq;
}

/** tcp_highest_sack_seq(): the end of the highest segment the peer holds. */
export const highestSackSeq = (sk: TcpSock): number => (sk.sackedOut === 0 ? sk.sndUna : sk.loss.highestSack);

/** Record i is cut at `at` (tcp_fragment): the counters follow if that changes the number of segments. */
export function splitRec(sk: TcpSock, i: number, at: number): void {
  const r = sk.rtx.at(i);
  const was = r.segs;
  sk.rtx.split(i, at);
  recount(sk, r, was, r.segs + sk.rtx.at(i + 1).segs);
}

/** tcp_trim_head(): takes off what was acknowledged. Returns how many segments that was; the counters are the caller's. */
export function trimHead(sk: TcpSock, r: TxRec): number {
  const was = r.segs;
  r.seq = sk.sndUna;
  if (was > 1) r.segs = segsOf(r);
  return was - r.segs;
}

/** A record's number of segments is another one (tcp_adjust_pcount). */
export function recount(sk: TcpSock, r: TxRec, was: number, is: number): void {
  const delta = is - was;
  if (delta === 0) return;
  sk.packetsOut += delta;
  if (r.lost) sk.lostOut += delta;
  if (r.retrans) sk.retransOut += delta;
  if (r.sacked) sk.sackedOut += delta;
}

/** tcp_any_retrans_done(): is something in the queue that was sent more than once? */
export const anyRetransDone = (sk: TcpSock): boolean => sk.retransOut > 0 || sk.rtx.first?.everRetrans === true;
