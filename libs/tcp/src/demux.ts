import type { Ipv4Addr } from '@skbus/skb';
import type { Secrets } from './isn.ts';
import type { Conn } from './conn.ts';

/**
 * The established hash (inet_hashinfo.ehash): socks, requests in NEW_SYN_RECV and TIME-WAITs by four-tuple. Chains are
 * linked through the entries, so a lookup allocates nothing.
 */
export class Ehash {
  private buckets: (Conn | undefined)[] = Array.from<Conn | undefined>({ length: 256 });
  private readonly secrets: Secrets;
  size = 0;

  constructor(secrets: Secrets) {
    this.secrets = secrets;
  }

  find(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): Conn | undefined {
    let e = this.buckets[this.slot(laddr, lport, raddr, rport)];
    while (e !== undefined) {
      if (e.rport === rport && e.lport === lport && e.raddr === raddr && e.laddr === laddr) return e;
      e = e.hashNext;
    }
    return undefined;
  }

  add(e: Conn): void {
    if (this.size >= this.buckets.length * 2) this.grow();
    const slot = this.slot(e.laddr, e.lport, e.raddr, e.rport);
    e.hashNext = this.buckets[slot];
    this.buckets[slot] = e;
    e.hashed = true;
    this.size++;
  }

  remove(e: Conn): void {
    if (!e.hashed) return;
    const slot = this.slot(e.laddr, e.lport, e.raddr, e.rport);
    let p = this.buckets[slot];
    if (p === e) {
      this.buckets[slot] = e.hashNext;
    } else {
      while (p !== undefined && p.hashNext !== e) p = p.hashNext;
      if (p !== undefined) p.hashNext = e.hashNext;
    }
    e.hashNext = undefined;
    e.hashed = false;
    this.size--;
  }

  *entries(): Generator<Conn> {
    for (const b of this.buckets) {
      for (let e = b; e !== undefined; e = e.hashNext) yield e;
    }
  }

  private slot(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): number {
    return this.secrets.tupleHash(laddr, lport, raddr, rport) & (this.buckets.length - 1);
  }

  private grow(): void {
    this.rehash(this.buckets.length * 4);
  }

  /** Every entry finds its chain again: more chains, or another secret. */
  rehash(chains = this.buckets.length): void {
    const all = [...this.entries()];
    this.buckets = Array.from<Conn | undefined>({ length: chains });
    this.size = 0;
    for (const e of all) this.add(e);
  }
}
