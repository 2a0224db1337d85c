/** Memory for copies comes in pieces of this size, which are used again. */
const SLAB = 1 << 20;
const FREE_MAX = 4;

interface Slab {
  readonly memory: Buffer;
  used: number;
  /** Copies in it that somebody still needs. */
  live: number;
}

/** A copy of written bytes; `slab`: where it lies, undefined: in memory of its own. */
export interface Copy {
  readonly bytes: Buffer;
  readonly slab: Slab | undefined;
}

/** Takes copies of what programs write: once write() has called back, the buffer is the program's again. */
export class Slabs {
  private current: Slab | undefined = undefined;
  private readonly free: Slab[] = [];

  copy(parts: readonly Uint8Array[], length: number): Copy {
    if (length > SLAB) return { bytes: Buffer.concat(parts, length), slab: undefined };
    if (this.current === undefined || SLAB - this.current.used < length) this.next();
    const slab = this.current!;
    const bytes = slab.memory.subarray(slab.used, slab.used + length);
    let at = 0;
    for (const p of parts) {
      bytes.set(p, at);
      at += p.length;
    }
    slab.used += length;
    slab.live++;
    return { bytes, slab };
  }

  release({ slab }: Copy): void {
    if (slab === undefined || --slab.live > 0 || slab === this.current) return;
    if (this.free.length < FREE_MAX) this.free.push(slab);
  }

  private next(): void {
    const { current } = this;
    if (current !== undefined && current.live === 0) {
      current.used = 0;
      return;
    }
    this.current = this.free.pop() ?? { memory: Buffer.allocUnsafeSlow(SLAB), used: 0, live: 0 };
    this.current.used = 0;
  }
}

/** What a stream has written and TCP may not have yet, by offset. */
export class KeptBytes {
  private readonly slabs: Slabs;
  private chunks: { end: number; copy: Copy; bytes: Buffer }[] = [];
  /** One past the last byte. */
  end = 0;

  constructor(slabs: Slabs) {
    this.slabs = slabs;
  }

  /** The first `n` bytes of a copy were taken by the stack. */
  push(copy: Copy, n: number): void {
    if (n === 0) return this.slabs.release(copy);
    this.end += n;
    this.chunks.push({ end: this.end, copy, bytes: n === copy.bytes.length ? copy.bytes : copy.bytes.subarray(0, n) });
  }

  /** TCP has all bytes below. */
  dropTo(offset: number): void {
    let n = 0;
    while (n < this.chunks.length && this.chunks[n]!.end <= offset) this.slabs.release(this.chunks[n++]!.copy);
    if (n === this.chunks.length) this.chunks = [];
    else if (n > 0) this.chunks.splice(0, n);
  }

  /** The bytes from `offset` on. Undefined: they are not here any more. */
  from(offset: number): Buffer[] | undefined {
    let at = this.end;
    const out: Buffer[] = [];
    for (let i = this.chunks.length - 1; i >= 0 && at > offset; i--) {
      const { bytes, end } = this.chunks[i]!;
      at = end - bytes.length;
      out.unshift(at < offset ? bytes.subarray(offset - at) : bytes);
    }
    return at <= offset ? out : undefined;
  }

  /** The stream begins anew at `offset`. */
  reset(offset = 0): void {
    for (const c of this.chunks) this.slabs.release(c.copy);
    this.chunks = [];
    this.end = offset;
  }
}
