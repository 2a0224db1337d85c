import type { SkBuff } from '@skbus/skb';

/** What an skb costs beside its payload (SKB_TRUESIZE of an empty one). */
const SKB_OVERHEAD = 768;

/** skb->truesize of `len` bytes of payload: at least what windowFromSpace() takes for granted. */
export const truesizeOf = (len: number): number => Math.max(2 * len, SKB_OVERHEAD + len);

/** A segment that arrived before its turn. The skb keeps its payload alive and is accounted for until it ends. */
export interface OfoSeg {
  seq: number;
  /** With the FIN, if it has one. */
  end: number;
  /** Where in the skb's data its payload starts, and where in the stream that byte is. */
  skb: SkBuff;
  hlen: number;
  base: number;
  fin: boolean;
  truesize: number;
}

/**
 * The out-of-order queue (tp->out_of_order_queue): disjoint segments sorted by sequence number. Bounded by the receive
 * window and the receive buffer (prune.ts). Usually a new segment goes to the end, so that is looked at first.
 */
export class OfoQueue {
  readonly segs: OfoSeg[] = [];
  /** The sum of what the segments cost. */
  truesize = 0;

  get length(): number {
    return this.segs.length;
  }

  /** The usual case: it comes after all others. */
  push(s: OfoSeg): void {
    this.segs.push(s);
    this.truesize += s.truesize;
  }

  /** Replaces `n` segments from index `i` on by `fresh`. */
  splice(i: number, n: number, ...fresh: OfoSeg[]): OfoSeg[] {
    const gone = this.segs.splice(i, n, ...fresh);
    for (const s of gone) this.truesize -= s.truesize;
    for (const s of fresh) this.truesize += s.truesize;
    return gone;
  }

  /** The index of the first segment that ends after `position`. */
  findAfter(position: number): number {
    const { segs } = this;
    let lo = 0;
    let hi = segs.length;
    if (hi > 0 && segs[hi - 1]!.end <= position) return hi;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (segs[mid]!.end > position) hi = mid;
      else lo = mid + 1;
    }
    return lo;
  }
}

/** What a connection without any has; nothing is ever put in. */
export const NO_OFO = new OfoQueue();
