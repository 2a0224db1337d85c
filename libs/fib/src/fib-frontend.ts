import {
  ERRNO,
  IFF_LOOPBACK,
  type IfAddr,
  INADDR_BROADCAST,
  INADDR_LOOPBACK,
  type Ipv4Addr,
  isZeronetIpv4,
  type LayerEnv,
  maskOf,
  type NetDevice,
  type Route,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_NOWHERE,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_UNICAST,
  RTPROT_KERNEL,
} from '@skbus/skb';
import { type InetIfAddr, isUp } from './devinet.ts';
import { Fib } from './fib.ts';
import type { InsertMode } from './fib-table.ts';

/**
 * What changes devices, addresses and routes (net/ipv4/fib_frontend.c and the netlink half of devinet.c): keeps the
 * routes that the kernel makes for every address. Results are errnos, 0 for success.
 */
export class FibFrontend {
  readonly fib: Fib;
  private readonly env: LayerEnv;
  private readonly changed: () => void;

  /** `changed` is called after every change that may alter a lookup (rt_cache_flush). */
  constructor(env: LayerEnv, fib: Fib, changed: () => void) {
    this.env = env;
    this.fib = fib;
    this.changed = changed;
  }

  /** register_netdevice or a change of flags or MTU; `lo` gets 127.0.0.1/8 when it comes up (inetdev_event). */
  addDevice(d: NetDevice): void {
    const was = this.fib.devinet.device(d.ifindex);
    this.fib.devinet.setDevice({ ...d });
    if (!isUp(was) && isUp(d)) this.deviceUp(d);
    else if (isUp(was) && !isUp(d)) this.disableIp(d.ifindex, false);
    this.flushCaches();
  }

  removeDevice(ifindex: number): void {
    if (this.fib.devinet.device(ifindex) === undefined) return;
    for (const ifa of this.fib.devinet.addrsOf(ifindex)) this.removeAddr(ifa.ifindex, ifa.local, ifa.prefixLen);
    this.disableIp(ifindex, true);
    this.fib.devinet.deleteDevice(ifindex);
    this.flushCaches();
  }

  /** net/ipv4/devinet.c:inet_rtm_newaddr */
  addAddr(a: IfAddr): number {
    this.env.trace('inet_rtm_newaddr');
    const ifa = this.fib.devinet.insert(a);
    this.env.trace('__inet_insert_ifa');
    if (typeof ifa === 'number') return ifa;
    this.fibAddIfaddr(ifa);
    this.flushCaches();
    return 0;
  }

  /** net/ipv4/devinet.c:inet_rtm_deladdr */
  delAddr(ifindex: number, local: Ipv4Addr, prefixLen: number): number {
    this.env.trace('inet_rtm_deladdr');
    if (this.fib.devinet.device(ifindex) === undefined) return ERRNO.ENODEV;
    if (!this.removeAddr(ifindex, local, prefixLen)) return ERRNO.EADDRNOTAVAIL;
    if (this.fib.devinet.addrsOf(ifindex).length === 0) this.disableIp(ifindex, true);
    this.flushCaches();
    return 0;
  }

  /** net/ipv4/fib_frontend.c:inet_rtm_newroute */
  addRoute(r: Route, mode: InsertMode): number {
    this.env.trace('inet_rtm_newroute');
    const err = this.fib.insert(r, mode);
    if (err === 0) this.flushCaches();
    return err;
  }

  /** net/ipv4/fib_frontend.c:inet_rtm_delroute */
  delRoute(r: Partial<Route> & { dst: Ipv4Addr; dstLen: number }): number {
    this.env.trace('inet_rtm_delroute');
    const err = this.fib.delete(r);
    if (err === 0) this.flushCaches();
    return err;
  }

  private flushCaches(): void {
    this.env.trace('rt_cache_flush');
    this.changed();
  }

  private deviceUp(d: NetDevice): void {
    const { devinet } = this.fib;
    if ((d.flags & IFF_LOOPBACK) !== 0 && devinet.addrsOf(d.ifindex).length === 0) {
      const lo = {
        ifindex: d.ifindex,
        local: INADDR_LOOPBACK,
        prefixLen: 8,
        broadcast: 0,
        scope: RT_SCOPE_HOST,
        label: d.name,
      };
      devinet.insert(lo);
    }
    for (const ifa of devinet.addrsOf(d.ifindex)) this.fibAddIfaddr(ifa);
  }

  private removeAddr(ifindex: number, local: Ipv4Addr, prefixLen: number): boolean {
    const { devinet } = this.fib;
    const gone = devinet.remove(ifindex, local, prefixLen);
    const wanted = new Set(
      devinet
        .addrsOf(ifindex)
        .flatMap((ifa) => this.routesOf(ifa))
        .map(routeKey),
    );
    for (const ifa of gone) {
      const prim = ifa.secondary ? gone.at(-1)! : ifa;
      for (const r of this.routesOf(ifa, prim)) if (!wanted.has(routeKey(r))) this.fib.delete(r);
      // fib_sync_down_addr(): routes that ask for a source address which is ours no more
      if (devinet.find(ifa.local) === undefined) this.fib.flush((fi) => fi.prefsrc === ifa.local);
    }
    return gone.length > 0;
  }

  /** net/ipv4/fib_frontend.c:fib_add_ifaddr */
  private fibAddIfaddr(ifa: InetIfAddr): void {
    this.env.trace('fib_add_ifaddr');
    for (const r of this.routesOf(ifa)) {
      this.env.trace('fib_magic');
      this.fib.insert(r, 'append');
    }
  }

  /** fib_disable_ip(): a device that went down keeps our own addresses reachable; one that is gone (`force`) keeps nothing. */
  private disableIp(ifindex: number, force: boolean): void {
    this.fib.flush((fi) => fi.nh?.oif === ifindex && (force || fi.nh.scope !== RT_SCOPE_NOWHERE));
  }

  /** The routes the kernel makes for an address: itself, its subnet, and the subnet's broadcast address. */
  private routesOf(ifa: InetIfAddr, primary = this.fib.devinet.primaryOf(ifa)): Route[] {
    const dev = this.fib.devinet.device(ifa.ifindex);
    if (primary === undefined || dev === undefined) return [];
    const mask = maskOf(ifa.prefixLen);
    const prefix = (ifa.local & mask) >>> 0;
    const out = [magic(RTN_LOCAL, ifa.local, 32, primary)];
    if (!isUp(dev)) return out;
    if (ifa.broadcast !== 0 && ifa.broadcast !== INADDR_BROADCAST)
      out.push(magic(RTN_BROADCAST, ifa.broadcast, 32, primary));
    if (isZeronetIpv4(prefix) || ifa.secondary || (prefix === ifa.local && ifa.prefixLen === 32)) return out;
    out.push(magic((dev.flags & IFF_LOOPBACK) !== 0 ? RTN_LOCAL : RTN_UNICAST, prefix, ifa.prefixLen, primary));
    const last = (prefix | ~mask) >>> 0;
    if (ifa.prefixLen < 31 && last !== ifa.broadcast) out.push(magic(RTN_BROADCAST, last, 32, primary));
    return out;
  }
}

/** net/ipv4/fib_frontend.c:fib_magic */
function magic(type: number, dst: Ipv4Addr, dstLen: number, ifa: IfAddr): Route {
  return {
    dst,
    dstLen,
    gateway: 0,
    oif: ifa.ifindex,
    prefsrc: ifa.local,
    type,
    metric: 0,
    tos: 0,
    mtu: 0,
    table: type === RTN_UNICAST ? RT_TABLE_MAIN : RT_TABLE_LOCAL,
    protocol: RTPROT_KERNEL,
    scope: type === RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_LINK,
  };
}

const routeKey = (r: Route): string => `${r.table}/${r.type}/${r.dst}/${r.dstLen}/${r.oif}/${r.prefsrc}`;
