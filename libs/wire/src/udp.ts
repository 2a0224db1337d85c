import { get16, put16 } from './bytes.ts';
import { fold, pseudoHeaderSum, sumSlices, verifies } from './checksum.ts';

/** UDP (RFC 768). */
export const UDP_HLEN = 8;

export interface UdpRepr {
  sport: number;
  dport: number;
  /** Header plus payload as the header claims. */
  len: number;
  /** 0: the sender computed none. */
  checksum: number;
}

export function parseUdp(b: Uint8Array, at: number, end: number): UdpRepr | undefined {
  if (end - at < UDP_HLEN) return undefined;
  return { sport: get16(b, at), dport: get16(b, at + 2), len: get16(b, at + 4), checksum: get16(b, at + 6) };
}

export function emitUdp(r: UdpRepr, b: Uint8Array, at: number): void {
  put16(b, at, r.sport);
  put16(b, at + 2, r.dport);
  put16(b, at + 4, r.len);
  put16(b, at + 6, r.checksum);
}

/** `datagram`: header and payload as views. A sum of zero is sent as all ones (RFC 768). */
export function udpChecksum(saddr: number, daddr: number, len: number, datagram: readonly Uint8Array[]): number {
  const c = fold(sumSlices(datagram, pseudoHeaderSum(saddr, daddr, 17, len))) ^ 0xffff;
  return c === 0 ? 0xffff : c;
}

export const udpChecksumOk = (saddr: number, daddr: number, len: number, datagram: readonly Uint8Array[]): boolean =>
  verifies(sumSlices(datagram, pseudoHeaderSum(saddr, daddr, 17, len)));
