/** Writes below this are copied together, so that they don't pin the message they came in; longer ones are kept as they are. */
const COPY_BELOW = 2048;
const TAIL_BYTES = 16 * 1024;
/** A short write on an empty queue is mostly alone. */
const FIRST_BYTES = 512;
const EMPTY = new Uint8Array(0);

interface Chunk {
  offset: number;
  /** Bytes in use. */
  length: number;
  bytes: Uint8Array;
  /** Whether bytes beyond `length` may be filled. */
  own: boolean;
}

/** sk_write_queue: written bytes by absolute stream offset, kept until the peer has acknowledged them. */
export class SendQueue {
  private chunks: Chunk[] = [];
  /** Index of the first live chunk: freeing moves this, and the array is cut now and then. */
  private head = 0;
  /** Everything below was acknowledged and freed. */
  una = 0;
  /** One past the last byte written. */
  end = 0;

  get length(): number {
    return this.end - this.una;
  }

  append(data: Uint8Array): void {
    if (data.length === 0) return;
    const tail = this.chunks.at(-1);
    if (data.length >= COPY_BELOW) this.add(data, data.length, false);
    else if (tail !== undefined && tail.own && tail.bytes.length - tail.length >= data.length) {
      tail.bytes.set(data, tail.length);
      tail.length += data.length;
    } else {
      const bytes = new Uint8Array(this.length === 0 ? Math.max(FIRST_BYTES, data.length) : TAIL_BYTES);
      bytes.set(data);
      this.add(bytes, data.length, true);
    }
    this.end += data.length;
  }

  /** A view of up to `max` bytes from `offset` on; shorter where a chunk ends. Undefined: nothing there. */
  view(offset: number, max: number): Uint8Array | undefined {
    if (offset < this.una || offset >= this.end || max <= 0) return undefined;
    const c = this.chunks[this.find(offset)]!;
    const from = offset - c.offset;
    return c.bytes.subarray(from, Math.min(c.length, from + max));
  }

  /** Begins at this offset instead of 0. */
  startAt(offset: number): void {
    this.clear();
    this.una = this.end = offset;
  }

  /** Frees all below `una`; true if that was any. */
  free(una: number): boolean {
    if (una <= this.una) return false;
    this.una = Math.min(una, this.end);
    while (this.head < this.chunks.length) {
      const c = this.chunks[this.head]!;
      if (c.offset + c.length > this.una) break;
      c.bytes = EMPTY;
      this.head++;
    }
    if (this.head === this.chunks.length) {
      this.chunks.length = 0;
      this.head = 0;
    } else if (this.head >= 64) {
      this.chunks = this.chunks.slice(this.head);
      this.head = 0;
    }
    return true;
  }

  clear(): void {
    this.chunks.length = 0;
    this.head = 0;
    this.una = this.end;
  }

  private add(bytes: Uint8Array, length: number, own: boolean): void {
    this.chunks.push({ offset: this.end, length, bytes, own });
  }

  private find(offset: number): number {
    let lo = this.head;
    let hi = this.chunks.length - 1;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (this.chunks[mid]!.offset <= offset) lo = mid;
      else hi = mid - 1;
    }
    return lo;
  }
}
