import type { CorrelatedRandom } from './crandom.ts';
import type { Distribution } from './spec.ts';

/** What a table's numbers stand for: so much is one standard deviation (include/uapi/linux/pkt_sched.h:NETEM_DIST_SCALE). */
const SCALE = 8192;
const ENTRIES = 4096;
const S16_MAX = 32767;
/** More than this is taken for this, 2.1 s, as tc accepts and the kernel does (sch_netem.c:netem_change). */
export const JITTER_NS_MAX = 0x7fffffff;

/**
 * A random number with mean `mu` and, but for the uniform one, standard deviation `sigma`: the inverse of the distribution at a
 * random place of a table (net/sched/sch_netem.c:tabledist). Without a table it is uniform within mu ± sigma. Whole numbers
 * (nanoseconds). As in the kernel the low bits of the random number choose, which correlation reaches least.
 */
export function tableDist(mu: number, sigma: number, random: CorrelatedRandom, name: Distribution): number {
  if (sigma === 0) return mu;
  const rnd = random.u32();
  if (name === 'uniform') return (rnd % (2 * sigma)) + mu - sigma;
  const table = tableOf(name);
  const t = table[rnd % table.length]!;
  const x = (sigma % SCALE) * t;
  return Math.trunc((x + (x >= 0 ? SCALE / 2 : -SCALE / 2)) / SCALE) + Math.floor(sigma / SCALE) * t + mu;
}

const tables = new Map<Distribution, Int16Array>();

/** Made when first asked for, as iproute2's netem/*.c make their files. */
export function tableOf(name: Exclude<Distribution, 'uniform'>): Int16Array {
  let t = tables.get(name);
  if (t === undefined) {
    const value = { normal, pareto, paretonormal }[name];
    t = Int16Array.from({ length: ENTRIES }, (_, i) => Math.max(-S16_MAX - 1, Math.min(S16_MAX, value(i))));
    tables.set(name, t);
  }
  return t;
}

const normal = (i: number): number => Math.round(SCALE * probit((4 * i + 0.5) / (4 * ENTRIES)));

/** With shape 3, whose mean is 3/2 and whose variance is 3/4; the factor is iproute2's, so the table's deviation is 2/√3. */
const pareto = (i: number): number =>
  Math.min(S16_MAX, Math.round(((1 - i / ENTRIES) ** (-1 / 3) - 1.5) * (4 / 3) * SCALE));

/** A quarter normal and three of Pareto: near to what is measured, and cheap (NIST Net). */
const paretonormal = (i: number): number => Math.trunc((normal(i) + 3 * pareto(i)) / 4);

/** The inverse of the normal distribution, by Newton's method from 0; p in [2^-16, 1 - 2^-16]. */
function probit(p: number): number {
  if (p < 0.5) return -probit(1 - p);
  let x = 0;
  for (let i = 0; i < 50; i++) {
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    const step = (p - normalCdf(x, density)) / density;
    x += Math.min(step, 0.5);
    if (Math.abs(step) < 1e-9) break;
  }
  return x;
}

/** Φ(x) = 1/2 + φ(x) (x + x³/3 + x⁵/(3·5) + …); for the x of a table some forty terms. */
function normalCdf(x: number, density: number): number {
  let term = x;
  let sum = x;
  for (let n = 3; term > 1e-12 * sum; n += 2) {
    term *= (x * x) / n;
    sum += term;
  }
  return 0.5 + density * sum;
}
