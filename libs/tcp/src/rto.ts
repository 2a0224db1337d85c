import { TCP_SYN_RECV, TCP_SYN_SENT } from '@skbus/skb';
import { CA_DISORDER, CA_LOSS, CA_RECOVERY } from './cong/cong.ts';
import { setCaState } from './recovery.ts';
import type { TcpContext } from './context.ts';
import { ecnQueueCwr } from './ecn.ts';
import { retransmitFirst } from './retransmit.ts';
import { rtoWithBackoff } from './rto-arm.ts';
import type { TcpSock } from './sock.ts';
import { TCP_RTO_MAX_MS, TCP_RTO_MIN_MS, TCP_TIMEOUT_INIT_MS } from './sysctl.ts';
import { Timer } from './timers.ts';
import { sendActiveReset } from './transmit.ts';
import { orphanRetries, writeErr } from './write-err.ts';

/** tcp_retransmit_timer() (RFC 6298 5.4–5.7): the oldest segment again, and twice as long until the next time. */
export function retransmitTimer(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_retransmit_timer');
  if (sk.packetsOut === 0) return;
  const opening = sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV;
  if (sk.sndWnd === 0 && !sk.orphan && !opening) {
    windowTakenBack(cx, sk);
    return;
  }
  if (writeTimeout(cx, sk)) return;
  cx.env.mib.inc('TcpExtTCPTimeouts');
  countTimeout(cx, sk);
  enterLoss(cx, sk);
  sk.totalRto++;
  sk.retransmits++;
  retransmitFirst(cx, sk);
  // tcp_syn_linear_timeouts: the first few SYNs go once per second
  backOff(cx, sk, sk.state !== TCP_SYN_SENT || sk.totalRto > cx.sysctl.tcpSynLinearTimeouts);
}

/** The peer closed its window over what is in flight. While it answers at all, that is no reason to give up. */
function windowTakenBack(cx: TcpContext, sk: TcpSock): void {
  const silentMs = Math.min(cx.now - sk.lastAckMs, sk.retransStampMs > 0 ? cx.now - sk.retransStampMs : 0);
  if (silentMs > 2 * TCP_RTO_MAX_MS) {
    writeErr(cx, sk);
    return;
  }
  enterLoss(cx, sk);
  retransmitFirst(cx, sk);
  backOff(cx, sk, true);
}

function backOff(cx: TcpContext, sk: TcpSock, double: boolean): void {
  if (double && sk.rtt.rtoMs * 2 ** sk.backoff < TCP_RTO_MAX_MS) sk.backoff++;
  sk.probing = false;
  sk.timers.set(Timer.Retrans, cx.now + rtoWithBackoff(cx, sk));
  cx.timers.touch(sk);
}

/** tcp_write_timeout(): R2 of RFC 9293 3.8.3. True when the connection was given up. */
function writeTimeout(cx: TcpContext, sk: TcpSock): boolean {
  const { sysctl } = cx;
  const opening = sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV;
  let until = sysctl.tcpRetries2;
  let expired = false;
  if (opening) {
    until = sk.synCnt || sysctl.tcpSynRetries;
    expired = sk.retransmits >= until + (sk.state === TCP_SYN_SENT ? sysctl.tcpSynLinearTimeouts : 0);
  } else if (sk.orphan) {
    const alive = sk.rtt.rtoMs * 2 ** sk.backoff < TCP_RTO_MAX_MS;
    until = orphanRetries(cx, sk, alive);
    if (!alive && retransmitsTimedOut(cx, sk, until, 0)) {
      sendActiveReset(cx, sk);
      expired = true;
    }
  }
  expired ||= retransmitsTimedOut(cx, sk, until, sk.userTimeoutMs);
  if (expired) writeErr(cx, sk);
  return expired;
}

/** retransmits_timed_out(): as much time as `boundary` doublings of the least RTO would have taken. */
function retransmitsTimedOut(cx: TcpContext, sk: TcpSock, boundary: number, timeoutMs: number): boolean {
  if (sk.retransmits === 0) return false;
  const opening = sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV;
  const limit = timeoutMs > 0 ? timeoutMs : modelTimeoutMs(boundary, opening ? TCP_TIMEOUT_INIT_MS : TCP_RTO_MIN_MS);
  return cx.now - sk.retransStampMs >= limit;
}

/** tcp_model_timeout() */
export function modelTimeoutMs(boundary: number, baseMs: number): number {
  const doublings = Math.floor(Math.log2(TCP_RTO_MAX_MS / baseMs));
  if (boundary <= doublings) return (2 * 2 ** boundary - 1) * baseMs;
  return (2 * 2 ** doublings - 1) * baseMs + (boundary - doublings) * TCP_RTO_MAX_MS;
}

/** tcp_enter_loss(): everything in flight counts as lost and the window starts again at one segment (RFC 5681 3.1). */
function enterLoss(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_enter_loss');
  if (sk.caState <= CA_DISORDER || sk.sndUna >= sk.highSeq || (sk.caState === CA_LOSS && sk.retransmits === 0)) {
    sk.priorCwnd = sk.cwnd;
    if (sk.state !== TCP_SYN_SENT && sk.state !== TCP_SYN_RECV) sk.ssthresh = sk.cc.ssthresh(cx, sk);
  }
  if (!sk.sackOk) sk.sackedOut = 0;
  sk.lostOut = 0;
  sk.retransOut = 0;
  for (let i = 0; i < sk.rtx.length; i++) {
    const r = sk.rtx.at(i);
    r.retrans = false;
    if (!r.sacked) {
      r.lost = true;
      sk.lostOut += r.segs;
    }
  }
  sk.cwnd = sk.inFlight + 1;
  sk.cwndCnt = 0;
  sk.highSeq = sk.sndNxt;
  setCaState(cx, sk, CA_LOSS);
  ecnQueueCwr(sk);
}

function countTimeout(cx: TcpContext, sk: TcpSock): void {
  if (sk.retransmits > 0) return;
  const { mib } = cx.env;
  if (sk.caState === CA_RECOVERY) mib.inc(sk.sackOk ? 'TcpExtTCPSackRecoveryFail' : 'TcpExtTCPRenoRecoveryFail');
  else if (sk.caState === CA_LOSS) mib.inc('TcpExtTCPLossFailures');
  else if (sk.caState === CA_DISORDER || sk.sackedOut > 0) {
    mib.inc(sk.sackOk ? 'TcpExtTCPSackFailures' : 'TcpExtTCPRenoFailures');
  }
}
