/** Tests of hypotheses for tests with fixed seeds: each returns how far off it is, to be compared with a critical value. */

/** Standard deviations between `hits` of `n` and a binomial distribution's mean. */
export const binomialZ = (hits: number, n: number, p: number): number => (hits - n * p) / Math.sqrt(n * p * (1 - p));

/** Pearson's chi-square; degrees of freedom: one less than there are cells. */
export function chiSquare(observed: readonly number[], expected: readonly number[]): number {
  return observed.reduce((sum, o, i) => sum + (o - expected[i]!) ** 2 / expected[i]!, 0);
}

/** Wilson and Hilferty's approximation of the value that is exceeded once in a thousand times. */
export function chiSquareCritical(degrees: number): number {
  const a = 2 / (9 * degrees);
  return degrees * (1 - a + 3.09 * Math.sqrt(a)) ** 3;
}

/** Kolmogorov and Smirnov's distance times √n; above 1.95 once in a thousand times. */
export function kolmogorovSmirnov(sample: readonly number[], cdf: (x: number) => number): number {
  const sorted = [...sample].sort((a, b) => a - b);
  const n = sorted.length;
  let far = 0;
  for (const [i, x] of sorted.entries()) far = Math.max(far, Math.abs(cdf(x) - i / n), Math.abs(cdf(x) - (i + 1) / n));
  return far * Math.sqrt(n);
}

export const mean = (xs: readonly number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;

export function variance(xs: readonly number[]): number {
  const m = mean(xs);
  return xs.reduce((sum, x) => sum + (x - m) ** 2, 0) / (xs.length - 1);
}

/** Correlation of each with the next. */
export function autocorrelation(xs: readonly number[]): number {
  const m = mean(xs);
  let sum = 0;
  for (let i = 1; i < xs.length; i++) sum += (xs[i]! - m) * (xs[i - 1]! - m);
  return sum / ((xs.length - 1) * variance(xs));
}

/** Φ by Abramowitz and Stegun 7.1.26, to 1.5e-7. */
export function normalCdf(x: number): number {
  const t = 1 / (1 + (0.3275911 * Math.abs(x)) / Math.SQRT2);
  const poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const half = (1 - poly * Math.exp((-x * x) / 2)) / 2;
  return x < 0 ? 0.5 - half : 0.5 + half;
}
