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
  /** pacing_timer: the next segment may leave. */
  Pacing: 5,
} as const;
export type Timer = (typeof Timer)[keyof typeof Timer];

const TIMERS = 6;

/** Something the heap wakes: a sock, a request or a TIME-WAIT. */
export abstract class Timed {
  /** Where it stands in the heap, -1: not in it. Owned by TimerHeap. */
  heapAt = -1;
  /** The deadline that the heap knows, never later than the true one; NEVER: not in it. Owned by TimerHeap. */
  abstract wakeMs: Millis;
  /** When it wants to be woken; NEVER: not at all. */
  abstract deadline(): Millis;
}

/** The first slots of whatever has these timers: when each is due, and the earliest of them. */
export const TIMER_SLOTS = {
  retransAt: NEVER,
  delAckAt: NEVER,
  keepaliveAt: NEVER,
  seamAt: NEVER,
  viewAt: NEVER,
  pacingAt: NEVER,
  nextTimer: NEVER,
  wakeMs: NEVER,
};

/** Part of TcpSock. */
interface WithTimers {
  readonly numbers: Float64Array;
  readonly slot: number;
  nextTimer: Millis;
}

/** Arming and stopping cost a store; only the earliest one is seen by the heap. */
export function setTimer(sk: WithTimers, timer: Timer, at: Millis): void {
  const { numbers } = sk;
  const i = sk.slot + timer;
  const old = numbers[i]!;
  numbers[i] = at;
  if (at <= sk.nextTimer) sk.nextTimer = at;
  else if (old === sk.nextTimer) refresh(sk);
}

export function stopTimer(sk: WithTimers, timer: Timer): void {
  if (isArmed(sk, timer)) setTimer(sk, timer, NEVER);
}

export function stopTimers(sk: WithTimers): void {
  sk.numbers.fill(NEVER, sk.slot, sk.slot + TIMERS);
  sk.nextTimer = NEVER;
}

export const timerAt = (sk: WithTimers, timer: Timer): Millis => sk.numbers[sk.slot + timer]!;

export const isArmed = (sk: WithTimers, timer: Timer): boolean => timerAt(sk, timer) !== NEVER;

function refresh(sk: WithTimers): void {
  const { numbers, slot } = sk;
  let next = NEVER;
  for (let i = slot; i < slot + TIMERS; i++) next = Math.min(next, numbers[i]!);
  sk.nextTimer = next;
}

/**
 * A heap of everything with a deadline. A deadline that moves later or is stopped (each ACK does that to some timer) is
 * not moved here until it comes up, so a busy connection costs nothing per segment. The deadlines the heap knows, never
 * later than the true ones, stand beside it: ordering it looks at nothing else. Four children per node, as the memory
 * comes in lines.
 */
export class TimerHeap {
  private readonly heap: Timed[] = [];
  private readonly at: Millis[] = [];

  /** Call after a deadline may have become earlier. */
  touch(t: Timed): void {
    const at = t.deadline();
    if (at >= t.wakeMs) return;
    if (t.heapAt < 0) {
      this.heap.push(t);
      this.at.push(at);
      t.heapAt = this.heap.length - 1;
    }
    t.wakeMs = at;
    this.up(t.heapAt, t, at);
  }

  remove(t: Timed): void {
    const i = t.heapAt;
    if (i < 0) return;
    const last = this.heap.pop()!;
    const at = this.at.pop()!;
    t.heapAt = -1;
    t.wakeMs = NEVER;
    if (last === t) return;
    this.up(i, last, at);
    this.down(last.heapAt, last, at);
  }

  /** No deadline is earlier. It may be a time at which nothing is due any more: due() finds that out when it has come. */
  next(): Millis {
    return this.at[0] ?? NEVER;
  }

  /** The next one that is due, or undefined. It stays in the heap; its owner moves or stops its deadline. */
  due(now: Millis): Timed | undefined {
    while (this.at[0]! <= now) {
      const top = this.heap[0]!;
      const at = top.deadline();
      if (at === this.at[0]) return top;
      if (at === NEVER) {
        this.remove(top);
        continue;
      }
      top.wakeMs = at;
      this.down(0, top, at);
    }
    return undefined;
  }

  get size(): number {
    return this.heap.length;
  }

  /** Puts `t` at `from` or nearer to the top. */
  private up(from: number, t: Timed, at: Millis): void {
    let i = from;
    while (i > 0) {
      const parent = (i - 1) >> 2;
      if (this.at[parent]! <= at) break;
      this.place(i, this.heap[parent]!, this.at[parent]!);
      i = parent;
    }
    this.place(i, t, at);
  }

  /** Puts `t` at `from` or farther from the top. */
  private down(from: number, t: Timed, at: Millis): void {
    const n = this.heap.length;
    let i = from;
    for (;;) {
      const first = 4 * i + 1;
      if (first >= n) break;
      let child = first;
      for (let c = first + 1; c < n && c < first + 4; c++) if (this.at[c]! < this.at[child]!) child = c;
      if (this.at[child]! >= at) break;
      this.place(i, this.heap[child]!, this.at[child]!);
      i = child;
    }
    this.place(i, t, at);
  }

  private place(i: number, t: Timed, at: Millis): void {
    this.heap[i] = t;
    this.at[i] = at;
    t.heapAt = i;
  }
}
