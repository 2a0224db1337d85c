import type { ProtoData } from '@skbus/skb';

/** More than a window is never on its way. */
const PIECES_MAX = 4096;

/**
 * Received bytes that came before those they follow: a message between the transport and us was lost, or is late. They wait, and the
 * transport hears what is missing, so that only that comes again.
 */
export class HeldData {
  /** By offset. */
  private readonly pieces: ProtoData[] = [];
  /** Up to where all was here when a gap was last told. */
  private toldAt = -1;

  get isEmpty(): boolean {
    return this.pieces.length === 0;
  }

  add(piece: ProtoData): void {
    const { pieces } = this;
    let i = pieces.length;
    while (i > 0 && pieces[i - 1]!.offset > piece.offset) i--;
    const before = pieces[i - 1];
    if (before !== undefined && before.offset + before.data.length >= piece.offset + piece.data.length) return;
    if (pieces.length < PIECES_MAX) pieces.splice(i, 0, piece);
  }

  /** The bytes that continue at `got`, or undefined: they are not here. */
  take(got: number): Uint8Array | undefined {
    const { pieces } = this;
    let old = 0;
    while (old < pieces.length && pieces[old]!.offset + pieces[old]!.data.length <= got) old++;
    const next = pieces[old];
    const fits = next !== undefined && next.offset <= got;
    pieces.splice(0, fits ? old + 1 : old);
    return fits ? next.data.subarray(got - next.offset) : undefined;
  }

  /** Where the bytes go on that are here, once for each place; 0: that is told. */
  news(got: number): number {
    if (this.isEmpty || got === this.toldAt) return 0;
    this.toldAt = got;
    return this.pieces[0]!.offset;
  }
}
