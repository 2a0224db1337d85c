import type { SkBuff } from '@skbus/skb';

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
}

/**
 * The out-of-order queue (tp->out_of_order_queue): disjoint segments sorted by sequence number. Bounded by the receive
 * window, since nothing beyond it gets here. Usually a new segment goes to the end, so that is looked at first.
 */
export class OfoQueue {
  readonly segs: OfoSeg[] = [];

  get length(): number {
    return this.segs.length;
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
