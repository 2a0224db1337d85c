import {
  ETH_P_ARP,
  ETH_P_IP,
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_UP,
  LayerEnv,
  PACKET_HOST,
  parseIpv4,
  SeededRng,
  SkBuff,
  type HandOver,
  type IfAddr,
  type NeighUpdate,
  type NetDevice,
  type Tracepoint,
} from '@skbus/skb';
import {
  ARP_LEN,
  ARPOP_REPLY,
  emitArp,
  emitIpv4Header,
  IPV4_HLEN,
  parseArp,
  parseEthernet,
  type ArpRepr,
} from '@skbus/wire';
import { NeighTable } from '../neigh-table.ts';
import { nudName } from '../nud.ts';
import type { NeighSysctl } from '../sysctl.ts';

export const ip = (text: string): number => parseIpv4(text)!;
export const US = ip('10.77.0.2');
export const PEER = ip('10.77.0.1');
export const OUR_MAC = 0x02000a4d0002;
export const PEER_MAC = 0x02000a4d0001;
export const OTHER_MAC = 0x020000000099;
export const DEV: NetDevice = { ifindex: 2, name: 'skb0', mac: OUR_MAC, mtu: 1500, flags: IFF_UP | IFF_BROADCAST };
export const LO: NetDevice = { ifindex: 1, name: 'lo', mac: 0, mtu: 65_536, flags: IFF_UP | IFF_LOOPBACK };
export const ADDR: IfAddr = {
  ifindex: 2,
  local: US,
  prefixLen: 24,
  broadcast: ip('10.77.0.255'),
  scope: 0,
  label: 'skb0',
};

/** A table with its surroundings recorded. */
export class Bench {
  readonly passed: { to: HandOver; skb: SkBuff }[] = [];
  readonly updates: NeighUpdate[] = [];
  readonly conflicts: [number, number][] = [];
  readonly points: Tracepoint[] = [];
  readonly lines: string[] = [];
  readonly env: LayerEnv;
  readonly table: NeighTable;
  now = 1000;

  constructor(sysctl: Partial<NeighSysctl> = {}) {
    this.env = new LayerEnv({
      layer: 'neigh',
      rng: new SeededRng(7),
      out: { pass: (to, skb) => this.passed.push({ to, skb }) },
      printk: (l) => this.lines.push(l),
    });
    this.env.setTraceSink((e) => this.points.push(e.point));
    this.table = new NeighTable(this.env, {
      epoch: 5,
      update: (u) => this.updates.push(u),
      conflict: (_i, addr, mac) => this.conflicts.push([addr, mac]),
      sysctl,
    });
    this.table.addDevice(LO, this.now);
    this.table.addDevice(DEV, this.now);
    this.table.setLocalAddrs([ADDR], this.now);
  }

  send(nextHop = PEER, opts: { ifindex?: number; confirm?: boolean; size?: number } = {}): SkBuff {
    const skb = SkBuff.alloc(64, IPV4_HLEN + (opts.size ?? 0));
    skb.id = this.env.nextId();
    skb.networkHeader = skb.put(IPV4_HLEN + (opts.size ?? 0));
    emitIpv4Header(
      {
        hlen: 20,
        tos: 0,
        totalLen: skb.len,
        id: 1,
        df: true,
        mf: false,
        fragOffset: 0,
        ttl: 64,
        proto: 17,
        saddr: US,
        daddr: nextHop,
      },
      skb.buf,
      skb.networkHeader,
    );
    skb.protocol = ETH_P_IP;
    skb.ifindex = opts.ifindex ?? 2;
    skb.nextHop = nextHop;
    skb.confirm = opts.confirm ?? false;
    this.env.ledger.received++;
    this.table.output(skb, this.now);
    return skb;
  }

  arp(r: Partial<ArpRepr>, pktType = PACKET_HOST): void {
    const skb = SkBuff.alloc(0, ARP_LEN + 18);
    emitArp({ op: ARPOP_REPLY, sha: PEER_MAC, spa: PEER, tha: OUR_MAC, tpa: US, ...r }, skb.buf, skb.put(ARP_LEN + 18));
    skb.protocol = ETH_P_ARP;
    skb.ifindex = 2;
    skb.pktType = pktType;
    this.env.ledger.received++;
    this.table.arpRcv(skb, this.now);
  }

  /** Runs the timers up to `ms` from now. */
  sleep(ms: number): void {
    const end = this.now + ms;
    for (let guard = 0; this.table.pollTimeout() <= end; guard++) {
      if (guard > 10_000) throw new Error('the timers do not come to rest');
      this.now = Math.max(this.now, this.table.pollTimeout());
      this.table.handleTimeout(this.now);
    }
    this.now = end;
  }

  resolve(): void {
    this.send();
    this.arp({});
    this.passed.length = 0;
    this.updates.length = 0;
    this.points.length = 0;
  }

  state(addr = PEER): string | undefined {
    const n = this.table.entries().find((e) => e.addr === addr);
    return n && nudName(n.state);
  }

  frames(): { dst: number; src: number; type: number; arp: ArpRepr | undefined }[] {
    return this.passed
      .filter((p) => p.to === 'dev_queue_xmit')
      .map(({ skb }) => ({
        ...parseEthernet(skb.buf, skb.data, skb.tail)!,
        arp: parseArp(skb.buf, skb.data + 14, skb.tail),
      }));
  }
}
