import { TCP_SYN_SENT, type DropReason } from '@skbus/skb';
import { accEcnAck } from './accecn-ack.ts';
import {
  FLAG_CA_ALERT,
  FLAG_DATA,
  FLAG_DATA_ACKED,
  FLAG_DSACKING_ACK,
  FLAG_ECE,
  FLAG_FORWARD_PROGRESS,
  FLAG_NO_CHALLENGE_ACK,
  FLAG_NOT_DUP,
  FLAG_SET_XMIT_TIMER,
  FLAG_SLOWPATH,
  FLAG_SND_UNA_ADVANCED,
  FLAG_TS_PROGRESS,
  FLAG_UPDATE_TS_RECENT,
  FLAG_WIN_UPDATE,
  REXMIT_NEW,
  REXMIT_NONE,
  type AckState,
} from './ack-state.ts';
import { cleanRtxQueue } from './clean-rtx.ts';
import { CA_OPEN } from './cong/cong.ts';
import { Chrono, chronoStop } from './chrono.ts';
import type { TcpContext } from './context.ts';
import { ecnRcvEcho } from './ecn.ts';
import { updatePacingRate } from './pacing.ts';
import { inCwndReduction, prrAck } from './prr.ts';
import { ackProbe } from './probe0.ts';
import { rackUpdateReoWnd } from './rack.ts';
import { rateBegin, rateGen, rs } from './rate.ts';
import { sendChallengeAck } from './rate-limit.ts';
import { fastRetransAlert } from './recovery.ts';
import { retransmitLost } from './retransmit.ts';
import { sackTag } from './sack-in.ts';
import { highestSackSeq } from './scoreboard.ts';
import type { Segment } from './segment.ts';
import { wasSentBefore } from './sent-before.ts';
import { newSpace } from './sndbuf.ts';
import type { TcpSock } from './sock.ts';
import { replaceTsRecent } from './timestamps.ts';
import { processTlpAck, setXmitTimer } from './tlp.ts';
import { syncMss } from './transmit.ts';
import { viewChanged } from './views.ts';
import { pushWithoutNagle } from './write-xmit.ts';

/** `ok`: it acknowledges something we may have sent; `old`: it is behind, which is fine; else why it is refused. */
export type AckVerdict = 'ok' | 'old' | Extract<DropReason, 'TCP_TOO_OLD_ACK' | 'TCP_ACK_UNSENT_DATA'>;

/** tcp_ack(): step 5 of RFC 9293 3.10.7.4, with RFC 5961 5 and all of loss recovery behind it. */
export function tcpAck(cx: TcpContext, sk: TcpSock, seg: Segment, flags: number): AckVerdict {
  cx.env.trace('tcp_ack', seg.skb);
  const { ack } = seg;
  const a = begin(cx, sk, seg, flags);
  rateBegin();
  if (ack < a.priorUna) return oldAck(cx, sk, seg, a);
  if (ack > sk.sndNxt && !wasSentBefore(sk, ack)) return 'TCP_ACK_UNSENT_DATA';
  const advanced = ack > a.priorUna;
  if (advanced) {
    a.flag |= FLAG_SND_UNA_ADVANCED;
    sk.retransmits = 0;
  }
  const priorPackets = sk.packetsOut;
  a.priorFack = sk.sackOk ? highestSackSeq(sk) : a.priorUna;
  a.priorInFlight = sk.inFlight;
  if ((flags & FLAG_UPDATE_TS_RECENT) !== 0 && replaceTsRecent(cx, sk, seg)) a.flag |= FLAG_TS_PROGRESS;
  if ((flags & FLAG_SLOWPATH) !== 0) cx.env.trace('tcp_ack_update_window', seg.skb);
  if (advanced && (flags & FLAG_SLOWPATH) === 0) {
    a.flag |= FLAG_WIN_UPDATE;
    cx.env.mib.inc('TcpExtTCPHPAcks');
  } else if (seg.endSeq !== seg.seq) {
    a.flag |= FLAG_DATA;
  } else {
    cx.env.mib.inc('TcpExtTCPPureAcks');
  }
  if (updateWindow(cx, sk, seg)) a.flag |= FLAG_WIN_UPDATE;
  if (advanced) {
    sk.sndUna = ack;
    freeAcked(cx, sk, a.priorUna);
  }
  sk.softErr = 0;
  sk.probesOut = 0;
  sk.lastAckMs = cx.now;
  sk.more = false;
  if (seg.sack.length > 0 && sk.sackOk) {
    sackTag(cx, sk, seg, a);
    sk.delivered += a.sackDelivered;
  }
  if (sk.ecnFlags !== 0 && ecnRcvEcho(sk, seg)) a.flag |= FLAG_ECE;
  sk.cc.inAckEvent?.(cx, sk, (a.flag & FLAG_ECE) !== 0);
  if (priorPackets === 0) noQueue(cx, sk, seg, a);
  else recoverAndSend(cx, sk, seg, a);
  if ((a.flag & (FLAG_SND_UNA_ADVANCED | FLAG_WIN_UPDATE)) !== 0 || sk.hasUnsent) cx.touch(sk);
  return 'ok';
}

function begin(cx: TcpContext, sk: TcpSock, seg: Segment, flags: number): AckState {
  const a = cx.ack;
  a.reset(flags);
  a.priorUna = sk.sndUna;
  a.priorDelivered = sk.delivered;
  a.priorLost = sk.everLost;
  if (seg.hasTs && sk.tsOk) a.tsEcr = seg.tsEcr;
  return a;
}

/** What is acknowledged leaves the queue, losses are found, the window follows, and what may be sent again is. */
function recoverAndSend(cx: TcpContext, sk: TcpSock, seg: Segment, a: AckState): void {
  cleanRtxQueue(cx, sk, a);
  if (a.priorTxDelivered >= 0) rackUpdateReoWnd(cx, sk, a);
  if (sk.accecn !== undefined) accEcnAck(sk, sk.accecn, seg, a);
  if (sk.tlpOut) processTlpAck(cx, sk, seg.ack, a);
  const { flag } = a;
  if ((flag & FLAG_NOT_DUP) === 0 || (flag & FLAG_CA_ALERT) !== 0 || sk.caState !== CA_OPEN) {
    const dup = (flag & (FLAG_SND_UNA_ADVANCED | FLAG_NOT_DUP | FLAG_DSACKING_ACK)) === 0;
    fastRetransAlert(cx, sk, a, dup ? Math.max(1, seg.skb.gsoSegs) : 0);
  }
  if ((a.flag & FLAG_SET_XMIT_TIMER) !== 0) setXmitTimer(cx, sk);
  if ((a.flag & FLAG_FORWARD_PROGRESS) !== 0 || (a.flag & FLAG_NOT_DUP) === 0) sk.confirmNeigh = true;
  const delivered = newlyDelivered(cx, sk, a);
  const lost = sk.everLost - a.priorLost;
  rateGen(cx, sk, a, delivered, lost);
  congControl(cx, sk, delivered, lost, a);
  chronoStop(cx, sk, Chrono.Busy);
  if ((a.flag & FLAG_SND_UNA_ADVANCED) !== 0) newSpace(cx, sk);
  xmitRecovery(cx, sk, a);
}

/** Nothing was in flight: the answer to a window probe, or a late duplicate that undoes a reduction. */
function noQueue(cx: TcpContext, sk: TcpSock, seg: Segment, a: AckState): void {
  if (sk.accecn !== undefined) accEcnAck(sk, sk.accecn, seg, a);
  if ((a.flag & FLAG_DSACKING_ACK) !== 0) {
    fastRetransAlert(cx, sk, a, 0);
    newlyDelivered(cx, sk, a);
  }
  ackProbe(cx, sk);
  if (sk.tlpOut) processTlpAck(cx, sk, seg.ack, a);
}

/** An ACK from before sndUna: far behind it is an attack's mark (RFC 5961 5.2), else only its SACK blocks matter. */
function oldAck(cx: TcpContext, sk: TcpSock, seg: Segment, a: AckState): AckVerdict {
  // RFC 5961 5.2; and not below what was ever sent, whatever the window
  if (seg.ack < sk.sndUna - Math.min(sk.maxWindow, sk.bytesAcked)) {
    if ((a.flag & FLAG_NO_CHALLENGE_ACK) === 0) sendChallengeAck(cx, sk);
    return 'TCP_TOO_OLD_ACK';
  }
  if (seg.sack.length > 0 && sk.sackOk) {
    sackTag(cx, sk, seg, a);
    sk.delivered += a.sackDelivered;
    fastRetransAlert(cx, sk, a, 0);
    newlyDelivered(cx, sk, a);
    xmitRecovery(cx, sk, a);
  }
  return 'old';
}

/** tcp_newly_delivered() */
function newlyDelivered(cx: TcpContext, sk: TcpSock, a: AckState): number {
  const delivered = sk.delivered - a.priorDelivered;
  if (a.ceDelivered > 0) cx.env.mib.inc('TcpExtTCPDeliveredCE', a.ceDelivered);
  if (delivered <= 0) return 0;
  cx.env.mib.inc('TcpExtTCPDelivered', delivered);
  if ((a.flag & FLAG_ECE) !== 0 && sk.accecn === undefined) {
    sk.deliveredCe += delivered;
    cx.env.mib.inc('TcpExtTCPDeliveredCE', delivered);
  }
  return delivered;
}

/** tcp_xmit_recovery(): new data for F-RTO, else what is lost. */
function xmitRecovery(cx: TcpContext, sk: TcpSock, a: AckState): void {
  if (a.rexmit === REXMIT_NONE || sk.state === TCP_SYN_SENT) return;
  cx.env.trace('tcp_xmit_recovery');
  if (a.rexmit === REXMIT_NEW) {
    pushWithoutNagle(cx, sk);
    if (sk.sndNxt > sk.highSeq) return;
    sk.loss.frto = false;
  }
  retransmitLost(cx, sk);
}

/** tcp_ack_update_window(): only from the newest segment (RFC 9293 3.10.7.4, SND.WL1 and SND.WL2). */
function updateWindow(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  const wnd = seg.syn ? seg.window : seg.window << sk.sndWscale;
  const newer = seg.ack > sk.sndUna || seg.seq > sk.sndWl1 || (seg.seq === sk.sndWl1 && (wnd > sk.sndWnd || wnd === 0));
  if (!newer) return false;
  sk.sndWl1 = seg.seq;
  if (sk.sndWnd === wnd) return true;
  sk.sndWnd = wnd;
  sk.predWindow = seg.window;
  if (wnd > sk.maxWindow) {
    sk.maxWindow = wnd;
    syncMss(cx, sk, sk.mtu);
  }
  return true;
}

/** The socket layer may free what the peer has. */
function freeAcked(cx: TcpContext, sk: TcpSock, priorUna: number): void {
  const upTo = Math.min(sk.sndUna - 1, sk.sendQueue.end);
  sk.bytesAcked += sk.sndUna - priorUna;
  sk.sendQueue.dropTo(upTo);
  if (sk.finAt >= 0 && sk.sndUna > sk.finAt) sk.finAcked = true;
  viewChanged(cx, sk);
}

/** tcp_cong_control(): in recovery the window shrinks as PRR says, else the algorithm grows it while it limits us. */
function congControl(cx: TcpContext, sk: TcpSock, delivered: number, newlyLost: number, a: AckState): void {
  cx.env.trace('tcp_cong_control');
  if (sk.cc.congControl !== undefined) {
    sk.cc.congControl(cx, sk, rs);
    return;
  }
  if (inCwndReduction(sk)) prrAck(sk, delivered, newlyLost, (a.flag & FLAG_SND_UNA_ADVANCED) !== 0);
  else if (delivered > 0 && mayRaiseCwnd(cx, sk, a.flag)) sk.cc.congAvoid?.(cx, sk, delivered);
  updatePacingRate(cx, sk);
}

/** tcp_may_raise_cwnd(): in order only (RFC 5681), unless much reordering is known. */
const mayRaiseCwnd = (cx: TcpContext, sk: TcpSock, flag: number): boolean =>
  (flag & (sk.reordering > cx.sysctl.tcpReordering ? FLAG_FORWARD_PROGRESS : FLAG_DATA_ACKED)) !== 0;
