/** Big-endian access to header fields; callers have checked the length (the `check_len` idea of smoltcp's wire layer). */

export const get16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;

export const get32 = (b: Uint8Array, at: number): number =>
  ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0;

export function put16(b: Uint8Array, at: number, v: number): void {
  b[at] = v >>> 8;
  b[at + 1] = v;
}

export function put32(b: Uint8Array, at: number, v: number): void {
  b[at] = v >>> 24;
  b[at + 1] = v >>> 16;
  b[at + 2] = v >>> 8;
  b[at + 3] = v;
}

/** A 48-bit Ethernet address as a number. */
export const getMac = (b: Uint8Array, at: number): number => get16(b, at) * 0x1_0000_0000 + get32(b, at + 2);

export function putMac(b: Uint8Array, at: number, mac: number): void {
  put16(b, at, Math.floor(mac / 0x1_0000_0000));
  put32(b, at + 2, mac >>> 0);
}
