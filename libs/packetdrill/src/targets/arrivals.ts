import type { Micros, Sniffed } from '../target.ts';
import type { WallClock } from './wall-clock.ts';

/** Packets that the stack under test sent, in order, until the script takes them. */
export class Arrivals {
  private readonly clock: WallClock;
  /** Resolves when everything that was on the cable before the call has been pushed. */
  private readonly drained: () => Promise<void>;
  private readonly queue: Sniffed[] = [];
  private wake: (() => void) | undefined = undefined;

  constructor(clock: WallClock, drained: () => Promise<void>) {
    this.clock = clock;
    this.drained = drained;
  }

  push(packet: Sniffed): void {
    this.queue.push(packet);
    this.wake?.();
  }

  clear(): void {
    this.queue.length = 0;
  }

  /** The oldest one, if it came before the deadline; a later one stays for the next call. */
  async next(deadline: Micros): Promise<Sniffed | undefined> {
    if (this.queue.length === 0 && this.clock.now() < deadline) {
      const arrival = new Promise<void>((resolve) => (this.wake = resolve));
      await this.clock.within(deadline, arrival);
      this.wake = undefined;
    }
    if (this.queue.length === 0) await this.drained();
    const first = this.queue[0];
    if (first === undefined || first.atUs > deadline) return undefined;
    return this.queue.shift();
  }
}
