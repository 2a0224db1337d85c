import {
  CHECKSUM_NONE,
  CHECKSUM_PARTIAL,
  SKB_GSO_TCP_ACCECN,
  SKB_GSO_TCPV4,
  SkBuff,
  copySkb,
  type LayerEnv,
  type Millis,
} from '@skbus/skb';
import {
  finish,
  fold,
  get16,
  get32,
  IPV4_HLEN,
  pseudoHeaderSum,
  put16,
  put32,
  sumSlices,
  TCP_CSUM_OFFSET,
  TCP_CWR,
  TCP_FIN,
  TCP_HLEN,
  TCP_PSH,
  updateIpv4Checksum,
} from '@skbus/wire';

/** More segments than this make no sense (net_device.gso_max_segs). */
const GSO_MAX_SEGS = 65_535;

/** skb_checksum_help(): finishes a CHECKSUM_PARTIAL sum in software. False: the offsets point outside of the skb. */
export function checksumHelp(skb: SkBuff): boolean {
  const start = skb.csumStart - skb.data;
  const field = skb.csumStart + skb.csumOffset;
  if (start < 0 || start >= skb.len || field + 2 > skb.tail) return false;
  // The field already holds the pseudo header's sum.
  put16(skb.buf, field, finish(sumSlices(skb.slices(start, skb.len - start))) || 0xffff);
  skb.ipSummed = CHECKSUM_NONE;
  return true;
}

/** Where the headers of a TCPv4 skb are: positions in `buf`. */
interface Layout {
  ip: number;
  tcp: number;
  /** First payload byte. */
  end: number;
}

/** `undefined`: no TCP over IPv4 that can be cut (skb_gso_segment would fail: SKB_GSO_SEG). */
function layoutOf(skb: SkBuff): Layout | undefined {
  const ip = skb.networkHeader;
  if (ip < skb.data || ip + IPV4_HLEN > skb.tail) return undefined;
  const ihl = (skb.buf[ip]! & 15) * 4;
  const tcp = ip + ihl;
  if (skb.buf[ip]! >>> 4 !== 4 || ihl < IPV4_HLEN || skb.buf[ip + 9] !== 6) return undefined;
  if (!skb.mayPull(tcp + TCP_HLEN - skb.data)) return undefined;
  const doff = (skb.buf[tcp + 12]! >>> 4) * 4;
  if (doff < TCP_HLEN || !skb.mayPull(tcp + doff - skb.data)) return undefined;
  return { ip, tcp, end: tcp + doff };
}

/**
 * skb_gso_segment() for TCPv4 (net/core/skbuff.c:skb_segment, net/ipv4/tcp_offload.c:tcp_gso_segment): equal segments
 * that share the payload, each with headers of its own. FIN and PSH stay on the last, CWR on the first; the IP id
 * counts up. The skb itself is not changed and stays the caller's. `undefined`: it cannot be cut.
 */
export function gsoSegment(env: LayerEnv, skb: SkBuff, deviceSums: boolean, now: Millis): SkBuff[] | undefined {
  env.trace('skb_gso_segment', skb);
  const at = layoutOf(skb);
  if ((skb.gsoType & ~SKB_GSO_TCP_ACCECN) !== SKB_GSO_TCPV4 || skb.gsoSize < 1 || at === undefined) return undefined;
  const hlen = at.end - skb.data;
  const payload = skb.len - hlen;
  const count = Math.ceil(payload / skb.gsoSize);
  if (count < 1 || count > GSO_MAX_SEGS) return undefined;
  const segs: SkBuff[] = [];
  for (let i = 0; i < count; i++) {
    const from = i * skb.gsoSize;
    const seg = env.adopt(oneSegment(skb, at, from, Math.min(skb.gsoSize, payload - from)), now);
    fixHeaders(seg, skb, at, i, i === count - 1, deviceSums);
    segs.push(seg);
  }
  return segs;
}

function oneSegment(skb: SkBuff, at: Layout, from: number, n: number): SkBuff {
  const headers = copySkb(new SkBuff(skb.buf.subarray(skb.data, at.end), 0, at.end - skb.data));
  headers.parent = skb.id;
  headers.protocol = skb.protocol;
  headers.ifindex = skb.ifindex;
  headers.pktType = skb.pktType;
  headers.mark = skb.mark;
  headers.priority = skb.priority;
  headers.macHeader = skb.macHeader < 0 ? -1 : skb.macHeader - skb.data;
  headers.networkHeader = at.ip - skb.data;
  headers.transportHeader = at.tcp - skb.data;
  for (const part of skb.slices(at.end - skb.data + from, n)) headers.addFrag(part);
  return headers;
}

function fixHeaders(seg: SkBuff, skb: SkBuff, at: Layout, i: number, last: boolean, deviceSums: boolean): void {
  const { buf, networkHeader: ip, transportHeader: tcp } = seg;
  put16(buf, ip + 2, seg.len - ip);
  put16(buf, ip + 4, (get16(skb.buf, at.ip + 4) + i) & 0xffff);
  updateIpv4Checksum(buf, ip, tcp - ip);
  put32(buf, tcp + 4, (get32(skb.buf, at.tcp + 4) + i * skb.gsoSize) >>> 0);
  if (!last) buf[tcp + 13]! &= ~(TCP_FIN | TCP_PSH);
  if (i > 0 && (skb.gsoType & SKB_GSO_TCP_ACCECN) === 0) buf[tcp + 13]! &= ~TCP_CWR;
  const pseudo = pseudoHeaderSum(get32(buf, ip + 12), get32(buf, ip + 16), 6, seg.len - tcp);
  put16(buf, tcp + TCP_CSUM_OFFSET, fold(pseudo));
  seg.csumStart = tcp;
  seg.csumOffset = TCP_CSUM_OFFSET;
  seg.ipSummed = CHECKSUM_PARTIAL;
  if (!deviceSums) checksumHelp(seg);
}
