import {
  decodeCmds,
  decodeEvts,
  encodeCmds,
  encodeEvts,
  firstSkbId,
  HAND_OVER_OWNER,
  LAYERS,
  type Layer,
} from '@skbus/contracts';
import { macOfAddress, NetdevCore, type NetdevDriver, type RxMeta } from '@skbus/dev';
import { IpStack, type IpSysctl } from '@skbus/ip';
import { NeighTable, type NeighSysctl } from '@skbus/neigh';
import {
  CHECKSUM_PARTIAL,
  ETH_P_ARP,
  ETH_P_IP,
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_MULTICAST,
  IFF_RUNNING,
  IFF_UP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  maskOf,
  parseCidr,
  parseIpv4,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTPROT_STATIC,
  type HandOver,
  type Ipv4Addr,
  type Millis,
  type NetDevice,
  type RouteQuery,
  type SkBuff,
  type SkCmd,
  type SkEvt,
} from '@skbus/skb';
import { SocketLayer } from '@skbus/socket';
import { TcpStack, type TcpSysctl } from '@skbus/tcp';
import { UdpStack } from '@skbus/udp';
import type { VirtualClock } from './clock.ts';
import { LayerShell, type TraceHit, type Wiring } from './layer-shell.ts';
import type { Link } from './link.ts';
import type { SeamFaults } from './seam-faults.ts';

export interface HostOptions {
  /** Encode and decode every message between layers as the bus would; default true. */
  codec?: boolean;
  /** How long a message takes between two layers; default 0. */
  busMs?: Millis;
  /** The devices do checksums and take whole GSO segments; default false. */
  offload?: boolean;
  /** net.ipv4.ip_forward */
  router?: boolean;
  ip?: Partial<IpSysctl>;
  tcp?: Partial<TcpSysctl>;
  neigh?: Partial<NeighSysctl>;
  /** Losses, doubles and delays between TCP and the socket layer. */
  seam?: SeamFaults;
}

const UP = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;
const EPOCH = 1;

/** One machine: every layer's engine, wired as the services are wired by the bus. */
export class Host implements Wiring {
  readonly name: string;
  readonly clock: VirtualClock;
  readonly clockAheadMs: Millis;
  readonly busMs: Millis;
  readonly codec: boolean;
  readonly shells: Record<Layer, LayerShell>;
  readonly nic: NetdevCore;
  readonly neigh: NeighTable;
  readonly ip: IpStack;
  readonly udp: UdpStack;
  readonly tcp: TcpStack;
  readonly sockets: SocketLayer;
  /** Address conflicts that ARP saw. */
  conflicts = 0;
  /** Frames given to links. */
  framesOut = 0;
  /** Trace points passed while tracing. */
  readonly hits: TraceHit[] = [];
  private readonly offload: boolean;
  private readonly seam: SeamFaults | undefined;
  private readonly handlers: Record<HandOver, (skb: SkBuff, now: Millis) => void>;
  private ifindex = 1;
  private cmds: Record<'tcp' | 'udp', SkCmd[]> = { tcp: [], udp: [] };
  private evts: Record<'tcp' | 'udp', SkEvt[]> = { tcp: [], udp: [] };

  constructor(name: string, clock: VirtualClock, index: number, seed: number, opts: HostOptions = {}) {
    this.name = name;
    this.clock = clock;
    this.clockAheadMs = 1_000 + index * 77_777.25;
    this.busMs = opts.busMs ?? 0;
    this.codec = opts.codec ?? true;
    this.offload = opts.offload ?? false;
    this.seam = opts.seam;
    const shell = (layer: Layer): LayerShell =>
      new LayerShell(this, layer, {
        seed: seed * 64 + index * 8 + LAYERS.indexOf(layer),
        firstId: firstSkbId(layer) + index * 0x10_0000,
      });
    this.shells = {
      nic: shell('nic'),
      neigh: shell('neigh'),
      ip: shell('ip'),
      udp: shell('udp'),
      tcp: shell('tcp'),
      socket: shell('socket'),
    };
    const { shells } = this;
    this.nic = new NetdevCore(shells.nic.env);
    this.neigh = new NeighTable(shells.neigh.env, {
      epoch: EPOCH,
      update: (u) => shells.ip.post((now) => this.ip.onNeighUpdate(u, now)),
      conflict: () => void this.conflicts++,
      ...(opts.neigh === undefined ? {} : { sysctl: opts.neigh }),
    });
    this.ip = new IpStack(shells.ip.env, {
      hint: (h) => shells.neigh.post((now) => this.neigh.hint(h, now)),
      routesChanged: () => {
        shells.tcp.post(() => this.tcp.onRouteFlush());
        shells.udp.post(() => this.udp.onRouteFlush());
      },
      sysctl: { ...opts.ip, ...(opts.router === true ? { ipForward: true } : {}) },
    });
    this.udp = new UdpStack(shells.udp.env, {
      emit: (evt) => void this.evts.udp.push(evt),
      ask: (q) => this.ask('udp', q),
    });
    this.tcp = new TcpStack(shells.tcp.env, {
      emit: (evt) => void this.evts.tcp.push(evt),
      ask: (q) => this.ask('tcp', q),
      ...(opts.tcp === undefined ? {} : { sysctl: opts.tcp }),
    });
    this.sockets = new SocketLayer(shells.socket.env, {
      toTcp: (cmd) => void this.cmds.tcp.push(cmd),
      toUdp: (cmd) => void this.cmds.udp.push(cmd),
    });
    this.handlers = {
      ip_rcv: (skb, now) => this.ip.ipRcv(skb, now),
      arp_rcv: (skb, now) => this.neigh.arpRcv(skb, now),
      tcp_v4_rcv: (skb, now) => this.tcp.onSegment(skb, now),
      tcp_v4_err: (skb, now) => this.tcp.onIcmpError(skb, now),
      udp_rcv: (skb, now) => this.udp.onDatagram(skb, now),
      udp_err: (skb, now) => this.udp.onIcmpError(skb, now),
      ip_queue_xmit: (skb, now) => this.ip.ipQueueXmit(skb, now),
      ip_send_skb: (skb, now) => this.ip.ipSendSkb(skb, now),
      icmp_send: (skb, now) => this.ip.icmpSend(skb, now),
      ipv4_link_failure: (skb, now) => this.ip.linkFailure(skb, now),
      neigh_output: (skb, now) => this.neigh.output(skb, now),
      dev_queue_xmit: (skb, now) => this.nic.xmit(skb, now),
    };
    this.bind();
    this.boot();
  }

  deliver(to: HandOver, _instance: number, skbs: readonly SkBuff[]): void {
    const shell = this.shells[HAND_OVER_OWNER[to]];
    shell.post((now) => {
      for (const skb of skbs) {
        shell.env.ledger.received++;
        this.handlers[to](skb, now);
      }
    });
  }

  onTrace(hit: TraceHit): void {
    this.hits.push(hit);
  }

  /** Collects trace points from now on. */
  trace(on = true): this {
    for (const layer of LAYERS) this.shells[layer].setTracing(on);
    return this;
  }

  /** Plugs a cable in: a device with an address, and its connected route. Returns its ifindex. */
  attach(link: Link, cidr: string, opts: { mtu?: number } = {}): number {
    const ifindex = ++this.ifindex;
    const { addr, len } = parseCidr(cidr)!;
    const mac = macOfAddress(addr);
    const dev: NetDevice = {
      ifindex,
      name: `skb${ifindex - 2}`,
      mac,
      mtu: opts.mtu ?? 1500,
      flags: UP | IFF_BROADCAST | IFF_MULTICAST,
    };
    const features = { csum: this.offload, tso: this.offload };
    const send = link.attach({
      frame: (bytes, meta) => this.nic.receive(bytes, ifindex, meta, this.shells.nic.now),
      done: () => this.shells.nic.run(() => {}),
    });
    this.nic.registerNetdevice({ ...dev, features }, this.driver(send));
    this.addDevice(dev);
    this.must(
      this.ip.addAddr({
        ifindex,
        local: addr,
        prefixLen: len,
        broadcast: (addr | ~maskOf(len)) >>> 0,
        scope: RT_SCOPE_UNIVERSE,
        label: dev.name,
      }),
    );
    this.addrsChanged();
    return ifindex;
  }

  /** `ip route add PREFIX via GATEWAY` */
  route(prefix: string, via: string): void {
    const { addr, len } = prefix === 'default' ? { addr: 0, len: 0 } : parseCidr(prefix)!;
    const gateway = parseIpv4(via)!;
    const oif = this.ip.getRoute({ id: 0, daddr: gateway, saddr: 0, oif: 0, tos: 0 }, this.shells.ip.now).oif;
    this.must(
      this.shells.ip.run(() =>
        this.ip.addRoute({
          dst: addr,
          dstLen: len,
          gateway,
          oif,
          prefsrc: 0,
          table: RT_TABLE_MAIN,
          type: RTN_UNICAST,
          scope: gateway === 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
          protocol: RTPROT_STATIC,
          metric: 0,
          tos: 0,
          mtu: 0,
        }),
      ),
    );
  }

  get addr(): Ipv4Addr {
    return this.ip.addrs().find((a) => a.ifindex > 1)!.local;
  }

  /** kfree_skb by reason, all layers together. */
  get drops(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const layer of LAYERS) {
      for (const [reason, n] of this.shells[layer].env.ledger.drops) sum[reason] = (sum[reason] ?? 0) + n;
    }
    return sum;
  }

  private bind(): void {
    const { shells } = this;
    shells.nic.bind({
      flush: (now) => this.nic.flush(now),
      pollTimeout: () => Number.POSITIVE_INFINITY,
      handleTimeout: () => {},
    });
    shells.neigh.bind(this.neigh);
    shells.ip.bind(this.ip);
    shells.udp.bind(this.udp);
    shells.tcp.bind(this.tcp);
    shells.socket.bind(this.sockets);
    for (const proto of ['tcp', 'udp'] as const) {
      shells.socket.onBatchEnd(() => this.sendCmds(proto));
      shells[proto].onBatchEnd(() => this.sendEvts(proto));
    }
  }

  /** What the boot does, as far as an engine sees it: lo, and the registrations. */
  private boot(): void {
    const lo: NetDevice = { ifindex: 1, name: 'lo', mac: 0, mtu: 65_536, flags: UP | IFF_LOOPBACK };
    this.nic.registerNetdevice({ ...lo, features: { csum: true, tso: true } });
    this.nic.devAddPack(ETH_P_ARP, 'arp_rcv');
    this.must(this.ip.inetAddProtocol(IPPROTO_TCP, 'tcp_v4_rcv', 'tcp_v4_err'));
    this.must(this.ip.inetAddProtocol(IPPROTO_UDP, 'udp_rcv', 'udp_err'));
    this.nic.devAddPack(ETH_P_IP, 'ip_rcv');
    this.addDevice(lo);
    this.addrsChanged();
  }

  private addDevice(dev: NetDevice): void {
    this.shells.ip.run(() => this.ip.addDevice(dev));
    this.shells.neigh.run((now) => this.neigh.addDevice(dev, now));
  }

  private addrsChanged(): void {
    this.shells.neigh.run((now) => this.neigh.setLocalAddrs(this.ip.addrs(), now));
  }

  private driver(send: (bytes: Uint8Array, meta: RxMeta) => void): NetdevDriver {
    return {
      ndoStartXmit: 'tun_net_xmit',
      xmit: (skb) => {
        this.framesOut++;
        send(skb.bytes(), metaOf(skb));
        return true;
      },
      flush: () => {},
    };
  }

  /** ip_route_output_flow() over the control plane. */
  private ask(proto: 'tcp' | 'udp', q: RouteQuery): void {
    this.shells.ip.post((now) => {
      const reply = this.ip.getRoute(q, now);
      this.shells[proto].post((at) =>
        proto === 'tcp' ? this.tcp.onRouteReply(reply, at) : this.udp.onRouteReply(reply, at),
      );
    });
  }

  private sendCmds(proto: 'tcp' | 'udp'): void {
    const cmds = this.cmds[proto];
    if (cmds.length === 0) return;
    this.cmds[proto] = [];
    const list = this.codec ? survives(decodeCmds(encodeCmds(1, cmds))).cmds : cmds;
    this.overSeam(
      proto,
      (now) => {
        for (const c of list) {
          if (proto === 'tcp') this.tcp.onCommand(c, now);
          else this.udp.onCommand(c, now);
        }
      },
      this.shells[proto],
    );
  }

  private sendEvts(proto: 'tcp' | 'udp'): void {
    const evts = this.evts[proto];
    if (evts.length === 0) return;
    this.evts[proto] = [];
    const list = this.codec ? survives(decodeEvts(encodeEvts(1, evts))).evts : evts;
    this.overSeam(
      proto,
      (now) => {
        for (const e of list) {
          if (proto === 'tcp') this.sockets.onTcpEvent(e, now);
          else this.sockets.onUdpEvent(e, now);
        }
      },
      this.shells.socket,
    );
  }

  private overSeam(proto: 'tcp' | 'udp', run: (now: Millis) => void, to: LayerShell): void {
    if (this.seam === undefined || proto === 'udp') to.post(run);
    else
      this.seam.carry((late) => this.clock.schedule(this.clock.now + late + this.busMs, 'message', () => to.run(run)));
  }

  private must(errno: number): void {
    if (errno !== 0) throw new Error(`${this.name}: configuration failed with errno ${errno}`);
  }
}

function survives<T>(decoded: T | undefined): T {
  if (decoded === undefined)
    throw new Error('a message between socket layer and transport does not survive the contract');
  return decoded;
}

/** What a driver with offloads passes on beside the frame (virtio_net_hdr). */
function metaOf(skb: SkBuff): RxMeta {
  const gso = skb.gsoSize > 0 ? { gsoSize: skb.gsoSize, gsoType: skb.gsoType } : {};
  if (skb.ipSummed !== CHECKSUM_PARTIAL) return { csum: 'none', ...gso };
  return { csum: 'partial', csumStart: skb.csumStart - skb.data, csumOffset: skb.csumOffset, ...gso };
}
