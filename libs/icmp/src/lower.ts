import type { FlowI4, HandOver, Ipv4Addr, Millis, SkBuff } from '@skbus/skb';

/** Where a message would go: what ICMP must know before it builds one. */
export interface IcmpRoute {
  errno: number;
  saddr: Ipv4Addr;
  mtu: number;
  /** It leaves through `lo`: to ourselves, which is never limited. */
  loopback: boolean;
}

/** What ICMP needs of IP; libs/ip implements it. */
export interface IcmpLower {
  /** inet_addr_type(): RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST or RTN_UNICAST. */
  addrType(addr: Ipv4Addr): number;
  /** ip_route_output_key(); saddr 0: choose one. */
  route(daddr: Ipv4Addr, saddr: Ipv4Addr, tos: number, now: Millis): IcmpRoute;
  /** ip_append_data → ip_push_pending_frames: takes an skb whose data is at the ICMP header and whose flow is set. */
  push(skb: SkBuff, now: Millis): void;
  isLoopback(ifindex: number): boolean;
  /** The err_handler registered for a protocol (net_protocol.err_handler). */
  errHandler(proto: number): HandOver | 'icmp_err' | undefined;
  /** A router on the way to `daddr` says its MTU (ip_rt_update_pmtu); the MTU in force from now on. */
  updatePmtu(daddr: Ipv4Addr, mtu: number, now: Millis): number;
}

/** The part of an IP flow that ICMP decides about. */
export function icmpFlow(daddr: Ipv4Addr, saddr: Ipv4Addr, tos: number, ttl = 0): FlowI4 {
  return { daddr, saddr, proto: 1, tos, ttl, df: false, oif: 0, connected: false };
}
