import { get16, get32, put16, put32 } from './bytes.ts';
import { finish, sumBytes, verifies } from './checksum.ts';

/** IPv4 (RFC 791). */
export const IPV4_HLEN = 20;
export const IP_DF = 0x4000;
export const IP_MF = 0x2000;
export const IP_OFFSET_MASK = 0x1fff;

export interface Ipv4Repr {
  /** Header length in bytes, options included. */
  hlen: number;
  tos: number;
  totalLen: number;
  id: number;
  df: boolean;
  mf: boolean;
  /** In bytes. */
  fragOffset: number;
  ttl: number;
  proto: number;
  saddr: number;
  daddr: number;
}

/**
 * Reads a header at `at`. `undefined` when the bytes cannot be one: shorter than 20, not version 4, a header length
 * below 20 or past the end. Total length and checksum are the caller's to judge (they have drop reasons of their own).
 */
export function parseIpv4Header(b: Uint8Array, at: number, end: number): Ipv4Repr | undefined {
  if (end - at < IPV4_HLEN) return undefined;
  const vhl = b[at]!;
  const hlen = (vhl & 15) * 4;
  if (vhl >>> 4 !== 4 || hlen < IPV4_HLEN || at + hlen > end) return undefined;
  const frag = get16(b, at + 6);
  return {
    hlen,
    tos: b[at + 1]!,
    totalLen: get16(b, at + 2),
    id: get16(b, at + 4),
    df: (frag & IP_DF) !== 0,
    mf: (frag & IP_MF) !== 0,
    fragOffset: (frag & IP_OFFSET_MASK) * 8,
    ttl: b[at + 8]!,
    proto: b[at + 9]!,
    saddr: get32(b, at + 12),
    daddr: get32(b, at + 16),
  };
}

/** Whether the header checksum is right (ip_fast_csum). */
export const ipv4ChecksumOk = (b: Uint8Array, at: number, hlen: number): boolean => verifies(sumBytes(b, at, hlen));

/** Writes the fixed 20 bytes and the checksum over `hlen` bytes; options, if any, are already in place. */
export function emitIpv4Header(r: Ipv4Repr, b: Uint8Array, at: number): void {
  b[at] = 0x40 | (r.hlen >>> 2);
  b[at + 1] = r.tos;
  put16(b, at + 2, r.totalLen);
  put16(b, at + 4, r.id);
  put16(b, at + 6, (r.df ? IP_DF : 0) | (r.mf ? IP_MF : 0) | (r.fragOffset >>> 3));
  b[at + 8] = r.ttl;
  b[at + 9] = r.proto;
  put32(b, at + 12, r.saddr);
  put32(b, at + 16, r.daddr);
  updateIpv4Checksum(b, at, r.hlen);
}

/** Recomputes the header checksum in place (ip_send_check). */
export function updateIpv4Checksum(b: Uint8Array, at: number, hlen: number): void {
  put16(b, at + 10, 0);
  put16(b, at + 10, finish(sumBytes(b, at, hlen)));
}
