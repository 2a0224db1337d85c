import { TCP_SYN_RECV, TCP_SYN_SENT, type Millis } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { detectBlackhole } from './fastopen-blackhole.ts';
import { mtuBlackHole } from './mtu-probe.ts';
import type { TcpSock } from './sock.ts';
import { TCP_RTO_MAX_MS, TCP_RTO_MIN_MS, TCP_TIMEOUT_INIT_MS } from './sysctl.ts';
import { sendActiveReset } from './transmit.ts';
import { orphanRetries, writeErr } from './write-err.ts';

/**
 * tcp_write_timeout(): how long to go on (RFC 9293 3.8.3). At R1 IP is told to look for another way, at R2 the connection
 * is given up: true.
 */
export function writeTimeout(cx: TcpContext, sk: TcpSock): boolean {
  const { sysctl } = cx;
  let until = sysctl.tcpRetries2;
  let expired = false;
  if (sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV) {
    if (sk.retransmits > 0) cx.env.trace('__dst_negative_advice');
    until = sk.synCnt || sysctl.tcpSynRetries;
    expired = sk.retransmits >= until + (sk.state === TCP_SYN_SENT ? sysctl.tcpSynLinearTimeouts : 0);
  } else {
    if (retransmitsTimedOut(cx, sk, sysctl.tcpRetries1, 0)) {
      mtuBlackHole(cx, sk);
      cx.env.trace('__dst_negative_advice');
    }
    if (sk.orphan) {
      const alive = sk.rtt.rtoMs < TCP_RTO_MAX_MS;
      until = orphanRetries(cx, sk, alive);
      if (!alive && retransmitsTimedOut(cx, sk, until, 0)) {
        sendActiveReset(cx, sk);
        expired = true;
      }
    }
  }
  expired ||= retransmitsTimedOut(cx, sk, until, sk.userTimeoutMs);
  if (sk.fastopen !== undefined) detectBlackhole(cx, sk, expired);
  if (expired) writeErr(cx, sk);
  return expired;
}

/**
 * retransmits_timed_out(): as much time since the first retransmission as `boundary` doublings of the least RTO would
 * have taken, or `timeoutMs`.
 */
export function retransmitsTimedOut(cx: TcpContext, sk: TcpSock, boundary: number, timeoutMs: Millis): boolean {
  if (sk.retransmits === 0) return false;
  const opening = sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV;
  const limit = timeoutMs > 0 ? timeoutMs : modelTimeoutMs(boundary, opening ? TCP_TIMEOUT_INIT_MS : TCP_RTO_MIN_MS);
  return cx.now - sk.retransStampMs >= limit;
}

/** tcp_model_timeout() */
export function modelTimeoutMs(boundary: number, baseMs: Millis): Millis {
  const doublings = Math.floor(Math.log2(TCP_RTO_MAX_MS / baseMs));
  if (boundary <= doublings) return (2 * 2 ** boundary - 1) * baseMs;
  return (2 * 2 ** doublings - 1) * baseMs + (boundary - doublings) * TCP_RTO_MAX_MS;
}
