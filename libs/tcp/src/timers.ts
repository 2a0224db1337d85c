import { NEVER, type Millis } from '@skbus/skb';

/** The timers of one sock, in the order in which they run when several are due. */
export const Timer = {
  /** icsk_retransmit_timer: the retransmission timeout (RFC 6298) or, while the window is closed, the probe (RFC 9293 3.8.6.1). */
  Retrans: 0,
  /** icsk_delack_timer: an ACK held back (RFC 9293 3.8.6.3). */
  DelAck: 1,
  /** sk_timer: keepalive (RFC 9293 3.8.4), and the end of an orphan's FIN_WAIT2. */
  Keepalive: 2,
  /** Ours: something the socket layer has not confirmed is said again. */
  Seam: 3,
  /** Ours: a view that can wait for the next ACK, but not for long. */
  View: 4,
} as const;
export type Timer = (typeof Timer)[keyof typeof Timer];

const TIMERS = 5;

/** Something the heap wakes: a sock, a request or a TIME-WAIT. */
export abstract class Timed {
  /** Where it stands in the heap, -1: not in it. Owned by TimerHeap. */
  heapAt = -1;
  /** The deadline the heap knows, never later than deadline() once the heap was told. */
  heapMs: Millis = NEVER;
  abstract deadline(): Millis;
}

/** When each timer of a sock is due. Arming and stopping cost a store; only the earliest one is seen by the heap. */
export class TimerTable {
  private readonly at: number[] = [NEVER, NEVER, NEVER, NEVER, NEVER];
  next: Millis = NEVER;

  set(timer: Timer, at: Millis): void {
    const old = this.at[timer]!;
    this.at[timer] = at;
    if (at <= this.next) this.next = at;
    else if (old === this.next) this.refresh();
  }

  stop(timer: Timer): void {
    if (this.at[timer] !== NEVER) this.set(timer, NEVER);
  }

  stopAll(): void {
    this.at.fill(NEVER);
    this.next = NEVER;
  }

  get(timer: Timer): Millis {
    return this.at[timer]!;
  }

  isArmed(timer: Timer): boolean {
    return this.at[timer] !== NEVER;
  }

  isExpired(timer: Timer, now: Millis): boolean {
    return this.at[timer]! <= now;
  }

  private refresh(): void {
    let next = NEVER;
    for (let i = 0; i < TIMERS; i++) next = Math.min(next, this.at[i]!);
    this.next = next;
  }
}

/**
 * A binary heap of everything with a deadline. A deadline that moves later (each ACK does that to the retransmission
 * timer) is not moved here until it comes up, so a busy connection costs nothing per segment.
 */
export class TimerHeap {
  private readonly heap: Timed[] = [];

  /** Call after a deadline may have become earlier. */
  touch(t: Timed): void {
    const at = t.deadline();
    if (t.heapAt < 0) {
      if (at === NEVER) return;
      t.heapAt = this.heap.length;
      t.heapMs = at;
      this.heap.push(t);
      this.up(t.heapAt);
    } else if (at < t.heapMs) {
      t.heapMs = at;
      this.up(t.heapAt);
    }
  }

  remove(t: Timed): void {
    const i = t.heapAt;
    if (i < 0) return;
    const last = this.heap.pop()!;
    t.heapAt = -1;
    t.heapMs = NEVER;
    if (last === t) return;
    this.heap[i] = last;
    last.heapAt = i;
    this.up(i);
    this.down(last.heapAt);
  }

  /** The earliest deadline there really is. */
  next(): Millis {
    return this.settle()?.heapMs ?? NEVER;
  }

  /** The next one that is due, or undefined. It stays in the heap; its owner moves or stops its deadline. */
  due(now: Millis): Timed | undefined {
    const top = this.settle();
    return top !== undefined && top.heapMs <= now ? top : undefined;
  }

  get size(): number {
    return this.heap.length;
  }

  /** Brings the top up to date: what was armed later since, sinks; what was stopped, leaves. */
  private settle(): Timed | undefined {
    for (;;) {
      const top = this.heap[0];
      if (top === undefined) return undefined;
      const at = top.deadline();
      if (at === top.heapMs) return top;
      if (at === NEVER) {
        this.remove(top);
      } else {
        top.heapMs = at;
        this.down(0);
      }
    }
  }

  private up(from: number): void {
    const { heap } = this;
    const t = heap[from]!;
    let i = from;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const p = heap[parent]!;
      if (p.heapMs <= t.heapMs) break;
      heap[i] = p;
      p.heapAt = i;
      i = parent;
    }
    heap[i] = t;
    t.heapAt = i;
  }

  private down(from: number): void {
    const { heap } = this;
    const t = heap[from]!;
    let i = from;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.heapMs < heap[child]!.heapMs) child++;
      const c = heap[child]!;
      if (c.heapMs >= t.heapMs) break;
      heap[i] = c;
      c.heapAt = i;
      i = child;
    }
    heap[i] = t;
    t.heapAt = i;
  }
}
