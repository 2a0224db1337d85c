import { NEVER } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { TCP_PAWS_24DAYS_MS, TCP_PAWS_WINDOW } from './sysctl.ts';

/** PAWS: protection against wrapped sequence numbers (RFC 7323 5). */

/** What remembers a peer's newest timestamp: a sock, a request or a TIME-WAIT. */
export interface TsRecent {
  tsRecent: number;
  /** NEVER: none yet. */
  tsRecentMs: number;
}

/** tcp_paws_check(): may a segment with `tsVal` be new? */
export function pawsOk(t: TsRecent, tsVal: number, now: number, window: number): boolean {
  if (t.tsRecentMs === NEVER) return true;
  if (((t.tsRecent - tsVal) | 0) <= window) return true;
  if (now >= t.tsRecentMs + TCP_PAWS_24DAYS_MS) return true;
  // a peer that lost its timestamps says 0 for a while
  return t.tsRecent === 0;
}

/** tcp_paws_reject(): as above, but a reset is judged by its sequence number once the timestamp may be stale. */
export function pawsReject(t: TsRecent, seg: Segment, rst: boolean, now: number): boolean {
  if (pawsOk(t, seg.tsVal, now, 0)) return false;
  return !rst || now < t.tsRecentMs + 60_000;
}

/** tcp_paws_discard(): old by its timestamp, and not just a reordered pure ACK (tcp_disordered_ack). */
export function pawsDiscard(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  return !pawsOk(sk, seg.tsVal, cx.now, TCP_PAWS_WINDOW) && !isDisorderedAck(sk, seg);
}

function isDisorderedAck(sk: TcpSock, seg: Segment): boolean {
  if (!seg.hasAck || seg.seq !== seg.endSeq || seg.seq !== sk.rcvNxt) return false;
  if (seg.ack !== sk.sndUna) return false;
  if (mayUpdateWindow(sk, seg)) return false;
  // tcp_tsval_replay(): as far back as a retransmission may be
  return ((sk.tsRecent - seg.tsVal) | 0) <= 1.2 * sk.rtt.rtoMs;
}

/** tcp_may_update_window() of an ACK of sndUna */
function mayUpdateWindow(sk: TcpSock, seg: Segment): boolean {
  const window = seg.window << sk.sndWscale;
  return seg.seq > sk.sndWl1 || (seg.seq === sk.sndWl1 && (window > sk.sndWnd || window === 0));
}

/** tcp_replace_ts_recent() (RFC 7323 4.3): only from a segment that covers the last ACK sent. True: it is newer. */
export function replaceTsRecent(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  if (!seg.hasTs || !sk.tsOk || seg.seq > sk.rcvWup) return false;
  if (!pawsOk(sk, seg.tsVal, cx.now, 0)) return false;
  const progress = ((seg.tsVal - sk.tsRecent) | 0) > 0;
  sk.tsRecent = seg.tsVal;
  sk.tsRecentMs = cx.now;
  return progress;
}
