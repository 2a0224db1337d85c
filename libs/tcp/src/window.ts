import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { TCP_INIT_CWND, TCP_MAX_WSCALE } from './sysctl.ts';

/** The largest window that fits the header unscaled. */
const U16_MAX = 65_535;

/** tcp_win_from_space() with tcp_adv_win_scale 1: half of the buffer is for payload. */
export const windowFromSpace = (space: number): number => Math.floor(space / 2);

/** tcp_select_initial_window(): what the SYN or SYN-ACK offers, and the shift that lets it grow to tcp_rmem[2]. */
export function selectInitialWindow(
  cx: TcpContext,
  rcvbuf: number,
  locked: boolean,
  clamp: number,
  mss: number,
  wscaleOk: boolean,
): { wnd: number; wscale: number } {
  let space = windowFromSpace(rcvbuf);
  if (clamp > 0) space = Math.min(space, clamp);
  let wscale = 0;
  if (wscaleOk) {
    let most = locked ? space : Math.max(space, cx.sysctl.tcpRmem[2]);
    if (clamp > 0) most = Math.min(most, clamp);
    while (most > U16_MAX && wscale < TCP_MAX_WSCALE) {
      most = Math.floor(most / 2);
      wscale++;
    }
  }
  if (space > mss) space -= space % mss;
  let wnd = Math.min(space, U16_MAX);
  if (wnd > mss) wnd -= wnd % mss;
  return { wnd, wscale };
}

/** How far beyond what the application has read the peer may send. */
function capacity(sk: TcpSock): number {
  let cap = Math.min(windowFromSpace(sk.rcvbuf), sk.rcvSsthresh);
  if (sk.windowClamp > 0) cap = Math.min(cap, sk.windowClamp);
  return cap;
}

/**
 * __tcp_select_window(): the right edge we would advertise now. Receiver's side of silly-window avoidance (RFC 9293
 * 3.8.6.2.2): it stays where it is until it can move by a segment or half the buffer.
 */
function wantedEdge(sk: TcpSock): number {
  const cap = capacity(sk);
  const edge = sk.rcvRead + cap;
  return edge - sk.rcvAdv < Math.min(sk.rcvMss, cap / 2) ? sk.rcvAdv : edge;
}

/** tcp_select_window(): the header's window field; what it says is remembered, and never taken back. */
export function selectWindow(cx: TcpContext, sk: TcpSock): number {
  const shift = sk.rcvWscale;
  if (sk.rcvAdv < sk.rcvAck) sk.rcvAdv = sk.rcvAck;
  const edge = wantedEdge(sk);
  const keep = edge <= sk.rcvAdv;
  const had = sk.rcvAdv - sk.rcvAck;
  const unit = 1 << shift;
  let field = keep ? Math.ceil(had / unit) : Math.floor((edge - sk.rcvAck) / unit);
  if (keep && edge > sk.rcvRead + capacity(sk)) cx.env.mib.inc('TcpExtTCPWantZeroWindowAdv');
  field = Math.min(field, U16_MAX);
  const advertised = sk.rcvAck + field * unit;
  if (field === 0 && !sk.advertisedZero) cx.env.mib.inc('TcpExtTCPToZeroWindowAdv');
  else if (field > 0 && sk.advertisedZero) cx.env.mib.inc('TcpExtTCPFromZeroWindowAdv');
  sk.advertisedZero = field === 0;
  if (advertised > sk.rcvAdv) sk.rcvAdv = advertised;
  sk.rcvWup = sk.rcvAck;
  return field;
}

/** tcp_cleanup_rbuf(): does what was just read open the window so far that the peer should hear of it now? */
export function windowUpdateDue(sk: TcpSock): boolean {
  const now = sk.rcvWindow;
  if (2 * now > windowFromSpace(sk.rcvbuf)) return false;
  const next = wantedEdge(sk) - sk.rcvNxt;
  return next > 0 && next >= 2 * now && next > now;
}

/** tcp_init_buffer_space(): called when the connection is established. */
export function initBufferSpace(cx: TcpContext, sk: TcpSock): void {
  sk.rcvSsthresh = Math.max(sk.rcvSsthresh, windowFromSpace(sk.rcvbuf));
  sk.rcvSpace = Math.min(sk.rcvAdv - sk.rcvNxt, TCP_INIT_CWND * sk.advMss);
  sk.rcvSpaceSeq = sk.rcvRead;
  sk.rcvSpaceMs = cx.now;
}

/** An RTT as the receiver sees it: how long after our ACK the data comes that it allowed (tcp_rcv_rtt_measure). */
export function measureRcvRtt(cx: TcpContext, sk: TcpSock, tsRttMs: number): void {
  let sample = tsRttMs;
  if (sample < 0) {
    if (sk.rcvRttStartMs !== 0) {
      if (sk.rcvNxt < sk.rcvRttSeq) return;
      sample = cx.now - sk.rcvRttStartMs;
    }
    sk.rcvRttSeq = sk.rcvNxt + sk.rcvWindow;
    sk.rcvRttStartMs = cx.now;
    if (sample < 0) return;
  }
  sample = Math.max(sample, 0.1);
  if (sk.rcvRttMs === 0) sk.rcvRttMs = sample;
  else if (tsRttMs < 0) sk.rcvRttMs = Math.min(sk.rcvRttMs, sample);
  else sk.rcvRttMs += (sample - sk.rcvRttMs) / 8;
}

/**
 * tcp_rcv_space_adjust(): dynamic right-sizing. Once per round trip, when the application has read more than in the
 * one before, the buffer grows to twice that, and by as much more as the rate is growing.
 */
export function rcvSpaceAdjust(cx: TcpContext, sk: TcpSock): void {
  if (sk.rcvRttMs === 0 || cx.now - sk.rcvSpaceMs < sk.rcvRttMs) return;
  const copied = sk.rcvRead - sk.rcvSpaceSeq;
  if (copied > sk.rcvSpace) {
    if (cx.sysctl.tcpModerateRcvbuf && !sk.rcvbufLocked) {
      let win = 2 * copied + 16 * sk.advMss;
      if (sk.rcvSpace > 0) win += 2 * Math.floor((win * (copied - sk.rcvSpace)) / sk.rcvSpace);
      const rcvbuf = Math.min(2 * win, cx.sysctl.tcpRmem[2]);
      if (rcvbuf > sk.rcvbuf) {
        sk.rcvbuf = rcvbuf;
        sk.rcvSsthresh = windowFromSpace(rcvbuf);
      }
    }
    sk.rcvSpace = copied;
  }
  sk.rcvSpaceSeq = sk.rcvRead;
  sk.rcvSpaceMs = cx.now;
}
