import {
  emitIcmp,
  emitIpv4Header,
  emitTcp,
  emitUdp,
  finish,
  get16,
  ICMP_HLEN,
  IPV4_HLEN,
  icmpChecksumOk,
  ipv4ChecksumOk,
  parseIcmp,
  parseIpv4Header,
  parseTcp,
  parseUdp,
  pseudoHeaderSum,
  put16,
  sumSlices,
  TCP_CSUM_OFFSET,
  TCP_HLEN,
  tcpChecksumOk,
  udpChecksum,
  udpChecksumOk,
  UDP_HLEN,
} from '@skbus/wire';
import type { LiveIp, LivePacket, LiveTcp, QuotedTuple } from './live.ts';
import { decodeTcpOptions, encodeTcpOptions } from './tcp-options.ts';

const PROTO = { icmp: 1, tcp: 6, udp: 17 } as const;

/** From the IP header on, sums included. */
export function encodePacket(p: LivePacket): Uint8Array {
  switch (p.proto) {
    case 'tcp':
      return encodeTcp(p);
    case 'udp': {
      const b = withIp(p.ip, PROTO.udp, UDP_HLEN + p.payload.length);
      const len = UDP_HLEN + p.payload.length;
      b.set(p.payload, IPV4_HLEN + UDP_HLEN);
      emitUdp({ sport: p.sport, dport: p.dport, len, checksum: 0 }, b, IPV4_HLEN);
      put16(b, IPV4_HLEN + 6, udpChecksum(p.ip.saddr, p.ip.daddr, len, [b.subarray(IPV4_HLEN)]));
      return b;
    }
    case 'icmp': {
      const b = withIp(p.ip, PROTO.icmp, ICMP_HLEN + p.payload.length);
      b.set(p.payload, IPV4_HLEN + ICMP_HLEN);
      emitIcmp({ type: p.type, code: p.code, id: p.id, seq: p.low }, b, IPV4_HLEN, [p.payload]);
      return b;
    }
    default:
      return p satisfies never;
  }
}

function withIp(ip: LiveIp, proto: number, len: number): Uint8Array {
  const b = new Uint8Array(IPV4_HLEN + len);
  emitIpv4Header({ ...ip, hlen: IPV4_HLEN, totalLen: b.length, mf: false, fragOffset: 0, proto }, b, 0);
  return b;
}

function encodeTcp(p: { ip: LiveIp } & LiveTcp): Uint8Array {
  const options = encodeTcpOptions(p.options);
  const hlen = TCP_HLEN + options.length;
  const b = withIp(p.ip, PROTO.tcp, hlen + p.payload.length);
  emitTcp({ ...p, hlen }, b, IPV4_HLEN);
  b.set(options, IPV4_HLEN + TCP_HLEN);
  b.set(p.payload, IPV4_HLEN + hlen);
  const segment = b.subarray(IPV4_HLEN);
  const sum = sumSlices([segment], pseudoHeaderSum(p.ip.saddr, p.ip.daddr, PROTO.tcp, segment.length));
  put16(b, IPV4_HLEN + TCP_CSUM_OFFSET, finish(sum));
  return b;
}

/** What a router quotes of a packet: the IP header and 8 bytes, lengths as the whole had them. */
export function encodeQuoted(q: QuotedTuple): Uint8Array {
  const ip: LiveIp = { saddr: q.saddr, daddr: q.daddr, tos: 0, ttl: 64, id: 0, df: true };
  const none = new Uint8Array(0);
  let whole: Uint8Array;
  if (q.quoted.proto === 'tcp') {
    const tcp = { seq: q.quoted.seq, ack: 0, flags: 0, window: 0, urgent: 0, options: [], payload: none };
    whole = encodePacket({ ip, proto: 'tcp', sport: q.sport, dport: q.dport, ...tcp });
    put16(whole, 2, IPV4_HLEN + TCP_HLEN + q.quoted.len);
  } else if (q.quoted.proto === 'udp') {
    whole = encodePacket({ ip, proto: 'udp', sport: q.sport, dport: q.dport, payload: none });
    put16(whole, 2, IPV4_HLEN + UDP_HLEN + q.quoted.len);
    put16(whole, IPV4_HLEN + 4, UDP_HLEN + q.quoted.len);
  } else {
    whole = withIp(ip, 255, 8);
    put16(whole, 2, IPV4_HLEN + q.quoted.len);
  }
  const quoted = whole.slice(0, IPV4_HLEN + 8);
  put16(quoted, 10, 0);
  put16(quoted, 10, finish(sumSlices([quoted.subarray(0, IPV4_HLEN)])));
  return quoted;
}

/** A packet, or the sentence that says why these bytes are none. */
export function decodePacket(b: Uint8Array): LivePacket | string {
  const h = parseIpv4Header(b, 0, b.length);
  if (h === undefined) return b.length > 0 && b[0]! >>> 4 === 6 ? 'an IPv6 packet' : 'no IPv4 header';
  if (!ipv4ChecksumOk(b, 0, h.hlen)) return 'a wrong IPv4 checksum';
  if (h.totalLen > b.length) return `an IPv4 total length of ${h.totalLen} in ${b.length} bytes`;
  const end = h.totalLen;
  const ip: LiveIp = { saddr: h.saddr, daddr: h.daddr, tos: h.tos, ttl: h.ttl, id: h.id, df: h.df };
  if (h.mf || h.fragOffset > 0) return `a fragment at ${h.fragOffset}`;
  const body = b.subarray(h.hlen, end);
  switch (h.proto) {
    case PROTO.tcp:
      return decodeTcp(ip, body);
    case PROTO.udp: {
      const u = parseUdp(body, 0, body.length);
      if (u === undefined || u.len !== body.length) return 'a malformed UDP header';
      if (u.checksum !== 0 && !udpChecksumOk(h.saddr, h.daddr, u.len, [body])) return 'a wrong UDP checksum';
      return { ip, proto: 'udp', sport: u.sport, dport: u.dport, payload: body.slice(UDP_HLEN) };
    }
    case PROTO.icmp: {
      const i = parseIcmp(body, 0, body.length);
      if (i === undefined) return 'a short ICMP message';
      if (!icmpChecksumOk([body])) return 'a wrong ICMP checksum';
      return { ip, proto: 'icmp', type: i.type, code: i.code, id: i.id, low: i.seq, payload: body.slice(ICMP_HLEN) };
    }
    default:
      return `a packet of protocol ${h.proto}`;
  }
}

function decodeTcp(ip: LiveIp, body: Uint8Array): LivePacket | string {
  const t = parseTcp(body, 0, body.length);
  if (t === undefined) return 'a malformed TCP header';
  if (!tcpChecksumOk(ip.saddr, ip.daddr, body.length, [body])) return 'a wrong TCP checksum';
  const { hlen, ...fields } = t;
  return {
    ip,
    proto: 'tcp',
    ...fields,
    options: decodeTcpOptions(body.subarray(TCP_HLEN, hlen)),
    payload: body.slice(hlen),
  };
}

/** The quoted packet's addresses and ports, as far as it is there. */
export function decodeQuoted(b: Uint8Array): QuotedTuple | undefined {
  const h = parseIpv4Header(b, 0, b.length);
  if (h === undefined) return undefined;
  const at = h.hlen;
  if (b.length < at + 8) return undefined;
  const ports = { saddr: h.saddr, daddr: h.daddr, sport: get16(b, at), dport: get16(b, at + 2) };
  if (h.proto === PROTO.udp) return { ...ports, quoted: { proto: 'udp', len: h.totalLen - at - UDP_HLEN } };
  if (h.proto !== PROTO.tcp) return { ...ports, quoted: { proto: 'raw', len: h.totalLen - at } };
  const seq = ((get16(b, at + 4) << 16) | get16(b, at + 6)) >>> 0;
  return { ...ports, quoted: { proto: 'tcp', seq, len: h.totalLen - at - TCP_HLEN } };
}
