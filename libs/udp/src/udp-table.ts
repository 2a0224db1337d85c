import { below, type Ipv4Addr, type Rng } from '@skbus/skb';
import type { UdpSock } from './sock.ts';

/** Sockets by local port (struct udp_table), in the order in which they were bound. */
export class UdpTable {
  private readonly ports = new Map<number, UdpSock[]>();
  private readonly mix: number;

  /** `mix`: what nobody outside knows, so that nobody can aim at one socket of a SO_REUSEPORT group. */
  constructor(mix: number) {
    this.mix = mix;
  }

  add(sk: UdpSock): void {
    const list = this.ports.get(sk.lport);
    if (list === undefined) this.ports.set(sk.lport, [sk]);
    else list.push(sk);
  }

  remove(sk: UdpSock): void {
    const list = this.ports.get(sk.lport);
    const i = list?.indexOf(sk) ?? -1;
    if (list === undefined || i < 0) return;
    list.splice(i, 1);
    if (list.length === 0) this.ports.delete(sk.lport);
  }

  /** udp_lib_lport_inuse(): the sockets that keep `sk`, bound to `addr`, off this port. */
  conflicts(sk: UdpSock, addr: Ipv4Addr, port: number): UdpSock[] {
    const found: UdpSock[] = [];
    for (const o of this.ports.get(port) ?? []) {
      if (o === sk || (o.reuseAddr && sk.reuseAddr) || (o.reusePort && sk.reusePort)) continue;
      if (o.rcvSaddr === 0 || addr === 0 || o.rcvSaddr === addr) found.push(o);
    }
    return found;
  }

  /**
   * RFC 6056 3.3.1: a random start, then the next free one. Stricter than for a named port: an ephemeral port is not
   * shared with whoever overlaps, whatever they allow. 0: none is free.
   */
  ephemeral(sk: UdpSock, addr: Ipv4Addr, [low, high]: readonly [number, number], rng: Rng): number {
    const n = high - low + 1;
    const start = below(rng, n);
    for (let i = 0; i < n; i++) {
      const port = low + ((start + i) % n);
      const taken = this.ports
        .get(port)
        ?.some((o) => o !== sk && (o.rcvSaddr === 0 || addr === 0 || o.rcvSaddr === addr));
      if (taken !== true) return port;
    }
    return 0;
  }

  /** __udp4_lib_lookup(): who gets a datagram from raddr:rport to laddr:lport. The address itself goes before any. */
  lookup(raddr: Ipv4Addr, rport: number, laddr: Ipv4Addr, lport: number): UdpSock | undefined {
    const list = this.ports.get(lport);
    if (list === undefined) return undefined;
    return this.best(list, laddr, raddr, rport, laddr) ?? this.best(list, 0, raddr, rport, laddr);
  }

  /** __udp_is_mcast_sock(): all that get a broadcast or multicast. */
  lookupAll(raddr: Ipv4Addr, rport: number, laddr: Ipv4Addr, lport: number): UdpSock[] {
    return (this.ports.get(lport) ?? []).filter(
      (o) =>
        (o.daddr === 0 || o.daddr === raddr) &&
        (o.dport === 0 || o.dport === rport) &&
        (o.rcvSaddr === 0 || o.rcvSaddr === laddr),
    );
  }

  /** udp4_lib_lookup2(): the best score; among equals the one bound last. */
  private best(list: UdpSock[], bound: Ipv4Addr, raddr: Ipv4Addr, rport: number, laddr: Ipv4Addr): UdpSock | undefined {
    let result: UdpSock | undefined;
    let badness = -1;
    for (let i = list.length - 1; i >= 0; i--) {
      const sk = list[i]!;
      const score = scoreOf(sk, bound, raddr, rport);
      if (score <= badness) continue;
      badness = score;
      result = sk;
      if (sk.connected || !sk.reusePort) continue;
      const group = list.filter((o) => o.reusePort && o.rcvSaddr === bound && !o.connected);
      result = group[Math.floor((this.hash(raddr, rport, laddr, sk.lport) / 0x1_0000_0000) * group.length)]!;
      // A connected member may still fit better than the group's choice.
      if (!list.some((o) => o.reusePort && o.connected)) return result;
    }
    return result;
  }

  /** udp_ehashfn(): one flow always meets the same socket of its group. */
  private hash(raddr: Ipv4Addr, rport: number, laddr: Ipv4Addr, lport: number): number {
    let h = Math.imul(this.mix ^ raddr, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15) ^ laddr, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13) ^ ((rport << 16) | lport), 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 16) ^ this.mix, 0x9e3779b1);
    return (h ^ (h >>> 15)) >>> 0;
  }
}

/** net/ipv4/udp.c:compute_score; -1: not for this socket. */
function scoreOf(sk: UdpSock, bound: Ipv4Addr, raddr: Ipv4Addr, rport: number): number {
  if (sk.rcvSaddr !== bound) return -1;
  let score = 2;
  if (sk.daddr !== 0) {
    if (sk.daddr !== raddr) return -1;
    score += 4;
  }
  if (sk.dport !== 0) {
    if (sk.dport !== rport) return -1;
    score += 4;
  }
  return score;
}
