import { TCP_ESTABLISHED, TCP_SYN_RECV, TCP_SYN_SENT, type MibName } from '@skbus/skb';
import { CA_DISORDER, CA_LOSS, CA_RECOVERY, SSTHRESH_INFINITE } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { enterLoss } from './enter-loss.ts';
import { retransmit } from './retransmit.ts';
import { armXmit, Pending, rtoWithinUserTimeout } from './rto-arm.ts';
import { updateRtoStats } from './rto-stats.ts';
import type { TcpSock } from './sock.ts';
import { TCP_RESOURCE_PROBE_MS, TCP_RTO_MAX_MS, TCP_THIN_LINEAR_RETRIES, TCP_THIN_PACKETS } from './sysctl.ts';
import { writeErr } from './write-err.ts';
import { retransmitsTimedOut, writeTimeout } from './write-timeout.ts';

/** tcp_retransmit_timer() (RFC 6298 5.4–5.7): the oldest segment again, and twice as long until the next time. */
export function retransmitTimer(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_retransmit_timer');
  if (sk.packetsOut === 0) return;
  sk.loss.tlpHighSeq = 0;
  const opening = sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV;
  if (sk.sndWnd === 0 && !sk.orphan && !opening) {
    windowTakenBack(cx, sk);
    return;
  }
  cx.env.mib.inc('TcpExtTCPTimeouts');
  if (writeTimeout(cx, sk)) return;
  if (sk.retransmits === 0) countFailure(cx, sk);
  enterLoss(cx, sk);
  updateRtoStats(cx, sk);
  if (!retransmit(cx, sk, 0, 1)) {
    armXmit(cx, sk, Pending.Rto, TCP_RESOURCE_PROBE_MS);
    return;
  }
  sk.backoff++;
  backOff(cx, sk);
}

/** The peer closed its window over what is in flight. While it answers at all, that is no reason to give up. */
function windowTakenBack(cx: TcpContext, sk: TcpSock): void {
  const since = sk.retransStampMs > 0 ? sk.retransStampMs : sk.rtx.first!.sentMs;
  if (Math.min(cx.now - sk.lastAckMs, cx.now - since) > 2 * TCP_RTO_MAX_MS) {
    writeErr(cx, sk);
    return;
  }
  enterLoss(cx, sk);
  retransmit(cx, sk, 0, 1);
  backOff(cx, sk);
}

/** RFC 6298 5.5. The first SYNs go once per second; a thin stream has no duplicate ACKs and is not held back for long. */
function backOff(cx: TcpContext, sk: TcpSock): void {
  const { sysctl } = cx;
  const thin =
    sk.state === TCP_ESTABLISHED &&
    (sk.thinLto || sysctl.tcpThinLinearTimeouts) &&
    sk.packetsOut < TCP_THIN_PACKETS &&
    sk.ssthresh < SSTHRESH_INFINITE &&
    sk.retransmits <= TCP_THIN_LINEAR_RETRIES;
  if (thin) {
    sk.backoff = 0;
    sk.rtt.rtoMs = Math.max(sk.rtt.unbackedMs, sysctl.tcpRtoMinUs / 1000);
  } else if (sk.state !== TCP_SYN_SENT || sk.backoff > sysctl.tcpSynLinearTimeouts) {
    sk.rtt.backOff();
  }
  armXmit(cx, sk, Pending.Rto, rtoWithinUserTimeout(cx, sk));
  if (retransmitsTimedOut(cx, sk, sysctl.tcpRetries1 + 1, 0)) cx.env.trace('__sk_dst_reset');
}

/** Which recovery the timeout ends. */
function countFailure(cx: TcpContext, sk: TcpSock): void {
  const name = failureName(sk);
  if (name !== undefined) cx.env.mib.inc(name);
}

function failureName(sk: TcpSock): MibName | undefined {
  if (sk.caState === CA_RECOVERY) return sk.sackOk ? 'TcpExtTCPSackRecoveryFail' : 'TcpExtTCPRenoRecoveryFail';
  if (sk.caState === CA_LOSS) return 'TcpExtTCPLossFailures';
  if (sk.caState !== CA_DISORDER && sk.sackedOut === 0) return undefined;
  return sk.sackOk ? 'TcpExtTCPSackFailures' : 'TcpExtTCPRenoFailures';
}
