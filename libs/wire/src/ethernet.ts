import { get16, getMac, put16, putMac } from './bytes.ts';

/** Ethernet II (RFC 894): dst 6, src 6, type 2. */
export const ETHERNET_HLEN = 14;

export interface EthernetRepr {
  dst: number;
  src: number;
  /** EtherType; below 0x600 it is an 802.3 length, which we don't speak. */
  type: number;
}

/** `undefined`: shorter than a header. */
export function parseEthernet(b: Uint8Array, at: number, end: number): EthernetRepr | undefined {
  if (end - at < ETHERNET_HLEN) return undefined;
  return { dst: getMac(b, at), src: getMac(b, at + 6), type: get16(b, at + 12) };
}

export function emitEthernet(r: EthernetRepr, b: Uint8Array, at: number): void {
  putMac(b, at, r.dst);
  putMac(b, at + 6, r.src);
  put16(b, at + 12, r.type);
}
