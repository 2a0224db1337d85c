/** The smallest room for a read, and what is set aside for reads while little comes, or much. */
const ROOM_BYTES_MIN = 4 * 1024;
const SLAB_BYTES = 16 * 1024;
const BUSY_SLAB_BYTES = 64 * 1024;
/** Up to here copying a message into the slab of what goes out is cheaper than a write of its own. */
const COPY_BYTES_MAX = 8 * 1024;

const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;
const M = 0x4d;
const ZERO = 0x30;

/** Takes the messages of one subscription; `data` is a view of memory that nobody writes to again. */
export interface Taker {
  /** `undefined`: a pattern; the subject is read from each message. */
  subject: string | undefined;
  take(data: Uint8Array, subject: string): void;
}

/**
 * Picks the messages of known subscriptions out of the bytes that a NATS server sends; all else (INFO, PING, -ERR, answers
 * to requests) goes on as it came. https://docs.nats.io/reference/reference-protocols/nats-protocol
 *
 * It owns the memory that is read into: a message is a view of it, copied only where it did not fit behind what came before, and
 * one that is kept keeps no more than the slab it lies in.
 */
export class FrameReader {
  private readonly takers: ReadonlyMap<number, Taker>;
  private readonly others: (bytes: Uint8Array) => void;
  private slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** What has been read and not taken yet. */
  private from = 0;
  private to = 0;
  /** How long the frame at `from` is, as far as one can see; 0: its first line is not whole. */
  private wanted = 0;
  private busy = false;
  /** Of the line that was read last. */
  private sid = 0;
  private size = 0;
  private subjectEnd = 0;

  /** `takers` by the id of their subscription; what is not theirs goes to `others`, which must copy what it keeps. */
  constructor(takers: ReadonlyMap<number, Taker>, others: (bytes: Uint8Array) => void) {
    this.takers = takers;
    this.others = others;
  }

  /** Where the next bytes go. */
  room(): Uint8Array {
    const missing = Math.max(ROOM_BYTES_MIN, this.from + this.wanted - this.to);
    if (this.slab.length - this.to < missing) {
      const kept = this.to - this.from;
      const slab = Buffer.allocUnsafeSlow(Math.max(this.busy ? BUSY_SLAB_BYTES : SLAB_BYTES, kept + missing));
      slab.set(this.slab.subarray(this.from, this.to));
      this.slab = slab;
      this.from = 0;
      this.to = kept;
      this.busy = false;
    }
    return this.slab.subarray(this.to);
  }

  /** So many bytes have been written into the room. */
  filled(n: number): void {
    if (n === this.slab.length - this.to) this.busy = true;
    this.to += n;
    while (this.from < this.to && this.frame());
  }

  /** Takes the frame at `from`; false: it is not whole yet. */
  private frame(): boolean {
    const { slab, from, to } = this;
    const line = this.line(from);
    if (line < 0) {
      this.wanted = 0;
      return false;
    }
    const end = this.size < 0 ? line : line + this.size + 2;
    if (end > to) {
      this.wanted = end - from;
      return false;
    }
    const taker = this.size < 0 ? undefined : this.takers.get(this.sid);
    this.from = end;
    this.wanted = 0;
    if (taker === undefined) this.others(slab.subarray(from, end));
    else
      taker.take(new Uint8Array(slab.buffer, slab.byteOffset + line, this.size), taker.subject ?? this.subjectAt(from));
    return true;
  }

  private subjectAt(from: number): string {
    return this.slab.toString('latin1', from + 4, this.subjectEnd);
  }

  /**
   * Reads the line at `at`: returns where it ends, -1: it is not whole. `MSG subject sid [reply] size` and
   * `HMSG subject sid [reply] headers size` are followed by `size` bytes; other lines have none (-1). What has headers is
   * nobody's here.
   */
  private line(at: number): number {
    const { slab, to } = this;
    const first = slab[at];
    const isMessage = first === M || (first === 0x48 && slab[at + 1] === M);
    let i = at;
    let words = 0;
    let n = 0;
    this.size = -1;
    for (; i < to; i++) {
      const c = slab[i]!;
      if (c > SPACE) n = n * 10 + (c - ZERO);
      else if (c === SPACE) {
        words++;
        if (words === 2) this.subjectEnd = i;
        else if (words === 3) this.sid = n;
        n = 0;
      } else if (c === LF) {
        if (isMessage && words >= 3) this.size = n;
        if (first !== M) this.sid = 0;
        return i + 1;
      } else if (c !== CR) n = Number.NaN;
    }
    return -1;
  }
}

/** What a socket is, as far as frames go out by it. */
export interface FrameSink {
  readonly writableLength: number;
  write(bytes: Uint8Array): unknown;
  cork(): void;
  uncork(): void;
}

/** Collects what is published and hands it to the socket as few writes; small messages share memory that is used again. */
export class FrameWriter {
  private readonly sink: FrameSink;
  private readonly prefixes = new Map<string, Uint8Array>();
  private slab: Uint8Array = Buffer.allocUnsafeSlow(BUSY_SLAB_BYTES);
  private from = 0;
  private to = 0;
  private full: Uint8Array[] = [];

  constructor(sink: FrameSink) {
    this.sink = sink;
  }

  /** `data` may not be changed before it is with the kernel, which nobody hears of: hand over memory of its own. */
  publish(subject: string, data: Uint8Array): void {
    const prefix = this.prefixes.get(subject) ?? this.prefixOf(subject);
    const inline = data.length <= COPY_BYTES_MAX ? data.length : 0;
    // 10 digits and two line ends
    if (this.slab.length - this.to < prefix.length + inline + 14) this.turnOver(true);
    const { slab } = this;
    // set() is a call out of the compiled code
    for (let i = 0; i < prefix.length; i++) slab[this.to + i] = prefix[i]!;
    let at = this.number(this.to + prefix.length, data.length);
    slab[at++] = CR;
    slab[at++] = LF;
    if (inline === data.length) {
      slab.set(data, at);
      this.to = at + inline;
    } else {
      this.to = at;
      this.turnOver(false);
      this.full.push(data);
    }
    slab[this.to++] = CR;
    slab[this.to++] = LF;
  }

  flush(): void {
    this.turnOver(false);
    const { full, sink } = this;
    if (full.length === 1) sink.write(full[0]!);
    else {
      sink.cork();
      for (const bytes of full) sink.write(bytes);
      sink.uncork();
    }
    full.length = 0;
    // Nothing of it waits in the process: the kernel has its copy.
    if (sink.writableLength === 0) this.from = this.to = 0;
  }

  private number(at: number, n: number): number {
    let digits = 1;
    for (let m = n; m >= 10; m = Math.floor(m / 10)) digits++;
    for (let i = at + digits - 1, m = n; i >= at; i--, m = Math.floor(m / 10)) this.slab[i] = ZERO + (m % 10);
    return at + digits;
  }

  /** What lies in the slab goes with the rest; `renew`: into another from here on. */
  private turnOver(renew: boolean): void {
    if (this.to > this.from) this.full.push(this.slab.subarray(this.from, this.to));
    this.from = this.to;
    if (!renew) return;
    this.slab = Buffer.allocUnsafeSlow(BUSY_SLAB_BYTES);
    this.from = this.to = 0;
  }

  private prefixOf(subject: string): Uint8Array {
    const prefix = Buffer.from(`PUB ${subject} `, 'latin1');
    if (this.prefixes.size < 1_000) this.prefixes.set(subject, prefix);
    return prefix;
  }
}
