import {
  ETH_P_ARP,
  IFF_LOOPBACK,
  IFF_NOARP,
  MAC_BROADCAST,
  NUD_NOARP,
  NUD_REACHABLE,
  NUD_STALE,
  PACKET_HOST,
  PACKET_LOOPBACK,
  PACKET_OTHERHOST,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  RTN_UNICAST,
  isLoopbackIpv4,
  isMulticastIpv4,
  FaultCases,
  type FaultCase,
  type Ipv4Addr,
  type LayerEnv,
  type LayerFaults,
  type MacAddr,
  type Millis,
  type NetDevice,
  type SkBuff,
} from '@skbus/skb';
import {
  ARP_LEN,
  ARPOP_REPLY,
  ARPOP_REQUEST,
  emitArp,
  emitEthernet,
  ETHERNET_HLEN,
  get32,
  IPV4_HLEN,
  parseArp,
  type ArpRepr,
} from '@skbus/wire';
import { NEIGH_UPDATE_F_OVERRIDE, type NeighCore, type NeighOps } from './core.ts';
import { multicastMac, type InetAddrs } from './inetdev.ts';
import type { Neighbour } from './neighbour.ts';
import { NUD_VALID } from './nud.ts';
import type { NeighSysctl } from './sysctl.ts';

/** Someone else claims an address of ours (RFC 5227 2.4). */
export type ConflictHandler = (ifindex: number, addr: Ipv4Addr, mac: MacAddr) => void;

/** ARP for IPv4 over Ethernet (net/ipv4/arp.c; RFC 826). */
export class Arp implements NeighOps {
  private readonly env: LayerEnv;
  private readonly sysctl: NeighSysctl;
  private readonly addrs: InetAddrs;
  private readonly conflict: ConflictHandler;
  private readonly silent = new FaultCases();
  private readonly late = new FaultCases();
  private readonly poison = new FaultCases();
  readonly faults: LayerFaults = {
    'arp-silent': { begin: this.silent.begin },
    'arp-late': { begin: this.late.begin },
    'arp-poison': { begin: this.poison.begin },
  };

  constructor(env: LayerEnv, sysctl: NeighSysctl, addrs: InetAddrs, conflict: ConflictHandler) {
    this.env = env;
    this.sysctl = sysctl;
    this.addrs = addrs;
    this.conflict = conflict;
  }

  /** arp_constructor(): addresses that need no resolution are NOARP from the start. */
  construct(n: Neighbour): void {
    const type = this.addrs.typeOf(n.addr);
    if (n.dev.flags & (IFF_NOARP | IFF_LOOPBACK))
      this.fixed(n, type === RTN_MULTICAST ? multicastMac(n.addr) : n.dev.mac);
    else if (type === RTN_MULTICAST) this.fixed(n, multicastMac(n.addr));
    else if (type === RTN_BROADCAST) this.fixed(n, MAC_BROADCAST);
  }

  private fixed(n: Neighbour, ha: MacAddr): void {
    n.state = NUD_NOARP;
    n.ha = ha;
  }

  /** arp_solicit(): unicast to the known address while probing it, broadcast after. */
  solicit(n: Neighbour, skb: SkBuff | undefined, now: Millis): void {
    this.env.trace('arp_solicit', skb);
    const saddr = this.announced(n, skb) || this.addrs.select(n.dev, n.addr);
    const unicast = n.probes < this.sysctl.ucastSolicit && (n.state & NUD_VALID) !== 0;
    this.send(ARPOP_REQUEST, n.dev, { tpa: n.addr, spa: saddr, tha: 0 }, unicast ? n.ha : MAC_BROADCAST, now);
  }

  /** arp_announce: the source address of the packet that waits, where the policy lets the target see it. */
  private announced(n: Neighbour, skb: SkBuff | undefined): Ipv4Addr {
    if (skb === undefined || this.sysctl.arpAnnounce === 2 || skb.headLen < IPV4_HLEN) return 0;
    const saddr = get32(skb.buf, skb.data + 12);
    if (this.addrs.typeOf(saddr) !== RTN_LOCAL) return 0;
    if (this.sysctl.arpAnnounce === 1 && !this.addrs.onlink(n.dev.ifindex, n.addr, saddr)) return 0;
    return saddr;
  }

  /** arp_error_report(): IP turns it into a host unreachable and records the drop (NEIGH_FAILED). */
  errorReport(_n: Neighbour, skb: SkBuff): void {
    this.env.trace('arp_error_report', skb);
    this.env.pass('ipv4_link_failure', skb);
  }

  /** inetdev_send_gratuitous_arp(): "this address is here". */
  announce(dev: NetDevice, addr: Ipv4Addr, now: Millis): void {
    this.send(ARPOP_REQUEST, dev, { tpa: addr, spa: addr, tha: 0 }, MAC_BROADCAST, now);
  }

  /** arp_rcv(): data at the ARP header. Takes the skb over. */
  rcv(core: NeighCore, dev: NetDevice | undefined, skb: SkBuff, now: Millis): void {
    if (this.env.fails('arp_rcv', skb)) return;
    const { pktType } = skb;
    if (dev === undefined || dev.flags & IFF_NOARP || pktType === PACKET_OTHERHOST || pktType === PACKET_LOOPBACK) {
      this.env.consume(skb);
      return;
    }
    if (!skb.mayPull(ARP_LEN)) {
      this.env.drop(skb, 'NOT_SPECIFIED');
      return;
    }
    const arp = parseArp(skb.buf, skb.data, skb.tail);
    if (arp === undefined || (arp.op !== ARPOP_REQUEST && arp.op !== ARPOP_REPLY)) {
      this.env.drop(skb, 'NOT_SPECIFIED');
      return;
    }
    this.env.trace('arp_process', skb);
    if (this.addrs.isLocal(arp.spa) && arp.spa !== 0 && arp.sha !== dev.mac)
      this.conflict(dev.ifindex, arp.spa, arp.sha);
    this.process(core, dev, skb, arp, now);
    this.env.consume(skb);
  }

  private process(core: NeighCore, dev: NetDevice, skb: SkBuff, arp: ArpRepr, now: Millis): void {
    const { spa: sip, tpa: tip, sha } = arp;
    if (isMulticastIpv4(tip) || isLoopbackIpv4(tip)) return;
    const request = arp.op === ARPOP_REQUEST;
    const forUs = request && this.addrs.isLocal(tip);
    // A probe before taking an address (RFC 5227 2.1.1): defend ours, learn nothing.
    if (sip === 0) {
      if (forUs && !this.addrs.arpIgnore(this.sysctl.arpIgnore, dev, sip, tip)) this.reply(dev, arp, now);
      return;
    }
    if (forUs && this.addrs.validSource(sip)) {
      if (this.addrs.arpIgnore(this.sysctl.arpIgnore, dev, sip, tip)) return;
      if (this.eventNs(core, dev, sip, sha, now)) this.reply(dev, arp, now);
      return;
    }
    this.learn(core, dev, skb, arp, now);
  }

  /** neigh_event_ns(): who asks for us will soon talk to us. */
  private eventNs(core: NeighCore, dev: NetDevice, sip: Ipv4Addr, sha: MacAddr, now: Millis): boolean {
    this.env.trace('neigh_event_ns');
    const n = core.lookup(dev, sip, true, now);
    if (n === undefined) return false;
    core.update(n, sha, NUD_STALE, NEIGH_UPDATE_F_OVERRIDE, now);
    return true;
  }

  private learn(core: NeighCore, dev: NetDevice, skb: SkBuff, arp: ArpRepr, now: Millis): void {
    const { spa: sip, sha } = arp;
    const garp = this.isGratuitous(arp);
    let n = core.lookup(dev, sip, false, now);
    if (n === undefined && this.sysctl.arpAccept) {
      const reply = arp.op === ARPOP_REPLY && this.addrs.typeOf(sip) === RTN_UNICAST;
      if (garp || reply) n = core.lookup(dev, sip, true, now);
    }
    if (n === undefined) return;
    // Of several answers in a row the first one counts; an announcement always does.
    const override = now > n.updatedMs + this.sysctl.locktimeMs || garp;
    // Requests and broadcast replies prove nothing about the way back.
    const state = arp.op === ARPOP_REPLY && skb.pktType === PACKET_HOST ? NUD_REACHABLE : NUD_STALE;
    core.update(n, sha, state, override ? NEIGH_UPDATE_F_OVERRIDE : 0, now);
  }

  /** arp_is_garp() */
  private isGratuitous(arp: ArpRepr): boolean {
    if (arp.tpa !== arp.spa) return false;
    if (arp.op === ARPOP_REPLY && arp.tha !== arp.sha) return false;
    return this.addrs.typeOf(arp.spa) === RTN_UNICAST;
  }

  private reply(dev: NetDevice, asked: ArpRepr, now: Millis): void {
    // what arp_ignore=8 does
    if (caseFor(this.silent, asked.tpa, now) !== undefined) return;
    const late = caseFor(this.late, asked.tpa, now);
    // proxy_delay has this for the addresses of others (pneigh_enqueue)
    if (late !== undefined) late.later(now + late.params.time!, (t) => this.answer(dev, asked, t));
    else this.answer(dev, asked, now);
  }

  private answer(dev: NetDevice, { spa, tpa, sha }: ArpRepr, now: Millis): void {
    const mac = caseFor(this.poison, tpa, now)?.params.mac;
    this.send(ARPOP_REPLY, dev, { tpa: spa, spa: tpa, tha: sha, ...(mac === undefined ? {} : { sha: mac }) }, sha, now);
  }

  /** arp_send_dst() → arp_create() → arp_xmit() */
  private send(
    op: number,
    dev: NetDevice,
    body: { tpa: Ipv4Addr; spa: Ipv4Addr; tha: MacAddr; sha?: MacAddr },
    dst: MacAddr,
    now: Millis,
  ): void {
    if (dev.flags & IFF_NOARP) return;
    // arp_create() got no skb
    if (this.env.fails('arp_send_dst')) return;
    const skb = this.env.alloc(ETHERNET_HLEN + 2, ARP_LEN, now);
    this.env.trace('arp_create', skb);
    skb.networkHeader = skb.put(ARP_LEN);
    skb.protocol = ETH_P_ARP;
    skb.ifindex = dev.ifindex;
    emitArp({ op, sha: dev.mac, ...body }, skb.buf, skb.networkHeader);
    skb.macHeader = skb.push(ETHERNET_HLEN);
    emitEthernet({ dst, src: dev.mac, type: ETH_P_ARP }, skb.buf, skb.data);
    this.env.trace('arp_xmit', skb);
    this.env.trace('arp_xmit_finish', skb);
    this.env.pass('dev_queue_xmit', skb, dev.ifindex);
  }
}

/** The fault rule about replies for this address, if one acts on this one. */
function caseFor({ on, list }: FaultCases, addr: Ipv4Addr, now: Millis): FaultCase | undefined {
  if (on === undefined) return undefined;
  return list.find((c) => (c.params.ip ?? addr) === addr && c.takes(now));
}
