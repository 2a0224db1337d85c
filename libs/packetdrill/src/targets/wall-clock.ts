import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import type { Micros } from '../target.ts';

/** Node's timers are this late at worst; the rest of a sleep is spent in turns of the event loop. */
const TIMER_SLACK_US = 1500;

/** Real time, the monotonic clock that every process of the machine shares. */
export class WallClock {
  private zero = process.hrtime.bigint();

  /** The script begins now. */
  restart(): void {
    this.zero = process.hrtime.bigint();
  }

  now(): Micros {
    return this.at(process.hrtime.bigint());
  }

  /** What a reading of the monotonic clock, in nanoseconds, is in the script's time. */
  at(ns: bigint): Micros {
    return Number(ns - this.zero) / 1000;
  }

  async sleepUntil(at: Micros): Promise<void> {
    for (;;) {
      const left = at - this.now();
      if (left <= 0) return;
      if (left > TIMER_SLACK_US) await delay(Math.floor((left - TIMER_SLACK_US) / 1000) + 1);
      else await turn();
    }
  }

  /** False: the deadline passed first. */
  async within(deadline: Micros, event: Promise<unknown>): Promise<boolean> {
    const stop = new AbortController();
    const late = delay(Math.max(0, Math.ceil((deadline - this.now()) / 1000)), false, { signal: stop.signal });
    try {
      return await Promise.race([event.then(() => true), late]);
    } finally {
      stop.abort();
      late.catch(() => {});
    }
  }
}
