import { expect } from '@jest/globals';
import {
  CHECKSUM_PARTIAL,
  ETH_P_ARP,
  ETH_P_IP,
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_UP,
  LayerEnv,
  SeededRng,
  SKB_GSO_TCPV4,
  SkBuff,
  type HandOver,
  type Tracepoint,
} from '@skbus/skb';
import {
  emitEthernet,
  emitIpv4Header,
  emitTcp,
  fold,
  get32,
  ipv4ChecksumOk,
  pseudoHeaderSum,
  put16,
  TCP_ACK,
  tcpChecksumOk,
} from '@skbus/wire';
import { NetdevCore } from '../netdev-core.ts';
import { macOfAddress, type Features, type NetdevDriver, type RxMeta } from '../netdevice.ts';

export const US = 0x0a4d0002;
export const PEER = 0x0a4d0001;
export const OUR_MAC = macOfAddress(US);
export const PEER_MAC = macOfAddress(PEER);
export const DEV = { ifindex: 2, name: 'skb0', mac: OUR_MAC, mtu: 1500, flags: IFF_UP | IFF_BROADCAST };
export const LO = { ifindex: 1, name: 'lo', mac: 0, mtu: 65_536, flags: IFF_UP | IFF_LOOPBACK };
export const NONE: Features = { csum: false, tso: false };
export const ALL: Features = { csum: true, tso: true };
export const PLAIN: RxMeta = { csum: 'none' };

export interface Seg {
  seq: number;
  payload: Uint8Array;
  flags?: number;
  ack?: number;
  id?: number;
  ttl?: number;
  window?: number;
  tsVal?: number;
  df?: boolean;
  sport?: number;
}

export const TS = 12;

/** A TCP frame with a timestamp option; `sum`: with a right TCP checksum, else as CHECKSUM_PARTIAL leaves it. */
export function tcpFrame(s: Seg, dir: 'in' | 'out' = 'in', sum = true): Uint8Array {
  const [saddr, daddr] = dir === 'in' ? [PEER, US] : [US, PEER];
  const len = 14 + 20 + 20 + TS + s.payload.length;
  const b = new Uint8Array(len);
  const [src, dst] = dir === 'in' ? [PEER_MAC, OUR_MAC] : [OUR_MAC, PEER_MAC];
  emitEthernet({ dst, src, type: ETH_P_IP }, b, 0);
  emitIpv4Header(
    {
      hlen: 20,
      tos: 0,
      totalLen: len - 14,
      id: s.id ?? 0,
      df: s.df ?? true,
      mf: false,
      fragOffset: 0,
      ttl: s.ttl ?? 64,
      proto: 6,
      saddr,
      daddr,
    },
    b,
    14,
  );
  emitTcp(
    {
      sport: s.sport ?? 4000,
      dport: 80,
      seq: s.seq >>> 0,
      ack: s.ack ?? 7,
      hlen: 20 + TS,
      flags: s.flags ?? TCP_ACK,
      window: s.window ?? 500,
      urgent: 0,
    },
    b,
    34,
  );
  b.set([1, 1, 8, 10, 0, 0, 0, s.tsVal ?? 1, 0, 0, 0, 9], 54);
  b.set(s.payload, 54 + TS);
  const pseudo = pseudoHeaderSum(saddr, daddr, 6, len - 34);
  put16(b, 50, fold(pseudo));
  if (sum) {
    let total = 0;
    for (let i = 34; i < len; i += 2) total += (b[i]! << 8) | (b[i + 1] ?? 0);
    put16(b, 50, fold(total) ^ 0xffff);
  }
  return b;
}

export const bytes = (n: number, from = 0): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (from + i) * 7);

/** A core with one device whose driver keeps what it is given. */
export class Bench {
  readonly passed: { to: HandOver; skb: SkBuff; instance: number }[] = [];
  readonly sent: Uint8Array[] = [];
  readonly metas: { gsoSize: number; ipSummed: number; csumStart: number }[] = [];
  readonly points: Tracepoint[] = [];
  readonly env: LayerEnv;
  readonly core: NetdevCore;
  room = Number.POSITIVE_INFINITY;
  flushes = 0;
  inRing = 0;
  now = 1;

  constructor(features: Features = NONE, opts: { backlogMax?: number } = {}) {
    this.env = new LayerEnv({
      layer: 'nic',
      rng: new SeededRng(1),
      out: { pass: (to, skb, instance) => this.passed.push({ to, skb, instance }) },
    });
    this.env.setTraceSink((e) => this.points.push(e.point));
    this.core = new NetdevCore(this.env, opts);
    this.core.registerNetdevice({ ...LO, features: ALL });
    this.core.registerNetdevice({ ...DEV, features }, this.driver());
    this.core.devAddPack(ETH_P_IP, 'ip_rcv');
    this.core.devAddPack(ETH_P_ARP, 'arp_rcv');
    this.points.length = 0;
  }

  driver(): NetdevDriver {
    const ringOf = (): number => this.inRing;
    return {
      ndoStartXmit: 'tun_net_xmit',
      get inRing() {
        return ringOf();
      },
      xmit: (skb) => {
        if (this.sent.length >= this.room) return false;
        this.sent.push(skb.bytes());
        this.metas.push({ gsoSize: skb.gsoSize, ipSummed: skb.ipSummed, csumStart: skb.csumStart - skb.data });
        return true;
      },
      flush: () => void this.flushes++,
    };
  }

  rx(frame: Uint8Array, meta: RxMeta = PLAIN): void {
    this.core.receive(frame, 2, meta, this.now);
  }

  end(): void {
    this.core.flush(this.now);
    expect(this.env.ledger.imbalance).toBe(0);
  }

  /** An skb as IP hands it over: headers linear, payload as fragments. */
  xmit(frame: Uint8Array, set: Partial<SkBuff> = {}, hlen = 54 + TS): SkBuff {
    const skb = new SkBuff(frame.slice(0, Math.min(hlen, frame.length)), 0, Math.min(hlen, frame.length));
    for (let i = hlen; i < frame.length; i += 1000) skb.addFrag(frame.slice(i, Math.min(frame.length, i + 1000)));
    skb.id = this.env.nextId();
    skb.ifindex = 2;
    skb.protocol = ETH_P_IP;
    skb.macHeader = 0;
    skb.networkHeader = 14;
    Object.assign(skb, set);
    this.env.ledger.received++;
    this.core.xmit(skb, this.now);
    return skb;
  }

  xmitGso(s: Seg, gsoSize: number): SkBuff {
    return this.xmit(tcpFrame(s, 'out', false), {
      gsoSize,
      gsoType: SKB_GSO_TCPV4,
      gsoSegs: Math.ceil(s.payload.length / gsoSize),
      ipSummed: CHECKSUM_PARTIAL,
      csumStart: 34,
      csumOffset: 16,
    });
  }
}

export const tcpOk = (f: Uint8Array): boolean =>
  ipv4ChecksumOk(f, 14, 20) && tcpChecksumOk(get32(f, 26), get32(f, 30), f.length - 34, [f.subarray(34)]);
