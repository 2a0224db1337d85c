import type { Millis } from '@skbus/skb';

/**
 * One skb of the retransmission queue (tcp_skb_cb): what was sent as one piece, from one byte to a whole GSO skb.
 * `seq` and `end` are positions; a SYN or a FIN takes one. The bytes stay in the SendQueue.
 */
export interface TxRec {
  seq: number;
  end: number;
  /** TCP_SYN, TCP_FIN of it. */
  flags: number;
  /** Payload bytes per segment when it was sent. */
  mss: number;
  /** Segments it counts for (tcp_skb_pcount). */
  segs: number;
  sentMs: Millis;
  /** Ever retransmitted: no RTT sample from it (Karn). */
  everRetrans: boolean;
  /** Retransmitted and not known to be lost again (TCPCB_SACKED_RETRANS). */
  retrans: boolean;
  /** TCPCB_SACKED_ACKED */
  sacked: boolean;
  /** TCPCB_LOST */
  lost: boolean;
}

/** What was sent and not cumulatively acknowledged, oldest first. Taken from the front, appended at the back. */
export class RtxQueue {
  private recs: TxRec[] = [];
  private head = 0;

  get length(): number {
    return this.recs.length - this.head;
  }

  get first(): TxRec | undefined {
    return this.recs[this.head];
  }

  at(i: number): TxRec {
    return this.recs[this.head + i]!;
  }

  push(rec: TxRec): void {
    this.recs.push(rec);
  }

  shift(): void {
    this.head++;
    if (this.head === this.recs.length) {
      this.recs.length = 0;
      this.head = 0;
    } else if (this.head > 64 && this.head * 2 > this.recs.length) {
      this.recs = this.recs.slice(this.head);
      this.head = 0;
    }
  }

  clear(): void {
    this.recs.length = 0;
    this.head = 0;
  }

  /** Cuts record i at position `at` (tcp_fragment); its second half becomes record i + 1. */
  split(i: number, at: number): void {
    const a = this.at(i);
    const b: TxRec = { ...a, seq: at, flags: a.flags & ~SYN };
    a.end = at;
    a.flags &= ~FIN;
    a.segs = segsOf(a);
    b.segs = segsOf(b);
    this.recs.splice(this.head + i + 1, 0, b);
  }

  /** The index of the first record that ends after `position`, or length. */
  findAfter(position: number): number {
    let lo = 0;
    let hi = this.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.at(mid).end > position) hi = mid;
      else lo = mid + 1;
    }
    return lo;
  }
}

const FIN = 1;
const SYN = 2;

export const segsOf = (r: TxRec): number => Math.max(1, Math.ceil((r.end - r.seq) / r.mss));
