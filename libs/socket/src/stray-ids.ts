import type { Millis, SkId } from '@skbus/skb';

const KEEP = 8192;
const ANSWER_EVERY_MS: Millis = 200;

interface Stray {
  /** The number of the close that ended it; events up to here are echoes of old messages, or of a socket raised by one. */
  closeSeq: number;
  answeredAt: Millis;
}

/**
 * Ids whose sockets are gone. A doubled or late message may raise one from the dead in its transport; then it is
 * closed again. Bounded: the oldest are forgotten.
 */
export class StrayIds {
  private readonly ids = new Map<SkId, Stray>();

  has(sk: SkId): boolean {
    return this.ids.has(sk);
  }

  closed(sk: SkId, closeSeq: number, now: Millis): void {
    this.ids.delete(sk);
    this.ids.set(sk, { closeSeq, answeredAt: now - ANSWER_EVERY_MS });
    if (this.ids.size > KEEP) {
      for (const oldest of this.ids.keys()) {
        this.ids.delete(oldest);
        break;
      }
    }
  }

  /** The number for a close to send to the transport, or 0: say nothing. */
  answer(sk: SkId, opAck: number, now: Millis): number {
    const known = this.ids.get(sk);
    if (known === undefined) {
      this.closed(sk, opAck + 1, now);
      this.ids.get(sk)!.answeredAt = now;
      return opAck + 1;
    }
    if (opAck >= known.closeSeq || now - known.answeredAt < ANSWER_EVERY_MS) return 0;
    known.answeredAt = now;
    return known.closeSeq;
  }
}
