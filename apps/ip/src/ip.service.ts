import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { neighUpdateFromPb, pb, subjects, type skbus } from '@skbus/contracts';
import { IpStack, ipSysctlNames, parseIpSysctl, readIpSysctl, type PingRequest, type PingResult } from '@skbus/ip';
import {
  HandOverTo,
  Initcall,
  type InitcallContext,
  type InitcallResult,
  LAYER_KIT,
  type LayerKit,
} from '@skbus/nest-kit';
import {
  ERRNO,
  errnoText,
  ETH_P_IP,
  formatIpv4,
  HAND_OVERS,
  type HandOver,
  IFF_LOOPBACK,
  IFF_UP,
  type IfAddr,
  INADDR_LOOPBACK,
  IPPROTO_ICMP,
  maskOf,
  type Millis,
  type NeighHint,
  type NetDevice,
  type Route,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_MAIN,
  RTN_UNICAST,
  RTPROT_BOOT,
  RTPROT_KERNEL,
  type SkBuff,
  type Tracepoint,
} from '@skbus/skb';
import { type IpConfig, parseIpConfig } from './ip-config.ts';
import { IpStore } from './ip-store.ts';

const REQUEST_MS = 2_000;
const PING_TIMEOUT_MAX_MS = 60_000;

/** What an initcall answers, now or later. */
type Outcome = InitcallResult | Promise<InitcallResult>;

/** IP's shell. What it is told survives in the key-value store, and it listens only once all that is in force again. */
@Injectable()
export class IpService implements OnModuleInit {
  readonly ip: IpStack;
  private store!: IpStore;
  private flushPending = false;
  /** What the store has kept and cannot be in force yet. */
  private kept: { addrs: IfAddr[]; routes: Route[] } = { addrs: [], routes: [] };

  constructor(@Inject(LAYER_KIT) private readonly kit: LayerKit) {
    this.ip = new IpStack(kit.env, {
      hint: (h) => this.sendHint(h),
      routesChanged: () => this.routesChanged(),
      icmp: false,
    });
  }

  /** Subscribing last means that a restarted IP layer loses packets for a moment, but never answers from empty tables. */
  async onModuleInit(): Promise<void> {
    this.store = await IpStore.open(this.kit.bus, this.kit.netns);
    for (const [name, value] of await this.store.loadSysctls()) {
      const patch = parseIpSysctl(name, value);
      if (typeof patch !== 'string') this.ip.applySysctl(patch);
    }
    for (const r of await this.store.loadProtocols()) this.ip.inetAddProtocol(r.key, ...handlersOf(r));
    this.kept = { addrs: await this.store.loadAddrs(), routes: nearestFirst(await this.store.loadRoutes()) };
    await this.store.watchDevices((ifindex, dev) => this.kit.run(() => this.onDevice(ifindex, dev)));
    this.kit.bus.subscribe(subjects.neighUpdate(this.kit.netns), (data) => {
      const update = neighUpdateFromPb(pb.NeighUpdate.decode(data) as skbus.v1.NeighUpdate);
      this.kit.run((now) => this.ip.onNeighUpdate(update, now));
    });
    this.kit.bind(this, this.ip);
    this.kit.addStats(() => this.counters());
  }

  @HandOverTo('ip_rcv')
  ipRcv(skb: SkBuff, now: Millis): void {
    this.ip.ipRcv(skb, now);
  }

  @HandOverTo('ip_queue_xmit')
  ipQueueXmit(skb: SkBuff, now: Millis): void {
    this.ip.ipQueueXmit(skb, now);
  }

  @HandOverTo('ip_send_skb')
  ipSendSkb(skb: SkBuff, now: Millis): void {
    this.ip.ipSendSkb(skb, now);
  }

  @HandOverTo('icmp_send')
  icmpSend(skb: SkBuff, now: Millis): void {
    this.ip.icmpSend(skb, now);
  }

  @HandOverTo('ipv4_link_failure')
  ipv4LinkFailure(skb: SkBuff, now: Millis): void {
    this.ip.linkFailure(skb, now);
  }

  /** The first initcall of ours: on a fresh boot the protocol table starts empty. */
  @Initcall('fib_rules_init')
  fibRulesInit(call: InitcallContext): Outcome {
    this.trace('fib_rules_init');
    if (call.replay) return undefined;
    for (const p of this.ip.protocols()) this.ip.inetDelProtocol(p.proto);
    return this.store.forgetProtocols();
  }

  @Initcall('ip_static_sysctl_init')
  ipStaticSysctlInit(_call: InitcallContext): Outcome {
    this.trace('ip_static_sysctl_init');
  }

  @Initcall('inet_add_protocol(&icmp_protocol)')
  addIcmp(_call: InitcallContext): Outcome {
    const { NET_PROTOCOL } = pb.RegisterRequest.Table;
    return this.register({ table: NET_PROTOCOL, key: IPPROTO_ICMP, handler: 'icmp_rcv', errHandler: 'icmp_err' });
  }

  @Initcall('ip_init')
  ipInit(call: InitcallContext): Outcome {
    this.trace(
      'ip_init',
      'ip_rt_init',
      'devinet_init',
      'ip_fib_init',
      'fib_trie_init',
      'fib_net_init',
      'inet_initpeers',
    );
    call.printk('IP idents hash table entries: 2048 (order: 2, 16384 bytes, linear)');
  }

  @Initcall('init_ipv4_mibs')
  initIpv4Mibs(_call: InitcallContext): Outcome {
    this.trace('init_ipv4_mibs');
    this.setMibConstants();
  }

  @Initcall('icmp_init')
  icmpInit(_call: InitcallContext): Outcome {
    this.trace('icmp_init');
  }

  @Initcall('ipfrag_init')
  ipfragInit(_call: InitcallContext): Outcome {
    this.trace('ipfrag_init');
  }

  /** IPv4 receive opens only here. */
  @Initcall('dev_add_pack(&ip_packet_type)')
  devAddPack(_call: InitcallContext): Outcome {
    this.trace('dev_add_pack');
    return this.openReceive();
  }

  @Initcall('ip_auto_config')
  ipAutoConfig(call: InitcallContext): Outcome {
    this.trace('ip_auto_config');
    return this.autoConfig(call);
  }

  /** inet_add_protocol() and, with `remove`, inet_del_protocol(). */
  async register(r: skbus.v1.RegisterRequest.$Properties): Promise<{ errno: number; message: string }> {
    const key = r.key ?? 0;
    if (r.table !== pb.RegisterRequest.Table.NET_PROTOCOL || key > 255) {
      return {
        errno: ERRNO.EINVAL,
        message: `ip registers IP protocols 0 to 255, not ${key} of table ${r.table ?? 0}`,
      };
    }
    if (r.remove) this.ip.inetDelProtocol(key);
    else {
      for (const name of [r.handler, r.errHandler]) {
        if (name && !isHandler(name))
          return { errno: ERRNO.EINVAL, message: `"${name}" is no hand-over of a transport` };
      }
      const errno = this.ip.inetAddProtocol(key, ...handlersOf(r));
      if (errno !== 0) return { errno, message: `protocol ${key} has another handler: ${errnoText(errno)}` };
    }
    await this.store.saveProtocol(r);
    return { errno: 0, message: '' };
  }

  ping(req: PingRequest, timeoutMs: number): Promise<PingResult> {
    const wait = Math.min(timeoutMs || 1_000, PING_TIMEOUT_MAX_MS);
    return new Promise((resolve) => this.kit.run((now) => this.ip.ping(req, now, resolve, wait)));
  }

  /** An empty name: all; an empty value: read. */
  async sysctl(
    name: string,
    value: string,
  ): Promise<{ errno: number; message: string; values: Record<string, string>; foreign?: boolean }> {
    const read = (names: string[]): Record<string, string> =>
      Object.fromEntries(names.map((n) => [n, readIpSysctl(this.ip.sysctl, n) ?? '']));
    if (name === '') return { errno: 0, message: '', values: read(ipSysctlNames()) };
    if (!ipSysctlNames().includes(name))
      return { errno: ERRNO.ENOENT, message: `no such key: ${name}`, values: {}, foreign: true };
    if (value !== '') {
      const patch = parseIpSysctl(name, value);
      if (typeof patch === 'string') return { errno: ERRNO.EINVAL, message: patch, values: {} };
      this.kit.run(() => this.ip.applySysctl(patch));
      this.setMibConstants();
      await this.store.saveSysctl(name, value);
    }
    return { errno: 0, message: '', values: read([name]) };
  }

  /** Gives up routes that wait for their device. */
  forgetKept(unwanted: (r: Route) => boolean): boolean {
    const routes = this.kept.routes.filter((r) => !unwanted(r));
    const some = routes.length < this.kept.routes.length;
    this.kept = { ...this.kept, routes };
    return some;
  }

  /** Runs a change as a batch and writes what came of it to the store. What waits for its device may be in force now. */
  async change(step: () => number): Promise<number> {
    const errno = this.kit.run(step);
    this.applyKept();
    await this.persist();
    return errno;
  }

  query<T>(step: (now: Millis) => T): T {
    return this.kit.run(step);
  }

  private async openReceive(): Promise<InitcallResult> {
    const { PACKET_TYPE } = pb.RegisterRequest.Table;
    const request = pb.RegisterRequest.encode({ table: PACKET_TYPE, key: ETH_P_IP, handler: 'ip_rcv' }).finish();
    const reply = await this.kit.bus.request(subjects.ctl(this.kit.netns, 'nic', 'register'), request, REQUEST_MS);
    const { errno, message } = pb.RegisterReply.decode(reply);
    return { errno, message };
  }

  /** net/ipv4/ipconfig.c, but an address that the store has kept wins over the command line. */
  private async autoConfig(call: InitcallContext): Promise<InitcallResult> {
    const c = parseIpConfig(call.params['ip'] ?? '');
    if (c === undefined) return;
    if (typeof c === 'string') return { errno: ERRNO.EINVAL, message: c };
    const dev = this.ip.devices().find((d) => (c.device === '' ? (d.flags & IFF_LOOPBACK) === 0 : d.name === c.device));
    if (dev === undefined) {
      return { errno: ERRNO.ENODEV, message: `ip=: there is no device "${c.device}"; devices: ${this.deviceNames()}` };
    }
    if ([...this.kept.addrs, ...this.ip.addrs()].some((a) => a.ifindex === dev.ifindex)) return;
    const failed = this.kit.run(() => this.configure(dev, c));
    await this.persist();
    if (failed !== undefined) return failed;
    const mask = formatIpv4(maskOf(c.prefixLen));
    call.printk('IP-Config: Complete:');
    call.printk(`     device=${dev.name}, ipaddr=${formatIpv4(c.client)}, mask=${mask}, gw=${formatIpv4(c.gateway)}`);
    call.printk(`     host=${c.host || '(none)'}, domain=, nis-domain=(none)`);
  }

  private configure(dev: NetDevice, c: IpConfig): { errno: number; message: string } | undefined {
    const { ifindex, name: label } = dev;
    const broadcast = c.prefixLen < 31 ? (c.client | ~maskOf(c.prefixLen)) >>> 0 : 0;
    const err = this.ip.addAddr({
      ifindex,
      local: c.client,
      prefixLen: c.prefixLen,
      broadcast,
      scope: RT_SCOPE_UNIVERSE,
      label,
    });
    if (err !== 0) return { errno: err, message: `ip=: ${formatIpv4(c.client)}/${c.prefixLen}: ${errnoText(err)}` };
    if (c.gateway === 0) return undefined;
    const errno = this.ip.addRoute(
      {
        dst: 0,
        dstLen: 0,
        gateway: c.gateway,
        oif: ifindex,
        prefsrc: 0,
        table: RT_TABLE_MAIN,
        type: RTN_UNICAST,
        scope: RT_SCOPE_UNIVERSE,
        protocol: RTPROT_BOOT,
        metric: 0,
        tos: 0,
        mtu: 0,
      },
      { replace: true },
    );
    return errno === 0 ? undefined : { errno, message: `ip=: gateway ${formatIpv4(c.gateway)}: ${errnoText(errno)}` };
  }

  /** Addresses, and the routes that nobody makes for us. */
  private async persist(): Promise<void> {
    const addrs = this.ip.addrs().filter((a) => !(a.local === INADDR_LOOPBACK && a.prefixLen === 8));
    const routes = this.ip.routes().filter((r) => r.protocol !== RTPROT_KERNEL);
    await this.store.save([...this.kept.addrs, ...addrs], [...this.kept.routes, ...routes]);
  }

  private onDevice(ifindex: number, dev: NetDevice | undefined): void {
    if (dev === undefined) {
      this.ip.removeDevice(ifindex);
      return;
    }
    const was = this.ip.devices().find((d) => d.ifindex === ifindex);
    const wentDown = was !== undefined && (was.flags & IFF_UP) !== 0 && (dev.flags & IFF_UP) === 0;
    this.ip.addDevice(dev);
    this.applyKept();
    // taking a link down loses its routes, as in the kernel
    if (wentDown) {
      this.persist().catch((e: unknown) =>
        this.kit.env.printk(`ip: ${dev.name}: cannot reach the store: ${String(e)}`),
      );
    }
  }

  /** Puts in force what the store has kept, as far as devices and gateways are there; the rest waits for its device. */
  private applyKept(): void {
    const { addrs, routes } = this.kept;
    this.kept = {
      addrs: addrs.filter((a) => this.ip.addAddr(a) === ERRNO.ENODEV),
      routes: routes.filter((r) => ![0, ERRNO.EEXIST].includes(this.ip.addRoute(r, { append: true }))),
    };
  }

  private routesChanged(): void {
    if (this.flushPending) return;
    this.flushPending = true;
    queueMicrotask(() => {
      this.flushPending = false;
      this.kit.bus.publish(subjects.all(this.kit.netns, 'rt_cache_flush'), new Uint8Array());
    });
  }

  private sendHint(h: NeighHint): void {
    this.kit.bus.publish(subjects.neighHint(this.kit.netns), pb.NeighHint.encode(h).finish());
  }

  /** The two values of /proc/net/snmp that are settings. */
  private setMibConstants(): void {
    this.kit.env.mib.set('IpForwarding', this.ip.sysctl.ipForward ? 1 : 2);
    this.kit.env.mib.set('IpDefaultTTL', this.ip.sysctl.ipDefaultTtl);
  }

  private counters(): Record<string, number> {
    const { fragments, queues, memBytes } = this.ip.fragUsage();
    return {
      frag_inuse: queues,
      frag_memory: memBytes,
      frag_queued: fragments,
      routes: this.ip.routes().length,
      protocols: this.ip.protocols().length,
    };
  }

  private deviceNames(): string {
    return (
      this.ip
        .devices()
        .map((d) => d.name)
        .join(', ') || 'none'
    );
  }

  private trace(...points: Tracepoint[]): void {
    for (const p of points) this.kit.env.trace(p);
  }
}

/** A route may need another, more local one for its gateway. */
const nearestFirst = (routes: Route[]): Route[] => routes.sort((a, b) => b.scope - a.scope || b.dstLen - a.dstLen);

const isHandler = (name: string): boolean =>
  name === 'icmp_rcv' || name === 'icmp_err' || (HAND_OVERS as readonly string[]).includes(name);

function handlersOf(r: {
  handler?: string | null;
  errHandler?: string | null;
}): [HandOver | 'icmp_rcv', HandOver | 'icmp_err' | undefined] {
  return [r.handler as HandOver | 'icmp_rcv', r.errHandler ? (r.errHandler as HandOver | 'icmp_err') : undefined];
}
