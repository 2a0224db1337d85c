import { Fib, FibFrontend } from '@skbus/fib';
import { Icmp, type IcmpLower, type IcmpRoute, type PingRequest, type PingResult } from '@skbus/icmp';
import {
  ERRNO,
  type HandOver,
  IFF_LOOPBACK,
  type IfAddr,
  IPPROTO_ICMP,
  type Ipv4Addr,
  type LayerEnv,
  type LayerFaults,
  type Millis,
  type NeighHint,
  type NeighUpdate,
  type NetDevice,
  PACKET_HOST,
  type Route,
  type RouteQuery,
  type RouteReply,
  type SkBuff,
} from '@skbus/skb';
import { ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, parseIpv4Header } from '@skbus/wire';
import { HhCache } from './hh-cache.ts';
import { IpForward } from './ip-forward.ts';
import { IpIdents } from './ip-idents.ts';
import { IpInput, type NetProtocol } from './ip-input.ts';
import { IpOutput } from './ip-output.ts';
import { NarrowPath } from './narrow-path.ts';
import { RouteInput } from './route-input.ts';
import { RouteOutput } from './route-output.ts';
import { IP_SYSCTL, type IpSysctl } from './sysctl.ts';

export interface IpStackOptions {
  /** → neighbour layer; at most one per neighbour, kind and second. */
  hint: (h: NeighHint) => void;
  /** rt_cache_flush: transports forget what they were told about routes. */
  routesChanged: () => void;
  sysctl?: Partial<IpSysctl>;
  /** False: ICMP is not in the protocol table until inetAddProtocol(IPPROTO_ICMP, 'icmp_rcv', 'icmp_err') puts it there. */
  icmp?: boolean;
}

/**
 * IPv4 as one object: addresses, routes, input, output, ICMP. Everything that comes in belongs to it from then on; it
 * never throws for what a packet says. Results of configuration are errnos, 0 for success.
 */
export class IpStack {
  readonly sysctl: IpSysctl;
  private readonly env: LayerEnv;
  private readonly opts: IpStackOptions;
  private readonly fib: Fib;
  private readonly front: FibFrontend;
  private readonly hh: HhCache;
  private readonly out: RouteOutput;
  private readonly in: RouteInput;
  private readonly icmp: Icmp;
  private readonly output: IpOutput;
  private readonly input: IpInput;
  private readonly protos = new Map<number, NetProtocol>();
  private readonly narrow = new NarrowPath();
  readonly faults: LayerFaults;

  constructor(env: LayerEnv, opts: IpStackOptions) {
    this.env = env;
    this.opts = opts;
    this.sysctl = { ...IP_SYSCTL, ...opts.sysctl };
    this.hh = new HhCache(opts.hint);
    this.fib = new Fib(env, (ifindex, gateway) => this.hh.state(ifindex, gateway));
    this.fib.routeFaults.changed = () => this.cacheFlush();
    this.faults = { ...this.fib.routeFaults.faults, ...this.narrow.faults };
    this.front = new FibFrontend(env, this.fib, () => this.cacheFlush());
    this.out = new RouteOutput(env, this.fib, this.sysctl);
    this.in = new RouteInput(env, this.fib, this.out, this.sysctl);
    this.icmp = new Icmp(env, this.icmpLower(), this.sysctl);
    this.output = new IpOutput(env, {
      routes: this.out,
      hh: this.hh,
      idents: new IpIdents(env.rng),
      sysctl: this.sysctl,
      narrow: this.narrow,
      tellSender: (quoted, type, code, mtu, now) => this.tellSender(quoted, type, code, mtu, now),
      tooBig: (skb, mtu, now) => this.icmp.send(skb, ICMP_DEST_UNREACH, 4, mtu, now),
    });
    const forward = new IpForward(env, this.icmp, this.output);
    this.input = new IpInput(env, {
      routes: this.in,
      icmp: this.icmp,
      forward,
      sysctl: this.sysctl,
      narrow: this.narrow,
      protocol: (p) => this.protos.get(p),
    });
    if (opts.icmp !== false) this.inetAddProtocol(IPPROTO_ICMP, 'icmp_rcv', 'icmp_err');
  }

  /** A device appears or changes flags, MTU or address. `lo` gets 127.0.0.1/8 when it comes up. */
  addDevice(d: NetDevice): void {
    this.front.addDevice(d);
  }

  /** A device goes, with its addresses and every route through it. */
  removeDevice(ifindex: number): void {
    this.hh.forget(ifindex);
    this.front.removeDevice(ifindex);
  }

  devices(): NetDevice[] {
    return this.fib.devinet.devices();
  }

  /** Adds the local, connected and broadcast routes, too. ENODEV, EEXIST, EINVAL. */
  addAddr(a: IfAddr): number {
    return this.front.addAddr(a);
  }

  /** ENODEV, EADDRNOTAVAIL. */
  delAddr(ifindex: number, local: Ipv4Addr, prefixLen: number): number {
    return this.front.delAddr(ifindex, local, prefixLen);
  }

  addrs(): IfAddr[] {
    return this.fib.devinet.allAddrs().map(({ secondary: _secondary, ...ifa }) => ifa);
  }

  /** EEXIST, EINVAL, ENODEV, ENETDOWN, ENETUNREACH (the gateway is not on a link of ours). */
  addRoute(r: Route, opts: { replace?: boolean; append?: boolean } = {}): number {
    const mode = opts.replace === true ? 'replace' : opts.append === true ? 'append' : 'excl';
    return this.front.addRoute(r, mode);
  }

  /** ESRCH when no route matches all that is named. */
  delRoute(r: Partial<Route> & { dst: Ipv4Addr; dstLen: number }): number {
    return this.front.delRoute(r);
  }

  /** In the kernel's order; without `table` all tables: local, main, default. */
  routes(table?: number): Route[] {
    return this.fib.dump(table);
  }

  /** ip_route_output_flow(): where a packet would go. */
  getRoute(q: RouteQuery, now: Millis = 0): RouteReply {
    const dst = this.out.find(q.daddr, q.saddr, q.tos, q.oif, now);
    if (typeof dst === 'number') {
      return { id: q.id, errno: dst, daddr: q.daddr, saddr: q.saddr, oif: q.oif, mtu: 0, gateway: 0, type: 0 };
    }
    const { saddr, dev, mtu, gateway, type } = dst;
    return { id: q.id, errno: 0, daddr: q.daddr, saddr, oif: dev.ifindex, mtu, gateway, type };
  }

  /** net/ipv4/protocol.c:inet_add_protocol; EEXIST when the number is taken by another handler. */
  inetAddProtocol(
    proto: number,
    handler: HandOver | 'icmp_rcv',
    errHandler: HandOver | 'icmp_err' | undefined,
  ): number {
    if (!Number.isInteger(proto) || proto < 0 || proto > 255) return ERRNO.EINVAL;
    const was = this.protos.get(proto);
    if (was !== undefined) return was.handler === handler && was.errHandler === errHandler ? 0 : ERRNO.EEXIST;
    this.env.trace('inet_add_protocol', undefined, { proto, handler });
    this.protos.set(proto, { proto, handler, errHandler });
    return 0;
  }

  inetDelProtocol(proto: number): void {
    this.protos.delete(proto);
  }

  protocols(): NetProtocol[] {
    return [...this.protos.values()].sort((a, b) => a.proto - b.proto);
  }

  joinGroup(group: Ipv4Addr): void {
    this.in.joinGroup(group);
  }

  leaveGroup(group: Ipv4Addr): void {
    this.in.leaveGroup(group);
  }

  /** From the device: data at the IP header. */
  ipRcv(skb: SkBuff, now: Millis): void {
    this.input.rcv(skb, now);
  }

  /** From TCP: data at the TCP header, flow set. */
  ipQueueXmit(skb: SkBuff, now: Millis): void {
    this.output.queueXmit(skb, now);
  }

  /** From UDP: data at the UDP header, flow set. Cut into fragments when larger than the MTU. */
  ipSendSkb(skb: SkBuff, now: Millis): void {
    this.output.sendSkb(skb, now);
  }

  /** From a transport: a received packet nobody wants, data at its IP header, mark = type << 8 | code. */
  icmpSend(skb: SkBuff, now: Millis): void {
    skb.networkHeader = skb.data;
    this.icmp.send(skb, (skb.mark >>> 8) & 0xff, skb.mark & 0xff, 0, now);
    this.env.consume(skb);
  }

  /** From the neighbour layer: the next hop of this packet (data at its IP header) does not answer. */
  linkFailure(skb: SkBuff, now: Millis): void {
    this.env.trace('ipv4_link_failure', skb);
    const ip = parseIpv4Header(skb.buf, skb.data, skb.tail);
    if (ip === undefined) {
      this.env.drop(skb, 'IP_INHDR');
      return;
    }
    skb.networkHeader = skb.data;
    skb.pktType = PACKET_HOST;
    if (skb.nextHop !== 0) this.hh.onFailure(skb.ifindex, skb.nextHop);
    this.icmp.send(skb, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0, now);
    this.env.drop(skb, 'NEIGH_FAILED');
  }

  onNeighUpdate(u: NeighUpdate, now: Millis): void {
    this.hh.onUpdate(u, now);
  }

  /** An echo request of our own; `done` is called once. */
  ping(req: PingRequest, now: Millis, done: (r: PingResult) => void, timeoutMs: Millis): void {
    this.icmp.pings.send(req, now, done, timeoutMs);
  }

  /** Forget learnt path MTUs. */
  flushPmtu(): void {
    this.out.flushPmtu();
    this.in.flush();
  }

  /** `sysctl -w net.ipv4.…`: takes effect for the next packet. */
  applySysctl(patch: Partial<IpSysctl>): void {
    Object.assign(this.sysctl, patch);
    this.cacheFlush();
  }

  /** Reassembly usage, for status. */
  fragUsage(): { fragments: number; queues: number; memBytes: number } {
    return this.input.reassembler.usage;
  }

  /** May change after any call. */
  pollTimeout(): Millis {
    return Math.min(this.input.reassembler.pollTimeout(), this.icmp.pings.pollTimeout());
  }

  /** Early and late calls are harmless. */
  handleTimeout(now: Millis): void {
    this.input.reassembler.handleTimeout(now);
    this.icmp.pings.handleTimeout(now);
  }

  /** Nothing is held back: every packet leaves within the call that brought it. */
  flush(_now: Millis): void {}

  private cacheFlush(): void {
    this.out.flush();
    this.in.flush();
    this.opts.routesChanged();
  }

  /** What died on its way out goes back to the transport as the ICMP error that a router would have sent. */
  private tellSender(quoted: SkBuff, type: number, code: number, mtu: number, now: Millis): void {
    quoted.mark = (type << 8) | code;
    quoted.rtMtu = mtu;
    const handler = this.protos.get(quoted.buf[quoted.data + 9]!)?.errHandler;
    if (handler === undefined || quoted.len < 28) {
      this.env.consume(quoted);
      return;
    }
    if (handler !== 'icmp_err') {
      this.env.pass(handler, quoted);
      return;
    }
    this.icmp.pings.err(quoted, quoted.data + 20, type, code, now);
    this.env.consume(quoted);
  }

  private icmpLower(): IcmpLower {
    return {
      addrType: (addr) => this.fib.addrType(addr),
      route: (daddr, saddr, tos, now) => this.icmpRoute(daddr, saddr, tos, now),
      push: (skb, now) => this.pushIcmp(skb, now),
      isLoopback: (ifindex) => ((this.fib.devinet.device(ifindex)?.flags ?? 0) & IFF_LOOPBACK) !== 0,
      errHandler: (proto) => this.protos.get(proto)?.errHandler,
      updatePmtu: (daddr, mtu, now) => this.updatePmtu(daddr, mtu, now),
    };
  }

  private icmpRoute(daddr: Ipv4Addr, saddr: Ipv4Addr, tos: number, now: Millis): IcmpRoute {
    const dst = this.out.find(daddr, saddr, tos, 0, now);
    if (typeof dst === 'number') return { errno: dst, saddr: 0, mtu: 0, loopback: false };
    return { errno: 0, saddr: dst.saddr, mtu: dst.mtu, loopback: dst.output === 'loopback' };
  }

  private pushIcmp(skb: SkBuff, now: Millis): void {
    this.env.trace('ip_append_data', skb);
    this.env.trace('ip_push_pending_frames', skb);
    this.icmp.countOut(skb.buf[skb.transportHeader]!);
    this.output.sendSkb(skb, now);
  }

  private updatePmtu(daddr: Ipv4Addr, mtu: number, now: Millis): number {
    const inForce = this.out.updatePmtu(daddr, mtu, now);
    this.in.flush();
    return inForce;
  }
}
