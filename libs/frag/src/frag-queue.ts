import type { Ipv4Addr, Millis, SkBuff } from '@skbus/skb';

/** A fragment's payload [offset, end) of the datagram; the skb's data is at the payload, networkHeader at its header. */
export interface Fragment {
  readonly offset: number;
  readonly end: number;
  readonly skb: SkBuff;
}

/** Where a fragment fits: in a hole, on bytes that are all there already, or across an edge of them. */
export type Fit = 'new' | 'duplicate' | 'overlap';

/** One datagram being put together (net/ipv4/ip_fragment.c:struct ipq). */
export class FragQueue {
  readonly key: string;
  readonly saddr: Ipv4Addr;
  /** When it is given up. */
  expiresMs: Millis;
  /** Bytes of payload as far as known; final once `lastIn`. */
  len = 0;
  /** Bytes that are here. */
  meat = 0;
  lastIn = false;
  /** ECN code points seen, one bit each (ip4_frag_ecn). */
  ecn = 0;
  maxSize = 0;
  maxDfSize = 0;
  ifindex = 0;
  /** The source's fragment counter when this queue last got one (qp->rid). */
  rid: number;
  /** In order, never overlapping. */
  fragments: Fragment[] = [];
  /** What it counts against the memory limit. */
  mem = 0;

  constructor(key: string, saddr: Ipv4Addr, expiresMs: Millis, rid: number) {
    this.key = key;
    this.saddr = saddr;
    this.expiresMs = expiresMs;
    this.rid = rid;
  }

  get firstIn(): boolean {
    return this.fragments[0]?.offset === 0;
  }

  get complete(): boolean {
    return this.lastIn && this.firstIn && this.meat === this.len;
  }

  /**
   * Puts a fragment in its place (net/ipv4/inet_fragment.c:inet_frag_queue_insert). One that lies wholly on bytes which
   * are there is a duplicate; one that only touches them makes the datagram worthless (RFC 5722 as Linux applies it to
   * IPv4: overlaps are only ever seen in attacks).
   */
  insert(f: Fragment): Fit {
    const list = this.fragments;
    let at = list.length;
    while (at > 0 && list[at - 1]!.offset >= f.end) at--;
    const before = list[at - 1];
    if (before !== undefined && before.end > f.offset) return this.contains(f, at - 1) ? 'duplicate' : 'overlap';
    list.splice(at, 0, f);
    this.meat += f.end - f.offset;
    return 'new';
  }

  /** Whether the run of adjoining fragments that ends with list[at] or goes on after it covers `f`. */
  private contains(f: Fragment, at: number): boolean {
    const list = this.fragments;
    if (list[at]!.end < f.end) return false;
    let i = at;
    while (i > 0 && list[i]!.offset > f.offset && list[i - 1]!.end === list[i]!.offset) i--;
    return list[i]!.offset <= f.offset;
  }
}
