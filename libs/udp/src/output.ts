import type { Dst } from '@skbus/dst';
import {
  CHECKSUM_PARTIAL,
  ERRNO,
  INADDR_LOOPBACK,
  IPPROTO_UDP,
  type Ipv4Addr,
  isMulticastIpv4,
  RTN_BROADCAST,
  type SkBuff,
  type SkDgram,
} from '@skbus/skb';
import { emitUdp, fold, IPV4_HLEN, pseudoHeaderSum, put16, UDP_HLEN, udpChecksum } from '@skbus/wire';
import type { UdpContext } from './context.ts';
import { autobind } from './operations.ts';
import { truesize, type UdpSock } from './sock.ts';

/** Room for IP and Ethernet headers. */
const HEADROOM = 64;
const IP_MAX_MTU = 65_535;
export const UDP_PAYLOAD_MAX = IP_MAX_MTU - IPV4_HLEN - UDP_HLEN;
/** skbs that wait for routes, over all sockets; each socket is bounded by its send buffer as well. */
const WAITING_MAX = 1024;
const CSUM_OFFSET = 6;
const SEND_SHUTDOWN = 2;
/** IP_MULTICAST_TTL's default: a group's traffic stays on the link (RFC 1112 6.1). */
const MC_TTL = 1;

/** What a datagram takes with it from its socket: the socket may change or go while the route is being found. */
interface Sending {
  sk: UdpSock;
  skb: SkBuff;
  saddr: Ipv4Addr;
  daddr: Ipv4Addr;
  sport: number;
  dport: number;
  tos: number;
  ttl: number;
  broadcast: boolean;
}

/** udp_sendmsg(), from where the socket layer left off. What goes wrong is told as sk_err: nobody waits for an answer. */
export function sendmsg(cx: UdpContext, sk: UdpSock, d: SkDgram): void {
  const to = destination(sk, d);
  if (typeof to === 'number') return cx.fail(sk, to);
  if (sk.lport === 0) {
    // bind() has yet to say which port; until it has, there is none to send from.
    if (sk.opBusy) return cx.env.mib.inc('UdpSndbufErrors');
    if (!autobind(cx, sk)) return cx.fail(sk, ERRNO.EAGAIN);
    cx.touch(sk);
  }
  const { saddr, tos } = sk;
  const dst = cx.routes.peek(to.daddr, saddr, 0, tos);
  const skb = cx.env.alloc(HEADROOM, UDP_HLEN, cx.now);
  skb.transportHeader = skb.put(UDP_HLEN);
  // A short payload that has to wait must not keep all of its message in memory.
  const keep = dst === undefined && d.data.length * 4 < d.data.buffer.byteLength;
  skb.addFrag(keep ? d.data.slice() : d.data);
  const s: Sending = {
    sk,
    skb,
    saddr,
    ...to,
    sport: sk.lport,
    tos,
    ttl: isMulticastIpv4(to.daddr) ? MC_TTL : sk.ttl,
    broadcast: sk.broadcast,
  };
  if (dst !== undefined) return transmit(cx, s, dst);
  waitForRoute(cx, s);
}

/** Where to, or the errno. */
function destination(sk: UdpSock, d: SkDgram): { daddr: Ipv4Addr; dport: number } | number {
  if (d.data.length > UDP_PAYLOAD_MAX) return ERRNO.EMSGSIZE;
  if (sk.shutdownMask & SEND_SHUTDOWN) return ERRNO.EPIPE;
  if (d.addr === 0 && d.port === 0) return sk.connected ? { daddr: sk.daddr, dport: sk.dport } : ERRNO.EDESTADDRREQ;
  if (d.port === 0 || d.port > 65_535) return ERRNO.EINVAL;
  return { daddr: d.addr || sk.saddr || INADDR_LOOPBACK, dport: d.port };
}

function waitForRoute(cx: UdpContext, s: Sending): void {
  const { sk, skb, saddr, daddr, tos } = s;
  const size = truesize(skb.len);
  if (cx.waiting >= WAITING_MAX || sk.wmem + size > sk.sndbuf) {
    cx.env.mib.inc('UdpSndbufErrors');
    cx.env.drop(skb, 'NOMEM');
    return cx.fail(sk, ERRNO.ENOBUFS);
  }
  cx.waiting++;
  sk.wmem += size;
  cx.routes.resolve({ daddr, saddr, oif: 0, tos }, cx.now, (r) => {
    cx.waiting--;
    sk.wmem -= size;
    if (r.errno === 0) transmit(cx, s, r);
    else refuse(cx, s, cx.routeFailed(r.errno));
  });
}

/** ip_make_skb() → udp_send_skb(). */
function transmit(cx: UdpContext, s: Sending, dst: Dst): void {
  const { env } = cx;
  const { skb, daddr, tos, ttl } = s;
  if (dst.type === RTN_BROADCAST && !s.broadcast) return refuse(cx, s, ERRNO.EACCES);
  if (env.fails('ip_make_skb', skb)) {
    env.mib.inc('UdpSndbufErrors');
    env.drop(skb, 'NOMEM');
    return cx.fail(s.sk, ERRNO.ENOBUFS);
  }
  const saddr = s.saddr || dst.saddr;
  const { len, transportHeader: at } = skb;
  const fits = len + IPV4_HLEN <= dst.mtu;
  // IP_PMTUDISC_WANT: what fits the path says Don't Fragment; what does not is cut by IP.
  skb.flow = { saddr, daddr, proto: IPPROTO_UDP, tos, ttl, df: fits, oif: 0, connected: false };
  emitUdp({ sport: s.sport, dport: s.dport, len, checksum: 0 }, skb.buf, at);
  if (fits) {
    put16(skb.buf, at + CSUM_OFFSET, fold(pseudoHeaderSum(saddr, daddr, IPPROTO_UDP, len)));
    skb.ipSummed = CHECKSUM_PARTIAL;
    skb.csumStart = at;
    skb.csumOffset = CSUM_OFFSET;
  } else {
    // No device can finish a sum that runs over several fragments.
    put16(skb.buf, at + CSUM_OFFSET, udpChecksum(saddr, daddr, len, skb.slices(0, len)));
  }
  env.trace('udp_send_skb', skb);
  env.mib.inc('UdpOutDatagrams');
  env.pass('ip_send_skb', skb);
}

function refuse(cx: UdpContext, s: Sending, errno: number): void {
  cx.env.drop(s.skb, 'IP_OUTNOROUTES');
  cx.fail(s.sk, errno);
}
