import type { Millis } from '@skbus/skb';

/**
 * Longer than any message of a dead service can still be on its way. One that goes on speaking after that is alive, and
 * the other was an impostor: it counts again.
 */
export const RETIRED_MS: Millis = 2000;

/** Whose message it is: one of a service already known, of the first, of one that took its place, or of the one before. */
export type Heard = 'known' | 'first' | 'new' | 'retired';

/** Tells by the number that a list of commands or events carries whether the service at the other end was started anew. */
export class PublisherWatch {
  private current = 0;
  private retired = 0;
  private retiredUntilMs: Millis = 0;

  /** Who counts now; 0: nobody was heard of yet. */
  get publisher(): number {
    return this.current;
  }

  hear(publisher: number, now: Millis): Heard {
    if (publisher === this.current) return 'known';
    if (publisher === this.retired && now < this.retiredUntilMs) return 'retired';
    const first = this.current === 0;
    this.retired = this.current;
    this.retiredUntilMs = now + RETIRED_MS;
    this.current = publisher;
    return first ? 'first' : 'new';
  }
}
