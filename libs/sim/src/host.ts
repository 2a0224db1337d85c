import type { FaultDecision, RuleStatus } from '@skbus/fault';
import { decodeWfree, encodeWfree, firstSkbId, HAND_OVER_OWNER, LAYERS, type Layer } from '@skbus/contracts';
import { macOfAddress, NetdevCore } from '@skbus/dev';
import { IpStack, type IpSysctl } from '@skbus/ip';
import { NeighTable, type NeighSysctl } from '@skbus/neigh';
import {
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
  SeededRng,
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
  type LayerEnv,
  type Millis,
  type NetDevice,
  type RouteQuery,
  type SkBuff,
  type Wfree,
} from '@skbus/skb';
import { SocketLayer } from '@skbus/socket';
import { SECRET_BYTES, TcpStack, type TcpSysctl } from '@skbus/tcp';
import { UdpStack } from '@skbus/udp';
import type { VirtualClock } from './clock.ts';
import { HostFaults } from './host-faults.ts';
import { keptOf, type Device } from './kept.ts';
import { LayerShell, type TraceHit, type Wiring } from './layer-shell.ts';
import type { Link } from './link.ts';
import { SeamWire } from './seam-wire.ts';
import { SimDriver } from './sim-driver.ts';

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
  /** Fault rules from the start on. */
  faults?: readonly string[];
}

const UP = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;

/** Ids that one life of a layer may give away, so that the next does not meet them. */
const IDS_PER_LIFE = 0x10_0000;

/** One machine: every layer's engine, wired as the services are wired by the bus. */
export class Host implements Wiring {
  readonly name: string;
  readonly clock: VirtualClock;
  readonly clockAheadMs: Millis;
  readonly busMs: Millis;
  readonly codec: boolean;
  readonly shells: Record<Layer, LayerShell>;
  /** The engines as they are now: restart() puts new ones in their place. */
  nic!: NetdevCore;
  neigh!: NeighTable;
  ip!: IpStack;
  udp!: UdpStack;
  tcp!: TcpStack;
  sockets!: SocketLayer;
  /** Address conflicts that ARP saw. */
  conflicts = 0;
  /** Frames given to links. */
  framesOut = 0;
  /** Told of each segment that the TCP engine hands to IP, as it does. */
  onSegment: ((skb: SkBuff) => void) | undefined = undefined;
  /** Told of a layer that is about to die, while what it has counted is still there. */
  onDeath: ((layer: Layer) => void) | undefined = undefined;
  readonly devices: Device[] = [];
  /** Trace points passed while tracing. */
  readonly hits: TraceHit[] = [];
  private readonly opts: HostOptions;
  private readonly tcpSecret = new Uint8Array(SECRET_BYTES);
  private readonly seams: Record<'tcp' | 'udp', SeamWire>;
  private readonly handlers: Record<HandOver, (skb: SkBuff, now: Millis) => void>;
  private readonly faults: HostFaults;
  private ifindex = 1;

  constructor(name: string, clock: VirtualClock, index: number, seed: number, opts: HostOptions = {}) {
    this.name = name;
    this.clock = clock;
    this.clockAheadMs = 1_000 + index * 77_777.25;
    this.busMs = opts.busMs ?? 0;
    this.codec = opts.codec ?? true;
    this.opts = opts;
    const secrets = new SeededRng(seed * 64 + index);
    for (let i = 0; i < SECRET_BYTES; i++) this.tcpSecret[i] = secrets.u32();
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
    this.seams = { tcp: this.seam('tcp'), udp: this.seam('udp') };
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
    this.faults = new HostFaults(this);
    for (const layer of LAYERS) this.makeEngine(layer);
    this.boot();
    for (const text of opts.faults ?? []) this.fault(text);
  }

  /**
   * Kills a layer and starts it again, `downMs` later: what a supervisor does. What the layer had queued and what is sent
   * to it meanwhile is lost; its initcalls run again, and what the key-value store keeps is in force again.
   */
  restart(layer: Layer, downMs: Millis = 0): void {
    this.kill(layer);
    if (downMs === 0) this.start(layer);
    else this.clock.schedule(this.clock.now + downMs, 'program', () => this.start(layer));
  }

  /** kill -9, until start(). */
  kill(layer: Layer): void {
    if (this.shells[layer].alive) this.onDeath?.(layer);
    this.shells[layer].kill();
  }

  /** The layer comes back, if it is dead. */
  start(layer: Layer): void {
    const shell = this.shells[layer];
    if (shell.alive) return;
    shell.start();
    const replay = keptOf(this, layer);
    this.makeEngine(layer);
    replay();
    if (layer === 'tcp') {
      this.tcp.startRestoring();
      shell.run((now) => this.tcp.askForRestore(now));
    }
    if (layer === 'tcp' || layer === 'udp') this.seams[layer].hello('transport');
    if (layer === 'socket') for (const proto of ['tcp', 'udp'] as const) this.seams[proto].hello('socket');
  }

  deliver(to: HandOver, _instance: number, skbs: readonly SkBuff[]): void {
    const shell = this.shells[HAND_OVER_OWNER[to]];
    const take = (now: Millis): void => {
      const { faults } = shell;
      const point = faults.entry(to);
      for (const skb of skbs) {
        shell.env.ledger.received++;
        if (point.rules === undefined) this.handlers[to](skb, now);
        else faults.offer(point, { skb, go: (s, at) => this.handlers[to](s!, at) }, now);
      }
    };
    shell.post(take, { skbs: skbs.length });
  }

  wfree(freed: Wfree): void {
    const list = this.codec ? decodeWfree(encodeWfree(freed))! : { sk: [...freed.keys()], wmem: [...freed.values()] };
    this.shells.tcp.post((now) => list.sk.forEach((sk, i) => this.tcp.onWfree(sk, list.wmem[i]!, now)));
  }

  onTrace(hit: TraceHit): void {
    this.hits.push(hit);
  }

  /**
   * Adds a fault rule by its text, as `skbus fault add` does, and says its id. The same id again replaces it, in its place;
   * throws what is wrong with it.
   */
  fault(text: string, id?: string): string {
    return this.faults.add(text, id);
  }

  /** Takes one rule away, or all of them. */
  heal(id?: string): void {
    this.faults.remove(id);
  }

  /** The rules that are in force, and what they have done. */
  faultStatus(): RuleStatus[] {
    return LAYERS.flatMap((l) => this.shells[l].faults.status());
  }

  /** What the rules of all layers did, in the order of time. */
  faultLog(): FaultDecision[] {
    return this.faults.log();
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
    const { nic } = this.shells;
    const offload = this.opts.offload ?? false;
    // frames wait in the device's queue while its driver hangs
    const awake = (run: () => void): void => {
      if (nic.hangs) nic.whenAwake(this.clock.now, 'frame', () => nic.alive && run());
      else if (nic.alive) run();
    };
    const end = link.attach({
      frame: (bytes, meta) => awake(() => this.nic.receive(bytes, ifindex, meta, nic.now)),
      done: () => awake(() => nic.run(() => {})),
      mayLie: () => this.faults.lies,
      sent: () => nic.alive && this.nic.awaitsRing && nic.run(() => {}),
    });
    const driver = new SimDriver(end, () => void this.framesOut++);
    this.addDevice({ dev, features: { csum: offload, tso: offload }, driver });
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

  /** A fresh engine in its shell, with nothing in its tables. */
  /** Before the fault rules see it, which may well send it twice, late or not at all. */
  private watchSegments(): void {
    const { env } = this.shells.tcp;
    const pass = env.pass.bind(env);
    env.pass = (to, skb, instance) => {
      this.onSegment?.(skb);
      pass(to, skb, instance);
    };
  }

  private makeEngine(layer: Layer): void {
    if (layer === 'tcp') this.watchSegments();
    const { shells, opts } = this;
    const { env } = shells[layer];
    switch (layer) {
      case 'nic':
        this.nic = new NetdevCore(env);
        this.nic.onLinkChange = (dev) => this.linkChanged(dev);
        shells.nic.bind({
          flush: (now) => this.nic.flush(now),
          pollTimeout: () => Number.POSITIVE_INFINITY,
          handleTimeout: () => {},
          faults: this.nic.faults,
        });
        break;
      case 'neigh':
        this.neigh = new NeighTable(env, {
          epoch: shells.neigh.epoch,
          update: (u) => this.ctl('neigh', 'ip', 'neigh_update', (now) => this.ip.onNeighUpdate(u, now)),
          conflict: () => void this.conflicts++,
          ...(opts.neigh === undefined ? {} : { sysctl: opts.neigh }),
        });
        shells.neigh.bind(this.neigh);
        break;
      case 'ip':
        this.ip = new IpStack(env, {
          hint: (h) => this.ctl('ip', 'neigh', 'hint', (now) => this.neigh.hint(h, now)),
          routesChanged: () => {
            this.ctl('ip', 'tcp', 'rt_cache_flush', () => this.tcp.onRouteFlush());
            this.ctl('ip', 'udp', 'rt_cache_flush', () => this.udp.onRouteFlush());
          },
          sysctl: { ...opts.ip, ...(opts.router === true ? { ipForward: true } : {}) },
        });
        shells.ip.bind(this.ip);
        break;
      default:
        this.makeUpper(layer, env);
    }
  }

  private makeUpper(layer: 'udp' | 'tcp' | 'socket', env: LayerEnv): void {
    const { shells, seams } = this;
    const shell = shells[layer];
    if (layer === 'udp') {
      this.udp = new UdpStack(env, { emit: seams.udp.collectEvt, ask: (q) => this.ask('udp', q) });
      shell.bind(this.udp);
    } else if (layer === 'tcp') {
      const sysctl = this.opts.tcp;
      this.tcp = new TcpStack(env, {
        emit: seams.tcp.collectEvt,
        ask: (q) => this.ask('tcp', q),
        secret: this.tcpSecret,
        childIdBase: shell.epoch * IDS_PER_LIFE + 1,
        ...(sysctl === undefined ? {} : { sysctl }),
      });
      shell.bind(this.tcp);
    } else {
      this.sockets = new SocketLayer(env, {
        toTcp: seams.tcp.collectCmd,
        toUdp: seams.udp.collectCmd,
        idBase: shell.epoch * IDS_PER_LIFE,
      });
      shell.bind(this.sockets);
    }
  }

  private seam(proto: 'tcp' | 'udp'): SeamWire {
    const { shells } = this;
    return new SeamWire(
      { socket: shells.socket, transport: shells[proto] },
      {
        command: (cmd, now) => this[proto].onCommand(cmd, now),
        event: (evt, now) => (proto === 'tcp' ? this.sockets.onTcpEvent(evt, now) : this.sockets.onUdpEvent(evt, now)),
        gatewayRestarted: (now) => this[proto].onGatewayRestart(now),
        transportRestarted: () => this.sockets.resync(proto),
      },
      this.codec,
    );
  }

  /** What the boot does, as far as an engine sees it: lo, and the registrations. */
  private boot(): void {
    const dev: NetDevice = { ifindex: 1, name: 'lo', mac: 0, mtu: 65_536, flags: UP | IFF_LOOPBACK };
    this.nic.devAddPack(ETH_P_ARP, 'arp_rcv');
    this.must(this.ip.inetAddProtocol(IPPROTO_TCP, 'tcp_v4_rcv', 'tcp_v4_err'));
    this.must(this.ip.inetAddProtocol(IPPROTO_UDP, 'udp_rcv', 'udp_err'));
    this.nic.devAddPack(ETH_P_IP, 'ip_rcv');
    this.addDevice({ dev, features: { csum: true, tso: true }, driver: undefined });
    this.addrsChanged();
  }

  private addDevice(device: Device): void {
    const { dev, features, driver } = device;
    this.devices.push(device);
    this.nic.registerNetdevice({ ...dev, features }, driver);
    this.shells.ip.run(() => this.ip.addDevice(dev));
    this.shells.neigh.run((now) => this.neigh.addDevice(dev, now));
  }

  /** As by the key-value store, which neighbour and IP watch. */
  private linkChanged(dev: NetDevice): void {
    this.shells.ip.post(() => this.ip.addDevice(dev));
    this.shells.neigh.post((now) => this.neigh.addDevice(dev, now));
  }

  private addrsChanged(): void {
    this.shells.neigh.run((now) => this.neigh.setLocalAddrs(this.ip.addrs(), now));
  }

  /** ip_route_output_flow() over the control plane. */
  private ask(proto: 'tcp' | 'udp', q: RouteQuery): void {
    this.ctl(proto, 'ip', 'route_query', (now) => {
      const reply = this.ip.getRoute(q, now);
      this.shells[proto].post((at) =>
        proto === 'tcp' ? this.tcp.onRouteReply(reply, at) : this.udp.onRouteReply(reply, at),
      );
    });
  }

  /** A control message, past the rules of both layers. */
  private ctl(from: Layer, to: Layer, verb: string, run: (now: Millis) => void): void {
    const { [from]: sender, [to]: receiver } = this.shells;
    const func = `ctl.${verb}`;
    sender.message('tx', func, 0, () => receiver.post(() => receiver.message('rx', func, 0, run)));
  }

  private must(errno: number): void {
    if (errno !== 0) throw new Error(`${this.name}: configuration failed with errno ${errno}`);
  }
}
