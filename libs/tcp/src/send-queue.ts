import { pageFrag } from '@skbus/skb';

/** Writes below this are copied together: one fragment per keystroke would cost more than the copy. */
const COPY_BREAK = 1024;
/** The first page is small: most that write little write very little. */
const PAGE_FIRST = 2 * COPY_BREAK;
const PAGE = 16_384;

/** What an empty queue has; nothing is ever put in. */
const NO_CHUNKS: Uint8Array[] = [];
const NO_STARTS: number[] = [];

/**
 * The bytes written and not yet acknowledged (sk_write_queue with the rtx queue's payload): a list of the views that came
 * over the seam. Segments take views of it, nothing is copied but small writes. Offsets are the seam's.
 */
export class SendQueue {
  private chunks = NO_CHUNKS;
  /** Where each chunk starts. */
  private starts = NO_STARTS;
  private head = 0;
  /** The tail page that small writes are copied to; the bytes after pageUsed are nobody's yet. */
  private page: Uint8Array | undefined = undefined;
  private pageUsed = 0;
  /** No connection to send on any more; bytes that still come are taken and thrown away. */
  private discarded = false;
  /** All bytes below are gone. */
  start = 0;
  /** All bytes below are here or gone (sndGot). */
  end = 0;

  /** The bytes are here, not only their numbers. */
  get readable(): boolean {
    return !this.discarded;
  }

  get length(): number {
    return this.end - this.start;
  }

  append(data: Uint8Array): void {
    if (data.length === 0) return;
    if (this.discarded) return;
    if (data.length < COPY_BREAK) this.copyIn(data);
    else this.pushChunk(data);
    this.end += data.length;
  }

  /** Views of [from, from + n) appended to `out`. The range must be in [start, end). */
  slice(from: number, n: number, out: Uint8Array[]): void {
    let i = this.find(from);
    let skip = from - this.starts[i]!;
    let left = n;
    while (left > 0) {
      const c = this.chunks[i++]!;
      const take = Math.min(left, c.length - skip);
      out.push(take === c.length ? c : c.subarray(skip, skip + take));
      left -= take;
      skip = 0;
    }
  }

  /** Forgets all bytes below `to`. */
  dropTo(to: number): void {
    if (to <= this.start) return;
    this.start = to;
    while (this.head < this.chunks.length && this.starts[this.head]! + this.chunks[this.head]!.length <= to)
      this.head++;
    if (this.head === this.chunks.length) {
      this.clearChunks();
    } else if (this.head > 64 && this.head * 2 > this.chunks.length) {
      this.chunks = this.chunks.slice(this.head);
      this.starts = this.starts.slice(this.head);
      this.head = 0;
    }
  }

  /** All below `to` is acknowledged, whether or not it is here (again). */
  skipTo(to: number): void {
    if (to <= this.end) return;
    this.clearChunks();
    this.start = this.end = to;
  }

  /** The connection is over: the bytes go, the offsets stay as they are. */
  discard(): void {
    this.clearChunks();
    this.discarded = true;
  }

  private clearChunks(): void {
    this.chunks = NO_CHUNKS;
    this.starts = NO_STARTS;
    this.head = 0;
    this.page = undefined;
  }

  /** A single small write, as in a dialogue, needs no page of its own; those that come before it has left, do. */
  private copyIn(data: Uint8Array): void {
    if (this.head === this.chunks.length) {
      const frag = pageFrag(data.length);
      frag.set(data, 0);
      this.pushChunk(frag);
      return;
    }
    const { page } = this;
    if (page !== undefined && page.length - this.pageUsed >= data.length) {
      const last = this.chunks.length - 1;
      const tail = this.chunks[last]!;
      page.set(data, this.pageUsed);
      this.pageUsed += data.length;
      this.chunks[last] = page.subarray(tail.byteOffset - page.byteOffset, this.pageUsed);
      return;
    }
    const fresh = new Uint8Array(page === undefined ? PAGE_FIRST : PAGE);
    fresh.set(data, 0);
    this.pushChunk(fresh.subarray(0, data.length));
    this.page = fresh;
    this.pageUsed = data.length;
  }

  private pushChunk(chunk: Uint8Array): void {
    if (this.chunks === NO_CHUNKS) {
      this.chunks = [chunk];
      this.starts = [this.end];
    } else {
      this.chunks.push(chunk);
      this.starts.push(this.end);
    }
    this.page = undefined;
  }

  /** The chunk that holds `offset`: nearly always near the front or the back, so look there first. */
  private find(offset: number): number {
    let lo = this.head;
    let hi = this.chunks.length - 1;
    if (offset >= this.starts[hi]!) return hi;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if (this.starts[mid]! <= offset) lo = mid;
      else hi = mid - 1;
    }
    return lo;
  }
}
