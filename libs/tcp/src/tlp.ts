import type { Millis } from '@skbus/skb';
import { FLAG_DATA_SACKED, FLAG_DSACK_TLP, FLAG_NOT_DUP, FLAG_SND_UNA_ADVANCED, type AckState } from './ack-state.ts';
import { setCaState } from './ca-state.ts';
import { CA_CWR, CA_OPEN } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { prrEnd, prrStart } from './prr.ts';
import { armXmit, Pending, rearmRto, rtoDeltaMs } from './rto-arm.ts';
import type { TcpSock } from './sock.ts';
import { TCP_TIMEOUT_INIT_MS, TCP_TIMEOUT_MIN_MS } from './sysctl.ts';
import { tryKeepOpen } from './undo.ts';

/**
 * Tail loss probe (RFC 8985 7): when nothing is heard for two round trips, one more segment makes the peer say what it
 * has, so that RACK finds a lost tail without waiting for the timeout.
 */

/** By what the probe would be: new data, or what was sent last once more. */
export interface ProbeFloorMs {
  readonly newData: Millis;
  readonly retrans: Millis;
}

/** The window lets a probe be news (RFC 8985 7.3). */
export const canProbeNewData = (sk: TcpSock): boolean => sk.hasUnsent && sk.sndWndEnd > sk.sndNxt;

/** tcp_schedule_loss_probe(): in place of the RTO timer. `advancing`: that one would start anew now. False: no probe. */
export function scheduleLossProbe(cx: TcpContext, sk: TcpSock, advancing: boolean): boolean {
  const { tcpEarlyRetrans, tcpRtoMinUs } = cx.sysctl;
  if ((tcpEarlyRetrans !== 3 && tcpEarlyRetrans !== 4) || sk.packetsOut === 0 || !sk.sackOk) return false;
  if (sk.caState !== CA_OPEN && sk.caState !== CA_CWR) return false;
  let timeoutMs = TCP_TIMEOUT_INIT_MS;
  if (sk.rtt.srttMs > 0) {
    // One packet alone: its ACK may be delayed. So is the one for what fills the window, as there is no news to go with it
    // (__tcp_ack_snd_check); Linux probes there, too, and sends each time what the peer has.
    const delayed = sk.packetsOut === 1 || sk.sndNxt + sk.mssCache > sk.sndWndEnd;
    timeoutMs = 2 * sk.rtt.srttMs + (delayed ? tcpRtoMinUs / 1000 : TCP_TIMEOUT_MIN_MS);
    const { newData, retrans } = cx.probeFloorMs;
    timeoutMs = Math.max(timeoutMs, canProbeNewData(sk) ? newData : retrans);
  }
  const rtoMs = advancing ? sk.rtt.rtoMs : rtoDeltaMs(cx, sk);
  if (rtoMs > 0) timeoutMs = Math.min(timeoutMs, rtoMs);
  armXmit(cx, sk, Pending.LossProbe, timeoutMs);
  return true;
}

/** tcp_set_xmit_timer() */
export function setXmitTimer(cx: TcpContext, sk: TcpSock): void {
  if (!scheduleLossProbe(cx, sk, true)) rearmRto(cx, sk);
}

/**
 * tcp_process_tlp_ack() (RFC 8985 7.4): the end of a probe's episode. When the probe repaired a loss, congestion control
 * must know of it; when both the probe and the original arrived, there was none.
 */
export function processTlpAck(cx: TcpContext, sk: TcpSock, ack: number, a: AckState): void {
  const { loss } = sk;
  cx.env.trace('tcp_process_tlp_ack');
  if (ack < loss.tlpHighSeq) return;
  if (!loss.tlpRetrans || (a.flag & FLAG_DSACK_TLP) !== 0) {
    loss.tlpHighSeq = 0;
  } else if (ack > loss.tlpHighSeq) {
    prrStart(cx, sk);
    setCaState(cx, sk, CA_CWR);
    prrEnd(cx, sk);
    tryKeepOpen(cx, sk);
    cx.env.mib.inc('TcpExtTCPLossProbeRecovery');
  } else if ((a.flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DATA_SACKED)) === 0) {
    loss.tlpHighSeq = 0;
  }
}
