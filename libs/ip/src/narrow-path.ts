import { FaultCases, type FaultCase, type LayerFaults, type Millis, type SkBuff } from '@skbus/skb';
import { get16, IP_DF } from '@skbus/wire';

/** The next hop has a smaller MTU than its device says, and tells of it (RFC 1191) or not (RFC 2923 2.1). */
export class NarrowPath {
  readonly blackHole = new FaultCases();
  readonly tooBig = new FaultCases();
  readonly faults: LayerFaults = {
    'mtu-black-hole': { begin: this.blackHole.begin },
    'mtu-too-big': { begin: this.tooBig.begin },
  };

  get any(): boolean {
    return this.blackHole.on !== undefined || this.tooBig.on !== undefined;
  }

  /** What this packet (data at its IP header) is too long for, if it may not be cut into fragments there. */
  stops(skb: SkBuff, now: Millis): { mtu: number; tells: boolean } | undefined {
    if ((get16(skb.buf, skb.data + 6) & IP_DF) === 0) return undefined;
    const len = longest(skb);
    const hit = ({ list }: FaultCases): FaultCase | undefined =>
      list.find((c) => len > c.params.mtu! && c.takes(now, skb));
    const silent = hit(this.blackHole);
    if (silent !== undefined) return { mtu: silent.params.mtu!, tells: false };
    const c = hit(this.tooBig);
    return c === undefined ? undefined : { mtu: c.params.mtu!, tells: true };
  }
}

/** Of what it will be on the wire, or was there. */
function longest(skb: SkBuff): number {
  if (skb.gsoSize === 0) return skb.len;
  const hlen = (skb.buf[skb.data]! & 15) * 4;
  return hlen + (skb.buf[skb.data + hlen + 12]! >>> 4) * 4 + skb.gsoSize;
}
