import {
  CHECKSUM_NONE,
  CHECKSUM_UNNECESSARY,
  ETH_P_IP,
  IPPROTO_TCP,
  SKB_GSO_TCPV4,
  type LayerEnv,
  type SkBuff,
} from '@skbus/skb';
import {
  fold,
  get16,
  get32,
  getMac,
  IP_DF,
  IPV4_HLEN,
  ipv4ChecksumOk,
  pseudoHeaderSum,
  put16,
  tcpChecksumOk,
  TCP_ACK,
  TCP_CSUM_OFFSET,
  TCP_CWR,
  TCP_FIN,
  TCP_HLEN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  updateIpv4Checksum,
} from '@skbus/wire';

/** Flows held back at once (net/core/gro.c:MAX_GRO_SKBS). */
const MAX_GRO_SKBS = 8;
/** The IP total length field ends here (GRO_LEGACY_MAX_SIZE). */
const GRO_MAX_SIZE = 65_535;
/** Flags that end a train at once. */
const ENDS_TRAIN = TCP_URG | TCP_PSH | TCP_RST | TCP_SYN | TCP_FIN;

/** A TCP segment of IPv4 with nothing odd about it. */
interface Segment {
  ip: number;
  tcp: number;
  hlen: number;
  /** Payload bytes. */
  len: number;
  seq: number;
  flags: number;
}

/** The first skb of a train and what the next segment must look like (napi_gro_cb). */
interface Train {
  skb: SkBuff;
  first: Segment;
  mss: number;
  count: number;
  bytes: number;
  fixedId: boolean;
}

/**
 * Generic receive offload for TCP over IPv4, within one batch of the driver: consecutive segments of a flow become one
 * skb (net/ipv4/tcp_offload.c:tcp_gro_receive, net/ipv4/af_inet.c:inet_gro_receive).
 *
 * Skbs come with data at the IP header and the payload in frags (`buildSkb`).
 */
export class Gro {
  private trains: Train[] = [];
  private readonly env: LayerEnv;
  private readonly deliver: (skb: SkBuff) => void;

  /** `deliver`: netif_receive_skb. */
  constructor(env: LayerEnv, deliver: (skb: SkBuff) => void) {
    this.env = env;
    this.deliver = deliver;
    env.ledger.addQueue(() => this.trains.length);
  }

  /** napi_gro_receive(): keeps, merges or delivers the skb. */
  receive(skb: SkBuff): void {
    this.env.trace('napi_gro_receive', skb);
    const seg = skb.protocol === ETH_P_IP ? this.dissect(skb) : undefined;
    if (seg === undefined) {
      this.deliver(skb);
      return;
    }
    const i = this.trains.findIndex((t) => sameFlow(t, skb, seg));
    const train = this.trains[i];
    if (train !== undefined && this.merge(train, skb, seg)) {
      if (seg.len < train.mss || seg.flags & ENDS_TRAIN) this.complete(i);
      return;
    }
    if (train !== undefined) this.complete(i);
    if (skb.gsoSize > 0 || seg.len < 1 || seg.flags & ENDS_TRAIN) this.deliver(skb);
    else this.hold(skb, seg);
  }

  /** napi_gro_flush(): the batch is over. */
  flush(): void {
    if (this.trains.length === 0) return;
    this.env.trace('napi_gro_flush');
    while (this.trains.length > 0) this.complete(0);
  }

  private hold(skb: SkBuff, seg: Segment): void {
    if (this.trains.length >= MAX_GRO_SKBS) this.complete(0);
    this.trains.push({ skb, first: seg, mss: seg.len, count: 1, bytes: seg.len, fixedId: false });
  }

  /** The segment at data, or `undefined` where the usual path must look at it. Checks sums that nobody has checked. */
  private dissect(skb: SkBuff): Segment | undefined {
    const b = skb.buf;
    const ip = skb.data;
    const tcp = ip + IPV4_HLEN;
    if (!skb.mayPull(IPV4_HLEN + TCP_HLEN) || b[ip] !== 0x45 || b[ip + 9] !== IPPROTO_TCP) return undefined;
    // No fragments, no padding after the packet, a right header.
    if ((get16(b, ip + 6) & 0x3fff) !== 0 || get16(b, ip + 2) !== skb.len || !ipv4ChecksumOk(b, ip, IPV4_HLEN))
      return undefined;
    const hlen = (b[tcp + 12]! >>> 4) * 4;
    if (hlen < TCP_HLEN || tcp + hlen !== skb.tail) return undefined;
    if (skb.ipSummed === CHECKSUM_NONE) {
      const n = skb.len - IPV4_HLEN;
      if (!tcpChecksumOk(get32(b, ip + 12), get32(b, ip + 16), n, skb.slices(IPV4_HLEN, n))) return undefined;
      skb.ipSummed = CHECKSUM_UNNECESSARY;
    }
    return { ip, tcp, hlen, len: skb.dataLen, seq: get32(b, tcp + 4), flags: b[tcp + 13]! };
  }

  private merge(t: Train, skb: SkBuff, seg: Segment): boolean {
    if (!continues(t, skb, seg)) return false;
    for (const f of skb.frags) t.skb.addFrag(f);
    t.bytes += seg.len;
    t.count++;
    t.skb.buf[t.first.tcp + 13]! |= seg.flags & (TCP_FIN | TCP_PSH);
    this.env.consume(skb);
    return true;
  }

  /** napi_gro_complete() → inet_gro_complete() → tcp_gro_complete() */
  private complete(i: number): void {
    const [t] = this.trains.splice(i, 1);
    if (t === undefined) return;
    const { skb } = t;
    if (t.count > 1) {
      const { ip, tcp } = t.first;
      const b = skb.buf;
      put16(b, ip + 2, skb.len);
      updateIpv4Checksum(b, ip, IPV4_HLEN);
      put16(
        b,
        tcp + TCP_CSUM_OFFSET,
        fold(pseudoHeaderSum(get32(b, ip + 12), get32(b, ip + 16), IPPROTO_TCP, skb.len - IPV4_HLEN)),
      );
      skb.csumStart = tcp;
      skb.csumOffset = TCP_CSUM_OFFSET;
      skb.gsoSize = t.mss;
      skb.gsoSegs = t.count;
      skb.gsoType = SKB_GSO_TCPV4;
    }
    this.deliver(skb);
  }
}

function sameFlow(t: Train, skb: SkBuff, seg: Segment): boolean {
  const p = t.skb;
  return (
    p.ifindex === skb.ifindex &&
    get32(p.buf, t.first.tcp) === get32(skb.buf, seg.tcp) &&
    get32(p.buf, t.first.ip + 12) === get32(skb.buf, seg.ip + 12) &&
    get32(p.buf, t.first.ip + 16) === get32(skb.buf, seg.ip + 16) &&
    getMac(p.buf, p.macHeader) === getMac(skb.buf, skb.macHeader) &&
    getMac(p.buf, p.macHeader + 6) === getMac(skb.buf, skb.macHeader + 6)
  );
}

/** Whether the segment is the next of the train: all that the receiver would see differently must be equal. */
function continues(t: Train, skb: SkBuff, seg: Segment): boolean {
  const p = t.skb.buf;
  const b = skb.buf;
  const { ip, tcp } = t.first;
  if (skb.gsoSize > 0 || seg.len < 1 || seg.len > t.mss || seg.flags & TCP_CWR || !(seg.flags & TCP_ACK)) return false;
  if (seg.hlen !== t.first.hlen || seg.seq !== (t.first.seq + t.bytes) >>> 0) return false;
  if (IPV4_HLEN + seg.hlen + t.bytes + seg.len > GRO_MAX_SIZE) return false;
  // Acknowledgement, then flags and window as one word, FIN and PSH aside.
  if (get32(p, tcp + 8) !== get32(b, seg.tcp + 8)) return false;
  if ((get32(p, tcp + 12) ^ get32(b, seg.tcp + 12)) & ~((TCP_FIN | TCP_PSH) << 16)) return false;
  for (let i = TCP_HLEN; i < seg.hlen; i += 4) if (get32(p, tcp + i) !== get32(b, seg.tcp + i)) return false;
  return sameIp(t, p, ip, b, seg.ip);
}

/** inet_gro_flush(): equal TTL, TOS and DF, and an id that counts up or, with DF, stands still. */
function sameIp(t: Train, p: Uint8Array, ip: number, b: Uint8Array, ip2: number): boolean {
  const df = get16(p, ip + 6) & IP_DF;
  if (p[ip + 8] !== b[ip2 + 8] || p[ip + 1] !== b[ip2 + 1] || df !== (get16(b, ip2 + 6) & IP_DF)) return false;
  const offset = (get16(b, ip2 + 4) - get16(p, ip + 4)) & 0xffff;
  if (t.count === 1 && df && offset === 0) t.fixedId = true;
  return offset === (t.fixedId ? 0 : t.count & 0xffff);
}
