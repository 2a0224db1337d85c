/**
 * Frames of the door (docs/DOOR.md): u32 length of what follows, u32 length of the protobuf message, the message, and
 * then raw bytes (what is sent or was received), so that bulk data is never copied into a message. Big-endian.
 */

/** A frame is at most this long after its first field; a longer one is garbage. */
export const FRAME_MAX = 1_114_112;
/** The most data one frame carries: a longer send or receive is cut to it. */
export const FRAME_DATA_MAX = 1_048_576;
const PB_MAX = 65_536;
const HEAD = 8;

/** Length fields and message in one buffer; the data follows in buffers of its own. */
export function frameHead(pb: Uint8Array, dataLength: number): Buffer {
  const b = Buffer.allocUnsafe(HEAD + pb.length);
  b.writeUInt32BE(4 + pb.length + dataLength, 0);
  b.writeUInt32BE(pb.length, 4);
  b.set(pb, HEAD);
  return b;
}

/** Up to so many bytes a copy costs less than writev(). */
const COPY_MAX = 4096;

/** Writes them as one. */
export function writeAll(
  to: { write(b: Uint8Array): unknown; cork(): void; uncork(): void },
  list: readonly Uint8Array[],
): void {
  if (list.length === 1) {
    to.write(list[0]!);
    return;
  }
  let length = 0;
  for (const b of list) length += b.length;
  if (length <= COPY_MAX) {
    to.write(Buffer.concat(list, length));
    return;
  }
  to.cork();
  for (const b of list) to.write(b);
  to.uncork();
}

/** Called per frame; `data` are views of what was read, in order. */
export type OnFrame = (pb: Uint8Array, data: Uint8Array[], dataLength: number) => void;

/** Cuts a byte stream into frames. Data is passed on as the views it came in, headers are put together where they were split. */
export class FrameReader {
  private readonly onFrame: OnFrame;
  /** The part of header and message that came so far, while it is incomplete. */
  private partial: Buffer | undefined = undefined;
  private pb: Uint8Array | undefined = undefined;
  private data: Uint8Array[] = [];
  private dataLength = 0;
  private missing = 0;

  constructor(onFrame: OnFrame) {
    this.onFrame = onFrame;
  }

  /** Undefined, or what is wrong: the stream cannot be understood from here on. */
  push(chunk: Buffer): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.pb === undefined) {
        const used = this.readHead(chunk, at);
        if (typeof used === 'string') return used;
        if (used === 0) return undefined;
        at = used;
      }
      const take = Math.min(this.missing, chunk.length - at);
      if (take > 0) {
        this.data.push(chunk.subarray(at, at + take));
        this.missing -= take;
        at += take;
      }
      if (this.missing > 0) return undefined;
      const { pb, data, dataLength } = this;
      this.pb = undefined;
      this.data = [];
      this.onFrame(pb!, data, dataLength);
    }
    return undefined;
  }

  /** Takes lengths and message from `at` on; returns where the data starts, 0 while something is missing, or an error. */
  private readHead(chunk: Buffer, at: number): number | string {
    let b = chunk;
    let from = at;
    if (this.partial !== undefined) {
      b = Buffer.concat([this.partial, chunk.subarray(at)]);
      from = 0;
    }
    const have = b.length - from;
    if (have < HEAD) {
      this.partial = Buffer.from(b.subarray(from));
      return 0;
    }
    const length = b.readUInt32BE(from);
    const pbLength = b.readUInt32BE(from + 4);
    if (length > FRAME_MAX) return `frame of ${length} bytes; the longest is ${FRAME_MAX}`;
    if (pbLength > PB_MAX || pbLength + 4 > length) return `message of ${pbLength} bytes in a frame of ${length}`;
    if (have < HEAD + pbLength) {
      this.partial = Buffer.from(b.subarray(from));
      return 0;
    }
    this.pb = b.subarray(from + HEAD, from + HEAD + pbLength);
    this.dataLength = this.missing = length - 4 - pbLength;
    const before = this.partial === undefined ? 0 : this.partial.length;
    this.partial = undefined;
    return at + HEAD + pbLength - before;
  }
}
