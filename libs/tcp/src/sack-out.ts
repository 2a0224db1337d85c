/** The SACK blocks we send (RFC 2018 4, tcp_sack_new_ofo_skb): at most four, the newest first, positions in the stream. */
export type SackBlock = [start: number, end: number];

export const SACK_BLOCKS_MAX = 4;

/** Enters [start, end): an existing block that touches it grows and moves to the front. */
export function sackAdd(blocks: SackBlock[], start: number, end: number): void {
  let lo = start;
  let hi = end;
  let kept = 0;
  for (let i = 0; i < blocks.length; i++) {
    const b = blocks[i]!;
    if (b[0] <= hi && lo <= b[1]) {
      lo = Math.min(lo, b[0]);
      hi = Math.max(hi, b[1]);
    } else {
      blocks[kept++] = b;
    }
  }
  blocks.length = kept;
  blocks.unshift([lo, hi]);
  if (blocks.length > SACK_BLOCKS_MAX) blocks.length = SACK_BLOCKS_MAX;
}

/** Everything below `rcvNxt` arrived in order: those blocks have nothing more to say (tcp_sack_remove). */
export function sackRemove(blocks: SackBlock[], rcvNxt: number): void {
  let kept = 0;
  for (const b of blocks) if (b[1] > rcvNxt) blocks[kept++] = b;
  blocks.length = kept;
}
