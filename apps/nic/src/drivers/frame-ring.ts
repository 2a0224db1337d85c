/**
 * A ring of frames in shared memory between two threads, one producer and one consumer. Positions are byte counts that
 * wrap at 2^32; a record is a 32-bit length in host order, padded to 8 bytes, then the bytes. Length 0: go on at the start.
 */

const HEAD = 0;
const TAIL = 1;
/** 1 while the consumer has been told and not yet looked. */
const TOLD = 2;
/** 1 while the producer sleeps for want of room. */
const STARVED = 3;
const STOP = 4;
const CTRL_BYTES = 64;
const HDR = 8;

/** The longest record: a 64 KiB packet, its Ethernet header with two VLAN tags, a virtio header. */
export const FRAME_MAX = 65_536 + 64;

export class FrameRing {
  readonly shared: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  private readonly ctrl: Int32Array;
  private readonly words: Int32Array;
  private readonly capacity: number;
  /** The producer's or the consumer's own position; published by commit() and release(). */
  private pos: number;

  /** A new ring of `size` bytes (a power of two, at least four times FRAME_MAX), or the other end's view of one. */
  constructor(from: number | SharedArrayBuffer) {
    this.shared = typeof from === 'number' ? new SharedArrayBuffer(CTRL_BYTES + from) : from;
    this.ctrl = new Int32Array(this.shared, 0, CTRL_BYTES / 4);
    this.bytes = new Uint8Array(this.shared, CTRL_BYTES);
    this.words = new Int32Array(this.shared, CTRL_BYTES);
    this.capacity = this.bytes.length;
    this.pos = 0;
  }

  // The producer's half.

  /** Where the next record of up to FRAME_MAX bytes may be written, or -1 while there is no room. */
  reserve(): number {
    const toEnd = this.capacity - (this.pos & (this.capacity - 1));
    const skip = toEnd < HDR + FRAME_MAX ? toEnd : 0;
    const used = (this.pos - Atomics.load(this.ctrl, TAIL)) >>> 0;
    if (this.capacity - used < skip + HDR + FRAME_MAX) return -1;
    if (skip > 0) {
      this.words[(this.pos & (this.capacity - 1)) >>> 2] = 0;
      this.pos = (this.pos + skip) | 0;
    }
    return (this.pos & (this.capacity - 1)) + HDR;
  }

  /** The record at the reserved place has `n` bytes; not visible before publish(). */
  commit(n: number): void {
    this.words[(this.pos & (this.capacity - 1)) >>> 2] = n;
    this.pos = (this.pos + HDR + ((n + 7) & ~7)) | 0;
  }

  /** Makes all committed records visible. True when the consumer must be told. */
  publish(): boolean {
    Atomics.store(this.ctrl, HEAD, this.pos);
    return Atomics.exchange(this.ctrl, TOLD, 1) === 0;
  }

  /** Sleeps until the consumer has released something. Only in a worker. False: stopped. */
  waitForRoom(): boolean {
    const tail = Atomics.load(this.ctrl, TAIL);
    Atomics.store(this.ctrl, STARVED, 1);
    if (this.reserve() < 0 && !this.stopped) Atomics.wait(this.ctrl, TAIL, tail);
    Atomics.store(this.ctrl, STARVED, 0);
    return !this.stopped;
  }

  // The consumer's half.

  /** Before looking: from now on the producer tells of what it publishes. */
  hush(): void {
    Atomics.store(this.ctrl, TOLD, 0);
  }

  /** Position of the next record's bytes and its length, or `undefined`. The bytes stay until release(). */
  next(): { at: number; n: number } | undefined {
    while (this.pos !== Atomics.load(this.ctrl, HEAD)) {
      const off = this.pos & (this.capacity - 1);
      const n = this.words[off >>> 2]!;
      if (n === 0) {
        this.pos = (this.pos + this.capacity - off) | 0;
        continue;
      }
      this.pos = (this.pos + HDR + ((n + 7) & ~7)) | 0;
      return { at: off + HDR, n };
    }
    return undefined;
  }

  /** Gives back the room of every record taken so far. */
  release(): void {
    Atomics.store(this.ctrl, TAIL, this.pos);
    if (Atomics.load(this.ctrl, STARVED) === 1) Atomics.notify(this.ctrl, TAIL);
  }

  // Either half.

  get stopped(): boolean {
    return Atomics.load(this.ctrl, STOP) === 1;
  }

  stop(): void {
    Atomics.store(this.ctrl, STOP, 1);
    Atomics.notify(this.ctrl, TAIL);
  }
}
