import { NEVER, type Millis } from './time.ts';

interface Entry<T> {
  atMs: Millis;
  readonly seq: number;
  readonly what: T;
}

/** What waits for its time, as a binary heap: earliest first, and in the order of arrival where the times are the same. */
export class TimeQueue<T> {
  private readonly heap: Entry<T>[] = [];
  private seq = 0;

  get size(): number {
    return this.heap.length;
  }

  get nextAt(): Millis {
    return this.heap[0]?.atMs ?? NEVER;
  }

  /** In no order. */
  *values(): Iterable<T> {
    for (const e of this.heap) yield e.what;
  }

  push(atMs: Millis, what: T): void {
    this.heap.push({ atMs, seq: this.seq++, what });
    let i = this.heap.length - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.before(i, parent)) return;
      this.swap(i, parent);
      i = parent;
    }
  }

  /** The clock jumped: everything waits as long as it would have. */
  shiftBy(ms: Millis): void {
    for (const e of this.heap) e.atMs += ms;
  }

  /** The next one that is due. */
  shift(now: Millis): T | undefined {
    const first = this.heap[0];
    if (first === undefined || first.atMs > now) return undefined;
    const last = this.heap.pop()!;
    if (this.heap.length > 0) {
      this.heap[0] = last;
      this.sink();
    }
    return first.what;
  }

  private sink(): void {
    let i = 0;
    for (;;) {
      const left = 2 * i + 1;
      if (left >= this.heap.length) return;
      const child = left + 1 < this.heap.length && this.before(left + 1, left) ? left + 1 : left;
      if (!this.before(child, i)) return;
      this.swap(i, child);
      i = child;
    }
  }

  private before(i: number, j: number): boolean {
    const a = this.heap[i]!;
    const b = this.heap[j]!;
    return a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq);
  }

  private swap(i: number, j: number): void {
    const t = this.heap[i]!;
    this.heap[i] = this.heap[j]!;
    this.heap[j] = t;
  }
}
