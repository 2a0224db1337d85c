import type { Fib } from '@skbus/fib';
import {
  ERRNO,
  IFF_LOOPBACK,
  INADDR_BROADCAST,
  type Ipv4Addr,
  isLoopbackIpv4,
  isMulticastIpv4,
  isZeronetIpv4,
  type LayerEnv,
  type Millis,
  RT_SCOPE_UNIVERSE,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_UNICAST,
  type SkBuff,
} from '@skbus/skb';
import type { Dst } from './dst.ts';
import type { RouteOutput } from './route-output.ts';
import type { IpSysctl } from './sysctl.ts';

export type InputKind = 'local' | 'broadcast' | 'multicast' | 'forward' | 'error' | 'martian' | 'rpfilter';

/** What becomes of packets with these addresses from this device. */
export interface InputRoute {
  readonly saddr: Ipv4Addr;
  readonly daddr: Ipv4Addr;
  readonly ifindex: number;
  readonly tos: number;
  readonly kind: InputKind;
  /** kind 'error' */
  readonly errno: number;
  /** kind 'forward' */
  readonly dst: Dst | undefined;
  /** MTU of the way back to the source; 0: there is none. */
  readonly mtu: number;
  readonly expiresMs: Millis;
  next: InputRoute | undefined;
}

const CACHE_MAX = 4096;
const ALL_HOSTS = 0xe0000001;
const TOS_RT_MASK = 0x1c;

/** Input routes (net/ipv4/route.c:ip_route_input_slow), with a small cache by source that also holds the MTU back. */
export class RouteInput {
  private readonly env: LayerEnv;
  private readonly fib: Fib;
  private readonly output: RouteOutput;
  private readonly sysctl: IpSysctl;
  private readonly cache = new Map<Ipv4Addr, InputRoute>();
  private cached = 0;
  /** Groups joined on any device; 224.0.0.1 always is. */
  private readonly groups = new Set<Ipv4Addr>([ALL_HOSTS]);

  constructor(env: LayerEnv, fib: Fib, output: RouteOutput, sysctl: IpSysctl) {
    this.env = env;
    this.fib = fib;
    this.output = output;
    this.sysctl = sysctl;
  }

  flush(): void {
    this.cache.clear();
    this.cached = 0;
  }

  joinGroup(group: Ipv4Addr): void {
    this.groups.add(group);
    this.flush();
  }

  leaveGroup(group: Ipv4Addr): void {
    if (group !== ALL_HOSTS) this.groups.delete(group);
    this.flush();
  }

  /** net/ipv4/route.c:ip_route_input_noref */
  find(skb: SkBuff, saddr: Ipv4Addr, daddr: Ipv4Addr, tosByte: number, now: Millis): InputRoute {
    this.env.trace('ip_route_input_noref', skb);
    const tos = tosByte & TOS_RT_MASK;
    const { ifindex } = skb;
    for (let r = this.cache.get(saddr); r !== undefined; r = r.next) {
      if (r.daddr === daddr && r.ifindex === ifindex && r.tos === tos) {
        if (r.expiresMs > now) return r;
        this.flush();
        break;
      }
    }
    const route = isMulticastIpv4(daddr) ? this.multicast(skb, saddr, daddr) : this.slow(skb, saddr, daddr, tos, now);
    const back = route.kind === 'local' ? this.output.pathMtu(saddr, now) : undefined;
    const r: InputRoute = {
      saddr,
      daddr,
      ifindex,
      tos,
      kind: route.kind,
      errno: route.errno ?? 0,
      dst: route.dst,
      mtu: back?.mtu ?? 0,
      expiresMs: Math.min(
        back?.expiresMs ?? Number.POSITIVE_INFINITY,
        route.dst?.expiresMs ?? Number.POSITIVE_INFINITY,
      ),
      next: undefined,
    };
    if (this.cached >= CACHE_MAX) this.flush();
    r.next = this.cache.get(saddr);
    this.cache.set(saddr, r);
    this.cached++;
    return r;
  }

  /** net/ipv4/route.c:ip_route_input_mc */
  private multicast(skb: SkBuff, saddr: Ipv4Addr, daddr: Ipv4Addr): { kind: InputKind; errno?: number; dst?: Dst } {
    if (!this.groups.has(daddr)) return { kind: 'martian' };
    this.env.trace('ip_route_input_mc', skb);
    if (isMulticastIpv4(saddr) || saddr === INADDR_BROADCAST || isLoopbackIpv4(saddr)) return { kind: 'martian' };
    if (isZeronetIpv4(saddr)) return { kind: 'martian' };
    return { kind: this.validateSource(skb, saddr) ?? 'multicast' };
  }

  private slow(
    skb: SkBuff,
    saddr: Ipv4Addr,
    daddr: Ipv4Addr,
    tos: number,
    now: Millis,
  ): { kind: InputKind; errno?: number; dst?: Dst } {
    this.env.trace('ip_route_input_slow', skb);
    const dev = this.fib.devinet.device(skb.ifindex);
    if (dev === undefined) return { kind: 'martian' };
    const loopback = (dev.flags & IFF_LOOPBACK) !== 0;
    if (isMulticastIpv4(saddr) || saddr === INADDR_BROADCAST) return { kind: 'martian' };
    if (daddr === INADDR_BROADCAST || (saddr === 0 && daddr === 0)) return this.broadcast(skb, saddr, loopback);
    if (isZeronetIpv4(saddr) || isZeronetIpv4(daddr)) return { kind: 'martian' };
    if (!loopback && (isLoopbackIpv4(daddr) || isLoopbackIpv4(saddr))) return { kind: 'martian' };
    const res = this.fib.lookup({ daddr, saddr, tos, oif: 0, scope: RT_SCOPE_UNIVERSE }, skb);
    if (res.errno !== 0) return { kind: 'error', errno: this.sysctl.ipForward ? res.errno : ERRNO.EHOSTUNREACH };
    if (res.type === RTN_BROADCAST) return this.broadcast(skb, saddr, loopback);
    if (res.type === RTN_LOCAL) {
      // what comes back from lo was routed on its way out: the kernel keeps that route with the skb
      return { kind: loopback ? 'local' : (this.validateSource(skb, saddr) ?? 'local') };
    }
    if (!this.sysctl.ipForward) return { kind: 'error', errno: ERRNO.EHOSTUNREACH };
    if (res.type !== RTN_UNICAST) return { kind: 'martian' };
    const bad = this.validateSource(skb, saddr);
    if (bad !== undefined) return { kind: bad };
    const dst = this.output.find(daddr, 0, tos, 0, now, skb);
    return typeof dst === 'number' ? { kind: 'error', errno: dst } : { kind: 'forward', dst };
  }

  private broadcast(skb: SkBuff, saddr: Ipv4Addr, loopback: boolean): { kind: InputKind } {
    if (loopback || isZeronetIpv4(saddr)) return { kind: 'broadcast' };
    return { kind: this.validateSource(skb, saddr) ?? 'broadcast' };
  }

  /** net/ipv4/fib_frontend.c:fib_validate_source; `undefined`: a believable source. */
  private validateSource(skb: SkBuff, saddr: Ipv4Addr): 'martian' | 'rpfilter' | undefined {
    this.env.trace('fib_validate_source', skb);
    if (!this.sysctl.acceptLocal && this.fib.isLocal(saddr)) return 'martian';
    if (this.sysctl.rpFilter === 0) return undefined;
    const res = this.fib.lookup({ daddr: saddr, saddr: 0, tos: 0, oif: 0, scope: RT_SCOPE_UNIVERSE }, skb);
    if (res.errno !== 0) return 'rpfilter';
    if (res.type !== RTN_UNICAST) return 'martian';
    return this.sysctl.rpFilter === 1 && res.fi?.nh?.oif !== skb.ifindex ? 'rpfilter' : undefined;
  }
}
