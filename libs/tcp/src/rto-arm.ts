import { NEVER, type Millis } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { TCP_RTO_MAX_MS } from './sysctl.ts';
import { Timer } from './timers.ts';

/** The current RTO with its backoff (RFC 6298 5.5), within the user timeout (tcp_clamp_rto_to_user_timeout). */
export function rtoWithBackoff(cx: TcpContext, sk: TcpSock): Millis {
  let rto = Math.min(sk.rtt.rtoMs * 2 ** sk.backoff, TCP_RTO_MAX_MS);
  if (sk.userTimeoutMs > 0 && sk.retransStampMs > 0) {
    const left = sk.retransStampMs + sk.userTimeoutMs - cx.now;
    rto = Math.min(rto, Math.max(left, 1));
  }
  return rto;
}

/** tcp_rearm_rto(): restart it while something is in flight, else stop it (RFC 6298 5.1–5.3). */
export function armRto(cx: TcpContext, sk: TcpSock): void {
  sk.probing = false;
  if (sk.packetsOut === 0) {
    sk.timers.stop(Timer.Retrans);
    return;
  }
  sk.timers.set(Timer.Retrans, cx.now + rtoWithBackoff(cx, sk));
  cx.timers.touch(sk);
}

/** Arms the Retrans timer for something else than the RTO: a window probe. */
export function armProbeTimer(cx: TcpContext, sk: TcpSock, afterMs: Millis): void {
  if (afterMs === NEVER) return;
  sk.probing = true;
  sk.timers.set(Timer.Retrans, cx.now + afterMs);
  cx.timers.touch(sk);
}
