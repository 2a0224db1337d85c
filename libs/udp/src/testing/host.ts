import {
  CHECKSUM_NONE,
  ERRNO,
  ETH_P_IP,
  type HandOver,
  INADDR_BROADCAST,
  type Ipv4Addr,
  LayerEnv,
  PACKET_BROADCAST,
  PACKET_HOST,
  parseIpv4,
  type RouteQuery,
  type RouteReply,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_UNICAST,
  SeededRng,
  SkBuff,
  type SkCmd,
  type SkEvt,
  type SkView,
  type Tracepoint,
} from '@skbus/skb';
import { emitIpv4Header, emitUdp, IPV4_HLEN, UDP_HLEN, udpChecksum } from '@skbus/wire';
import type { UdpOptions } from '../context.ts';
import { UdpStack } from '../udp-stack.ts';

/** Dotted quad to number; for test literals only. */
export const ip = (text: string): Ipv4Addr => parseIpv4(text)!;

export const ME = ip('10.77.0.2');
export const ME_TOO = ip('10.77.0.12');
export const PEER = ip('10.77.0.1');
export const SUBNET_BROADCAST = ip('10.77.0.255');
/** Only reached over a narrow path. */
export const NARROW = ip('10.99.0.1');

export const text = (s: string): Uint8Array => Uint8Array.from(s, (c) => c.charCodeAt(0));
export const string = (b: Uint8Array): string => String.fromCharCode(...b);

export interface Datagram {
  from?: Ipv4Addr;
  sport?: number;
  to?: Ipv4Addr;
  dport?: number;
  data?: Uint8Array;
  pktType?: number;
  ipSummed?: number;
  /** Instead of the right one. */
  checksum?: number;
  /** Instead of the right one: what the header claims. */
  ulen?: number;
  /** Bytes of the UDP datagram in the linear part. */
  linear?: number;
}

/** UDP with 10.77.0.2/24 and 10.77.0.12 below it, all that it sends and says, and a clock. */
export class Host {
  now = 1000;
  readonly sent: { to: HandOver; skb: SkBuff }[] = [];
  readonly events: SkEvt[] = [];
  readonly points: Tracepoint[] = [];
  readonly queries: RouteQuery[] = [];
  readonly env: LayerEnv;
  readonly udp: UdpStack;
  /** IP answers queries at once. */
  autoRoute = true;
  private lastSeq = new Map<number, number>();

  constructor(opts: Partial<UdpOptions> = {}, seed = 1) {
    this.env = new LayerEnv({
      layer: 'udp',
      rng: new SeededRng(seed),
      out: { pass: (to, skb) => void this.sent.push({ to, skb }) },
    });
    this.env.setTraceSink((e) => this.points.push(e.point));
    this.udp = new UdpStack(this.env, {
      emit: (e) => void this.events.push(e),
      ask: (q) => void this.queries.push(q),
      ...opts,
    });
  }

  /** One batch: a step, the answers of IP, and the flush the shell does. */
  batch(step: () => void): SkEvt[] {
    const before = this.events.length;
    step();
    while (this.autoRoute && this.queries.length > 0) this.answer();
    this.udp.flush(this.now);
    return this.events.slice(before);
  }

  /** IP answers the oldest query. */
  answer(): void {
    const q = this.queries.shift()!;
    this.udp.onRouteReply(routeTo(q), this.now);
  }

  cmd(cmd: SkCmd): SkEvt[] {
    return this.batch(() => this.udp.onCommand(cmd, this.now));
  }

  /** The next operation of a socket; its errno. */
  op(sk: number, body: Omit<SkCmd, 'sk' | 'opSeq'>): number {
    const opSeq = (this.lastSeq.get(sk) ?? 0) + 1;
    this.lastSeq.set(sk, opSeq);
    const events = this.cmd({ sk, opSeq, ...body });
    const answer = events.findLast((e) => e.sk === sk && e.opAck === opSeq);
    if (answer === undefined) throw new Error(`operation ${opSeq} of ${sk} was not answered`);
    return answer.opErrno;
  }

  view(sk: number, rcvRead: number, rcvGot = rcvRead): SkEvt[] {
    const view: SkView = { sndTo: 0, rcvGot, rcvRead, finGot: false, haveChild: false, accepted: false };
    return this.cmd({ sk, opSeq: 0, view });
  }

  sendto(sk: number, data: Uint8Array, addr: Ipv4Addr = 0, port = 0): SkEvt[] {
    return this.cmd({ sk, opSeq: 0, sendto: { addr, port, data } });
  }

  receive(d: Datagram = {}): SkEvt[] {
    return this.batch(() => {
      this.env.ledger.received++;
      this.udp.onDatagram(datagram(d), this.now);
    });
  }

  /** ICMP says something about a datagram that went from us to `raddr:rport`. */
  icmp(type: number, code: number, { lport = 0, raddr = PEER, rport = 0, laddr = ME } = {}): SkEvt[] {
    return this.batch(() => {
      const skb = datagram({ from: laddr, sport: lport, to: raddr, dport: rport });
      skb.data = skb.networkHeader;
      skb.mark = (type << 8) | code;
      this.env.ledger.received++;
      this.udp.onIcmpError(skb, this.now);
    });
  }

  advance(ms: number): SkEvt[] {
    this.now += ms;
    return this.batch(() => this.udp.handleTimeout(this.now));
  }

  port(sk: number): number {
    return this.udp.sockets().find((s) => s.sk === sk)!.lport;
  }
}

export function datagram(d: Datagram): SkBuff {
  const { from = PEER, sport = 4000, to = ME, dport = 7, data = text('hello') } = d;
  const len = UDP_HLEN + data.length;
  const bytes = new Uint8Array(14 + IPV4_HLEN + len);
  const at = 14 + IPV4_HLEN;
  emitIpv4Header(
    {
      hlen: IPV4_HLEN,
      tos: 0,
      totalLen: IPV4_HLEN + len,
      id: 1,
      df: true,
      mf: false,
      fragOffset: 0,
      ttl: 64,
      proto: 17,
      saddr: from,
      daddr: to,
    },
    bytes,
    14,
  );
  bytes.set(data, at + UDP_HLEN);
  emitUdp({ sport, dport, len: d.ulen ?? len, checksum: 0 }, bytes, at);
  const checksum = d.checksum ?? udpChecksum(from, to, len, [bytes.subarray(at)]);
  emitUdp({ sport, dport, len: d.ulen ?? len, checksum }, bytes, at);
  const linear = at + Math.min(d.linear ?? len, len);
  const skb = new SkBuff(bytes.slice(0, linear), at, linear, linear < bytes.length ? [bytes.slice(linear)] : []);
  skb.id = 0x77;
  skb.protocol = ETH_P_IP;
  skb.networkHeader = 14;
  skb.pktType = d.pktType ?? (to === INADDR_BROADCAST || to === SUBNET_BROADCAST ? PACKET_BROADCAST : PACKET_HOST);
  skb.ipSummed = d.ipSummed ?? CHECKSUM_NONE;
  return skb;
}

/** A small FIB. */
export function routeTo(q: RouteQuery): RouteReply {
  const { id, daddr } = q;
  const found = (type: number, saddr: Ipv4Addr, mtu = 1500): RouteReply => ({
    id,
    errno: 0,
    daddr,
    saddr: q.saddr || saddr,
    oif: type === RTN_LOCAL ? 1 : 2,
    mtu,
    gateway: 0,
    type,
  });
  if (daddr === ME || daddr === ME_TOO || daddr >>> 24 === 127) return found(RTN_LOCAL, daddr, 65_535);
  if (daddr === SUBNET_BROADCAST || daddr === INADDR_BROADCAST) return found(RTN_BROADCAST, ME);
  if (daddr === NARROW) return found(RTN_UNICAST, ME, 576);
  if (daddr >>> 24 === 10 || daddr >>> 28 === 0xe) return found(RTN_UNICAST, ME);
  return { id, errno: ERRNO.ENETUNREACH, daddr, saddr: 0, oif: 0, mtu: 0, gateway: 0, type: 0 };
}
