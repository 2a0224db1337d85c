import { NEVER, type Millis, type SkId } from '@skbus/skb';
import type { Sock } from './sock.ts';
import type { Timed } from './timer-heap.ts';
import type { FileNews } from './types.ts';

/** News can wait that long, for company. */
const NEWS_MS: Millis = 100;
/** But not when the program holds so many bytes for nothing. */
const NEWS_BYTES = 1 << 20;

/**
 * A program that outlives this service: it keeps what it has written until it hears that the transport has it, and claims its
 * sockets from the next service (docs/adr/0010-gateway-death.md).
 */
export class Session implements Timed {
  /** Under this number its sockets are known to the transports. */
  readonly owner: number;
  timerAt: Millis = NEVER;
  heapAt: Millis = NEVER;
  private readonly arm: (at: Millis) => void;
  private readonly tell: (news: readonly FileNews[]) => void;
  private readonly moved = new Set<Sock>();
  private over = false;

  constructor(owner: number, arm: (t: Timed, at: Millis) => void, tell: (news: readonly FileNews[]) => void) {
    this.owner = owner;
    this.arm = (at) => arm(this, at);
    this.tell = tell;
  }

  /** The transport has more of what the program wrote, or is done with it. */
  report(s: Sock, now: Millis): void {
    if (this.over) return;
    this.moved.add(s);
    if (s.sndGot - s.sndGotTold >= NEWS_BYTES) this.onTimer();
    else if (this.timerAt === NEVER) this.arm(now + NEWS_MS);
  }

  rekeyed(old: SkId, s: Sock): void {
    if (!this.over) this.tell([{ sk: old, sndGot: s.sndGot, newSk: s.id }]);
  }

  onTimer(): void {
    this.arm(NEVER);
    if (this.over || this.moved.size === 0) return;
    const news: FileNews[] = [];
    for (const s of this.moved) {
      const gone = s.settled;
      s.sndGotTold = s.sndGot;
      if (gone) s.session = undefined;
      news.push(gone ? { sk: s.id, sndGot: s.sndGot, gone } : { sk: s.id, sndGot: s.sndGot });
    }
    this.moved.clear();
    this.tell(news);
  }

  /** The program has gone. */
  end(): void {
    this.over = true;
    this.moved.clear();
    this.arm(NEVER);
  }
}
