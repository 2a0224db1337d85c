import { CA_CWR, CA_DISORDER, CA_LOSS, CA_OPEN, CA_RECOVERY } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { prrEnd, prrStart } from './prr.ts';
import { recountParts } from './retransmit.ts';
import type { TxRec } from './rtx-queue.ts';
import type { TcpSock } from './sock.ts';
import { currentMss } from './transmit.ts';

/** tcp_set_ca_state() */
export function setCaState(cx: TcpContext, sk: TcpSock, state: number): void {
  if (cx.env.tracing) cx.env.trace('tcp_cong_state_set', undefined, { sk: sk.id, from: sk.caState, to: state });
  sk.cc.setState?.(cx, sk, state);
  sk.caState = state;
}

/**
 * tcp_fastretrans_alert(): the loss recovery state machine (RFC 5681, 6582, 6675). Called for ACKs that are not simply
 * good news: duplicates, ACKs with SACK blocks, and all of them while in Disorder, Recovery or Loss.
 */
export function fastRetransAlert(
  cx: TcpContext,
  sk: TcpSock,
  unaAdvanced: boolean,
  dupAcks: number,
  ece = false,
): void {
  cx.env.trace('tcp_fastretrans_alert');
  if (sk.packetsOut === 0) sk.sackedOut = 0;
  if (sk.caState === CA_OPEN) sk.retransStampMs = 0;
  else if (sk.sndUna >= sk.highSeq && leaveRecovery(cx, sk)) return;

  if (sk.caState === CA_LOSS) {
    // a duplicate ACK now is for something new that we sent since (tcp_process_loss)
    if (!sk.sackOk) renoSack(sk, unaAdvanced, sk.sndNxt > sk.highSeq ? dupAcks : 0);
    return;
  }
  if (sk.caState === CA_RECOVERY) {
    if (!sk.sackOk) {
      // RFC 6582 3.2 step 3: an ACK that does not reach the end says which segment is missing next
      if (unaAdvanced) markFirstSegment(sk);
      else addRenoSack(sk, dupAcks);
    }
  } else {
    if (!sk.sackOk) renoSack(sk, unaAdvanced, dupAcks);
    if (sk.sackedOut < sk.reordering) {
      tryToOpen(cx, sk, ece);
      return;
    }
    enterRecovery(cx, sk);
  }
  updateScoreboard(sk);
}

/** tcp_simple_retransmit(): the path MTU shrank, so what is larger than it was lost, and congestion had no part in it. */
export function simpleRetransmit(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_simple_retransmit');
  const mss = currentMss(sk);
  let any = false;
  for (let i = 0; i < sk.rtx.length; i++) {
    const r = sk.rtx.at(i);
    if (r.sacked || r.mss <= mss) continue;
    markLost(sk, r);
    any = true;
  }
  if (!any || sk.caState === CA_LOSS) return;
  sk.highSeq = sk.sndNxt;
  sk.ssthresh = Math.max(sk.cwnd, 2);
  sk.priorCwnd = 0;
  setCaState(cx, sk, CA_LOSS);
}

/** All that was out when the trouble began has arrived. False: stay in it (RFC 6582 3.2: not on the very last one). */
function leaveRecovery(cx: TcpContext, sk: TcpSock): boolean {
  if (sk.caState === CA_DISORDER) {
    if (sk.sndUna > sk.highSeq || sk.sackedOut === 0) setCaState(cx, sk, CA_OPEN);
    return false;
  }
  if (sk.caState === CA_CWR) {
    // not before something above highSeq arrived: the CWR bit must have reached the peer
    if (sk.sndUna > sk.highSeq) {
      prrEnd(sk);
      setCaState(cx, sk, CA_OPEN);
    }
    return false;
  }
  if (!sk.sackOk) {
    sk.sackedOut = 0;
    // Without SACK a late duplicate ACK could start it all again, so wait for one ACK above highSeq.
    if (sk.sndUna === sk.highSeq && sk.packetsOut > 0 && sk.caState === CA_RECOVERY) return false;
  }
  if (sk.caState === CA_RECOVERY) prrEnd(sk);
  sk.retransStampMs = 0;
  setCaState(cx, sk, CA_OPEN);
  return false;
}

/** tcp_enter_recovery() */
function enterRecovery(cx: TcpContext, sk: TcpSock): void {
  cx.env.mib.inc(sk.sackOk ? 'TcpExtTCPSackRecovery' : 'TcpExtTCPRenoRecovery');
  sk.highSeq = sk.sndNxt;
  prrStart(cx, sk);
  setCaState(cx, sk, CA_RECOVERY);
  if (!sk.sackOk) markFirstSegment(sk);
}

/** tcp_enter_cwr(): congestion without loss (RFC 3168 6.1.2). Once per window: until highSeq is passed it goes on. */
export function enterCwr(cx: TcpContext, sk: TcpSock): void {
  if (sk.caState >= CA_CWR) return;
  sk.highSeq = sk.sndNxt;
  prrStart(cx, sk);
  setCaState(cx, sk, CA_CWR);
}

/** tcp_try_to_open() */
function tryToOpen(cx: TcpContext, sk: TcpSock, ece: boolean): void {
  if (ece) enterCwr(cx, sk);
  if (sk.caState === CA_CWR) return;
  const state = sk.sackedOut > 0 ? CA_DISORDER : CA_OPEN;
  if (state === sk.caState) return;
  setCaState(cx, sk, state);
  sk.highSeq = sk.sndNxt;
}

/** RFC 6675 4, IsLost(): with three segments above it at the peer, one that is not there counts as lost. */
function updateScoreboard(sk: TcpSock): void {
  if (!sk.sackOk) return;
  let above = sk.sackedOut;
  for (let i = 0; i < sk.rtx.length; i++) {
    const r = sk.rtx.at(i);
    if (r.sacked) {
      above -= r.segs;
    } else {
      if (above < sk.reordering) break;
      if (!r.lost && r.end <= sk.highSeq) markLost(sk, r);
    }
    if (above <= 0) break;
  }
}

function markLost(sk: TcpSock, r: TxRec): void {
  if (r.retrans) {
    r.retrans = false;
    sk.retransOut -= r.segs;
  }
  if (!r.lost) {
    r.lost = true;
    sk.lostOut += r.segs;
  }
}

/** tcp_newreno_mark_lost(): without SACK only the first segment is known to be missing. */
function markFirstSegment(sk: TcpSock): void {
  const r = sk.rtx.first;
  if (r === undefined || r.lost) return;
  if (r.segs > 1 && r.end - r.seq > r.mss) {
    const was = r.segs;
    sk.rtx.split(0, r.seq + r.mss);
    recountParts(sk, r, was, r.segs + sk.rtx.at(1).segs);
  }
  markLost(sk, sk.rtx.at(0));
}

/** Duplicate ACKs as a count of segments that left the network (tcp_add_reno_sack, tcp_check_reno_reordering). */
function addRenoSack(sk: TcpSock, dupAcks: number): void {
  if (dupAcks === 0) return;
  const had = sk.sackedOut;
  const holes = Math.min(Math.max(sk.lostOut, 1), sk.packetsOut);
  sk.sackedOut = Math.max(0, Math.min(had + dupAcks, sk.packetsOut - holes));
  if (sk.sackedOut > had) sk.delivered += sk.sackedOut - had;
}

function renoSack(sk: TcpSock, unaAdvanced: boolean, dupAcks: number): void {
  if (unaAdvanced) sk.sackedOut = 0;
  addRenoSack(sk, dupAcks);
}
