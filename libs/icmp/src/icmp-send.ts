import {
  type Ipv4Addr,
  type LayerEnv,
  type Millis,
  PACKET_HOST,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  type SkBuff,
} from '@skbus/skb';
import { emitIcmp, get16, ICMP_HLEN, IP_OFFSET_MASK, IPV4_HLEN, parseIpv4Header, put16 } from '@skbus/wire';
import type { IcmpRatelimit } from './icmp-ratelimit.ts';
import { isIcmpError } from './icmp-types.ts';
import { icmpFlow, type IcmpLower } from './lower.ts';

/** An error never grows beyond what every host must be able to take (RFC 1812 4.3.2.3). */
const ERROR_LEN_MAX = 576;
/** IPTOS_PREC_INTERNETCONTROL: errors travel with precedence (RFC 1812 4.3.2.5). */
const PREC_INTERNETCONTROL = 0xc0;
const TOS_MASK = 0x1e;
/** RFC 7600: the dummy address to speak from when we have none. */
const INADDR_DUMMY: Ipv4Addr = 0xc0000008;
/** Room for IP and Ethernet headers in front of what we build. */
export const HEADROOM = 64;

/**
 * Errors about received packets (net/ipv4/icmp.c:__icmp_send). Most of it is about when to be silent: RFC 1122 3.2.2
 * forbids errors about errors, broadcasts, multicasts and all but the first fragment.
 */
export class IcmpSender {
  private readonly env: LayerEnv;
  private readonly lower: IcmpLower;
  private readonly limit: IcmpRatelimit;

  constructor(env: LayerEnv, lower: IcmpLower, limit: IcmpRatelimit) {
    this.env = env;
    this.lower = lower;
    this.limit = limit;
  }

  /** `skb`: the offender, networkHeader at its IP header; it stays the caller's. `info`: bytes 4–7 of the message. */
  send(skb: SkBuff, type: number, code: number, info: number, now: Millis): void {
    const at = skb.networkHeader;
    const ip = parseIpv4Header(skb.buf, at, skb.tail);
    if (at < 0 || ip === undefined || skb.pktType !== PACKET_HOST) return;
    const daddrType = this.lower.addrType(ip.daddr);
    if (daddrType === RTN_BROADCAST || daddrType === RTN_MULTICAST) return;
    if ((get16(skb.buf, at + 6) & IP_OFFSET_MASK) !== 0) return;
    if (isIcmpError(type) && ip.proto === 1 && !mayAnswer(skb, at + ip.hlen)) return;
    const limited = !this.limit.exempt(type, code);
    if (limited && !this.lower.isLoopback(skb.ifindex) && !this.limit.globalAllow(now)) return;

    const tos = isIcmpError(type) ? (ip.tos & TOS_MASK) | PREC_INTERNETCONTROL : ip.tos;
    const rt = this.lower.route(ip.saddr, daddrType === RTN_LOCAL ? ip.daddr : 0, tos, now);
    if (rt.errno !== 0) return;
    if (limited && !rt.loopback && !this.limit.peerAllow(ip.saddr, now)) return;
    const room = Math.min(rt.mtu, ERROR_LEN_MAX) - IPV4_HLEN - ICMP_HLEN;
    if (room <= IPV4_HLEN) return;

    const quoted = quote(skb, at, room);
    const out = this.env.alloc(HEADROOM, ICMP_HLEN + quoted.length, now);
    out.parent = skb.id;
    const h = out.put(ICMP_HLEN + quoted.length);
    out.buf.set(quoted, h + ICMP_HLEN);
    emitIcmp({ type, code, id: info >>> 16, seq: info & 0xffff }, out.buf, h, [quoted]);
    out.transportHeader = h;
    out.flow = icmpFlow(ip.saddr, rt.saddr === 0 ? INADDR_DUMMY : rt.saddr, tos);
    if (this.env.fails('icmp_send', skb, { type, code })) {
      this.env.drop(out, 'NOMEM');
      return;
    }
    this.lower.push(out, now);
  }
}

/** Whether the ICMP message at `at` is a query: never an error about an error (RFC 1122 3.2.2). */
function mayAnswer(skb: SkBuff, at: number): boolean {
  const offset = at - skb.data;
  if (at < skb.tail) return !isIcmpError(skb.buf[at]!);
  const first = offset < 0 ? undefined : skb.slices(offset, 1)[0];
  return first !== undefined && !isIcmpError(first[0]!);
}

/** The first bytes of the offender from its IP header on. */
function quote(skb: SkBuff, at: number, room: number): Uint8Array {
  const out = new Uint8Array(Math.min(room, skb.tail - at + skb.dataLen));
  let n = 0;
  for (const part of [skb.buf.subarray(at, skb.tail), ...skb.frags]) {
    if (n === out.length) break;
    const piece = part.subarray(0, out.length - n);
    out.set(piece, n);
    n += piece.length;
  }
  // a total length that a device could not express (GSO) is told as what is quoted
  if (get16(out, 2) === 0) put16(out, 2, Math.min(0xffff, skb.tail - at + skb.dataLen));
  return out;
}
