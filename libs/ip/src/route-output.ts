import { type Fib, type FibFlow, type FibResult, isUp } from '@skbus/fib';
import {
  ERRNO,
  IFF_LOOPBACK,
  IFF_NOARP,
  INADDR_BROADCAST,
  INADDR_LOOPBACK,
  type Ipv4Addr,
  isLoopbackIpv4,
  isMulticastIpv4,
  isZeronetIpv4,
  type LayerEnv,
  type Millis,
  type NetDevice,
  NEVER,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_UNICAST,
  type SkBuff,
} from '@skbus/skb';
import type { Dst, DstOutput } from './dst.ts';
import { type PmtuException, PmtuExceptions } from './pmtu.ts';
import type { IpSysctl } from './sysctl.ts';

/** RTO_TOS: the bits of the TOS byte that Linux 6.12 routes by (INET_DSCP_LEGACY_TOS_MASK). */
const TOS_RT_MASK = 0x1c;
const IP_MAX_MTU = 0xffff;
const CACHE_MAX = 16_384;

/** What is being routed, as it is filled in on the way. */
interface Query extends FibFlow {
  dev: NetDevice | undefined;
}

/** Output routes (net/ipv4/route.c: the ip_route_output family), cached until anything changes. */
export class RouteOutput {
  private readonly env: LayerEnv;
  private readonly fib: Fib;
  private readonly sysctl: IpSysctl;
  private readonly cache = new Map<Ipv4Addr, Dst>();
  private readonly pmtu = new PmtuExceptions();
  private cached = 0;

  constructor(env: LayerEnv, fib: Fib, sysctl: IpSysctl) {
    this.env = env;
    this.fib = fib;
    this.sysctl = sysctl;
  }

  /** rt_cache_flush(): routes, addresses or devices changed. */
  flush(): void {
    this.cache.clear();
    this.cached = 0;
  }

  /** The route, or the errno. */
  find(daddr: Ipv4Addr, saddr: Ipv4Addr, tosByte: number, oif: number, now: Millis, skb?: SkBuff): Dst | number {
    const tos = tosByte & TOS_RT_MASK;
    for (let d = this.cache.get(daddr); d !== undefined; d = d.next) {
      if (d.wantSaddr === saddr && d.wantTos === tos && d.wantOif === oif) {
        if (d.expiresMs > now) return d;
        this.flush();
        break;
      }
    }
    const dst = this.lookup(daddr, saddr, tos, oif, now, skb);
    if (typeof dst !== 'number') {
      if (this.cached >= CACHE_MAX) this.flush();
      dst.next = this.cache.get(daddr);
      this.cache.set(daddr, dst);
      this.cached++;
    }
    return dst;
  }

  /** The MTU of the way to a host and how long that holds; 0: there is no way. Leaves no trace. */
  pathMtu(daddr: Ipv4Addr, now: Millis): { mtu: number; expiresMs: Millis } {
    const res = this.fib.peek({ daddr, saddr: 0, tos: 0, oif: 0, scope: RT_SCOPE_UNIVERSE });
    const nh = res.fi?.nh;
    const local = res.type === RTN_LOCAL;
    const dev = local ? this.loopback() : nh && this.fib.devinet.device(nh.oif);
    if (res.errno !== 0 || dev === undefined) return { mtu: 0, expiresMs: NEVER };
    const learnt = local ? undefined : this.pmtu.get(daddr, now);
    return { mtu: mtuOf(res, dev, learnt), expiresMs: learnt?.expiresMs ?? NEVER };
  }

  /** net/ipv4/route.c:__ip_rt_update_pmtu; the MTU in force afterwards. */
  updatePmtu(daddr: Ipv4Addr, told: number, now: Millis): number {
    this.env.trace('ip_rt_update_pmtu');
    const dst = this.find(daddr, 0, 0, 0, now);
    if (typeof dst === 'number') return Math.max(told, this.sysctl.ipRtMinPmtu);
    if (dst.output === 'loopback' || dst.mtu < told || dst.mtuLocked) return dst.mtu;
    const locked = told < this.sysctl.ipRtMinPmtu;
    const mtu = locked ? Math.min(dst.mtu, this.sysctl.ipRtMinPmtu) : told;
    if (mtu !== dst.mtu || locked) {
      this.pmtu.set(daddr, { mtu, locked, expiresMs: now + this.sysctl.ipRtMtuExpiresMs });
      this.flush();
    }
    return mtu;
  }

  /** Forget learnt path MTUs (ip route flush cache). */
  flushPmtu(): void {
    this.pmtu.clear();
    this.flush();
  }

  private lookup(daddr: Ipv4Addr, saddr: Ipv4Addr, tos: number, oif: number, now: Millis, skb?: SkBuff): Dst | number {
    this.env.trace('ip_route_output_flow', skb);
    this.env.trace('ip_route_output_key_hash_rcu', skb);
    const q: Query = { daddr, saddr, tos, oif, scope: RT_SCOPE_UNIVERSE, dev: undefined };
    const err = this.checkSaddr(q) || this.checkOif(q);
    if (err !== 0) return err;
    const res = this.resolve(q, skb);
    if (typeof res === 'number') return res;
    this.env.trace('__mkroute_output', skb);
    return this.makeDst({ daddr, saddr, tos, oif }, q, res, now);
  }

  private checkSaddr(q: Query): number {
    if (q.saddr === 0) return 0;
    if (isMulticastIpv4(q.saddr) || q.saddr === INADDR_BROADCAST || isZeronetIpv4(q.saddr)) return ERRNO.EINVAL;
    const ours = this.fib.addrType(q.saddr) === RTN_LOCAL;
    if (!ours) return ERRNO.ENETUNREACH;
    if (q.oif === 0 && (isMulticastIpv4(q.daddr) || q.daddr === INADDR_BROADCAST)) {
      const ifa = this.fib.devinet.find(q.saddr);
      if (ifa === undefined) return ERRNO.ENETUNREACH;
      q.oif = ifa.ifindex;
    }
    return 0;
  }

  private checkOif(q: Query): number {
    if (q.oif === 0) return 0;
    q.dev = this.fib.devinet.device(q.oif);
    if (q.dev === undefined) return ERRNO.ENODEV;
    if (!isUp(q.dev)) return ERRNO.ENETUNREACH;
    if (q.saddr !== 0) return 0;
    const { devinet } = this.fib;
    if (isLinkOnly(q.daddr)) q.saddr = devinet.selectAddr(q.oif, 0, RT_SCOPE_LINK);
    else if (isMulticastIpv4(q.daddr)) q.saddr = devinet.selectAddr(q.oif, 0, q.scope);
    else if (q.daddr === 0) q.saddr = devinet.selectAddr(q.oif, 0, RT_SCOPE_HOST);
    return 0;
  }

  /** Finds type, device and next hop; fills in the source address. `undefined`: what no table has (multicast, broadcast). */
  private resolve(q: Query, skb: SkBuff | undefined): FibResult | undefined | number {
    if (q.dev !== undefined && isLinkOnly(q.daddr)) return undefined;
    if (q.daddr === 0) {
      q.daddr = q.saddr = q.saddr || INADDR_LOOPBACK;
      return this.viaLoopback(q);
    }
    const res = this.fib.lookup(q, skb);
    if (res.errno !== 0) {
      // with a device named, what no route knows is taken to be on its link
      if (q.dev === undefined) return res.errno;
      if (q.saddr === 0) q.saddr = this.fib.devinet.selectAddr(q.oif, 0, RT_SCOPE_LINK);
      return undefined;
    }
    if (res.type === RTN_LOCAL) {
      if (q.saddr === 0) q.saddr = res.fi!.prefsrc || q.daddr;
      const err = this.viaLoopback(q);
      return typeof err === 'number' ? err : res;
    }
    this.fib.selectPath(res, q, skb);
    q.dev = this.fib.devinet.device(res.fi!.nh!.oif);
    return q.dev === undefined ? ERRNO.ENETUNREACH : res;
  }

  private viaLoopback(q: Query): undefined | number {
    q.dev = this.loopback();
    return q.dev === undefined ? ERRNO.ENETUNREACH : undefined;
  }

  private loopback(): NetDevice | undefined {
    return this.fib.devinet.devices().find((d) => (d.flags & IFF_LOOPBACK) !== 0 && isUp(d));
  }

  private makeDst(
    asked: { daddr: Ipv4Addr; saddr: Ipv4Addr; tos: number; oif: number },
    q: Query,
    res: FibResult | undefined,
    now: Millis,
  ): Dst | number {
    const dev = q.dev!;
    const loopback = (dev.flags & IFF_LOOPBACK) !== 0;
    if (isLoopbackIpv4(q.saddr) && !loopback) return ERRNO.EINVAL;
    let type = res?.type ?? (loopback ? RTN_LOCAL : RTN_UNICAST);
    if (q.daddr === INADDR_BROADCAST) type = RTN_BROADCAST;
    else if (isMulticastIpv4(q.daddr)) type = RTN_MULTICAST;
    else if (isZeronetIpv4(q.daddr)) return ERRNO.EINVAL;
    const gateway = type === RTN_UNICAST ? (res?.fi?.nh?.gateway ?? 0) : 0;
    const learnt = loopback ? undefined : this.pmtu.get(q.daddr, now);
    return {
      daddr: asked.daddr,
      wantSaddr: asked.saddr,
      wantTos: asked.tos,
      wantOif: asked.oif,
      saddr: q.saddr,
      dev,
      type,
      output: outputOf(type, dev),
      gateway,
      nextHop: gateway || q.daddr,
      mtu: mtuOf(res, dev, learnt),
      mtuLocked: learnt?.locked ?? false,
      expiresMs: learnt?.expiresMs ?? NEVER,
      ident: this.env.rng.u32() & 0xffff,
      next: undefined,
    };
  }
}

/** 224.0.0.0/24 and 255.255.255.255: never routed. */
const isLinkOnly = (a: Ipv4Addr): boolean => a >>> 8 === 0xe00000 || a === INADDR_BROADCAST;

/** ipv4_mtu(): what a router told, else what the route says, else the device's. */
function mtuOf(res: FibResult | undefined, dev: NetDevice, learnt: PmtuException | undefined): number {
  return Math.min(learnt?.mtu ?? (res?.fi?.mtu || dev.mtu), dev.mtu, IP_MAX_MTU);
}

function outputOf(type: number, dev: NetDevice): DstOutput {
  if ((dev.flags & IFF_LOOPBACK) !== 0) return 'loopback';
  if (type === RTN_BROADCAST) return 'broadcast';
  if (type === RTN_MULTICAST) return 'multicast';
  return (dev.flags & IFF_NOARP) !== 0 ? 'noarp' : 'unicast';
}
