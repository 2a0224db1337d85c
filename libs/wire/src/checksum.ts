/**
 * The Internet checksum (RFC 1071). Sums are kept unfolded as plain numbers: 2^53 leaves room for any packet.
 */

/** Adds `n` bytes from `at` to `sum`. `odd`: the first byte is the low half of a 16-bit word begun before. */
export function sumBytes(b: Uint8Array, at: number, n: number, sum = 0, odd = false): number {
  let i = at;
  const end = at + n;
  if (odd && i < end) sum += b[i++]!;
  const even = i + ((end - i) & ~1);
  // Chunks of 8192 words stay below 2^30 and keep the inner loop in small integers.
  while (i < even) {
    const stop = Math.min(even, i + 16384);
    let part = 0;
    for (; i < stop; i += 2) part += (b[i]! << 8) | b[i + 1]!;
    sum += part;
  }
  if (i < end) sum += b[i]! << 8;
  return sum;
}

/** Adds a chain of views, whatever their lengths. */
export function sumSlices(parts: readonly Uint8Array[], sum = 0): number {
  let odd = false;
  for (const p of parts) {
    sum = sumBytes(p, 0, p.length, sum, odd);
    if (p.length & 1) odd = !odd;
  }
  return sum;
}

/** Folds to 16 bits without complementing. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = Math.floor(sum / 0x10000) + (sum & 0xffff);
  return sum;
}

/** The value for the checksum field. */
export const finish = (sum: number): number => fold(sum) ^ 0xffff;

/** The pseudo header of TCP and UDP over IPv4 (RFC 9293 3.1). `len`: transport header plus payload. */
export function pseudoHeaderSum(saddr: number, daddr: number, proto: number, len: number): number {
  return (saddr >>> 16) + (saddr & 0xffff) + (daddr >>> 16) + (daddr & 0xffff) + proto + len;
}

/** Whether bytes that include their checksum field sum to all ones. */
export const verifies = (sum: number): boolean => fold(sum) === 0xffff;
