import type { Millis } from '@skbus/skb';

/** Numbers with units as tc reads them (iproute2 tc/tc_util.c, lib/utils.c); `undefined`: it is none. */

const NUMBER = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(.*)$/i;

function split(text: string, units: Readonly<Record<string, number>>): { value: number; unit: number } | undefined {
  const m = NUMBER.exec(text);
  const unit = m ? units[m[2]!.toLowerCase()] : undefined;
  return unit === undefined || !Number.isFinite(Number(m![1])) ? undefined : { value: Number(m![1]), unit };
}

const NS: Readonly<Record<string, number>> = {
  s: 1e9,
  sec: 1e9,
  secs: 1e9,
  ms: 1e6,
  msec: 1e6,
  msecs: 1e6,
  us: 1e3,
  usec: 1e3,
  usecs: 1e3,
  ns: 1,
  nsec: 1,
  nsecs: 1,
};
const DELAY_NS = { ...NS, '': 1e3 };
const SLOT_NS = { ...NS, '': 1 };

/** 100ms, 1.5s, 20us. A bare number is microseconds in a delay, nanoseconds in a slot. */
export function parseTime(text: string, of: 'delay' | 'slot'): Millis | undefined {
  const t = split(text, of === 'delay' ? DELAY_NS : SLOT_NS);
  const ns = t && Math.round(t.value * t.unit);
  return ns === undefined || ns < 0 || ns > Number.MAX_SAFE_INTEGER ? undefined : ns / 1e6;
}

export function formatTime(ms: Millis): string {
  const ns = Math.round(ms * 1e6);
  for (const [unit, size] of [
    ['s', 1e9],
    ['ms', 1e6],
    ['us', 1e3],
  ] as const)
    if (ns % size === 0) return `${ns / size}${unit}`;
  return `${ns}ns`;
}

/** Shifted by two places in its decimal text: 32.8% is 0.328 and not the double beside it. */
const hundredth = (digits: string): number => Number(/e/i.test(digits) ? Number(digits) / 100 : `${digits}e-2`);

/** 25%, 0.1%, 25: the sign may be left out. */
export function parsePercent(text: string): number | undefined {
  const m = NUMBER.exec(text);
  if (!m || (m[2] !== '' && m[2] !== '%')) return undefined;
  const p = hundredth(m[1]!);
  return p >= 0 && p <= 1 ? p : undefined;
}

/** The shortest text that is read as exactly this. */
export function formatPercent(p: number): string {
  for (let digits = 1; digits < 17; digits++) {
    const n = Number((p * 100).toPrecision(digits));
    if (hundredth(`${n}`) === p) return `${n}%`;
  }
  return `${p * 100}%`;
}

const KILO = ['', 'k', 'm', 'g', 't'] as const;
/** Bytes per second by unit: kbit and kbps (bytes) count in thousands, kibit and kibps in 1024. */
const RATES: Readonly<Record<string, number>> = Object.fromEntries([
  ['', 1 / 8],
  ...KILO.flatMap((k, i) => [
    [`${k}bit`, 1000 ** i / 8],
    [`${k}bps`, 1000 ** i],
    ...(i === 0
      ? []
      : [
          [`${k}ibit`, 1024 ** i / 8],
          [`${k}ibps`, 1024 ** i],
        ]),
  ]),
]);

/** 10mbit, 1kbps: bytes per second. A bare number is bits. */
export function parseRate(text: string): number | undefined {
  const r = split(text, RATES);
  const rate = r && Math.floor(r.value * r.unit);
  return rate === undefined || rate < 0 || rate > Number.MAX_SAFE_INTEGER ? undefined : rate;
}

export function formatRate(bytesPerSec: number): string {
  const bits = bytesPerSec * 8;
  const i = [4, 3, 2, 1].find((n) => bits > 0 && bits % 1000 ** n === 0) ?? 0;
  return `${bits / 1000 ** i}${KILO[i]}bit`;
}

const SIZES: Readonly<Record<string, number>> = Object.fromEntries([
  ['', 1],
  ['b', 1],
  ...KILO.slice(1, 4).flatMap((k, i) => [k, `${k}b`].map((unit) => [unit, 1024 ** (i + 1)] as const)),
  ...KILO.slice(1, 4).map((k, i) => [`${k}bit`, 1024 ** (i + 1) / 8] as const),
]);

/** 1500, 1k (1024): how tc reads a limit and a slot's bytes. */
export function parseSize(text: string): number | undefined {
  const s = split(text, SIZES);
  const size = s && Math.floor(s.value * s.unit);
  return size === undefined || size < 0 || size > 0xffffffff ? undefined : size;
}

/** A whole number, decimal or 0x…. */
export function parseInteger(text: string, min: number, max: number): number | undefined {
  if (!/^-?(\d+|0x[0-9a-f]+)$/i.test(text)) return undefined;
  const n = text.startsWith('-') ? -Number(text.slice(1)) : Number(text);
  return n < min || n > max ? undefined : n;
}
