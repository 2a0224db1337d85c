import { FLAG_DATA_SACKED, FLAG_ORIG_SACK_ACKED, FLAG_SND_UNA_ADVANCED, REXMIT_LOST, REXMIT_NEW } from './ack-state.ts';
import type { AckState } from './ack-state.ts';
import type { TcpContext } from './context.ts';
import { addRenoSack } from './newreno.ts';
import type { TcpSock } from './sock.ts';
import { tryUndoLoss, tryUndoRecovery } from './undo.ts';

/**
 * tcp_process_loss(): an ACK after a retransmission timeout. Forward RTO-Recovery (RFC 5682 3.1, with SACK 4.1) finds out
 * whether the timeout was spurious: the first ACK that advances lets new data go instead of more retransmissions; when
 * something is acknowledged then that was sent only once, nothing was lost.
 */
export function processLoss(cx: TcpContext, sk: TcpSock, a: AckState, dupAcks: number): void {
  const { loss } = sk;
  const advanced = (a.flag & FLAG_SND_UNA_ADVANCED) !== 0;
  const recovered = sk.sndUna >= sk.highSeq;
  if (advanced && tryUndoLoss(cx, sk, a, false)) return;
  if (loss.frto) {
    // step 3.b
    if ((a.flag & FLAG_ORIG_SACK_ACKED) !== 0 && tryUndoLoss(cx, sk, a, true)) return;
    if (sk.sndNxt > sk.highSeq) {
      // step 3.a: a duplicate for the new data, so the loss was real
      if ((a.flag & FLAG_DATA_SACKED) !== 0 || dupAcks > 0) loss.frto = false;
    } else if (advanced && !recovered) {
      // step 2.b
      sk.highSeq = sk.sndNxt;
      if (sk.hasUnsent && sk.sndWndEnd > sk.sndNxt) {
        a.rexmit = REXMIT_NEW;
        return;
      }
      loss.frto = false;
    }
  }
  if (recovered) {
    // steps 2.a and 3.a
    tryUndoRecovery(cx, sk, a);
    return;
  }
  if (!sk.sackOk) {
    // a duplicate ACK now is for the new data of step 2.b
    if (sk.sndNxt > sk.highSeq && dupAcks > 0) addRenoSack(cx, sk, dupAcks);
    else if (advanced) sk.sackedOut = 0;
  }
  a.rexmit = REXMIT_LOST;
}
