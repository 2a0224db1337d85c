import { Reassembler } from '@skbus/frag';
import type { Icmp } from '@skbus/icmp';
import {
  type DropReason,
  ERRNO,
  type HandOver,
  type LayerEnv,
  type MibName,
  type Millis,
  PACKET_BROADCAST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  type SkBuff,
} from '@skbus/skb';
import {
  get16,
  get32,
  ICMP_DEST_UNREACH,
  ICMP_EXC_FRAGTIME,
  ICMP_FRAG_NEEDED,
  ICMP_HOST_UNREACH,
  ICMP_NET_UNREACH,
  ICMP_PARAMETERPROB,
  ICMP_PKT_FILTERED,
  ICMP_PROT_UNREACH,
  ICMP_TIME_EXCEEDED,
  IP_MF,
  IP_OFFSET_MASK,
  ipv4ChecksumOk,
  IPV4_HLEN,
} from '@skbus/wire';
import type { IpForward } from './ip-forward.ts';
import { parseIpOptions } from './ip-options.ts';
import type { NarrowPath } from './narrow-path.ts';
import type { InputRoute, RouteInput } from './route-input.ts';
import type { IpSysctl } from './sysctl.ts';

/** A row of the protocol table (net/ipv4/protocol.c:inet_protos). */
export interface NetProtocol {
  readonly proto: number;
  readonly handler: HandOver | 'icmp_rcv';
  readonly errHandler: HandOver | 'icmp_err' | undefined;
}

export interface InputParts {
  routes: RouteInput;
  icmp: Icmp;
  forward: IpForward;
  sysctl: IpSysctl;
  narrow: NarrowPath;
  protocol: (proto: number) => NetProtocol | undefined;
}

const LOOPBACK_IFINDEX = 1;
const ECN_NAMES: readonly MibName[] = ['IpExtInNoECTPkts', 'IpExtInECT1Pkts', 'IpExtInECT0Pkts', 'IpExtInCEPkts'];

/** From the device to the transport (net/ipv4/ip_input.c). */
export class IpInput {
  readonly reassembler: Reassembler;
  private readonly env: LayerEnv;
  private readonly p: InputParts;

  constructor(env: LayerEnv, parts: InputParts) {
    this.env = env;
    this.p = parts;
    this.reassembler = new Reassembler(env, parts.sysctl, (first, now) => {
      parts.icmp.send(first, ICMP_TIME_EXCEEDED, ICMP_EXC_FRAGTIME, 0, now);
    });
  }

  /** net/ipv4/ip_input.c:ip_rcv */
  rcv(skb: SkBuff, now: Millis): void {
    if (this.env.fails('ip_rcv', skb)) return;
    this.env.trace('ip_rcv_core', skb);
    const bad = this.core(skb);
    if (bad !== undefined) {
      this.env.drop(skb, bad);
      return;
    }
    if (this.p.narrow.any && skb.ifindex !== LOOPBACK_IFINDEX && this.lostBefore(skb, now)) return;
    if (this.env.fails('ip_rcv_finish', skb)) return;
    const at = skb.networkHeader;
    const route = this.p.routes.find(skb, get32(skb.buf, at + 12), get32(skb.buf, at + 16), skb.buf[at + 1]!, now);
    const refused = refusal(route);
    if (refused !== undefined) {
      if (refused === 'IP_RPFILTER') this.env.mib.inc('TcpExtIPReversePathFilter');
      this.env.drop(skb, refused);
      return;
    }
    if ((skb.buf[at]! & 15) > 5 && !this.options(skb, now)) return;
    if (!this.linkAllows(skb, route)) return;
    this.dispatch(skb, route, now);
  }

  /** A fault rule: it never came through the hop before us, which says so or not. */
  private lostBefore(skb: SkBuff, now: Millis): boolean {
    const narrow = this.p.narrow.stops(skb, now);
    if (narrow === undefined) return false;
    if (narrow.tells) this.p.icmp.send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, narrow.mtu, now);
    this.env.drop(skb, 'PKT_TOO_BIG');
    return true;
  }

  /** net/ipv4/ip_input.c:ip_rcv_core: is it IPv4, whole, and for us at all? In the kernel's order. */
  private core(skb: SkBuff): DropReason | undefined {
    const { mib } = this.env;
    if (skb.pktType === PACKET_OTHERHOST) return 'OTHERHOST';
    mib.inc('IpInReceives');
    mib.inc('IpExtInOctets', skb.len);
    if (!skb.mayPull(IPV4_HLEN)) return this.headerError('IP_INHDR');
    const vhl = skb.buf[skb.data]!;
    const hlen = (vhl & 15) * 4;
    if (hlen < IPV4_HLEN || vhl >>> 4 !== 4) return this.headerError('IP_INHDR');
    mib.inc(ECN_NAMES[skb.buf[skb.data + 1]! & 3]!, Math.max(1, skb.gsoSegs));
    if (!skb.mayPull(hlen)) return this.headerError('IP_INHDR');
    const at = skb.data;
    if (!ipv4ChecksumOk(skb.buf, at, hlen)) {
      mib.inc('IpExtInCsumErrors');
      return this.headerError('IP_CSUM');
    }
    // a GRO packet may be longer than the field can say (iph_totlen)
    const field = get16(skb.buf, at + 2);
    const len = field === 0 && skb.gsoSize > 0 ? skb.len : field;
    if (skb.len < len) {
      mib.inc('IpExtInTruncatedPkts');
      return 'PKT_TOO_SMALL';
    }
    if (len < hlen) return this.headerError('IP_INHDR');
    // Ethernet pads what is shorter than 60 bytes
    if (skb.len > len) skb.trim(len);
    skb.networkHeader = at;
    skb.transportHeader = at + hlen;
    return undefined;
  }

  private headerError(reason: DropReason): DropReason {
    this.env.mib.inc('IpInHdrErrors');
    return reason;
  }

  /** net/ipv4/ip_input.c:ip_rcv_options; false: the skb is gone. */
  private options(skb: SkBuff, now: Millis): boolean {
    this.env.trace('ip_rcv_options', skb);
    const at = skb.networkHeader;
    const o = parseIpOptions(skb.buf, at, skb.transportHeader - at);
    if ('badAt' in o) {
      this.p.icmp.send(skb, ICMP_PARAMETERPROB, 0, (o.badAt << 24) >>> 0, now);
      this.env.drop(skb, this.headerError('IP_INHDR'));
      return false;
    }
    if (o.sourceRoute && !this.p.sysctl.acceptSourceRoute) {
      this.env.drop(skb, 'IP_INHDR');
      return false;
    }
    return true;
  }

  /** The counters of what came to many, and RFC 1122 3.3.6: a unicast packet in a broadcast frame is suspicious. */
  private linkAllows(skb: SkBuff, route: InputRoute): boolean {
    const { mib } = this.env;
    if (route.kind === 'multicast') {
      mib.inc('IpExtInMcastPkts');
      mib.inc('IpExtInMcastOctets', skb.len);
    } else if (route.kind === 'broadcast') {
      mib.inc('IpExtInBcastPkts');
      mib.inc('IpExtInBcastOctets', skb.len);
    } else if (
      this.p.sysctl.dropUnicastInL2Multicast &&
      (skb.pktType === PACKET_BROADCAST || skb.pktType === PACKET_MULTICAST)
    ) {
      this.env.drop(skb, 'UNICAST_IN_L2_MULTICAST');
      return false;
    }
    return true;
  }

  private dispatch(skb: SkBuff, route: InputRoute, now: Millis): void {
    if (route.kind === 'forward') this.p.forward.forward(skb, route.dst!, now);
    else if (route.kind === 'error') this.ipError(skb, route.errno, now);
    else {
      skb.rtMtu = route.mtu;
      this.localDeliver(skb, now);
    }
  }

  /** net/ipv4/ip_input.c:ip_local_deliver */
  private localDeliver(skb: SkBuff, now: Millis): void {
    if (this.env.fails('ip_local_deliver', skb)) return;
    let whole = skb;
    if ((get16(skb.buf, skb.networkHeader + 6) & (IP_MF | IP_OFFSET_MASK)) !== 0) {
      const { rtMtu } = skb;
      const datagram = this.reassembler.defrag(skb, now);
      if (datagram === undefined) return;
      whole = datagram;
      whole.rtMtu = rtMtu;
    }
    this.env.trace('ip_local_deliver_finish', whole);
    const hlen = (whole.buf[whole.networkHeader]! & 15) * 4;
    whole.pull(hlen);
    whole.transportHeader = whole.data;
    this.deliver(whole, whole.buf[whole.networkHeader + 9]!, now);
  }

  /** net/ipv4/ip_input.c:ip_protocol_deliver_rcu */
  private deliver(skb: SkBuff, proto: number, now: Millis): void {
    this.env.trace('ip_protocol_deliver_rcu', skb);
    const p = this.p.protocol(proto);
    if (p === undefined) {
      this.env.mib.inc('IpInUnknownProtos');
      this.p.icmp.send(skb, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0, now);
      this.env.drop(skb, 'IP_NOPROTO');
      return;
    }
    this.env.mib.inc('IpInDelivers');
    if (p.handler === 'icmp_rcv') this.p.icmp.rcv(skb, now);
    else this.env.pass(p.handler, skb);
  }

  /** net/ipv4/route.c:ip_error: there is no way on. */
  private ipError(skb: SkBuff, errno: number, now: Millis): void {
    this.env.trace('ip_error', skb);
    const unreachable = errno === ERRNO.ENETUNREACH;
    if (!this.p.sysctl.ipForward) {
      this.env.mib.inc(unreachable ? 'IpExtInNoRoutes' : 'IpInAddrErrors');
      this.env.drop(skb, unreachable ? 'IP_INNOROUTES' : 'IP_INADDRERRORS');
      return;
    }
    if (unreachable) this.env.mib.inc('IpExtInNoRoutes');
    const code = ERROR_CODES[errno];
    if (code !== undefined) this.p.icmp.send(skb, ICMP_DEST_UNREACH, code, 0, now);
    this.env.drop(skb, 'IP_INNOROUTES');
  }
}

/** What a router says when it has no way on; a blackhole says nothing. */
const ERROR_CODES: Readonly<Record<number, number>> = {
  [ERRNO.EHOSTUNREACH]: ICMP_HOST_UNREACH,
  [ERRNO.ENETUNREACH]: ICMP_NET_UNREACH,
  [ERRNO.EACCES]: ICMP_PKT_FILTERED,
};

function refusal(route: InputRoute): DropReason | undefined {
  if (route.kind === 'martian') return 'IP_INADDRERRORS';
  return route.kind === 'rpfilter' ? 'IP_RPFILTER' : undefined;
}
