import type { RxMeta } from '@skbus/dev';
import { ETH_P_ARP, ETH_P_IP, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP } from '@skbus/skb';
import {
  ARP_LEN,
  ETHERNET_HLEN,
  get16,
  icmpChecksumOk,
  IP_MF,
  IP_OFFSET_MASK,
  ipv4ChecksumOk,
  parseEthernet,
  parseIpv4Header,
  tcpChecksumOk,
  udpChecksumOk,
} from '@skbus/wire';

/** What tshark would complain about in this frame; `undefined`: nothing. */
export function frameProblem(bytes: Uint8Array, meta: RxMeta): string | undefined {
  const eth = parseEthernet(bytes, 0, bytes.length);
  if (eth === undefined) return `runt of ${bytes.length} bytes`;
  if (eth.type === ETH_P_ARP) return bytes.length < ETHERNET_HLEN + ARP_LEN ? 'short ARP' : undefined;
  if (eth.type !== ETH_P_IP) return `EtherType 0x${eth.type.toString(16)}`;
  const at = ETHERNET_HLEN;
  const ip = parseIpv4Header(bytes, at, bytes.length);
  if (ip === undefined) return 'malformed IPv4 header';
  if (!ipv4ChecksumOk(bytes, at, ip.hlen)) return 'IPv4 checksum';
  if (ip.totalLen !== bytes.length - at) return `IPv4 total length ${ip.totalLen} in ${bytes.length - at} bytes`;
  if (ip.ttl === 0) return 'TTL 0';
  if ((get16(bytes, at + 6) & (IP_OFFSET_MASK | IP_MF)) !== 0) return undefined;
  const body = [bytes.subarray(at + ip.hlen)];
  const length = body[0]!.length;
  if (ip.proto === IPPROTO_ICMP) return icmpChecksumOk(body) ? undefined : 'ICMP checksum';
  if (meta.csum === 'partial') return undefined;
  if (ip.proto === IPPROTO_TCP) return tcpChecksumOk(ip.saddr, ip.daddr, length, body) ? undefined : 'TCP checksum';
  if (ip.proto === IPPROTO_UDP) return udpChecksumOk(ip.saddr, ip.daddr, length, body) ? undefined : 'UDP checksum';
  return `protocol ${ip.proto}`;
}
