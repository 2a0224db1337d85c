import { TCP_CLOSE, TCP_FIN_WAIT2, TCP_SYN_SENT, type Millis } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { writeWakeup } from './probe0.ts';
import type { TcpSock } from './sock.ts';
import { tcpDone } from './state.ts';
import { setTimer, stopTimer, Timer } from './timers.ts';
import { sendActiveReset } from './transmit.ts';
import { timeWait } from './timewait.ts';
import { writeErr } from './write-err.ts';
import { TCP_TIMEWAIT_LEN_MS } from './sysctl.ts';

/** Keepalive (RFC 9293 3.8.4). */

const idleMs = (cx: TcpContext, sk: TcpSock): Millis => sk.keepIdleMs || cx.sysctl.tcpKeepaliveTime * 1000;
const intvlMs = (cx: TcpContext, sk: TcpSock): Millis => sk.keepIntvlMs || cx.sysctl.tcpKeepaliveIntvl * 1000;

/** tcp_set_keepalive(): when it is switched on, and when the connection is established. */
export function startKeepalive(cx: TcpContext, sk: TcpSock): void {
  if (sk.keepalive) armKeepalive(cx, sk, cx.now + idleMs(cx, sk));
}

export function armKeepalive(cx: TcpContext, sk: TcpSock, at: Millis): void {
  setTimer(sk, Timer.Keepalive, at);
  cx.timers.touch(sk);
}

/** tcp_keepalive_timer(): also the end of an orphan that waited for the peer's FIN. */
export function keepaliveTimer(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_keepalive_timer');
  stopTimer(sk, Timer.Keepalive);
  if (sk.state === TCP_FIN_WAIT2 && sk.orphan) {
    finWait2Over(cx, sk);
    return;
  }
  if (!sk.keepalive || sk.state === TCP_CLOSE || sk.state === TCP_SYN_SENT) return;
  if (sk.packetsOut > 0 || sk.hasUnsent) {
    armKeepalive(cx, sk, cx.now + idleMs(cx, sk));
    return;
  }
  const elapsed = cx.now - Math.max(sk.lastRcvMs, sk.lastAckMs);
  if (elapsed < idleMs(cx, sk)) {
    armKeepalive(cx, sk, cx.now + idleMs(cx, sk) - elapsed);
    return;
  }
  const givenUp =
    sk.userTimeoutMs > 0
      ? elapsed >= sk.userTimeoutMs && sk.probesOut > 0
      : sk.probesOut >= (sk.keepCnt || cx.sysctl.tcpKeepaliveProbes);
  if (givenUp) {
    sendActiveReset(cx, sk);
    writeErr(cx, sk);
    return;
  }
  writeWakeup(cx, sk, 'TcpExtTCPKeepAlive');
  sk.probesOut++;
  armKeepalive(cx, sk, cx.now + intvlMs(cx, sk));
}

/** tcp_fin_time() */
export function finTimeMs(cx: TcpContext, sk: TcpSock): Millis {
  const base = sk.linger2Ms !== 0 ? sk.linger2Ms : cx.sysctl.tcpFinTimeout * 1000;
  return Math.max(base, 3.5 * sk.rtt.rtoMs);
}

function finWait2Over(cx: TcpContext, sk: TcpSock): void {
  if (sk.linger2Ms >= 0) {
    const left = finTimeMs(cx, sk) - TCP_TIMEWAIT_LEN_MS;
    if (left > 0) {
      timeWait(cx, sk, TCP_FIN_WAIT2, left);
      return;
    }
  }
  sendActiveReset(cx, sk);
  tcpDone(cx, sk);
}
