/** How far each socket's sent bytes have left: per socket the newest running sum (SkBuff.wmem). */
export type Wfree = ReadonlyMap<number, number>;

/**
 * Collects what a layer's destructors say during a batch. The sums are running ones, so that a later one stands for all
 * before it: a message may be lost, come twice or late, and the next one makes it good.
 */
export class WfreeList {
  private freed = new Map<number, number>();

  readonly add = (sk: number, wmem: number): void => {
    const before = this.freed.get(sk);
    if (before === undefined || ((wmem - before) | 0) > 0) this.freed.set(sk, wmem);
  };

  /** What was collected, if anything, and starts anew. */
  take(): Wfree | undefined {
    if (this.freed.size === 0) return undefined;
    const all = this.freed;
    this.freed = new Map();
    return all;
  }
}
