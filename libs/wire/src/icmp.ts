import { get16, put16 } from './bytes.ts';
import { finish, sumSlices, verifies } from './checksum.ts';

/** ICMP (RFC 792): type, code, checksum, and four bytes whose meaning depends on the type. */
export const ICMP_HLEN = 8;
export const ICMP_ECHOREPLY = 0;
export const ICMP_DEST_UNREACH = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETERPROB = 12;
export const ICMP_TIMESTAMP = 13;
export const ICMP_TIMESTAMPREPLY = 14;

export const ICMP_NET_UNREACH = 0;
export const ICMP_HOST_UNREACH = 1;
export const ICMP_PROT_UNREACH = 2;
export const ICMP_PORT_UNREACH = 3;
export const ICMP_FRAG_NEEDED = 4;
export const ICMP_SR_FAILED = 5;
export const ICMP_PKT_FILTERED = 13;
export const ICMP_EXC_TTL = 0;
export const ICMP_EXC_FRAGTIME = 1;

export interface IcmpRepr {
  type: number;
  code: number;
  /** Bytes 4–5: the identifier of echo and timestamp; unused else. */
  id: number;
  /** Bytes 6–7: the sequence number of echo; the next-hop MTU of FRAG_NEEDED (RFC 1191). */
  seq: number;
}

export function parseIcmp(b: Uint8Array, at: number, end: number): IcmpRepr | undefined {
  if (end - at < ICMP_HLEN) return undefined;
  return { type: b[at]!, code: b[at + 1]!, id: get16(b, at + 4), seq: get16(b, at + 6) };
}

export const icmpChecksumOk = (message: readonly Uint8Array[]): boolean => verifies(sumSlices(message));

/** Writes the header; `payload` is what follows it and goes into the checksum. */
export function emitIcmp(r: IcmpRepr, b: Uint8Array, at: number, payload: readonly Uint8Array[]): void {
  b[at] = r.type;
  b[at + 1] = r.code;
  put16(b, at + 2, 0);
  put16(b, at + 4, r.id);
  put16(b, at + 6, r.seq);
  put16(b, at + 2, finish(sumSlices([b.subarray(at, at + ICMP_HLEN), ...payload])));
}
