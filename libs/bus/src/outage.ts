import { setTimeout as sleep } from 'node:timers/promises';
import { BusError } from './bus.ts';

/** How long an operation on the store is tried again: a broker that was killed opens its store anew. */
const RETRY_FOR_MS = 10_000;
const RETRY_PAUSE_MS = 30;

/**
 * The times without a broker. What was asked before it went will never be answered: whoever waits is told so at once, not
 * when a timeout of seconds has passed.
 */
export class Outage {
  private readonly waiting = new Set<(e: BusError) => void>();
  private readonly sleeping = new Set<() => void>();
  private cut = false;

  begin(): void {
    this.cut = true;
    const e = new BusError('CLOSED', 'the connection to the broker was lost');
    for (const reject of this.waiting) reject(e);
    this.waiting.clear();
  }

  end(): void {
    this.cut = false;
    for (const wake of this.sleeping) wake();
    this.sleeping.clear();
  }

  /** Rejects with BusError CLOSED where there is no connection, or it breaks before the answer is there. */
  orCut<T>(ask: () => Promise<T>): Promise<T> {
    if (this.cut) return Promise.reject(new BusError('CLOSED', 'there is no connection to the broker'));
    return new Promise((resolve, reject) => {
      this.waiting.add(reject);
      ask()
        .then(resolve, reject)
        .finally(() => this.waiting.delete(reject));
    });
  }

  /** For what may be done twice without harm: tries again over an outage. */
  async retrying<T>(step: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + RETRY_FOR_MS;
    for (;;) {
      try {
        return await this.orCut(step);
      } catch (e) {
        if (!isOutage(e) || performance.now() > deadline) throw e;
      }
      await (this.cut ? this.ended(deadline - performance.now()) : sleep(RETRY_PAUSE_MS));
    }
  }

  private ended(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, withinMs);
      const { sleeping } = this;
      function done(): void {
        clearTimeout(timer);
        sleeping.delete(done);
        resolve();
      }
      sleeping.add(done);
    });
  }
}

/** Nobody answered: not that somebody refused. JetStream is there a moment later than the broker. */
function isOutage(e: unknown): boolean {
  if (e instanceof BusError) return e.code === 'CLOSED';
  for (let x = e; x instanceof Error; x = x.cause) {
    if (/PermissionViolation/.test(x.constructor.name) || /permissions violation/i.test(x.message)) return false;
  }
  for (let x = e; x instanceof Error; x = x.cause) {
    if (/NoResponders|Timeout|ConnectionError|JetStreamNotEnabled|RequestError/.test(`${x.name} ${x.constructor.name}`))
      return true;
    if (/disconnected|no responders|jetstream not enabled|system temporarily unavailable/i.test(x.message)) return true;
  }
  return false;
}
