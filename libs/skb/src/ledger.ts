import { DROP_REASONS, type DropReason } from './drop-reason.ts';

/**
 * Where every skb of one layer went (DESIGN 1.4).
 *
 * Invariant, checked by tests and by `skbus status`: received + created = passed + consumed + dropped + queued.
 */
export class Ledger {
  /** skbs that came in from another layer or from the device. */
  received = 0;
  /** skbs this layer made itself (alloc_skb, skb_clone, segments of a GSO skb). */
  created = 0;
  /** skbs handed to another layer, or to the device. */
  passed = 0;
  /** skbs that reached the end of their life as they should (consume_skb). */
  consumed = 0;
  /** skbs freed with a reason (kfree_skb). Reasons that never happened are absent. */
  readonly drops = new Map<DropReason, number>();
  /** Gauges of the queues that hold skbs right now; each engine adds its own. */
  private readonly gauges: (() => number)[] = [];

  dropped(reason: DropReason): void {
    this.drops.set(reason, (this.drops.get(reason) ?? 0) + 1);
  }

  addQueue(count: () => number): void {
    this.gauges.push(count);
  }

  /** The engine is gone and its queues with it: what they held ends here. The next engine brings its own. */
  bury(reason: DropReason): void {
    const { queued } = this;
    if (queued > 0) this.drops.set(reason, (this.drops.get(reason) ?? 0) + queued);
    this.gauges.length = 0;
  }

  get queued(): number {
    let n = 0;
    for (const g of this.gauges) n += g();
    return n;
  }

  get totalDropped(): number {
    let n = 0;
    for (const v of this.drops.values()) n += v;
    return n;
  }

  /** 0 when every skb is accounted for; positive: skbs vanished; negative: skbs were ended twice. */
  get imbalance(): number {
    return this.received + this.created - this.passed - this.consumed - this.totalDropped - this.queued;
  }

  toJSON(): Record<string, unknown> {
    const drops: Record<string, number> = {};
    for (const r of DROP_REASONS) if (this.drops.has(r)) drops[r] = this.drops.get(r)!;
    return {
      received: this.received,
      created: this.created,
      passed: this.passed,
      consumed: this.consumed,
      queued: this.queued,
      dropped: drops,
      imbalance: this.imbalance,
    };
  }
}
