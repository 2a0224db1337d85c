import { NEVER, type Millis } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { TCP_RTO_MAX_MS } from './sysctl.ts';
import { setTimer, stopTimer, Timer } from './timers.ts';

/** What the Retrans timer is for (icsk_pending, ICSK_TIME_*). */
export const Pending = {
  None: 0,
  /** The retransmission timeout (RFC 6298). */
  Rto: 1,
  /** A window probe (RFC 9293 3.8.6.1). */
  Probe0: 3,
  /** A tail loss probe (RFC 8985 7). */
  LossProbe: 5,
  /** What may have been reordered is late by then (RFC 8985 6.3). */
  ReoTimeout: 6,
} as const;
export type Pending = (typeof Pending)[keyof typeof Pending];

/** inet_csk_reset_xmit_timer() */
export function armXmit(cx: TcpContext, sk: TcpSock, what: Pending, afterMs: Millis): void {
  // until a Fast Open's handshake is done the timer is its SYN-ACK's
  if (afterMs === NEVER || sk.fastopen?.req !== undefined) return;
  sk.pending = what;
  setTimer(sk, Timer.Retrans, cx.now + Math.min(afterMs, TCP_RTO_MAX_MS));
  cx.timers.touch(sk);
}

/** inet_csk_clear_xmit_timer() */
export function clearXmit(sk: TcpSock): void {
  if (sk.fastopen?.req !== undefined) return;
  sk.pending = Pending.None;
  stopTimer(sk, Timer.Retrans);
}

/** tcp_clamp_rto_to_user_timeout() */
export function rtoWithinUserTimeout(cx: TcpContext, sk: TcpSock): Millis {
  const { rtoMs } = sk.rtt;
  if (sk.userTimeoutMs === 0) return rtoMs;
  return Math.min(rtoMs, Math.max(sk.retransStampMs + sk.userTimeoutMs - cx.now, 1));
}

/** tcp_rto_delta_us(): until the first segment in the queue is due. */
export const rtoDeltaMs = (cx: TcpContext, sk: TcpSock): Millis =>
  sk.rtx.first === undefined ? sk.rtt.rtoMs : sk.rtx.first.sentMs + sk.rtt.rtoMs - cx.now;

/** tcp_rearm_rto(): restart it while something is in flight, else stop it (RFC 6298 5.1–5.3). */
export function rearmRto(cx: TcpContext, sk: TcpSock): void {
  if (sk.packetsOut === 0) {
    clearXmit(sk);
    return;
  }
  // A timer of another kind took its place; the time since then counts.
  const replaced = sk.pending === Pending.ReoTimeout || sk.pending === Pending.LossProbe;
  armXmit(cx, sk, Pending.Rto, replaced ? Math.max(rtoDeltaMs(cx, sk), 1) : sk.rtt.rtoMs);
}
