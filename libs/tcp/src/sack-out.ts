/** The SACK blocks we send (RFC 2018 4, tcp_sack_new_ofo_skb): at most four, the newest first, positions in the stream. */
export type SackBlock = [start: number, end: number];

/** What a connection without any has; nothing is ever put in. */
export const NO_BLOCKS: SackBlock[] = [];

export const SACK_BLOCKS_MAX = 4;
/** With timestamps and a DSACK only so many are sure to fit: a block farther back needs an ACK of its own. */
export const SACK_BLOCKS_EXPECTED = 2;

/**
 * Enters [start, end): an existing block that touches it grows and moves to the front. Returns where that block was, or
 * how many blocks there were when it is a new one.
 */
export function sackAdd(blocks: SackBlock[], start: number, end: number): number {
  let lo = start;
  let hi = end;
  let kept = 0;
  let found = blocks.length;
  for (let i = 0; i < blocks.length; i++) {
    const b = blocks[i]!;
    if (b[0] <= hi && lo <= b[1]) {
      lo = Math.min(lo, b[0]);
      hi = Math.max(hi, b[1]);
      if (i < found) found = i;
    } else {
      blocks[kept++] = b;
    }
  }
  blocks.length = kept;
  blocks.unshift([lo, hi]);
  if (blocks.length > SACK_BLOCKS_MAX) blocks.length = SACK_BLOCKS_MAX;
  return found;
}

/** Everything below `rcvNxt` arrived in order: those blocks have nothing more to say (tcp_sack_remove). */
export function sackRemove(blocks: SackBlock[], rcvNxt: number): void {
  let kept = 0;
  for (const b of blocks) if (b[1] > rcvNxt) blocks[kept++] = b;
  blocks.length = kept;
}
