/** Addresses that are remembered; more at once share what is left of the oldest. */
const ADDRESSES_MAX = 1024;
/** What an address may use up at once: so many seconds' worth. */
const BURST_S = 2;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** A token bucket for each address. */
export class RateLimit {
  private readonly perS: number;
  private readonly now: () => number;
  private readonly buckets = new Map<string, Bucket>();

  /** `perS` 0: no bound. */
  constructor(perS: number, now: () => number) {
    this.perS = perS;
    this.now = now;
  }

  admits(address: string): boolean {
    if (this.perS === 0) return true;
    const now = this.now();
    const b = this.buckets.get(address) ?? this.fresh(now);
    b.tokens = Math.min(this.perS * BURST_S, b.tokens + ((now - b.atMs) / 1000) * this.perS);
    b.atMs = now;
    // Moved to the end: the first one is the longest unused.
    this.buckets.delete(address);
    this.buckets.set(address, b);
    if (b.tokens < 1) return false;
    b.tokens--;
    return true;
  }

  private fresh(now: number): Bucket {
    const full = { tokens: this.perS * BURST_S, atMs: now };
    if (this.buckets.size < ADDRESSES_MAX) return full;
    const [oldest, b] = this.buckets.entries().next().value!;
    this.buckets.delete(oldest);
    return b;
  }
}
