import { type Ipv4Addr, type Millis, NEVER } from '@skbus/skb';

export interface PmtuException {
  readonly mtu: number;
  readonly locked: boolean;
  readonly expiresMs: Millis;
}

const EXCEPTIONS_MAX = 4096;

/** What routers told us about paths (fib_nh_exception): the oldest goes when there are too many. */
export class PmtuExceptions {
  private readonly byDaddr = new Map<Ipv4Addr, PmtuException>();

  get(daddr: Ipv4Addr, now: Millis): PmtuException | undefined {
    const e = this.byDaddr.get(daddr);
    if (e === undefined || e.expiresMs > now) return e;
    this.byDaddr.delete(daddr);
    return undefined;
  }

  set(daddr: Ipv4Addr, e: PmtuException): void {
    this.byDaddr.delete(daddr);
    if (this.byDaddr.size >= EXCEPTIONS_MAX) {
      for (const oldest of this.byDaddr.keys()) {
        this.byDaddr.delete(oldest);
        break;
      }
    }
    this.byDaddr.set(daddr, e);
  }

  clear(): void {
    this.byDaddr.clear();
  }

  get nextExpiry(): Millis {
    let t = NEVER;
    for (const e of this.byDaddr.values()) t = Math.min(t, e.expiresMs);
    return t;
  }
}
