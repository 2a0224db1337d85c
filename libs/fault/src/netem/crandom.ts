import type { Rng } from '@skbus/skb';

const U32_MAX = 0xffffffff;
const U32 = 0x1_0000_0000;

/** A probability as the kernel gets it from tc: ~0 is always. */
export const asU32 = (p: number): number => Math.round(p * U32_MAX);

/**
 * Random numbers each of which is partly the one before (net/sched/sch_netem.c:get_crandom). As there, the mixing draws them to
 * the middle, so that with a correlation rare events become rarer: that is what tc-netem(8) calls bad behaviour, and why it
 * recommends the loss models with states.
 */
export class CorrelatedRandom {
  private readonly rng: Rng;
  private readonly rho: number;
  private last: number;

  constructor(rng: Rng, correlation: number) {
    this.rng = rng;
    this.rho = asU32(correlation);
    this.last = this.rho === 0 ? 0 : rng.u32();
  }

  u32(): number {
    const value = this.rng.u32();
    if (this.rho === 0) return value;
    const rho = (this.rho + 1) / U32;
    // Two products of 32 bits by 32 need 65: in fractions they cost a rounding of the last bit instead.
    this.last = Math.min(U32_MAX, Math.floor(value * (1 - rho) + this.last * rho));
    return this.last;
  }
}

/** Happens with probability p: 0 never, 1 always. */
export class Dice {
  private readonly threshold: number;
  private readonly random: CorrelatedRandom;

  constructor(rng: Rng, { p, correlation }: { p: number; correlation: number }) {
    this.threshold = asU32(p);
    this.random = new CorrelatedRandom(rng, correlation);
  }

  throw(): boolean {
    return this.threshold > 0 && this.threshold >= this.random.u32();
  }
}
