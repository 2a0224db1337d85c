import {
  CHECKSUM_NONE,
  copySkb,
  INADDR_BROADCAST,
  isMulticastIpv4,
  type Millis,
  PACKET_BROADCAST,
  PACKET_MULTICAST,
  type SkBuff,
} from '@skbus/skb';
import {
  ICMP_DEST_UNREACH,
  ICMP_PORT_UNREACH,
  parseIpv4Header,
  parseUdp,
  UDP_HLEN,
  udpChecksumOk,
  type Ipv4Repr,
  type UdpRepr,
} from '@skbus/wire';
import { opAnswer, type UdpContext } from './context.ts';
import { truesize, type UdpSock } from './sock.ts';

/** Between two views that only ask a full socket's owner how far it is. */
const PROBE_EVERY_MS: Millis = 200;

/** udp_rcv(): `skb.data` at the UDP header, `networkHeader` at the IP header. */
export function udpRcv(cx: UdpContext, skb: SkBuff): void {
  const { env } = cx;
  if (env.fails('udp_rcv', skb)) return;
  env.trace('__udp4_lib_rcv', skb);
  const ip = skb.networkHeader >= 0 ? parseIpv4Header(skb.buf, skb.networkHeader, skb.tail) : undefined;
  if (ip === undefined) return bad(cx, skb, 'IP_INHDR');
  const udp = skb.mayPull(UDP_HLEN) ? parseUdp(skb.buf, skb.data, skb.tail) : undefined;
  if (udp === undefined || udp.len > skb.len || udp.len < UDP_HLEN) return bad(cx, skb, 'PKT_TOO_SMALL');
  // Link-layer padding, or an IP payload longer than the datagram (pskb_trim_rcsum).
  skb.trim(udp.len);
  skb.transportHeader = skb.data;
  if (!checksumOk(skb, ip, udp)) {
    env.mib.inc('UdpInCsumErrors');
    return bad(cx, skb, 'UDP_CSUM');
  }
  if (isBroadcast(skb, ip.daddr)) return deliverToAll(cx, skb, ip, udp);
  const sk = cx.table.lookup(ip.saddr, udp.sport, ip.daddr, udp.dport);
  if (sk === undefined) return noSocket(cx, skb);
  env.trace('udp_unicast_rcv_skb', skb);
  queueRcv(cx, sk, skb, ip, udp);
}

function bad(cx: UdpContext, skb: SkBuff, reason: 'IP_INHDR' | 'PKT_TOO_SMALL' | 'UDP_CSUM'): void {
  cx.env.mib.inc('UdpInErrors');
  cx.env.drop(skb, reason);
}

/** Zero: the sender computed none (RFC 768). */
function checksumOk(skb: SkBuff, ip: Ipv4Repr, udp: UdpRepr): boolean {
  if (udp.checksum === 0 || skb.ipSummed !== CHECKSUM_NONE) return true;
  return udpChecksumOk(ip.saddr, ip.daddr, udp.len, skb.slices(0, udp.len));
}

/** RTCF_BROADCAST | RTCF_MULTICAST: a directed broadcast is known by how it came over the link. */
function isBroadcast(skb: SkBuff, daddr: number): boolean {
  return (
    daddr === INADDR_BROADCAST ||
    isMulticastIpv4(daddr) ||
    skb.pktType === PACKET_BROADCAST ||
    skb.pktType === PACKET_MULTICAST
  );
}

function noSocket(cx: UdpContext, skb: SkBuff): void {
  const { env } = cx;
  env.mib.inc('UdpNoPorts');
  const offender = env.adopt(copySkb(skb), cx.now);
  offender.data = offender.networkHeader;
  offender.mark = (ICMP_DEST_UNREACH << 8) | ICMP_PORT_UNREACH;
  env.pass('icmp_send', offender);
  env.drop(skb, 'NO_SOCKET');
}

/** __udp4_lib_mcast_deliver(): a copy for each, the skb itself for the last. */
function deliverToAll(cx: UdpContext, skb: SkBuff, ip: Ipv4Repr, udp: UdpRepr): void {
  const { env } = cx;
  env.trace('__udp4_lib_mcast_deliver', skb);
  const all = cx.table.lookupAll(ip.saddr, udp.sport, ip.daddr, udp.dport);
  if (all.length === 0) {
    env.mib.inc('UdpIgnoredMulti');
    // Linux gives no reason here; nobody listens is what it is.
    return env.drop(skb, 'NO_SOCKET');
  }
  for (const [i, sk] of all.entries()) {
    queueRcv(cx, sk, i === all.length - 1 ? skb : env.adopt(copySkb(skb), cx.now), ip, udp);
  }
}

/** udp_queue_rcv_skb() → __udp_enqueue_schedule_skb(): the receive queue itself is the socket layer's. */
function queueRcv(cx: UdpContext, sk: UdpSock, skb: SkBuff, ip: Ipv4Repr, udp: UdpRepr): void {
  const { env } = cx;
  if (env.fails('udp_queue_rcv_skb', skb)) return;
  env.trace('udp_queue_rcv_one_skb', skb);
  env.trace('__udp_queue_rcv_skb', skb);
  env.trace('__udp_enqueue_schedule_skb', skb);
  const charge = truesize(skb.len);
  const offset = sk.charge(charge, cx.now);
  if (offset === undefined) return rcvbufFull(cx, sk, skb);
  skb.pull(UDP_HLEN);
  // The kernel counts when recvmsg() takes it; for us it has left with this event.
  env.mib.inc('UdpInDatagrams');
  const dgram = { addr: ip.saddr, port: udp.sport, offset, charge, data: payload(skb), daddr: ip.daddr };
  if (sk.held === undefined) cx.emit({ sk: sk.id, ...opAnswer(sk), dgram });
  else sk.held.push(dgram);
  env.consume(skb);
}

function rcvbufFull(cx: UdpContext, sk: UdpSock, skb: SkBuff): void {
  const { env } = cx;
  sk.drops++;
  env.mib.inc('UdpRcvbufErrors');
  env.mib.inc('UdpInErrors');
  if (env.tracing) env.trace('udp_fail_queue_rcv_skb', skb, { rc: -12, rmem: sk.rmem, rcvbuf: sk.rcvbuf });
  env.drop(skb, 'SOCKET_RCVBUFF');
  // What fills the buffer may have been lost on the way up, or the word that it was read on the way down: ask.
  if (cx.now - sk.probedMs < PROBE_EVERY_MS) return;
  sk.probedMs = cx.now;
  cx.touch(sk);
}

/** One view where the payload lies in one piece. */
function payload(skb: SkBuff): Uint8Array {
  const parts = skb.slices(0, skb.len);
  return parts.length === 1 ? parts[0]! : skb.bytes();
}

/** Whose a datagram (data at its UDP header) will be. */
export function receiverOf(cx: UdpContext, skb: SkBuff): UdpSock | undefined {
  const ip = skb.networkHeader >= 0 ? parseIpv4Header(skb.buf, skb.networkHeader, skb.tail) : undefined;
  const udp = skb.mayPull(UDP_HLEN) ? parseUdp(skb.buf, skb.data, skb.tail) : undefined;
  return ip && udp && cx.table.lookup(ip.saddr, udp.sport, ip.daddr, udp.dport);
}
