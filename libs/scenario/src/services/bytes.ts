/** The bytes of the demo's `/bytes/N`: byte i is `(j * 131 + (j >> 8) * 17) & 255` with `j = i & 65535`. */
const BLOCK_BYTES = 65_536;
const BLOCK: Uint8Array = Uint8Array.from({ length: BLOCK_BYTES }, (_, j) => (j * 131 + (j >> 8) * 17) & 255);

/** At most one block of them, from an offset on. */
export const demoBytes = (from: number, total: number): Uint8Array => {
  const at = from % BLOCK_BYTES;
  return BLOCK.subarray(at, Math.min(BLOCK_BYTES, at + total - from));
};

/** Whether these are the ones at that offset. */
export function areDemoBytes(bytes: Uint8Array, from: number): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== BLOCK[(from + i) % BLOCK_BYTES]) return false;
  return true;
}
