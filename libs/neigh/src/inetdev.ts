import {
  INADDR_BROADCAST,
  IFF_LOOPBACK,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_UNICAST,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  isLoopbackIpv4,
  isMulticastIpv4,
  isZeronetIpv4,
  maskOf,
  type IfAddr,
  type Ipv4Addr,
  type NetDevice,
} from '@skbus/skb';

/** What ARP needs to know of the local addresses (net/ipv4/devinet.c, the local table of the FIB). */
export class InetAddrs {
  private list: readonly IfAddr[] = [];
  private locals = new Set<Ipv4Addr>();
  private broadcasts = new Set<Ipv4Addr>();

  /** Takes the new set and returns what was not there before. */
  replace(addrs: readonly IfAddr[]): IfAddr[] {
    const before = new Set(this.list.map((a) => `${a.ifindex}/${a.local}`));
    this.list = addrs.map((a) => ({ ...a }));
    this.locals = new Set(addrs.map((a) => a.local));
    this.broadcasts = new Set([INADDR_BROADCAST]);
    for (const a of addrs) {
      if (a.broadcast !== 0) this.broadcasts.add(a.broadcast);
      // fib_add_ifaddr: the network address is a broadcast address, too (RFC 1122 3.3.6), except on a /31 or /32.
      if (a.prefixLen < 31 && !isLoopbackIpv4(a.local)) this.broadcasts.add((a.local & maskOf(a.prefixLen)) >>> 0);
    }
    return this.list.filter((a) => !before.has(`${a.ifindex}/${a.local}`));
  }

  isLocal(addr: Ipv4Addr): boolean {
    return this.locals.has(addr) || isLoopbackIpv4(addr);
  }

  isLocalOn(ifindex: number, addr: Ipv4Addr): boolean {
    return this.list.some((a) => a.ifindex === ifindex && a.local === addr);
  }

  /** inet_addr_type(). */
  typeOf(addr: Ipv4Addr): number {
    if (this.isLocal(addr)) return RTN_LOCAL;
    if (isZeronetIpv4(addr) || this.broadcasts.has(addr) || addr === INADDR_BROADCAST) return RTN_BROADCAST;
    if (isMulticastIpv4(addr)) return RTN_MULTICAST;
    return RTN_UNICAST;
  }

  /** inet_select_addr(dev, dst, RT_SCOPE_LINK): on the device and in the target's subnet, on the device, anywhere; 0: none. */
  select(dev: NetDevice, dst: Ipv4Addr): Ipv4Addr {
    const usable = this.list.filter((a) => a.scope <= RT_SCOPE_LINK);
    const here = usable.filter((a) => a.ifindex === dev.ifindex);
    return (here.find((a) => sameNet(a, dst)) ?? here[0] ?? usable[0])?.local ?? 0;
  }

  /** Whether both addresses are in one subnet of the device (inet_addr_onlink). */
  onlink(ifindex: number, a: Ipv4Addr, b: Ipv4Addr): boolean {
    return this.list.some((x) => x.ifindex === ifindex && sameNet(x, a) && sameNet(x, b));
  }

  /**
   * Whether a packet from `saddr` to a local address would be routed at all: ip_route_input_slow and fib_validate_source
   * turn away martians, our own addresses among them.
   */
  validSource(saddr: Ipv4Addr): boolean {
    return !isMulticastIpv4(saddr) && saddr !== INADDR_BROADCAST && !isZeronetIpv4(saddr) && !this.isLocal(saddr);
  }

  /** net/ipv4/arp.c:arp_ignore: true means stay silent. */
  arpIgnore(mode: number, dev: NetDevice, sip: Ipv4Addr, tip: Ipv4Addr): boolean {
    switch (mode) {
      case 1:
        return !this.confirm(dev.ifindex, 0, tip, RT_SCOPE_HOST);
      case 2:
        return !this.confirm(dev.ifindex, sip, tip, RT_SCOPE_HOST);
      case 3:
        return !this.confirm(0, 0, tip, RT_SCOPE_LINK);
      case 8:
        return true;
      default:
        return false;
    }
  }

  /** inet_confirm_addr() */
  private confirm(ifindex: number, dst: Ipv4Addr, local: Ipv4Addr, scope: number): boolean {
    return this.list.some(
      (a) =>
        a.local === local &&
        a.scope <= scope &&
        (ifindex === 0 || a.ifindex === ifindex) &&
        (dst === 0 || sameNet(a, dst)),
    );
  }
}

/** ip_eth_mc_map(): RFC 1112 6.4. */
export const multicastMac = (addr: Ipv4Addr): number => 0x01005e000000 + (addr & 0x7fffff);

export const isLoopbackDev = (dev: NetDevice): boolean => (dev.flags & IFF_LOOPBACK) !== 0;

const sameNet = (a: IfAddr, addr: Ipv4Addr): boolean => ((a.local ^ addr) & maskOf(a.prefixLen)) === 0;
