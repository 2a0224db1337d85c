/**
 * SipHash-2-4 (Aumasson and Bernstein), the keyed hash Linux uses for sequence numbers and ports
 * (net/core/secure_seq.c). 64-bit words are kept as pairs of 32-bit halves: no BigInt, no allocation.
 */
export class SipHash {
  private readonly k0l: number;
  private readonly k0h: number;
  private readonly k1l: number;
  private readonly k1h: number;
  // the four words of state, low and high halves
  private v0l = 0;
  private v0h = 0;
  private v1l = 0;
  private v1h = 0;
  private v2l = 0;
  private v2h = 0;
  private v3l = 0;
  private v3h = 0;
  /** The upper half of the last result; the lower half is what the methods return. */
  high = 0;

  constructor(key: Uint8Array) {
    this.k0l = le32(key, 0);
    this.k0h = le32(key, 4);
    this.k1l = le32(key, 8);
    this.k1h = le32(key, 12);
  }

  /** Hashes four 32-bit words (siphash_4u32); the upper half is left in `high`. */
  hash4(a: number, b: number, c: number, d: number): number {
    this.init();
    this.word(a, b);
    this.word(c, d);
    return this.end(0, 16 << 24);
  }

  /** Hashes bytes; for the test vectors. */
  hashBytes(b: Uint8Array): number {
    this.init();
    let i = 0;
    for (; i + 8 <= b.length; i += 8) this.word(le32(b, i), le32(b, i + 4));
    let lo = 0;
    let hi = (b.length & 255) << 24;
    for (let k = 0; i + k < b.length; k++) {
      if (k < 4) lo |= b[i + k]! << (8 * k);
      else hi |= b[i + k]! << (8 * (k - 4));
    }
    return this.end(lo, hi);
  }

  private init(): void {
    this.v0l = this.k0l ^ 0x70736575;
    this.v0h = this.k0h ^ 0x736f6d65;
    this.v1l = this.k1l ^ 0x6e646f6d;
    this.v1h = this.k1h ^ 0x646f7261;
    this.v2l = this.k0l ^ 0x6e657261;
    this.v2h = this.k0h ^ 0x6c796765;
    this.v3l = this.k1l ^ 0x79746573;
    this.v3h = this.k1h ^ 0x74656462;
  }

  private word(lo: number, hi: number): void {
    this.v3l ^= lo;
    this.v3h ^= hi;
    this.round();
    this.round();
    this.v0l ^= lo;
    this.v0h ^= hi;
  }

  private end(lo: number, hi: number): number {
    this.word(lo, hi);
    this.v2l ^= 0xff;
    for (let i = 0; i < 4; i++) this.round();
    this.high = (this.v0h ^ this.v1h ^ this.v2h ^ this.v3h) >>> 0;
    return (this.v0l ^ this.v1l ^ this.v2l ^ this.v3l) >>> 0;
  }

  private round(): void {
    let { v0l, v0h, v1l, v1h, v2l, v2h, v3l, v3h } = this;
    let t = 0;
    // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
    t = (v0l >>> 0) + (v1l >>> 0);
    v0h = (v0h + v1h + (t > 0xffffffff ? 1 : 0)) | 0;
    v0l = t | 0;
    t = (v1l << 13) | (v1h >>> 19);
    v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
    v1l = t ^ v0l;
    t = v0l;
    v0l = v0h;
    v0h = t;
    // v2 += v3; v3 = rotl(v3, 16) ^ v2
    t = (v2l >>> 0) + (v3l >>> 0);
    v2h = (v2h + v3h + (t > 0xffffffff ? 1 : 0)) | 0;
    v2l = t | 0;
    t = (v3l << 16) | (v3h >>> 16);
    v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
    v3l = t ^ v2l;
    // v0 += v3; v3 = rotl(v3, 21) ^ v0
    t = (v0l >>> 0) + (v3l >>> 0);
    v0h = (v0h + v3h + (t > 0xffffffff ? 1 : 0)) | 0;
    v0l = t | 0;
    t = (v3l << 21) | (v3h >>> 11);
    v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
    v3l = t ^ v0l;
    // v2 += v1; v1 = rotl(v1, 17) ^ v2; v2 = rotl(v2, 32)
    t = (v2l >>> 0) + (v1l >>> 0);
    v2h = (v2h + v1h + (t > 0xffffffff ? 1 : 0)) | 0;
    v2l = t | 0;
    t = (v1l << 17) | (v1h >>> 15);
    v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
    v1l = t ^ v2l;
    t = v2l;
    v2l = v2h;
    v2h = t;
    this.v0l = v0l;
    this.v0h = v0h;
    this.v1l = v1l;
    this.v1h = v1h;
    this.v2l = v2l;
    this.v2h = v2h;
    this.v3l = v3l;
    this.v3h = v3h;
  }
}

function le32(b: Uint8Array, at: number): number {
  return (b[at] ?? 0) | ((b[at + 1] ?? 0) << 8) | ((b[at + 2] ?? 0) << 16) | ((b[at + 3] ?? 0) << 24);
}
