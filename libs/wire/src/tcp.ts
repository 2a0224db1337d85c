import { get16, get32, put16, put32 } from './bytes.ts';
import { pseudoHeaderSum, sumSlices, verifies } from './checksum.ts';

/** The TCP header (RFC 9293 3.1). */
export const TCP_HLEN = 20;
export const TCP_MAX_HLEN = 60;
/** Where the checksum field sits: skb.csumOffset of a CHECKSUM_PARTIAL segment. */
export const TCP_CSUM_OFFSET = 16;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;
/** RFC 3540's NS bit, AE in AccECN. */
export const TCP_AE = 0x100;

export interface TcpRepr {
  sport: number;
  dport: number;
  seq: number;
  ack: number;
  /** Header length in bytes, options included. */
  hlen: number;
  /** TCP_FIN … TCP_AE */
  flags: number;
  /** As in the header, not scaled. */
  window: number;
  urgent: number;
}

/** `undefined`: shorter than 20 bytes, or a data offset below 20 or past the end (`end`: end of the linear part). */
export function parseTcp(b: Uint8Array, at: number, end: number): TcpRepr | undefined {
  if (end - at < TCP_HLEN) return undefined;
  const hlen = (b[at + 12]! >>> 4) * 4;
  if (hlen < TCP_HLEN || at + hlen > end) return undefined;
  return {
    sport: get16(b, at),
    dport: get16(b, at + 2),
    seq: get32(b, at + 4),
    ack: get32(b, at + 8),
    hlen,
    flags: ((b[at + 12]! & 1) << 8) | b[at + 13]!,
    window: get16(b, at + 14),
    urgent: get16(b, at + 18),
  };
}

/** Writes the fixed 20 bytes with a zero checksum. */
export function emitTcp(r: TcpRepr, b: Uint8Array, at: number): void {
  put16(b, at, r.sport);
  put16(b, at + 2, r.dport);
  put32(b, at + 4, r.seq);
  put32(b, at + 8, r.ack);
  b[at + 12] = ((r.hlen >>> 2) << 4) | ((r.flags >>> 8) & 1);
  b[at + 13] = r.flags;
  put16(b, at + 14, r.window);
  put16(b, at + 16, 0);
  put16(b, at + 18, r.urgent);
}

export const tcpChecksumOk = (saddr: number, daddr: number, len: number, segment: readonly Uint8Array[]): boolean =>
  verifies(sumSlices(segment, pseudoHeaderSum(saddr, daddr, 6, len)));
