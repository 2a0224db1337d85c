import type { Millis } from '@skbus/skb';

/** Messages and frames keep a simulation busy; timers alone do not: some of them never end. */
export type EventKind = 'message' | 'frame' | 'program' | 'timer';

interface Event {
  readonly at: Millis;
  readonly seq: number;
  readonly kind: EventKind;
  readonly run: () => void;
}

/** The time of a simulation: it stands still while something happens and then jumps to the next event. */
export class VirtualClock {
  now: Millis = 0;
  /** Events that ran. */
  steps = 0;
  private readonly heap: Event[] = [];
  private readonly waiting: Record<EventKind, number> = { message: 0, frame: 0, program: 0, timer: 0 };
  private seq = 0;

  /** Runs `run` at `at`, after everything that was scheduled for that time before. */
  schedule(at: Millis, kind: EventKind, run: () => void): void {
    this.waiting[kind]++;
    this.heap.push({ at: Math.max(at, this.now), seq: this.seq++, kind, run });
    this.up(this.heap.length - 1);
  }

  /** Runs the next event. False: there is none before `until`, and it is now `until` if that is a time. */
  step(until: Millis): boolean {
    const next = this.heap[0];
    if (next === undefined || next.at > until) {
      if (Number.isFinite(until) && until > this.now) this.now = until;
      return false;
    }
    this.pop();
    this.waiting[next.kind]--;
    this.now = next.at;
    this.steps++;
    next.run();
    return true;
  }

  /** Nothing is on its way. */
  get quiet(): boolean {
    return this.waiting.message + this.waiting.frame + this.waiting.program === 0;
  }

  get nextAt(): Millis {
    return this.heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  private pop(): void {
    const last = this.heap.pop()!;
    if (this.heap.length === 0) return;
    this.heap[0] = last;
    this.down(0);
  }

  private up(i: number): void {
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!this.before(i, parent)) return;
      this.swap(i, parent);
      i = parent;
    }
  }

  private down(i: number): void {
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
    return a.at < b.at || (a.at === b.at && a.seq < b.seq);
  }

  private swap(i: number, j: number): void {
    const t = this.heap[i]!;
    this.heap[i] = this.heap[j]!;
    this.heap[j] = t;
  }
}
