import { get16, get32, getMac, put16, put32, putMac } from './bytes.ts';

/** ARP for IPv4 over Ethernet (RFC 826). */
export const ARP_LEN = 28;
export const ARPOP_REQUEST = 1;
export const ARPOP_REPLY = 2;

export interface ArpRepr {
  op: number;
  /** Sender's hardware and protocol address. */
  sha: number;
  spa: number;
  /** Target's. */
  tha: number;
  tpa: number;
}

/** `undefined`: too short, or not Ethernet/IPv4 (ar$hrd 1 or 6, ar$pro 0x0800, lengths 6 and 4). */
export function parseArp(b: Uint8Array, at: number, end: number): ArpRepr | undefined {
  if (end - at < ARP_LEN) return undefined;
  const hrd = get16(b, at);
  if ((hrd !== 1 && hrd !== 6) || get16(b, at + 2) !== 0x0800 || b[at + 4] !== 6 || b[at + 5] !== 4) return undefined;
  return {
    op: get16(b, at + 6),
    sha: getMac(b, at + 8),
    spa: get32(b, at + 14),
    tha: getMac(b, at + 18),
    tpa: get32(b, at + 24),
  };
}

export function emitArp(r: ArpRepr, b: Uint8Array, at: number): void {
  put16(b, at, 1);
  put16(b, at + 2, 0x0800);
  b[at + 4] = 6;
  b[at + 5] = 4;
  put16(b, at + 6, r.op);
  putMac(b, at + 8, r.sha);
  put32(b, at + 14, r.spa);
  putMac(b, at + 18, r.tha);
  put32(b, at + 24, r.tpa);
}
