import { TCP_SYN_RECV, TCP_SYN_SENT } from '@skbus/skb';
import { setCaState } from './ca-state.ts';
import { CA_DISORDER, CA_LOSS, CA_RECOVERY, CaEvent } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { ecnQueueCwr } from './ecn.ts';
import { limitRenoSacked } from './newreno.ts';
import { currentSsthresh } from './prr.ts';
import { rackTimeoutMs } from './rack.ts';
import { retransmitLost } from './retransmit.ts';
import { segLen } from './rtx-queue.ts';
import { markLost } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';
import { isRack } from './sysctl.ts';
import { currentMss } from './transmit.ts';
import { initUndo } from './undo.ts';

/** tcp_enter_loss(): a timeout. What is in flight counts as lost and the window starts again at one segment (RFC 5681 3.1). */
export function enterLoss(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_enter_loss');
  const { loss } = sk;
  const opening = sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV;
  const newRecovery = sk.caState < CA_RECOVERY;
  timeoutMarkLost(cx, sk);
  // once per window of data
  if (sk.caState <= CA_DISORDER || sk.sndUna >= sk.highSeq || (sk.caState === CA_LOSS && sk.retransmits === 0)) {
    loss.priorSsthresh = currentSsthresh(sk);
    sk.priorCwnd = sk.cwnd;
    if (!opening) sk.ssthresh = sk.cc.ssthresh(cx, sk);
    sk.cc.cwndEvent?.(cx, sk, CaEvent.Loss);
    initUndo(sk);
  }
  sk.cwnd = sk.inFlight + 1;
  sk.cwndCnt = 0;
  // Many duplicates and yet a timeout: there is less reordering than was thought.
  const { tcpReordering } = cx.sysctl;
  if (sk.caState <= CA_DISORDER && sk.sackedOut >= tcpReordering) {
    sk.reordering = Math.min(sk.reordering, tcpReordering);
  }
  setCaState(cx, sk, CA_LOSS);
  sk.highSeq = sk.sndNxt;
  ecnQueueCwr(sk);
  // RFC 5682 3.1 step 1: not in the middle of another recovery
  loss.frto = cx.sysctl.tcpFrto > 0 && (newRecovery || sk.retransmits > 0);
}

/**
 * tcp_timeout_mark_lost(): the first segment is lost, and with RACK those that are late; without it all that are not
 * SACKed. A SACKed first segment means that the peer has dropped what it SACKed.
 */
function timeoutMarkLost(cx: TcpContext, sk: TcpSock): void {
  const { rtx, loss } = sk;
  const reneged = rtx.first?.sacked === true;
  if (reneged) {
    cx.env.mib.inc('TcpExtTCPSACKReneging');
    sk.sackedOut = 0;
    loss.sackReneg = true;
  } else if (!sk.sackOk) {
    sk.sackedOut = 0;
  }
  const byTime = isRack(cx.sysctl);
  for (let i = 0; i < rtx.length; i++) {
    const r = rtx.at(i);
    if (reneged) r.sacked = false;
    else if (byTime && i > 0 && rackTimeoutMs(cx, sk, r, 0) > 0) continue;
    markLost(cx, sk, r);
  }
}

/** tcp_simple_retransmit(): the path MTU shrank, so what is larger than it was lost, and congestion had no part in it. */
export function simpleRetransmit(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_simple_retransmit');
  const { rtx } = sk;
  const mss = currentMss(cx, sk);
  for (let i = 0; i < rtx.length; i++) {
    const r = rtx.at(i);
    if (segLen(r) > mss) markLost(cx, sk, r);
  }
  if (sk.lostOut === 0) return;
  if (!sk.sackOk) limitRenoSacked(sk);
  if (sk.caState !== CA_LOSS) {
    sk.highSeq = sk.sndNxt;
    sk.ssthresh = currentSsthresh(sk);
    sk.loss.priorSsthresh = 0;
    sk.loss.undoMarker = -1;
    setCaState(cx, sk, CA_LOSS);
  }
  retransmitLost(cx, sk);
}
