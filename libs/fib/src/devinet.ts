import {
  ERRNO,
  IFF_UP,
  type IfAddr,
  type Ipv4Addr,
  maskOf,
  type NetDevice,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
} from '@skbus/skb';

/** An address in force; `secondary`: another one of the same subnet came first (IFA_F_SECONDARY). */
export interface InetIfAddr extends IfAddr {
  secondary: boolean;
}

/** include/linux/inetdevice.h:inet_ifa_match */
export const inetIfaMatch = (addr: Ipv4Addr, ifa: IfAddr): boolean =>
  ((addr ^ ifa.local) & maskOf(ifa.prefixLen)) === 0;

/** Devices and their addresses (net/ipv4/devinet.c). Knows nothing of routes. */
export class Devinet {
  private readonly devs = new Map<number, NetDevice>();
  private readonly ifas = new Map<number, InetIfAddr[]>();

  setDevice(d: NetDevice): void {
    this.devs.set(d.ifindex, d);
    if (!this.ifas.has(d.ifindex)) this.ifas.set(d.ifindex, []);
  }

  deleteDevice(ifindex: number): void {
    this.devs.delete(ifindex);
    this.ifas.delete(ifindex);
  }

  device(ifindex: number): NetDevice | undefined {
    return this.devs.get(ifindex);
  }

  /** By ifindex, `lo` first. */
  devices(): NetDevice[] {
    return [...this.devs.values()].sort((a, b) => a.ifindex - b.ifindex);
  }

  addrsOf(ifindex: number): readonly InetIfAddr[] {
    return this.ifas.get(ifindex) ?? [];
  }

  allAddrs(): InetIfAddr[] {
    return this.devices().flatMap((d) => [...this.addrsOf(d.ifindex)]);
  }

  /** Whose address it is (inet_lookup_ifaddr_rcu). */
  find(addr: Ipv4Addr): InetIfAddr | undefined {
    for (const list of this.ifas.values()) {
      for (const ifa of list) if (ifa.local === addr) return ifa;
    }
    return undefined;
  }

  /** net/ipv4/devinet.c:__inet_insert_ifa; the errno, or the address as it is now. */
  insert(a: IfAddr): InetIfAddr | number {
    if (!Number.isInteger(a.prefixLen) || a.prefixLen < 0 || a.prefixLen > 32 || a.local === 0) return ERRNO.EINVAL;
    const list = this.ifas.get(a.ifindex);
    if (list === undefined) return ERRNO.ENODEV;
    const ifa: InetIfAddr = { ...a, secondary: false };
    let afterPrimary = 0;
    for (const [i, other] of list.entries()) {
      if (!other.secondary && ifa.scope <= other.scope) afterPrimary = i + 1;
      if (other.prefixLen !== ifa.prefixLen || !inetIfaMatch(other.local, ifa)) continue;
      if (other.local === ifa.local) return ERRNO.EEXIST;
      if (other.scope !== ifa.scope) return ERRNO.EINVAL;
      ifa.secondary = true;
    }
    list.splice(ifa.secondary ? list.length : afterPrimary, 0, ifa);
    return ifa;
  }

  /**
   * net/ipv4/devinet.c:__inet_del_ifa: a primary address takes the secondaries of its subnet with it. What was
   * removed, the secondaries first; empty: there was no such address.
   */
  remove(ifindex: number, local: Ipv4Addr, prefixLen: number): InetIfAddr[] {
    const list = this.ifas.get(ifindex) ?? [];
    const gone = list.find((i) => i.local === local && i.prefixLen === prefixLen);
    if (gone === undefined) return [];
    const fall = gone.secondary
      ? []
      : list.filter((i) => i.secondary && i.prefixLen === prefixLen && inetIfaMatch(i.local, gone));
    const all = [...fall, gone];
    this.ifas.set(
      ifindex,
      list.filter((i) => !all.includes(i)),
    );
    return all;
  }

  /** The primary address of a subnet (inet_ifa_byprefix). */
  primaryOf(ifa: InetIfAddr): InetIfAddr | undefined {
    if (!ifa.secondary) return ifa;
    return this.addrsOf(ifa.ifindex).find(
      (i) => !i.secondary && i.prefixLen === ifa.prefixLen && inetIfaMatch(i.local, ifa),
    );
  }

  /**
   * The source address for a destination reached over a device: a primary one of the destination's subnet, else the
   * device's first, else any device's (net/ipv4/devinet.c:inet_select_addr). 0: none is wide enough for `scope`.
   */
  selectAddr(ifindex: number, dst: Ipv4Addr, scope: number): Ipv4Addr {
    let first = 0;
    for (const ifa of this.addrsOf(ifindex)) {
      if (ifa.secondary || Math.min(ifa.scope, RT_SCOPE_HOST) > scope) continue;
      if (dst === 0 || inetIfaMatch(dst, ifa)) return ifa.local;
      if (first === 0) first = ifa.local;
    }
    if (first !== 0) return first;
    for (const d of this.devices()) {
      for (const ifa of this.addrsOf(d.ifindex)) {
        if (!ifa.secondary && ifa.scope !== RT_SCOPE_LINK && ifa.scope <= scope) return ifa.local;
      }
    }
    return 0;
  }
}

export const isUp = (d: NetDevice | undefined): boolean => d !== undefined && (d.flags & IFF_UP) !== 0;
