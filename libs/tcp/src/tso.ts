import { CA_RECOVERY } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { GSO_MAX_SIZE, GSO_PAYLOAD_MAX, TCP_MSS_DEFAULT } from './sysctl.ts';

/** tcp_max_tso_deferred_mss() */
const MAX_DEFERRED_MSS = 3;
/** Deferring is for a stream of writes: the last segment left less than this ago. */
const RECENT_MS = 1;

/** What stopped the sender. */
export interface SendLimits {
  cwnd: boolean;
  rwnd: boolean;
}

/**
 * tcp_tso_segs(): segments per GSO skb: what the pacing rate sends in a millisecond (tcp_tso_autosize), more on short paths,
 * at least tcp_min_tso_segs.
 */
export function tsoSegs(cx: TcpContext, sk: TcpSock, mss: number): number {
  const { tcpMinTsoSegs, tcpTsoRttLog } = cx.sysctl;
  const least = sk.cc.minTsoSegs?.(sk) ?? tcpMinTsoSegs;
  const most = Math.max(1, Math.floor(GSO_PAYLOAD_MAX / mss));
  if (sk.pacingRate === 0) return most;
  let bytes = Math.floor(sk.pacingRate / 1024);
  const halvings = Math.floor((Math.min(sk.rtt.minMs, 1e6) * 1000) / 2 ** tcpTsoRttLog);
  if (halvings < 32) bytes += Math.floor(GSO_MAX_SIZE / 2 ** halvings);
  return Math.min(Math.max(Math.floor(bytes / mss), least), most);
}

/**
 * tcp_xmit_size_goal(): what one skb of the send queue holds at most: no more than half of the largest window that the peer
 * has offered (tcp_bound_to_half_wnd).
 */
export function sizeGoal(sk: TcpSock, mss: number): number {
  const half = sk.maxWindow > TCP_MSS_DEFAULT ? sk.maxWindow >>> 1 : sk.maxWindow;
  const most = half > 0 ? Math.min(half, GSO_PAYLOAD_MAX) : GSO_PAYLOAD_MAX;
  return Math.max(mss, most - (most % mss));
}

/**
 * tcp_tso_should_defer(): more than a segment could go, but waiting for the next ACK would make a larger skb of it.
 * `len` bytes are at the head of the queue; `last`: there are no others.
 */
export function tsoShouldDefer(
  cx: TcpContext,
  sk: TcpSock,
  len: number,
  last: boolean,
  maxSegs: number,
  limits: SendLimits,
): boolean {
  if (sk.caState >= CA_RECOVERY || cx.now - sk.wstampMs > RECENT_MS) return false;
  const { mssCache } = sk;
  const sendWin = sk.sndWndEnd - sk.sndNxt;
  const congWin = (sk.cwnd - sk.inFlight) * mssCache;
  const limit = Math.min(sendWin, congWin);
  if (limit >= maxSegs * mssCache || (!last && limit >= len)) return false;
  const divisor = cx.sysctl.tcpTsoWinDivisor;
  if (divisor > 0) {
    if (limit >= Math.floor(Math.min(sk.sndWnd, sk.cwnd * mssCache) / divisor)) return false;
  } else if (limit > MAX_DEFERRED_MSS * mssCache) {
    return false;
  }
  // the next ACK is probably too far away
  const head = sk.rtx.first;
  if (head === undefined || cx.now - head.sentMs < sk.rtt.srttMs / 2) return false;
  if (congWin < sendWin) {
    if (congWin <= len) return (limits.cwnd = true);
  } else if (sendWin <= len) {
    return (limits.rwnd = true);
  }
  // nothing more will come to wait for
  return !(last && sk.finReady);
}
