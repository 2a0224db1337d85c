import type { ProtoData } from '@skbus/skb';
import { HeldData } from './held-data.ts';

/** A short chunk that would keep a much larger message alive is copied out of it. */
const COPY_BELOW = 4096;
const EMPTY = new Uint8Array(0);

/** sk_receive_queue of a stream: bytes in order, as the views they came in. */
export class RecvQueue {
  private chunks: Uint8Array[] = [];
  private head = 0;
  length = 0;
  /** What came before those it follows; undefined: nothing. */
  held: HeldData | undefined = undefined;

  /** Takes what continues the stream at `got`, and what has waited for it; else it waits. Returns where the stream goes on. */
  arrived(d: ProtoData, got: number): number {
    if (d.offset > got) {
      (this.held ??= new HeldData()).add(d);
      return got;
    }
    let to = d.offset + d.data.length;
    if (to <= got) return got;
    this.append(d.data.subarray(got - d.offset));
    for (let next = this.held?.take(to); next !== undefined; next = this.held?.take(to)) {
      this.append(next);
      to += next.length;
    }
    if (this.held?.isEmpty) this.held = undefined;
    return to;
  }

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
    this.held = undefined;
  }
}
