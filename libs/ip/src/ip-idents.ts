import { below, type Ipv4Addr, type Millis, type Rng } from '@skbus/skb';

const BUCKETS = 2048;
/** A tick of the clock that the jumps go by: HZ is 250 in the distributions' kernels. */
const JIFFY_MS = 4;

/**
 * Identifications for packets that may be fragmented (net/ipv4/route.c:__ip_select_ident): counters shared by hash, which
 * jump ahead by a random part of the time gone by, so that nobody learns from ours how much we send to others.
 */
export class IpIdents {
  private readonly ids = new Uint16Array(BUCKETS);
  private readonly stamps = new Float64Array(BUCKETS);
  private readonly rng: Rng;
  private readonly key: number;

  constructor(rng: Rng) {
    this.rng = rng;
    this.key = rng.u32();
    for (let i = 0; i < BUCKETS; i++) this.ids[i] = rng.u32();
  }

  /** The first of `segs` consecutive identifications. */
  select(saddr: Ipv4Addr, daddr: Ipv4Addr, proto: number, segs: number, now: Millis): number {
    const b = mix(saddr, daddr, proto ^ this.key) % BUCKETS;
    const jiffies = Math.floor(now / JIFFY_MS);
    const gone = Math.min(jiffies - this.stamps[b]!, 0xffff);
    const jump = gone > 0 ? below(this.rng, gone) : 0;
    this.stamps[b] = jiffies;
    const first = (this.ids[b]! + jump) & 0xffff;
    this.ids[b] = first + segs;
    return first;
  }
}

/** A small multiplicative hash; collisions only share a counter. */
function mix(a: number, b: number, c: number): number {
  let h = Math.imul(a ^ c, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15) ^ b, 0x85ebca6b);
  return (h ^ (h >>> 13)) >>> 0;
}
