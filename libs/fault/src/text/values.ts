import type { Millis } from '@skbus/skb';

const UNITS: Readonly<Record<string, Millis>> = {
  us: 0.001,
  usec: 0.001,
  usecs: 0.001,
  ms: 1,
  msec: 1,
  msecs: 1,
  s: 1000,
  sec: 1000,
  secs: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
};

/** `100ms`, `2s`, `50us`; the unit must be there. */
export function parseMillis(text: string): Millis | undefined {
  const m = /^(\d+(?:\.\d+)?|\.\d+)([a-z]+)$/.exec(text);
  const unit = m === null ? undefined : UNITS[m[2]!];
  return unit === undefined ? undefined : Number(m![1]) * unit;
}

/** In seconds where that is a whole number, else in milliseconds; parseMillis() reads the same value back. */
export const formatMillis = (ms: Millis): string => {
  if (ms !== 0 && ms % 1000 === 0) return `${ms / 1000}s`;
  const plain = String(ms);
  // A number this small or large would be written with an exponent.
  return `${plain.includes('e') ? ms.toFixed(9) : plain}ms`;
};

/** `1%`, `0.01` → 0.01 */
export function parseProbability(text: string): number | undefined {
  const m = /^(\d+(?:\.\d+)?|\.\d+)(%?)$/.exec(text);
  if (m === null) return undefined;
  const p = m[2] === '%' ? Number(m[1]) / 100 : Number(m[1]);
  return p <= 1 ? p : undefined;
}

export const formatProbability = (p: number): string => String(p);
