import {
  copySkb,
  ERRNO,
  ETH_P_IP,
  type FlowI4,
  IPPROTO_ICMP,
  type LayerEnv,
  MAC_BROADCAST,
  type MacAddr,
  type Millis,
  type SkBuff,
} from '@skbus/skb';
import { unreachCode } from '@skbus/icmp';
import {
  emitEthernet,
  emitIpv4Header,
  ETHERNET_HLEN,
  get16,
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  IP_DF,
  IPV4_HLEN,
} from '@skbus/wire';
import type { Dst } from './dst.ts';
import type { HhCache } from './hh-cache.ts';
import { fragment } from './ip-fragment.ts';
import type { IpIdents } from './ip-idents.ts';
import type { NarrowPath } from './narrow-path.ts';
import type { RouteOutput } from './route-output.ts';
import type { IpSysctl } from './sysctl.ts';

const LOOPBACK_IFINDEX = 1;
/** Bytes of the transport header that an error told to ourselves quotes: any TCP header with its options. */
const QUOTE_MAX = 64;

export interface OutputParts {
  routes: RouteOutput;
  hh: HhCache;
  idents: IpIdents;
  sysctl: IpSysctl;
  narrow: NarrowPath;
  /** A packet of ours died on the way out: `quoted` has its data at the IP header; takes it over. */
  tellSender: (quoted: SkBuff, type: number, code: number, mtu: number, now: Millis) => void;
  /** A packet that we only forward is too big. */
  tooBig: (skb: SkBuff, mtu: number, now: Millis) => void;
}

/** From the transport to the neighbour (net/ipv4/ip_output.c). */
export class IpOutput {
  private readonly env: LayerEnv;
  private readonly p: OutputParts;

  constructor(env: LayerEnv, parts: OutputParts) {
    this.env = env;
    this.p = parts;
  }

  /** net/ipv4/ip_output.c:ip_queue_xmit: data at the TCP header. */
  queueXmit(skb: SkBuff, now: Millis): void {
    this.env.trace('ip_queue_xmit', skb);
    this.env.trace('__ip_queue_xmit', skb);
    this.send(skb, false, now);
  }

  /** net/ipv4/ip_output.c:ip_send_skb: data at the UDP or ICMP header. */
  sendSkb(skb: SkBuff, now: Millis): void {
    this.send(skb, true, now);
  }

  /** The packet is complete and routed: data at its IP header. Forwarding comes in here, too. */
  dstOutput(skb: SkBuff, dst: Dst, forwarded: boolean, now: Millis): void {
    this.env.trace('dst_output', skb);
    skb.ifindex = dst.dev.ifindex;
    skb.protocol = ETH_P_IP;
    skb.nextHop = dst.nextHop;
    if (dst.output === 'broadcast' || dst.output === 'multicast') {
      this.env.trace('ip_mc_output', skb);
      if (dst.output === 'broadcast' && !forwarded) this.loopBack(skb, now);
    } else this.env.trace('ip_output', skb);
    this.finishOutput(skb, dst, forwarded, now);
  }

  private send(skb: SkBuff, plain: boolean, now: Millis): void {
    const { flow } = skb;
    if (flow === undefined) {
      this.env.drop(skb, 'INVALID_PROTO');
      return;
    }
    const dst = this.p.routes.find(flow.daddr, flow.saddr, flow.tos, flow.oif, now, skb);
    if (typeof dst === 'number') {
      this.noRoute(skb, flow, dst, now);
      return;
    }
    this.pushHeader(skb, flow, dst, now);
    if (plain) this.env.trace('ip_send_skb', skb);
    if (this.env.fails('ip_local_out', skb)) return;
    this.env.trace('__ip_local_out', skb);
    this.env.mib.inc('IpOutRequests');
    this.dstOutput(skb, dst, false, now);
  }

  private pushHeader(skb: SkBuff, flow: FlowI4, dst: Dst, now: Millis): void {
    const payload = skb.len;
    const at = skb.push(IPV4_HLEN);
    skb.networkHeader = at;
    skb.transportHeader = at + IPV4_HLEN;
    const df = flow.df && !dst.mtuLocked;
    emitIpv4Header(
      {
        hlen: IPV4_HLEN,
        tos: flow.tos,
        totalLen: Math.min(0xffff, payload + IPV4_HLEN),
        id: this.ident(skb, flow, dst, df, now),
        df,
        mf: false,
        fragOffset: 0,
        ttl: flow.ttl || this.p.sysctl.ipDefaultTtl,
        proto: flow.proto,
        saddr: dst.saddr,
        daddr: dst.daddr || dst.nextHop,
      },
      skb.buf,
      at,
    );
    skb.flow = undefined;
  }

  /** ip_select_ident_segs(): what cannot be fragmented needs no unique number (RFC 6864 4.1), a connection counts on anyway. */
  private ident(skb: SkBuff, flow: FlowI4, dst: Dst, df: boolean, now: Millis): number {
    const segs = Math.max(1, skb.gsoSegs);
    if (!df) return this.p.idents.select(dst.saddr, dst.daddr, flow.proto, segs, now);
    if (!flow.connected) return 0;
    const id = dst.ident;
    dst.ident = (id + segs) & 0xffff;
    return id;
  }

  /** ip_finish_output → __ip_finish_output */
  private finishOutput(skb: SkBuff, dst: Dst, forwarded: boolean, now: Millis): void {
    if (this.env.fails('ip_finish_output', skb)) return;
    if (this.p.narrow.any && dst.output !== 'loopback' && this.lostBehind(skb, dst, forwarded, now)) return;
    if (skb.gsoSize > 0) {
      this.env.trace('ip_finish_output_gso', skb);
      if (segmentFits(skb, dst.mtu)) this.finish2(skb, dst, now);
      else this.tooBig(skb, dst, forwarded, now);
    } else if (skb.len > dst.mtu) this.ipFragment(skb, dst, forwarded, now);
    else this.finish2(skb, dst, now);
  }

  private ipFragment(skb: SkBuff, dst: Dst, forwarded: boolean, now: Millis): void {
    this.env.trace('ip_fragment', skb);
    if ((get16(skb.buf, skb.data + 6) & IP_DF) !== 0) {
      this.tooBig(skb, dst, forwarded, now);
      return;
    }
    const noMem = this.env.fails('ip_do_fragment', skb);
    const parts = noMem ? undefined : fragment(this.env, skb, dst.mtu, now);
    if (parts === undefined) {
      this.env.mib.inc('IpFragFails');
      this.env.drop(skb, noMem ? 'NOMEM' : 'PKT_TOO_BIG');
      return;
    }
    for (const f of parts) {
      this.env.mib.inc('IpFragCreates');
      this.finish2(f, dst, now);
    }
    this.env.mib.inc('IpFragOKs');
    this.env.consume(skb);
  }

  /** A fault rule: it leaves us, and the next hop has no room for it. */
  private lostBehind(skb: SkBuff, dst: Dst, forwarded: boolean, now: Millis): boolean {
    const narrow = this.p.narrow.stops(skb, now);
    if (narrow === undefined) return false;
    const { mtu, tells } = narrow;
    if (tells && forwarded) this.p.tooBig(skb, mtu, now);
    else if (tells) {
      // as by that router's ICMP
      const inForce = this.p.routes.updatePmtu(dst.daddr, mtu, now);
      this.p.tellSender(this.quote(skb, now), ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, inForce, now);
    }
    this.env.drop(skb, 'PKT_TOO_BIG');
    return true;
  }

  /** It may not be cut: who sent it must send less. */
  private tooBig(skb: SkBuff, dst: Dst, forwarded: boolean, now: Millis): void {
    this.env.mib.inc('IpFragFails');
    if (forwarded) this.p.tooBig(skb, dst.mtu, now);
    else this.p.tellSender(this.quote(skb, now), ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, dst.mtu, now);
    this.env.drop(skb, 'PKT_TOO_BIG');
  }

  /** net/ipv4/ip_output.c:ip_finish_output2 → neigh_output */
  private finish2(skb: SkBuff, dst: Dst, now: Millis): void {
    if (this.env.fails('ip_finish_output2', skb)) return;
    this.countOut(skb, dst);
    switch (dst.output) {
      case 'unicast':
        this.neighOutput(skb, dst, now);
        return;
      case 'loopback':
      case 'noarp':
        this.direct(skb, dst, 0, 0);
        return;
      case 'broadcast':
        this.direct(skb, dst, MAC_BROADCAST, dst.dev.mac);
        return;
      case 'multicast':
        this.direct(skb, dst, multicastMac(dst.nextHop), dst.dev.mac);
        return;
    }
  }

  private neighOutput(skb: SkBuff, dst: Dst, now: Millis): void {
    const e = this.p.hh.entry(dst.dev.ifindex, dst.nextHop);
    if (skb.confirm) this.p.hh.confirm(e, now);
    const header = this.p.hh.use(e, now);
    if (header === undefined) {
      this.env.pass('neigh_output', skb);
      return;
    }
    const at = skb.push(ETHERNET_HLEN);
    skb.buf.set(header, at);
    skb.macHeader = at;
    this.env.trace('neigh_hh_output', skb);
    this.env.pass('dev_queue_xmit', skb, dst.dev.ifindex);
  }

  /** No neighbour to ask for: lo, NOARP devices, broadcast and multicast (arp_mc_map). */
  private direct(skb: SkBuff, dst: Dst, to: MacAddr, from: MacAddr): void {
    const at = skb.push(ETHERNET_HLEN);
    emitEthernet({ dst: to, src: from, type: ETH_P_IP }, skb.buf, at);
    skb.macHeader = at;
    this.env.pass('dev_queue_xmit', skb, dst.dev.ifindex);
  }

  /** ip_mc_output(): we hear our own broadcasts (dev_loopback_xmit). */
  private loopBack(skb: SkBuff, now: Millis): void {
    const copy = this.env.adopt(copySkb(skb), now);
    copy.ifindex = LOOPBACK_IFINDEX;
    const at = copy.push(ETHERNET_HLEN);
    emitEthernet({ dst: 0, src: 0, type: ETH_P_IP }, copy.buf, at);
    copy.macHeader = at;
    this.env.pass('dev_queue_xmit', copy, LOOPBACK_IFINDEX);
  }

  private countOut(skb: SkBuff, dst: Dst): void {
    const { mib } = this.env;
    const { len } = skb;
    if (dst.output === 'broadcast') {
      mib.inc('IpExtOutBcastPkts');
      mib.inc('IpExtOutBcastOctets', len);
    } else if (dst.output === 'multicast') {
      mib.inc('IpExtOutMcastPkts');
      mib.inc('IpExtOutMcastOctets', len);
    }
    mib.inc('IpOutTransmits');
    mib.inc('IpExtOutOctets', len);
  }

  /** The transport is told at once, so that a connect() fails instead of timing out. */
  private noRoute(skb: SkBuff, flow: FlowI4, errno: number, now: Millis): void {
    this.env.mib.inc('IpOutNoRoutes');
    // ping sockets have had the errno already
    if (flow.proto !== IPPROTO_ICMP && errno !== ERRNO.EINVAL) {
      const quoted = this.quoteUnrouted(skb, flow, now);
      this.p.tellSender(quoted, ICMP_DEST_UNREACH, unreachCode(errno), 0, now);
    }
    this.env.drop(skb, 'IP_OUTNOROUTES');
  }

  /** A new skb with the IP header and the first bytes behind it. */
  private quote(skb: SkBuff, now: Millis): SkBuff {
    const n = Math.min(skb.len, IPV4_HLEN + QUOTE_MAX);
    const q = this.env.alloc(0, n, now);
    let at = q.put(n);
    q.networkHeader = q.data;
    q.parent = skb.id;
    for (const part of skb.slices(0, n)) {
      q.buf.set(part, at);
      at += part.length;
    }
    return q;
  }

  private quoteUnrouted(skb: SkBuff, flow: FlowI4, now: Millis): SkBuff {
    const q = this.quote(skb, now);
    const at = q.push(IPV4_HLEN);
    q.networkHeader = at;
    emitIpv4Header(
      {
        hlen: IPV4_HLEN,
        tos: flow.tos,
        totalLen: Math.min(0xffff, skb.len + IPV4_HLEN),
        id: 0,
        df: flow.df,
        mf: false,
        fragOffset: 0,
        ttl: flow.ttl || this.p.sysctl.ipDefaultTtl,
        proto: flow.proto,
        saddr: flow.saddr,
        daddr: flow.daddr,
      },
      q.buf,
      at,
    );
    return q;
  }
}

/** skb_gso_validate_network_len(): whether each segment of a GSO packet (data at its IP header) fits. */
export function segmentFits(skb: SkBuff, mtu: number): boolean {
  const hlen = (skb.buf[skb.data]! & 15) * 4;
  const thlen = (skb.buf[skb.data + hlen + 12]! >>> 4) * 4;
  return hlen + thlen + skb.gsoSize <= mtu;
}

/** RFC 1112 6.4: 01:00:5e and the low 23 bits of the group. */
const multicastMac = (group: number): MacAddr => 0x01005e000000 + (group & 0x7fffff);
