import { ERRNO, NEVER, type Millis } from '@skbus/skb';
import type { Timed } from './timer-heap.ts';
import { fail, type SysReply } from './types.ts';

/** A system call that cannot answer yet: what to try again, and on which queues to sleep meanwhile. */
export interface Park {
  on: readonly WaitQueue[];
  /** The answer, or undefined: go on sleeping. */
  attempt(now: Millis): SysReply | undefined;
  /** NEVER: no timeout. */
  timeoutMs: Millis;
  /** The answer when the time is up or the call is cancelled; `errno` is what it would be with nothing done. */
  stop(errno: number): SysReply;
  /** It has data that is not taken yet. */
  sends?: true;
  /** errno for `stop` on timeout; EAGAIN unless said. */
  timeoutErrno?: number;
}

/** What sleeps on a queue. `key`: the POLL* events it is woken for, 0: not said. */
export interface Waiter {
  wake(now: Millis, key: number): void;
  /** The file it sleeps on is closed, or the call is cancelled. */
  stop(errno: number): void;
  abandon(): void;
  readonly sends?: boolean;
}

/** A sleeping call. */
export class Wait implements Timed, Waiter {
  timerAt: Millis = NEVER;
  heapAt: Millis = NEVER;
  over = false;
  private trying = false;
  readonly park: Park;
  private readonly done: (reply: SysReply) => void;

  constructor(park: Park, done: (reply: SysReply) => void) {
    this.park = park;
    this.done = done;
    for (const q of park.on) q.add(this);
  }

  get sends(): boolean {
    return this.park.sends === true;
  }

  wake(now: Millis): void {
    // An attempt may wake the queue it sleeps on.
    if (this.over || this.trying) return;
    this.trying = true;
    const reply = this.park.attempt(now);
    this.trying = false;
    if (reply !== undefined) this.finish(reply);
  }

  onTimer(): void {
    this.stop(this.park.timeoutErrno ?? ERRNO.EAGAIN);
  }

  stop(errno: number): void {
    // An attempt that closes the file it sleeps on ends by itself.
    if (!this.over && !this.trying) this.finish(this.park.stop(errno));
  }

  /** Ends without an answer: nobody is left to hear it. */
  abandon(): void {
    if (this.over) return;
    this.over = true;
    this.timerAt = NEVER;
    for (const q of this.park.on) q.remove(this);
  }

  private finish(reply: SysReply): void {
    this.abandon();
    this.done(reply);
  }
}

/** wait_queue_head: calls asleep on one condition of one socket, first come first served. */
export class WaitQueue {
  private readonly waits = new Set<Waiter>();

  add(w: Waiter): void {
    this.waits.add(w);
  }

  remove(w: Waiter): void {
    this.waits.delete(w);
  }

  get empty(): boolean {
    return this.waits.size === 0;
  }

  get hasSend(): boolean {
    for (const w of this.waits) if (w.sends === true) return true;
    return false;
  }

  wake(now: Millis, key = 0): void {
    const { waits } = this;
    if (waits.size === 0) return;
    // Mostly one, and a list of one is not needed.
    if (waits.size === 1) for (const only of waits) return only.wake(now, key);
    for (const w of Array.from(waits)) w.wake(now, key);
  }

  stopAll(errno: number): void {
    for (const w of Array.from(this.waits)) w.stop(errno);
  }

  abandonAll(): void {
    for (const w of Array.from(this.waits)) w.abandon();
  }
}

/** The usual `stop`: nothing was done. */
export const nothingDone = (errno: number): SysReply => fail(errno);
