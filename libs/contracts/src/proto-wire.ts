/**
 * Protobuf's encoding (https://protobuf.dev/programming-guides/encoding), written and read in place: for the few messages
 * of which each packet needs several. The generated code asks of every field of a message whether it is there, collects
 * operations and runs them in the end; with all that, a packet's way through the stack spent a tenth of its time in it.
 *
 * The bytes are those of the generated code, which remains the one for everything else; codec.spec.ts holds them against
 * each other.
 */

/** What small messages share; a message that is kept keeps no more than this. */
const SLAB_BYTES = 16 * 1024;
const SMALL_BYTES = 4 * 1024;

/** field number << 3 | wire type (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes); at most two bytes. */
export type Tag = number;

const varintLength = (n: number): number =>
  n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x20_0000 ? 3 : n < 0x1000_0000 ? 4 : 5;

class Slab {
  readonly buf: Uint8Array;
  readonly view: DataView;
  used = 0;

  constructor(bytes: number) {
    const memory = new ArrayBuffer(bytes);
    this.buf = new Uint8Array(memory);
    this.view = new DataView(memory);
  }
}

/** One message after the other. Values that are proto3's default (0, false, empty) are left out. */
export class ProtoOut {
  private slab = new Slab(SLAB_BYTES);
  private buf = this.slab.buf;
  private view = this.slab.view;
  private from = 0;
  private at = 0;

  /** A message of at most so many bytes; the one before is finished. */
  begin(bytesMax: number): void {
    let { slab } = this;
    if (this.buf === slab.buf) slab.used = this.at;
    if (bytesMax > SMALL_BYTES) slab = new Slab(bytesMax);
    else if (slab.buf.length - slab.used < bytesMax) slab = this.slab = new Slab(SLAB_BYTES);
    this.buf = slab.buf;
    this.view = slab.view;
    this.from = this.at = slab.used;
  }

  /** The message, in memory that nothing else is written to. */
  finish(): Uint8Array {
    return this.buf.subarray(this.from, this.at);
  }

  uint32(tag: Tag, n: number): void {
    if (n === 0) return;
    this.tag(tag);
    this.varint(n >>> 0);
  }

  sint32(tag: Tag, n: number): void {
    this.uint32(tag, (n << 1) ^ (n >> 31));
  }

  bool(tag: Tag, is: boolean | undefined | null): void {
    if (!is) return;
    this.tag(tag);
    this.buf[this.at++] = 1;
  }

  fixed32(tag: Tag, n: number): void {
    if (n === 0) return;
    this.tag(tag);
    this.view.setUint32(this.at, n, true);
    this.at += 4;
  }

  double(tag: Tag, n: number): void {
    if (Object.is(n, 0)) return;
    this.tag(tag);
    this.view.setFloat64(this.at, n, true);
    this.at += 8;
  }

  bytes(tag: Tag, buf: Uint8Array, from: number, to: number): void {
    const n = to - from;
    if (n === 0) return;
    this.tag(tag);
    this.varint(n);
    // set() is a call out of the compiled code, and wants a view
    if (n > 64) this.buf.set(buf.subarray(from, to), this.at);
    else for (let i = 0; i < n; i++) this.buf[this.at + i] = buf[from + i]!;
    this.at += n;
  }

  /** A message within the message that is encoded already. */
  message(tag: Tag, encoded: Uint8Array): void {
    this.tag(tag);
    this.varint(encoded.length);
    this.buf.set(encoded, this.at);
    this.at += encoded.length;
  }

  /** Opens a message within the message, of about so many bytes; close() it with what this returns. */
  open(tag: Tag, bytesAbout: number): number {
    this.tag(tag);
    const reserved = varintLength(bytesAbout);
    this.at += reserved;
    return this.at * 8 + reserved;
  }

  close(opened: number): void {
    const reserved = opened & 7;
    const body = (opened - reserved) / 8;
    const length = this.at - body;
    const shift = varintLength(length) - reserved;
    if (shift !== 0) this.buf.copyWithin(body + shift, body, this.at);
    this.at = body - reserved;
    this.varint(length);
    this.at += length;
  }

  private tag(tag: Tag): void {
    if (tag < 0x80) this.buf[this.at++] = tag;
    else {
      this.buf[this.at++] = (tag & 0x7f) | 0x80;
      this.buf[this.at++] = tag >>> 7;
    }
  }

  private varint(value: number): void {
    let n = value;
    while (n >= 0x80) {
      this.buf[this.at++] = (n & 0x7f) | 0x80;
      n >>>= 7;
    }
    this.buf[this.at++] = n;
  }
}

/**
 * Reads what ProtoOut writes. Whatever else protobuf allows (other wire types, longer varints, unknown fields) and all that is
 * cut off sets `odd`: then the generated code has to look at the message, and what was read of it means nothing.
 */
export class ProtoIn {
  odd = false;
  private buf: Uint8Array = NOTHING;
  private view: DataView = new DataView(NOTHING.buffer);
  private at = 0;
  private end = 0;

  begin(message: Uint8Array): void {
    if (this.buf.buffer !== message.buffer) this.view = new DataView(message.buffer);
    this.buf = message;
    this.at = 0;
    this.end = message.length;
    this.odd = false;
  }

  /** Reads a length and goes into what follows; leave() with what this returns. */
  enter(): number {
    const length = this.uint32();
    const outer = this.end;
    if (length > outer - this.at) this.odd = true;
    else this.end = this.at + length;
    return outer;
  }

  leave(outer: number): void {
    if (this.at !== this.end) this.odd = true;
    this.end = outer;
  }

  /** The next field; 0: there is none, or it is odd. */
  next(): Tag {
    if (this.odd || this.at >= this.end) return 0;
    const first = this.buf[this.at++]!;
    if (first === 0) return this.isOdd();
    if (first < 0x80) return first;
    const second = this.at < this.end ? this.buf[this.at++]! : 0;
    if (second === 0 || second >= 0x80) return this.isOdd();
    return (first & 0x7f) | (second << 7);
  }

  uint32(): number {
    let n = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      if (this.at >= this.end) return this.isOdd();
      const b = this.buf[this.at++]!;
      n |= (b & 0x7f) << shift;
      if (b < 0x80) return n;
    }
    if (this.at >= this.end || this.buf[this.at]! > 0x0f) return this.isOdd();
    return (n | (this.buf[this.at++]! << 28)) >>> 0;
  }

  sint32(): number {
    const n = this.uint32();
    return (n >>> 1) ^ -(n & 1);
  }

  bool(): boolean {
    const n = this.uint32();
    if (n > 1) this.odd = true;
    return n === 1;
  }

  fixed32(): number {
    if (this.end - this.at < 4) return this.isOdd();
    this.at += 4;
    return this.view.getUint32(this.buf.byteOffset + this.at - 4, true);
  }

  double(): number {
    if (this.end - this.at < 8) return this.isOdd();
    this.at += 8;
    return this.view.getFloat64(this.buf.byteOffset + this.at - 8, true);
  }

  /** A view of the message. */
  bytes(): Uint8Array {
    const length = this.uint32();
    if (this.odd || length > this.end - this.at) {
      this.odd = true;
      return NOTHING;
    }
    this.at += length;
    return this.buf.subarray(this.at - length, this.at);
  }

  /** For a field that is not expected here. */
  isOdd(): 0 {
    this.odd = true;
    return 0;
  }
}

const NOTHING = new Uint8Array(0);
