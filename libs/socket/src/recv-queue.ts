/** A short chunk that would keep a much larger message alive is copied out of it. */
const COPY_BELOW = 4096;
const EMPTY = new Uint8Array(0);

/** sk_receive_queue of a stream: bytes in order, as the views they came in. */
export class RecvQueue {
  private chunks: Uint8Array[] = [];
  private head = 0;
  length = 0;

  append(data: Uint8Array): void {
    if (data.length === 0) return;
    const copy = data.length < COPY_BELOW && data.buffer.byteLength > 4 * data.length;
    this.chunks.push(copy ? data.slice() : data);
    this.length += data.length;
  }

  /** Removes up to `n` bytes and returns them. */
  take(n: number): Uint8Array[] {
    const out: Uint8Array[] = [];
    let left = Math.min(n, this.length);
    this.length -= left;
    while (left > 0) {
      const c = this.chunks[this.head]!;
      if (c.length <= left) {
        out.push(c);
        left -= c.length;
        this.chunks[this.head++] = EMPTY;
      } else {
        out.push(c.subarray(0, left));
        this.chunks[this.head] = c.subarray(left);
        left = 0;
      }
    }
    if (this.head === this.chunks.length) {
      this.chunks.length = 0;
      this.head = 0;
    } else if (this.head >= 64) {
      this.chunks = this.chunks.slice(this.head);
      this.head = 0;
    }
    return out;
  }

  /** The same without removing them (MSG_PEEK). */
  peek(n: number): Uint8Array[] {
    const out: Uint8Array[] = [];
    let left = Math.min(n, this.length);
    for (let i = this.head; left > 0; i++) {
      const c = this.chunks[i]!;
      out.push(c.length <= left ? c : c.subarray(0, left));
      left -= Math.min(left, c.length);
    }
    return out;
  }

  clear(): void {
    this.chunks.length = 0;
    this.head = 0;
    this.length = 0;
  }
}
