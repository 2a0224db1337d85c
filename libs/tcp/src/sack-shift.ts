import { TCP_SYN } from '@skbus/wire';
import type { AckState } from './ack-state.ts';
import type { TcpContext } from './context.ts';
import { payloadLen, segLen, type TxRec } from './rtx-queue.ts';
import { tagRange } from './sack-tag.ts';
import type { TcpSock } from './sock.ts';

/** As the counts in an skb's control block allow. */
const SEGS_MAX = 65_535;
const LEN_MAX = 65_535 * 8;

/** `shifted`: go on after the record before; `noop`: nothing of this one is in the block; `fallback`: mark it as it is. */
export type Shift = 'shifted' | 'noop' | 'fallback';

/**
 * tcp_shift_skb_data(): newly SACKed bytes at the start of record i join the SACKed record before it, so that a peer that
 * SACKs segment by segment does not shred the queue.
 */
export function shiftSacked(
  cx: TcpContext,
  sk: TcpSock,
  a: AckState,
  i: number,
  start: number,
  end: number,
  dup: boolean,
): Shift {
  const { rtx } = sk;
  const r = rtx.at(i);
  // a retransmission still in flight keeps its mark
  if (!dup && r.retrans && !r.lost) return fallback(cx);
  if (i === 0 || payloadLen(r) === 0 || (r.flags & TCP_SYN) !== 0 || r.end <= sk.sndUna) return fallback(cx);
  const prev = rtx.at(i - 1);
  if (!isJustSacked(prev) || prev.eor) return fallback(cx);
  let len = payloadLen(r);
  let { segs } = r;
  if (start > r.seq || end < r.end) {
    if (r.end <= start || r.segs === 1) return 'noop';
    if (start > r.seq) return fallback(cx);
    segs = Math.floor((end - r.seq) / r.mss);
    if (segs === 0) return 'noop';
    len = segs * r.mss;
  }
  const mss = segLen(r);
  if (mss !== segLen(prev) || r.seq + len <= sk.sndUna || !fits(prev, len, segs)) return fallback(cx);
  tagRange(cx, sk, a, r, r.seq + len, segs, dup);
  if (!moveToPrev(cx, sk, i, len, segs, mss)) return 'shifted';
  // The hole is filled: what was SACKed behind it joins, too.
  const next = i < rtx.length ? rtx.at(i) : undefined;
  if (next !== undefined && isJustSacked(next) && payloadLen(next) > 0 && segLen(next) === mss) {
    const all = payloadLen(next);
    if (fits(prev, all, next.segs)) moveToPrev(cx, sk, i, all, next.segs, mss);
  }
  return 'shifted';
}

function fallback(cx: TcpContext): Shift {
  cx.env.mib.inc('TcpExtTCPSackShiftFallback');
  return 'fallback';
}

const isJustSacked = (r: TxRec): boolean => r.sacked && !r.lost && !r.retrans && (r.flags & TCP_SYN) === 0;

const fits = (prev: TxRec, len: number, segs: number): boolean =>
  payloadLen(prev) + len < LEN_MAX && prev.segs + segs <= SEGS_MAX && (prev.flags & 1) === 0;

/** tcp_shifted_skb(): true when nothing of record i is left. */
function moveToPrev(cx: TcpContext, sk: TcpSock, i: number, len: number, segs: number, mss: number): boolean {
  const { rtx } = sk;
  const prev = rtx.at(i - 1);
  const r = rtx.at(i);
  const all = len === payloadLen(r);
  prev.mss = mss;
  prev.segs += segs;
  prev.everRetrans ||= r.everRetrans;
  if (all) {
    prev.end = r.end;
    prev.flags |= r.flags;
    rtx.remove(i);
    cx.env.mib.inc('TcpExtTCPSackMerged');
  } else {
    prev.end += len;
    r.seq += len;
    r.segs -= segs;
    cx.env.mib.inc('TcpExtTCPSackShifted');
  }
  if (prev.end > sk.loss.highestSack) sk.loss.highestSack = prev.end;
  return all;
}
