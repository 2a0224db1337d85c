/** Randomness is handed in (DESIGN 1.1), so that one seed makes a whole run repeatable. */
export interface Rng {
  /** A uniformly distributed unsigned 32-bit integer. */
  u32(): number;
}

/** Uniform integer in [0, n), n ≤ 2^32, like the kernel's get_random_u32_below(). */
export function below(rng: Rng, n: number): number {
  return Math.floor((rng.u32() / 0x1_0000_0000) * n);
}

/**
 * A small, fast, seeded generator (sfc32, by Chris Doty-Humphrey) for tests and the simulator.
 * Shells hand in the operating system's randomness instead.
 */
export class SeededRng implements Rng {
  private a = 0;
  private b: number;
  private c = 0x9e3779b9;
  private d = 1;

  constructor(seed: number) {
    this.b = seed >>> 0;
    for (let i = 0; i < 12; i++) this.u32();
  }

  u32(): number {
    const t = (((this.a + this.b) | 0) + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + t) | 0;
    return t >>> 0;
  }
}
