import { createHash } from 'node:crypto';

/** The bytes of `/bytes/N` repeat after this many. */
export const BLOCK_BYTES = 65_536;

/**
 * What `/bytes/N` sends: byte i is `(j * 131 + (j >> 8) * 17) & 255` with `j = i & 65535`; so any N bytes can be made (and
 * hashed) on the other side, and a piece in the wrong place shows.
 */
export const BLOCK: Buffer = Buffer.from(
  Uint8Array.from({ length: BLOCK_BYTES }, (_, j) => (j * 131 + (j >> 8) * 17) & 255),
);

/** The first N bytes, in pieces of at most one block. */
export function* demoBytes(n: number): Generator<Buffer> {
  for (let left = n; left > 0; left -= BLOCK_BYTES) yield left >= BLOCK_BYTES ? BLOCK : BLOCK.subarray(0, left);
}

/** Their SHA-256, as `curl … | sha256sum` prints it. */
export function demoSha256(n: number): string {
  const hash = createHash('sha256');
  for (const piece of demoBytes(n)) hash.update(piece);
  return hash.digest('hex');
}
