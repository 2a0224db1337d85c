import {
  type HandOver,
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_MULTICAST,
  IFF_UP,
  type Ipv4Addr,
  LayerEnv,
  type NeighHint,
  parseIpv4,
  type Route,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTPROT_BOOT,
  SeededRng,
  SkBuff,
  type Tracepoint,
  type TraceDetail,
} from '@skbus/skb';
import { emitIcmp, emitIpv4Header, type IcmpRepr, type Ipv4Repr } from '@skbus/wire';
import { IpStack } from '../ip-stack.ts';
import type { IpSysctl } from '../sysctl.ts';

/** Dotted quad to number; for test literals only. */
export const ip = (text: string): Ipv4Addr => parseIpv4(text)!;

export const LO = { ifindex: 1, name: 'lo', mac: 0, mtu: 65_536, flags: IFF_UP | IFF_LOOPBACK };
export const SKB0 = {
  ifindex: 2,
  name: 'skb0',
  mac: 0x02_00_00_00_00_02,
  mtu: 1500,
  flags: IFF_UP | IFF_BROADCAST | IFF_MULTICAST,
};
export const ME = ip('10.77.0.2');
export const PEER = ip('10.77.0.1');
export const PEER_MAC = 0x02_00_00_00_00_01;

export interface Sent {
  to: HandOver;
  skb: SkBuff;
  instance: number;
}

/** An IP layer with lo and skb0 (10.77.0.2/24, default via 10.77.0.1), all it sends, and a clock. */
export class Host {
  readonly sent: Sent[] = [];
  readonly hints: NeighHint[] = [];
  readonly points: Tracepoint[] = [];
  readonly details: { point: Tracepoint; detail: TraceDetail }[] = [];
  readonly env: LayerEnv;
  readonly ip: IpStack;
  flushes = 0;
  now = 1000;

  constructor(sysctl: Partial<IpSysctl> = {}, setup: 'configured' | 'bare' = 'configured', seed = 1) {
    this.env = new LayerEnv({
      layer: 'ip',
      rng: new SeededRng(seed),
      out: { pass: (to, skb, instance) => void this.sent.push({ to, skb, instance }) },
    });
    this.ip = new IpStack(this.env, {
      hint: (h) => void this.hints.push(h),
      routesChanged: () => void this.flushes++,
      sysctl,
    });
    this.ip.inetAddProtocol(6, 'tcp_v4_rcv', 'tcp_v4_err');
    this.ip.inetAddProtocol(17, 'udp_rcv', 'udp_err');
    if (setup === 'bare') return;
    this.ip.addDevice(LO);
    this.ip.addDevice(SKB0);
    this.ip.addAddr({
      ifindex: 2,
      local: ME,
      prefixLen: 24,
      broadcast: ip('10.77.0.255'),
      scope: RT_SCOPE_UNIVERSE,
      label: 'skb0',
    });
    this.ip.addRoute(route('0.0.0.0/0', { gateway: PEER, oif: 2 }));
  }

  /** Records trace points from now on. */
  traced(): this {
    this.env.setTraceSink(({ point, detail }) => {
      this.points.push(point);
      if (detail !== undefined) this.details.push({ point, detail });
    });
    return this;
  }

  /** The neighbour layer has resolved an address. */
  resolved(addr: Ipv4Addr = PEER, mac = PEER_MAC, epoch = 1): this {
    this.ip.onNeighUpdate(
      { epoch, ifindex: 2, addr, lladdr: mac, devAddr: SKB0.mac, connected: true, validMs: 60_000 },
      this.now,
    );
    return this;
  }

  rcv(skb: SkBuff): this {
    this.env.ledger.received++;
    this.ip.ipRcv(skb, this.now);
    return this;
  }

  /** A transport's packet. */
  xmit(skb: SkBuff, via: 'ipQueueXmit' | 'ipSendSkb' = 'ipSendSkb'): this {
    this.env.ledger.received++;
    this.ip[via](skb, this.now);
    return this;
  }

  /** What was handed on since the last call. */
  take(): Sent[] {
    return this.sent.splice(0);
  }

  drops(): Record<string, number> {
    return Object.fromEntries(this.env.ledger.drops);
  }
}

/** A route as the command line would make it. */
export function route(prefix: string, r: Partial<Route> = {}): Route {
  const [addr, len] = prefix.split('/');
  return {
    dst: ip(addr!),
    dstLen: Number(len ?? 32),
    gateway: 0,
    oif: 0,
    prefsrc: 0,
    table: RT_TABLE_MAIN,
    type: RTN_UNICAST,
    scope: r.gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
    protocol: RTPROT_BOOT,
    metric: 0,
    tos: 0,
    mtu: 0,
    ...r,
  };
}

/** A received IPv4 packet: data at the IP header. */
export function packet(
  r: Partial<Ipv4Repr>,
  payload: Uint8Array = new Uint8Array(),
  options: readonly number[] = [],
): SkBuff {
  const hlen = 20 + options.length;
  const skb = SkBuff.alloc(14, hlen + payload.length);
  const at = skb.put(hlen + payload.length);
  skb.buf.set(options, at + 20);
  skb.buf.set(payload, at + hlen);
  emitIpv4Header(
    {
      hlen,
      tos: 0,
      totalLen: hlen + payload.length,
      id: 1,
      df: false,
      mf: false,
      fragOffset: 0,
      ttl: 64,
      proto: 17,
      saddr: PEER,
      daddr: ME,
      ...r,
    },
    skb.buf,
    at,
  );
  skb.ifindex = 2;
  skb.id = 77;
  return skb;
}

export function icmp(r: Partial<IcmpRepr>, body: Uint8Array = new Uint8Array()): Uint8Array {
  const b = new Uint8Array(8 + body.length);
  b.set(body, 8);
  emitIcmp({ type: 8, code: 0, id: 7, seq: 1, ...r }, b, 0, [body]);
  return b;
}

/** A packet as a transport hands it down: data at the transport header, flow set. */
export function outgoing(payload: Uint8Array, flow: Partial<NonNullable<SkBuff['flow']>> = {}): SkBuff {
  const skb = SkBuff.alloc(64, 0);
  skb.addFrag(payload);
  skb.flow = { saddr: ME, daddr: PEER, proto: 17, tos: 0, ttl: 0, df: false, oif: 0, connected: false, ...flow };
  skb.id = 78;
  return skb;
}

export const pattern = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i * 7 + (i >>> 8));
