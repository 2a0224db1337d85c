import { TCP_SYN_SENT } from '@skbus/skb';
import type { AckState } from './ack-state.ts';
import { setCaState } from './ca-state.ts';
import { CA_DISORDER, CA_LOSS, CA_OPEN } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { ecnWithdrawCwr } from './ecn.ts';
import { RACK_RECOVERY_THRESH } from './rack.ts';
import { checkSackReordering } from './reordering.ts';
import type { TxRec } from './rtx-queue.ts';
import { anyRetransDone, highestSackSeq } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';

/**
 * Undoing a reduction of the window that was for nothing: the peer's timestamps say that it answered the original and
 * not the retransmission (Eifel, RFC 3522 and 4015), or DSACKs report every retransmission as a duplicate (RFC 3708).
 */

/** tcp_init_undo(): a reduction begins. */
export function initUndo(sk: TcpSock): void {
  sk.loss.undoMarker = sk.sndUna;
  sk.loss.undoRetrans = sk.retransOut > 0 ? sk.retransOut : -1;
}

/** tcp_tsopt_ecr_before(): the peer answered something sent before `ms`. */
function ecrBefore(cx: TcpContext, sk: TcpSock, a: AckState, ms: number): boolean {
  if (a.tsEcr === 0) return false;
  return ((a.tsEcr - cx.tsAt(sk.tsOffset, ms)) | 0) < 0;
}

/** tcp_skb_spurious_retrans() */
export const isSpuriousRetrans = (cx: TcpContext, sk: TcpSock, a: AckState, r: TxRec): boolean =>
  r.everRetrans && ecrBefore(cx, sk, a, r.sentMs);

/** tcp_packet_delayed(): what arrived was the original, not the first retransmission; or none was sent yet. */
function packetDelayed(cx: TcpContext, sk: TcpSock, a: AckState): boolean {
  if (sk.retransStampMs !== 0) return ecrBefore(cx, sk, a, sk.retransStampMs);
  if (!sk.sackOk && sk.sndUna >= sk.highSeq) return false;
  return sk.state !== TCP_SYN_SENT;
}

/** tcp_may_undo() */
const mayUndo = (cx: TcpContext, sk: TcpSock, a: AckState): boolean =>
  sk.loss.undoMarker >= 0 && (sk.loss.undoRetrans === 0 || packetDelayed(cx, sk, a));

/** tcp_undo_cwnd_reduction() */
function undoCwndReduction(cx: TcpContext, sk: TcpSock, unmarkLoss: boolean): void {
  cx.env.trace('tcp_undo_cwnd_reduction');
  const { loss, rtx } = sk;
  if (unmarkLoss) {
    for (let i = 0; i < rtx.length; i++) rtx.at(i).lost = false;
    sk.lostOut = 0;
  }
  if (loss.priorSsthresh > 0) {
    sk.cwnd = sk.cc.undoCwnd(sk);
    if (loss.priorSsthresh > sk.ssthresh) {
      sk.ssthresh = loss.priorSsthresh;
      ecnWithdrawCwr(sk);
    }
  }
  loss.undoMarker = -1;
  loss.rackAdvanced = true;
}

/** tcp_is_non_sack_preventing_reopen(): a late duplicate ACK could start it all again (RFC 6582 3.2, RFC 6582 4). */
function nonSackPreventsReopen(sk: TcpSock): boolean {
  if (sk.sndUna !== sk.highSeq || sk.sackOk) return false;
  if (!anyRetransDone(sk)) sk.retransStampMs = 0;
  return true;
}

/** tcp_try_undo_recovery(): all that was out when it began has arrived. True: stay in it a little longer. */
export function tryUndoRecovery(cx: TcpContext, sk: TcpSock, a: AckState): boolean {
  const { loss } = sk;
  if (mayUndo(cx, sk, a)) {
    undoCwndReduction(cx, sk, false);
    cx.env.mib.inc(sk.caState === CA_LOSS ? 'TcpExtTCPLossUndo' : 'TcpExtTCPFullUndo');
  } else if (loss.reoWndPersist > 0) {
    loss.reoWndPersist--;
  }
  if (nonSackPreventsReopen(sk)) return true;
  setCaState(cx, sk, CA_OPEN);
  loss.sackReneg = false;
  return false;
}

/** tcp_try_undo_dsack() */
export function tryUndoDsack(cx: TcpContext, sk: TcpSock): boolean {
  const { loss } = sk;
  if (loss.undoMarker < 0 || loss.undoRetrans !== 0) return false;
  loss.reoWndPersist = Math.min(RACK_RECOVERY_THRESH, loss.reoWndPersist + 1);
  undoCwndReduction(cx, sk, false);
  cx.env.mib.inc('TcpExtTCPDSACKUndo');
  return true;
}

/** tcp_try_undo_loss(): the timeout was spurious; `frto`: F-RTO says so. */
export function tryUndoLoss(cx: TcpContext, sk: TcpSock, a: AckState, frto: boolean): boolean {
  if (!frto && !mayUndo(cx, sk, a)) return false;
  undoCwndReduction(cx, sk, true);
  cx.env.mib.inc('TcpExtTCPLossUndo');
  if (frto) cx.env.mib.inc('TcpExtTCPSpuriousRTOs');
  sk.retransmits = 0;
  if (nonSackPreventsReopen(sk)) return true;
  if (frto || sk.sackOk) {
    setCaState(cx, sk, CA_OPEN);
    sk.loss.sackReneg = false;
  }
  return true;
}

/** What an ACK of a part means in recovery: `wait` neither marks nor retransmits more, `forced` has proof of a loss. */
export type PartialUndo = 'wait' | 'undone' | 'forced' | 'no';

/** tcp_try_undo_partial(): the hole was filled by the late original. */
export function tryUndoPartial(cx: TcpContext, sk: TcpSock, a: AckState): PartialUndo {
  if (sk.loss.undoMarker < 0 || !packetDelayed(cx, sk, a)) return forceFastRetransmit(sk) ? 'forced' : 'no';
  checkSackReordering(cx, sk, a.priorUna, true);
  if (sk.retransOut > 0) return 'wait';
  if (!anyRetransDone(sk)) sk.retransStampMs = 0;
  undoCwndReduction(cx, sk, true);
  cx.env.mib.inc('TcpExtTCPPartialUndo');
  tryKeepOpen(cx, sk);
  return 'undone';
}

/** tcp_force_fast_retransmit(): what is SACKed is farther on than reordering explains. */
export const forceFastRetransmit = (sk: TcpSock): boolean =>
  highestSackSeq(sk) > sk.sndUna + sk.reordering * sk.mssCache;

/** tcp_try_keep_open() */
export function tryKeepOpen(cx: TcpContext, sk: TcpSock): void {
  const state = sk.sackedOut + sk.lostOut > 0 || anyRetransDone(sk) ? CA_DISORDER : CA_OPEN;
  if (state === sk.caState) return;
  setCaState(cx, sk, state);
  sk.highSeq = sk.sndNxt;
}

/** tcp_try_undo_spurious_syn(): the SYN-ACK answers the first SYN, so the timeout came too soon (RFC 5682 appendix, RFC 4015). */
export function tryUndoSpuriousSyn(cx: TcpContext, sk: TcpSock, tsEcr: number): void {
  const { loss } = sk;
  if (loss.undoMarker < 0 || sk.retransStampMs === 0 || !sk.tsOk) return;
  if (tsEcr === cx.tsAt(sk.tsOffset, sk.retransStampMs)) loss.undoMarker = -1;
}
