import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { TCP_INIT_CWND, TCP_MAX_WSCALE } from './sysctl.ts';

/** The largest window that fits the header unscaled. */
const U16_MAX = 65_535;
const MAX_TCP_WINDOW = 32_767;

/** tcp_win_from_space() with the default scaling_ratio: half of the buffer is for payload, the rest for what skbs cost. */
export const windowFromSpace = (space: number): number => Math.max(0, Math.floor(space / 2));
/** tcp_space_from_win() */
export const spaceFromWindow = (window: number): number => 2 * window;

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
  return { wnd: Math.min(space, cx.sysctl.tcpWorkaroundSignedWindows ? MAX_TCP_WINDOW : U16_MAX), wscale };
}

/** sk_rmem_alloc: what is received and not read, with an skb's overhead (twice the payload, as windowFromSpace has it). */
export const rmemAlloc = (sk: TcpSock): number => 2 * Math.max(0, sk.rcvNxt - sk.rcvRead) + sk.ofo.truesize;

/**
 * tp->rcv_wnd: the window of the last ACK, counted from what was received, as offeredWindow() counts. The field itself also
 * said how much of that was not confirmed, and so not acknowledged.
 */
export const lastWindow = (sk: TcpSock): number => Math.max(0, sk.rcvAdv - sk.rcvWup - sk.wupUnconfirmed);

/** An ACK now would offer no less than the last one. That was rounded up to units, and from what it acknowledged. */
export const windowKept = (cx: TcpContext, sk: TcpSock): boolean =>
  offeredWindow(cx, sk) > lastWindow(sk) - (1 << sk.rcvWscale);

/** The clamp in force: TCP_WINDOW_CLAMP, or what the buffer allows. */
const clampOf = (sk: TcpSock): number => (sk.windowClamp > 0 ? sk.windowClamp : windowFromSpace(sk.rcvbuf));

/**
 * __tcp_select_window(): how far beyond rcvNxt the peer may send, by what is free. Receiver's side of silly-window avoidance
 * (RFC 9293 3.8.6.2.2): nothing rather than less than a segment, and without a window scale whole segments.
 */
export function offeredWindow(cx: TcpContext, sk: TcpSock): number {
  if (cx.faults.zeroWindow.on !== undefined && cx.faults.shuts(sk)) return 0;
  const allowed = windowFromSpace(sk.rcvbuf);
  const full = Math.min(clampOf(sk), allowed);
  const mss = Math.min(sk.rcvMss, full);
  if (mss <= 0) return 0;
  const unit = 1 << sk.rcvWscale;
  const shrink = mayShrink(cx, sk);
  let free = windowFromSpace(sk.rcvbuf - rmemAlloc(sk));
  if (shrink) free -= free % unit;
  if (free < full >> 1) {
    sk.quickAcks = 0;
    free -= free % unit;
    if (free < allowed >> 4 || free < mss) return 0;
  }
  free = Math.min(free, sk.rcvSsthresh);
  if (sk.rcvWscale > 0) return Math.ceil(free / unit) * unit;
  const now = lastWindow(sk);
  if (now <= free - mss || now > free) return free - (free % mss);
  return mss === full && free > now + (full >> 1) ? free : now;
}

/** tcp_select_window(): the header's window field. What it says is remembered and not taken back (RFC 9293 SHLD-14). */
export function selectWindow(cx: TcpContext, sk: TcpSock): number {
  const unit = 1 << sk.rcvWscale;
  if (sk.ackNoMem) {
    // the data was thrown away for want of memory: say so
    sk.rcvAdv = sk.rcvNxt;
    return advertise(cx, sk, 0);
  }
  const now = sk.rcvWindow;
  let window = offeredWindow(cx, sk);
  if (window < now && !mayShrink(cx, sk)) {
    if (window === 0) cx.env.mib.inc('TcpExtTCPWantZeroWindowAdv');
    window = now;
  }
  // What waits for the socket layer's confirmation is beyond the ACK, so it is part of what the field says.
  const most = sk.rcvWscale === 0 && cx.sysctl.tcpWorkaroundSignedWindows ? MAX_TCP_WINDOW : U16_MAX;
  const field = Math.min(Math.ceil((sk.rcvNxt + window - sk.rcvAck) / unit), most);
  sk.rcvAdv = Math.max(sk.rcvAck + field * unit, mayShrink(cx, sk) ? 0 : sk.rcvAdv);
  return advertise(cx, sk, field);
}

function advertise(cx: TcpContext, sk: TcpSock, field: number): number {
  if (field === 0 && !sk.advertisedZero) cx.env.mib.inc('TcpExtTCPToZeroWindowAdv');
  else if (field > 0 && sk.advertisedZero) cx.env.mib.inc('TcpExtTCPFromZeroWindowAdv');
  sk.advertisedZero = field === 0;
  sk.rcvWup = sk.rcvAck;
  sk.wupUnconfirmed = sk.rcvNxt - sk.rcvAck;
  return field;
}

/** tcp_shrink_window: the right edge may go back when memory runs out. */
const mayShrink = (cx: TcpContext, sk: TcpSock): boolean => cx.sysctl.tcpShrinkWindow && sk.rcvWscale > 0;

/** Second half of tcp_cleanup_rbuf(): did what was just read open the window so far that the peer should hear of it now? */
export function windowUpdateDue(cx: TcpContext, sk: TcpSock): boolean {
  const now = sk.rcvWindow;
  if (2 * now > clampOf(sk)) return false;
  const next = offeredWindow(cx, sk);
  return next > 0 && next >= 2 * now;
}

/** tcp_init_buffer_space(): called when the connection is established. */
export function initBufferSpace(cx: TcpContext, sk: TcpSock): void {
  const most = windowFromSpace(sk.rcvbuf);
  const { advMss } = sk;
  let clamp = sk.windowClamp > 0 ? sk.windowClamp : U16_MAX * 2 ** sk.rcvWscale;
  clamp = Math.min(clamp, most);
  // one segment stays in reserve
  if (clamp > 2 * advMss && clamp + advMss > most) clamp = Math.max(2 * advMss, most - advMss);
  sk.windowClamp = clamp;
  sk.rcvSsthresh = Math.min(sk.rcvSsthresh, clamp);
  sk.rcvSpace = Math.min(sk.rcvSsthresh, sk.rcvAdv - sk.rcvNxt, TCP_INIT_CWND * advMss);
  sk.rcvSpaceSeq = sk.rcvRead;
  sk.rcvSpaceMs = cx.now;
}

/**
 * tcp_grow_window(): each segment that came with little overhead lets the window open by two more, until the buffer is
 * fully on offer: a peer of tiny segments cannot make us promise what their skbs would not fit into.
 */
export function growWindow(cx: TcpContext, sk: TcpSock, len: number, truesize: number): void {
  const room = Math.min(clampOf(sk), windowFromSpace(sk.rcvbuf - rmemAlloc(sk))) - sk.rcvSsthresh;
  if (room <= 0) return;
  let incr = windowFromSpace(truesize) <= len ? 2 * sk.advMss : growBySmall(cx, sk, len, truesize);
  if (incr === 0) return;
  incr = Math.max(incr, 2 * len);
  sk.rcvSsthresh += Math.min(room, incr);
  sk.quickAcks |= 1;
}

/** __tcp_grow_window(): small segments may open the window while it is far below what tcp_rmem allows. */
function growBySmall(cx: TcpContext, sk: TcpSock, len: number, truesize: number): number {
  let cost = windowFromSpace(truesize) >> 1;
  let window = windowFromSpace(cx.sysctl.tcpRmem[2]) >> 1;
  while (sk.rcvSsthresh <= window) {
    if (cost <= len) return 2 * sk.rcvMss;
    cost >>= 1;
    window >>= 1;
  }
  return 0;
}

/** TCP_WINDOW_CLAMP (tcp_set_window_clamp) */
export function setWindowClamp(sk: TcpSock, clamp: number): void {
  const old = sk.windowClamp;
  sk.windowClamp = clamp;
  if (clamp === 0 || clamp === old) return;
  if (old === 0 || clamp < old) sk.rcvSsthresh = Math.min(sk.rcvSsthresh, clamp);
  else sk.rcvSsthresh = Math.max(sk.rcvSsthresh, Math.min(lastWindow(sk), clamp));
}
