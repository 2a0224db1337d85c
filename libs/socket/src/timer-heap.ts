import { NEVER, type Millis } from '@skbus/skb';

/** Something with one deadline. The two fields belong to the heap's bookkeeping; owners set times through `TimerHeap.arm`. */
export interface Timed {
  /** When it wants to be called; NEVER: not at all. */
  timerAt: Millis;
  /** Where its entry stands in the heap; NEVER: it has none. */
  heapAt: Millis;
  onTimer(now: Millis): void;
}

/**
 * A binary heap of deadlines that is lazy about later ones: moving a deadline away costs an assignment, and the entry is
 * put right when it comes up. Connections move theirs with every message, so that is the common case.
 */
export class TimerHeap {
  private readonly at: Millis[] = [];
  private readonly who: Timed[] = [];

  arm(t: Timed, at: Millis): void {
    t.timerAt = at;
    if (at < t.heapAt) this.push(t, at);
  }

  disarm(t: Timed): void {
    t.timerAt = NEVER;
  }

  /** May be early (an entry that was moved away since), never late. */
  poll(): Millis {
    return this.at[0] ?? NEVER;
  }

  run(now: Millis): void {
    while (this.at.length > 0 && this.at[0]! <= now) {
      const at = this.at[0]!;
      const t = this.pop();
      if (t.heapAt !== at) continue;
      t.heapAt = NEVER;
      if (t.timerAt <= now) {
        t.timerAt = NEVER;
        t.onTimer(now);
      } else if (t.timerAt !== NEVER) this.push(t, t.timerAt);
    }
  }

  get size(): number {
    return this.at.length;
  }

  private push(t: Timed, at: Millis): void {
    t.heapAt = at;
    let i = this.at.length;
    this.at.push(at);
    this.who.push(t);
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (this.at[up]! <= at) break;
      this.at[i] = this.at[up]!;
      this.who[i] = this.who[up]!;
      i = up;
    }
    this.at[i] = at;
    this.who[i] = t;
  }

  private pop(): Timed {
    const top = this.who[0]!;
    const at = this.at.pop()!;
    const t = this.who.pop()!;
    const n = this.at.length;
    if (n === 0) return top;
    let i = 0;
    for (;;) {
      let kid = 2 * i + 1;
      if (kid >= n) break;
      if (kid + 1 < n && this.at[kid + 1]! < this.at[kid]!) kid++;
      if (this.at[kid]! >= at) break;
      this.at[i] = this.at[kid]!;
      this.who[i] = this.who[kid]!;
      i = kid;
    }
    this.at[i] = at;
    this.who[i] = t;
    return top;
  }
}
