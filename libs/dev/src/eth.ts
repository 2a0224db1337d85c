import {
  ETH_P_IP,
  IPPROTO_TCP,
  MAC_BROADCAST,
  PACKET_BROADCAST,
  PACKET_HOST,
  PACKET_MULTICAST,
  PACKET_OTHERHOST,
  isMulticastMac,
  SkBuff,
  type MacAddr,
} from '@skbus/skb';
import { ETHERNET_HLEN, get16, getMac, IPV4_HLEN, TCP_HLEN } from '@skbus/wire';

/** Linear part of a received skb where the headers' end is not known; the rest stays a view of the frame. */
export const RX_COPYBREAK = 128;
const ETH_P_802_3_MIN = 0x600;
const ETH_P_802_2 = 0x0004;
const ETH_P_802_3 = 0x0001;

/**
 * An skb over a received frame, without copying it: the headers are the linear part, the payload one fragment. For TCP
 * over IPv4 the cut is exactly after the TCP header, so that fragments hold nothing but payload (GRO needs that).
 */
export function buildSkb(frame: Uint8Array): SkBuff {
  const cut = Math.min(frame.length, tcpHeadersEnd(frame) ?? RX_COPYBREAK);
  const skb = new SkBuff(frame.subarray(0, cut), 0, cut);
  skb.addFrag(frame.subarray(cut));
  return skb;
}

function tcpHeadersEnd(b: Uint8Array): number | undefined {
  const tcp = ETHERNET_HLEN + IPV4_HLEN;
  if (b.length < tcp + TCP_HLEN || get16(b, 12) !== ETH_P_IP || b[ETHERNET_HLEN] !== 0x45) return undefined;
  if (b[ETHERNET_HLEN + 9] !== IPPROTO_TCP || (get16(b, ETHERNET_HLEN + 6) & 0x3fff) !== 0) return undefined;
  const end = tcp + (b[tcp + 12]! >>> 4) * 4;
  return end >= tcp + TCP_HLEN && end <= b.length ? end : undefined;
}

/**
 * eth_type_trans(): data moves to the network header; whom the frame is for and what it carries are noted. False: too
 * short for an Ethernet header.
 */
export function ethTypeTrans(skb: SkBuff, dev: MacAddr): boolean {
  skb.macHeader = skb.data;
  if (!skb.pull(ETHERNET_HLEN)) return false;
  const dst = getMac(skb.buf, skb.macHeader);
  const type = get16(skb.buf, skb.macHeader + 12);
  if (isMulticastMac(dst)) skb.pktType = dst === MAC_BROADCAST ? PACKET_BROADCAST : PACKET_MULTICAST;
  else skb.pktType = dst === dev ? PACKET_HOST : PACKET_OTHERHOST;
  skb.networkHeader = skb.data;
  if (type >= ETH_P_802_3_MIN) skb.protocol = type;
  else if (skb.mayPull(2) && get16(skb.buf, skb.data) === 0xffff) skb.protocol = ETH_P_802_3;
  else skb.protocol = ETH_P_802_2;
  return true;
}
