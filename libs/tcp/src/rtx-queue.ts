import type { Millis } from '@skbus/skb';
import { TCP_AE, TCP_CWR, TCP_ECE, TCP_FIN, TCP_PSH, TCP_SYN } from '@skbus/wire';

/**
 * One skb of the retransmission queue (tcp_skb_cb): what was sent as one piece, from one byte to a whole GSO skb.
 * `seq` and `end` are positions; a SYN or a FIN takes one. The bytes stay in the SendQueue.
 */
export interface TxRec {
  seq: number;
  end: number;
  /** TCP_SYN, TCP_FIN, TCP_PSH of it, and what a SYN says of ECN. */
  flags: number;
  /** Payload bytes per segment when it was sent. */
  mss: number;
  /** Segments it counts for (tcp_skb_pcount). */
  segs: number;
  /** When it was last sent. */
  sentMs: Millis;
  /** The connection by then, for the delivery rate (rate.ts): what had been delivered, when that was, and so on. */
  delivered: number;
  deliveredCe: number;
  deliveredMs: Millis;
  firstTxMs: Millis;
  isAppLimited: boolean;
  /** Segments in flight with it, and ever found lost by then. */
  txInFlight: number;
  txLost: number;
  /** Ever retransmitted: no RTT sample from it (Karn). TCPCB_EVER_RETRANS */
  everRetrans: boolean;
  /** Retransmitted and not known to be lost again (TCPCB_SACKED_RETRANS). */
  retrans: boolean;
  /** TCPCB_SACKED_ACKED */
  sacked: boolean;
  /** TCPCB_LOST */
  lost: boolean;
  /** It ends a record (MSG_EOR): nothing joins it from behind. */
  eor: boolean;
  /** Neighbours in the list by time of sending; `older` undefined and not `oldest`: not in it. */
  older: TxRec | undefined;
  newer: TxRec | undefined;
}

export function makeRec(seq: number, end: number, flags: number, mss: number): TxRec {
  const r: TxRec = {
    seq,
    end,
    flags: flags & (TCP_SYN | TCP_FIN | TCP_PSH | TCP_ECE | TCP_CWR | TCP_AE),
    mss,
    segs: 1,
    sentMs: 0,
    delivered: 0,
    deliveredCe: 0,
    deliveredMs: 0,
    firstTxMs: 0,
    isAppLimited: false,
    txInFlight: 0,
    txLost: 0,
    everRetrans: false,
    retrans: false,
    sacked: false,
    lost: false,
    eor: false,
    older: undefined,
    newer: undefined,
  };
  r.segs = segsOf(r);
  return r;
}

/** Payload bytes (skb->len). */
export const payloadLen = (r: TxRec): number => r.end - r.seq - (r.flags & 1) - ((r.flags >>> 1) & 1);

export const segsOf = (r: TxRec): number => Math.max(1, Math.ceil(payloadLen(r) / r.mss));

/** tcp_skb_seglen(): payload of its full segments. */
export const segLen = (r: TxRec): number => (r.segs === 1 ? payloadLen(r) : r.mss);

/**
 * What was sent and not cumulatively acknowledged, oldest first (tcp_rtx_queue). Taken from the front, appended at the
 * back. Beside it a second order, by time of sending (tsorted_sent_queue): all that may still be delivered and is not
 * known to be lost, so that RACK looks only at what it may find lost.
 */
export class RtxQueue {
  private recs: TxRec[] = [];
  private head = 0;
  /** The record sent longest ago. */
  oldest: TxRec | undefined = undefined;
  private newest: TxRec | undefined = undefined;

  get length(): number {
    return this.recs.length - this.head;
  }

  get first(): TxRec | undefined {
    return this.recs[this.head];
  }

  get last(): TxRec | undefined {
    return this.length > 0 ? this.recs[this.recs.length - 1] : undefined;
  }

  at(i: number): TxRec {
    return this.recs[this.head + i]!;
  }

  push(rec: TxRec): void {
    this.recs.push(rec);
    this.linkNewest(rec);
  }

  shift(): void {
    this.forget(this.recs[this.head]!);
    this.head++;
    if (this.head > 64 && this.head * 2 > this.recs.length) {
      this.recs = this.recs.slice(this.head);
      this.head = 0;
    }
  }

  /** Cuts record i at position `at` (tcp_fragment); its second half becomes record i + 1. */
  split(i: number, at: number): void {
    const a = this.at(i);
    const b: TxRec = { ...a, seq: at, flags: a.flags & ~TCP_SYN };
    a.end = at;
    a.flags &= ~(TCP_FIN | TCP_PSH);
    a.eor = false;
    a.segs = segsOf(a);
    b.segs = segsOf(b);
    this.insert(i + 1, b);
    if (!this.isListed(a)) return;
    b.older = a;
    if (a.newer === undefined) this.newest = b;
    else a.newer.older = b;
    a.newer = b;
  }

  /** Takes record i out: its neighbour has its bytes now. */
  remove(i: number): void {
    this.forget(this.at(i));
    const { recs, head } = this;
    const at = head + i;
    if (i > this.length >> 1) {
      recs.splice(at, 1);
      return;
    }
    for (let k = at; k > head; k--) recs[k] = recs[k - 1]!;
    this.head++;
  }

  /** It was sent again: now it is the newest. */
  sentNow(rec: TxRec): void {
    this.forget(rec);
    this.linkNewest(rec);
  }

  /** It was delivered, or is lost and waits to be sent again: no longer of interest to RACK. */
  forget(rec: TxRec): void {
    if (!this.isListed(rec)) return;
    if (rec.older === undefined) this.oldest = rec.newer;
    else rec.older.newer = rec.newer;
    if (rec.newer === undefined) this.newest = rec.older;
    else rec.newer.older = rec.older;
    rec.older = undefined;
    rec.newer = undefined;
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

  /** The shorter side makes room: SACKed runs are one record each, so before a hole there are few. */
  private insert(i: number, rec: TxRec): void {
    const { recs, head } = this;
    const at = head + i;
    if (head === 0 || i > this.length >> 1) {
      recs.splice(at, 0, rec);
      return;
    }
    for (let k = head; k < at; k++) recs[k - 1] = recs[k]!;
    recs[at - 1] = rec;
    this.head--;
  }

  private isListed(rec: TxRec): boolean {
    return rec.older !== undefined || this.oldest === rec;
  }

  private linkNewest(rec: TxRec): void {
    rec.older = this.newest;
    if (this.newest === undefined) this.oldest = rec;
    else this.newest.newer = rec;
    this.newest = rec;
  }
}

/** What a connection with nothing in flight has; nothing is ever put in. */
export const NO_RTX = new RtxQueue();
