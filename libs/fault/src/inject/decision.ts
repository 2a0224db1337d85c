import type { Millis } from '@skbus/skb';
import type { FaultOp, Seam } from '../rule.ts';

/** What a rule did to one item. */
export interface FaultDecision {
  /** Counts the decisions of one layer, from 1. */
  seq: number;
  rule: string;
  seed: number;
  seam: Seam;
  /** Of those that matched the rule, the how manieth. */
  ordinal: number;
  /** 0: a message that is no skb. */
  skb: number;
  /** On the layer's clock. */
  atMs: Millis;
  op: FaultOp;
}

/** The newest decisions; what listens gets all of them. */
export class DecisionLog {
  private readonly ring: FaultDecision[] = [];
  private readonly max: number;
  private seq = 0;
  /** Gets each decision as it is made. */
  listener: ((d: FaultDecision) => void) | undefined = undefined;

  constructor(max: number) {
    this.max = max;
  }

  add(d: Omit<FaultDecision, 'seq'>): void {
    const full = { seq: ++this.seq, ...d };
    if (this.ring.length < this.max) this.ring.push(full);
    else this.ring[(this.seq - 1) % this.max] = full;
    this.listener?.(full);
  }

  get total(): number {
    return this.seq;
  }

  /** Oldest first. */
  all(): FaultDecision[] {
    const start = this.ring.length < this.max ? 0 : this.seq % this.max;
    return [...this.ring.slice(start), ...this.ring.slice(0, start)];
  }
}
