import { FLAG_DATA_SACKED, FLAG_ORIG_SACK_ACKED, type AckState } from './ack-state.ts';
import type { TcpContext } from './context.ts';
import { rackAdvance } from './rack.ts';
import { rateSkbDelivered } from './rate.ts';
import type { TxRec } from './rtx-queue.ts';
import { highestSackSeq } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';

/**
 * tcp_sacktag_one(): the counters for `segs` segments from the start of a record up to `end`. The record's own marks are
 * the caller's.
 */
export function tagRange(
  cx: TcpContext,
  sk: TcpSock,
  a: AckState,
  r: TxRec,
  end: number,
  segs: number,
  dup: boolean,
): void {
  const { loss } = sk;
  if (dup && r.everRetrans) {
    if (loss.undoMarker >= 0 && loss.undoRetrans > 0 && end > loss.undoMarker) {
      loss.undoRetrans = Math.max(0, loss.undoRetrans - segs);
    }
    if (r.sacked && r.seq < a.reord) a.reord = r.seq;
  }
  if (end <= sk.sndUna || r.sacked) return;
  rackAdvance(cx, sk, r, end);
  rateSkbDelivered(sk, a, r, end);
  if (!r.everRetrans) {
    // It came after what was sent later.
    if (r.seq < highestSackSeq(sk) && r.seq < a.reord) a.reord = r.seq;
    if (end <= sk.highSeq) a.flag |= FLAG_ORIG_SACK_ACKED;
    if (a.firstSackMs < 0) a.firstSackMs = r.sentMs;
    a.lastSackMs = r.sentMs;
  }
  if (r.lost) {
    sk.lostOut -= segs;
    if (r.retrans) sk.retransOut -= segs;
  }
  a.flag |= FLAG_DATA_SACKED;
  sk.sackedOut += segs;
  a.sackDelivered += segs;
  a.deliveredBytes += end - r.seq;
}
