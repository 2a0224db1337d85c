import {
  FLAG_DATA_SACKED,
  FLAG_ECE,
  FLAG_LOST_RETRANS,
  FLAG_SACK_RENEGING,
  FLAG_SET_XMIT_TIMER,
  FLAG_SND_UNA_ADVANCED,
  REXMIT_LOST,
  type AckState,
} from './ack-state.ts';
import { setCaState } from './ca-state.ts';
import { CA_CWR, CA_DISORDER, CA_LOSS, CA_OPEN, CA_RECOVERY } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { processLoss } from './frto.ts';
import { simpleRetransmit } from './enter-loss.ts';
import { mtuProbeFailed } from './mtu-probe.ts';
import { addRenoSack, newRenoMarkLost } from './newreno.ts';
import { currentSsthresh, inCwndReduction, prrEnd, prrStart } from './prr.ts';
import { rackMarkLost } from './rack.ts';
import { armXmit, Pending } from './rto-arm.ts';
import { updateRtoTime } from './rto-stats.ts';
import { anyRetransDone } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';
import { isRack, TCP_SACK_RENEG_MIN_MS } from './sysctl.ts';
import { updateScoreboard } from './dupthresh.ts';
import { forceFastRetransmit, initUndo, tryKeepOpen, tryUndoDsack, tryUndoPartial, tryUndoRecovery } from './undo.ts';

/**
 * tcp_fastretrans_alert(): the loss recovery state machine (RFC 5681, 6582, 6675, 8985). Called for ACKs that are not
 * simply good news: duplicates, ACKs with SACK blocks, and all of them while not in Open. It finds losses and moves the
 * state; the window, and what is sent, follow in tcpAck().
 */
export function fastRetransAlert(cx: TcpContext, sk: TcpSock, a: AckState, dupAcks: number): void {
  cx.env.trace('tcp_fastretrans_alert');
  const ece = (a.flag & FLAG_ECE) !== 0;
  let proven = dupAcks > 0 || ((a.flag & FLAG_DATA_SACKED) !== 0 && forceFastRetransmit(sk));
  let first = false;
  if (sk.packetsOut === 0 && sk.sackedOut > 0) sk.sackedOut = 0;
  if (ece) sk.loss.priorSsthresh = 0;
  if (checkSackReneging(cx, sk, a)) return;
  if (sk.caState === CA_OPEN) sk.retransStampMs = 0;
  else if (sk.sndUna >= sk.highSeq && endOfEpisode(cx, sk, a)) return;

  if (sk.caState === CA_RECOVERY) {
    if ((a.flag & FLAG_SND_UNA_ADVANCED) === 0) {
      if (!sk.sackOk) addRenoSack(cx, sk, dupAcks);
    } else {
      const partial = tryUndoPartial(cx, sk, a);
      if (partial === 'wait') return;
      if (partial !== 'undone') proven = partial === 'forced';
    }
    if (tryUndoDsack(cx, sk)) tryKeepOpen(cx, sk);
    identifyPacketLoss(cx, sk, a);
    if (inState(sk) !== CA_RECOVERY) {
      if (!timeToRecover(cx, sk)) return;
      enterRecovery(cx, sk, ece);
    }
  } else {
    if (sk.caState === CA_LOSS) {
      processLoss(cx, sk, a, dupAcks);
      if (inState(sk) !== CA_LOSS) updateRtoTime(cx, sk);
      identifyPacketLoss(cx, sk, a);
      if (inState(sk) !== CA_OPEN && (a.flag & FLAG_LOST_RETRANS) === 0) return;
    }
    if (!watch(cx, sk, a, dupAcks, ece) || mtuProbeLost(cx, sk)) return;
    enterRecovery(cx, sk, ece);
    first = true;
  }
  if (!isRack(cx.sysctl) && proven) updateScoreboard(cx, sk, first);
  a.rexmit = REXMIT_LOST;
}

/** What was lost is a probe of the path's MTU, which says nothing about congestion. */
function mtuProbeLost(cx: TcpContext, sk: TcpSock): boolean {
  const { mtup } = sk;
  if (mtup === undefined || mtup.probeSize === 0 || mtup.seqStart !== sk.sndUna || sk.caState >= CA_CWR) return false;
  mtuProbeFailed(cx, sk, mtup);
  simpleRetransmit(cx, sk);
  return true;
}

/** The state now: some call in between may have changed it. */
const inState = (sk: TcpSock): number => sk.caState;

/** Open, Disorder and CWR: is something lost? Else limited transmit (RFC 3042) is all there is to do. */
function watch(cx: TcpContext, sk: TcpSock, a: AckState, dupAcks: number, ece: boolean): boolean {
  if (!sk.sackOk) {
    if ((a.flag & FLAG_SND_UNA_ADVANCED) !== 0) sk.sackedOut = 0;
    addRenoSack(cx, sk, dupAcks);
  }
  if (sk.caState <= CA_DISORDER) tryUndoDsack(cx, sk);
  identifyPacketLoss(cx, sk, a);
  if (timeToRecover(cx, sk)) return true;
  // tcp_try_to_open()
  if (!anyRetransDone(sk)) sk.retransStampMs = 0;
  if (ece) enterCwr(cx, sk);
  if (sk.caState !== CA_CWR) tryKeepOpen(cx, sk);
  return false;
}

/** All that was out when the trouble began has arrived. True: that is all for this ACK. */
function endOfEpisode(cx: TcpContext, sk: TcpSock, a: AckState): boolean {
  if (sk.caState === CA_CWR) {
    // held until something above it is acknowledged, so that the peer has seen CWR
    if (sk.sndUna === sk.highSeq) return false;
    prrEnd(cx, sk);
    setCaState(cx, sk, CA_OPEN);
  } else if (sk.caState === CA_RECOVERY) {
    if (!sk.sackOk) sk.sackedOut = 0;
    if (tryUndoRecovery(cx, sk, a)) return true;
    prrEnd(cx, sk);
  }
  return false;
}

/**
 * tcp_check_sack_reneging(): the peer acknowledges up to what it had SACKed, but not that: it may have dropped it (RFC
 * 2018 8). It gets a little time to show that it has not; then the timeout forgets all SACKs.
 */
function checkSackReneging(cx: TcpContext, sk: TcpSock, a: AckState): boolean {
  if ((a.flag & FLAG_SACK_RENEGING) === 0 || (a.flag & FLAG_SND_UNA_ADVANCED) === 0) return false;
  armXmit(cx, sk, Pending.Rto, Math.max(sk.rtt.srttMs / 2, TCP_SACK_RENEG_MIN_MS));
  a.flag &= ~FLAG_SET_XMIT_TIMER;
  return true;
}

/** tcp_identify_packet_loss() */
function identifyPacketLoss(cx: TcpContext, sk: TcpSock, a: AckState): void {
  if (sk.rtx.length === 0) return;
  if (!sk.sackOk) {
    newRenoMarkLost(cx, sk, (a.flag & FLAG_SND_UNA_ADVANCED) !== 0);
  } else if (isRack(cx.sysctl)) {
    const prior = sk.retransOut;
    if (rackMarkLost(cx, sk)) a.flag &= ~FLAG_SET_XMIT_TIMER;
    if (prior > sk.retransOut) a.flag |= FLAG_LOST_RETRANS;
  }
}

/** tcp_time_to_recover() */
const timeToRecover = (cx: TcpContext, sk: TcpSock): boolean =>
  sk.lostOut > 0 || (!isRack(cx.sysctl) && sk.sackedOut + 1 > sk.reordering);

/** tcp_enter_recovery() */
export function enterRecovery(cx: TcpContext, sk: TcpSock, ece: boolean): void {
  cx.env.trace('tcp_enter_recovery');
  cx.env.mib.inc(sk.sackOk ? 'TcpExtTCPSackRecovery' : 'TcpExtTCPRenoRecovery');
  sk.loss.priorSsthresh = 0;
  initUndo(sk);
  if (!inCwndReduction(sk)) {
    if (!ece) sk.loss.priorSsthresh = currentSsthresh(sk);
    prrStart(cx, sk);
  }
  setCaState(cx, sk, CA_RECOVERY);
}

/** tcp_enter_cwr(): congestion without a loss. It is proven, so there is nothing to undo. */
export function enterCwr(cx: TcpContext, sk: TcpSock): void {
  sk.loss.priorSsthresh = 0;
  if (sk.caState >= CA_CWR) return;
  sk.loss.undoMarker = -1;
  prrStart(cx, sk);
  setCaState(cx, sk, CA_CWR);
}
