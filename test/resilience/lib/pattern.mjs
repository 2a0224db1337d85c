// A stream whose bytes tell their place in it, so that one lost, doubled or swapped shows.

export const BLOCK_BYTES = 65_536;
const BLOCK = Buffer.from(Uint8Array.from({ length: BLOCK_BYTES }, (_, j) => (j * 131 + (j >> 8) * 17) & 255));
const TWICE = Buffer.concat([BLOCK, BLOCK]);

/** `n` bytes of the stream from `at` on; at most a block. @param {number} at @param {number} n */
export const piece = (at, n) => TWICE.subarray(at % BLOCK_BYTES, (at % BLOCK_BYTES) + n);

/** Whether these are the bytes of the stream from `at` on. @param {Buffer} data @param {number} at */
export function fits(data, at) {
  for (let i = 0; i < data.length; i += BLOCK_BYTES) {
    const part = data.subarray(i, i + BLOCK_BYTES);
    if (!part.equals(piece(at + i, part.length))) return false;
  }
  return true;
}

/** What a server is asked for: the first byte of a connection. */
export const MODE = { echo: 'E', in: 'I', out: 'O', slow: 'H', close: 'C' };

/** Sent up the stream when the server has seen wrong bytes. */
export const WRONG = 0xffff_ffff_ffff_ffffn;
