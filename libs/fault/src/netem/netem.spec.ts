import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { SeededRng } from '@skbus/skb';
import fc from 'fast-check';
import {
  autocorrelation,
  binomialZ,
  chiSquare,
  chiSquareCritical,
  kolmogorovSmirnov,
  mean,
  normalCdf,
  variance,
} from '../testing/statistics.ts';
import { CorrelatedRandom } from './crandom.ts';
import { tableOf } from './distribution.ts';
import { compileNetem, type Netem, type NetemVerdict } from './netem.ts';

const N = 40_000;
/** Three in a million are further off; the seeds are fixed, so it is this or never. */
const Z = 4.7;

function netem(text: string, seed = 1): Netem {
  const { netem, error } = compileNetem(text, seed);
  if (error) throw new Error(`${text}: ${error.message}`);
  return netem;
}

/** Verdicts for n packets of 1000 bytes, one a millisecond, each gone before the next comes. */
function run(text: string, n = N, seed = 1): NetemVerdict[] {
  const q = netem(text, seed);
  return Array.from({ length: n }, (_, i) => {
    const v = q.enqueue(1000, i);
    for (const _copy of v.copies) q.left();
    return v;
  });
}

const lost = (vs: readonly NetemVerdict[]): boolean[] => vs.map((v) => v.copies.length === 0);
const count = (bs: readonly boolean[]): number => bs.filter(Boolean).length;
const delays = (text: string, n = N): number[] => run(text, n).map((v, i) => v.copies[0]!.atMs - i);

/** How long the runs of `true` are. */
function runs(bs: readonly boolean[]): number[] {
  const out: number[] = [];
  let n = 0;
  for (const b of bs) {
    if (b) n++;
    else if (n > 0) {
      out.push(n);
      n = 0;
    }
  }
  return out;
}

/** Chi-square of run lengths against a geometric distribution that ends each with probability `stop`. */
function expectGeometric(lengths: readonly number[], stop: number): void {
  const cells = 6;
  const observed = Array.from(
    { length: cells },
    (_, i) => lengths.filter((n) => (i < cells - 1 ? n === i + 1 : n >= cells)).length,
  );
  const expected = observed.map(
    (_, i) => lengths.length * (i < cells - 1 ? stop * (1 - stop) ** i : (1 - stop) ** (cells - 1)),
  );
  expect(chiSquare(observed, expected)).toBeLessThan(chiSquareCritical(cells - 1));
}

describe('loss', () => {
  test.each([
    ['loss 0%', 0],
    ['loss 1%', 0.01],
    ['loss 30%', 0.3],
    ['loss 100%', 1],
    ['loss state 20%', 0.2],
    ['loss gemodel 20%', 0.2],
  ])('%s: each by itself', (text, p) => {
    const bits = lost(run(text));
    if (p === 0 || p === 1) return expect(count(bits)).toBe(p * N);
    expect(Math.abs(binomialZ(count(bits), N, p))).toBeLessThan(Z);
    return expectGeometric(runs(bits), 1 - p);
  });

  test('correlation mixes each random number with the one before, and draws them to the middle as the kernel does', () => {
    const r = new CorrelatedRandom(new SeededRng(3), 0.5);
    const xs = Array.from({ length: N }, () => r.u32() / 2 ** 32);
    expect(autocorrelation(xs)).toBeCloseTo(0.5, 1);
    expect(mean(xs)).toBeCloseTo(0.5, 2);
    expect(variance(xs)).toBeCloseTo((1 / 12) * ((1 - 0.5) / (1 + 0.5)), 3);
    expect(count(lost(run('loss 1% 50%')))).toBeLessThan(0.002 * N);
    expect(autocorrelation(lost(run('loss 40% 50%')).map(Number))).toBeGreaterThan(0.25);
  });

  test('simple Gilbert: bursts as long as r says, as many as p says', () => {
    const bits = lost(run('loss gemodel 2% 25%'));
    expectGeometric(runs(bits), 0.25);
    expectGeometric(
      runs(bits.map((b) => !b)).map((n) => Math.ceil(n / 20)),
      1 - 0.98 ** 20,
    );
    expect(count(bits) / N).toBeCloseTo(0.02 / (0.02 + 0.25), 2);
  });

  test('Gilbert and Elliott: both states lose', () => {
    const bits = lost(run('loss gemodel 5% 20% 60% 1%', 5 * N));
    const bad = 0.05 / (0.05 + 0.2);
    expect(count(bits) / (5 * N)).toBeCloseTo(bad * 0.6 + (1 - bad) * 0.01, 2);
  });

  test('four states: two, three and all of them', () => {
    const two = lost(run('loss state 2% 25%'));
    expectGeometric(runs(two), 0.25);
    expect(count(two) / N).toBeCloseTo(0.02 / (0.02 + 0.25), 2);
    // The chain's stationary distribution: π3 (p31 + p32) = π1 p13 + π2 p23, π2 p23 = π3 p32, π4 = π1 p14.
    const [p13, p31, p32, p23, p14] = [0.02, 0.2, 0.3, 0.4, 0.05];
    const weights = [1, (p13 / p31) * (p32 / p23), p13 / p31, p14];
    const total = weights.reduce((a, b) => a + b);
    const all = lost(run('loss state 2% 20% 30% 40% 5%'));
    expect(count(all) / N).toBeCloseTo((weights[2]! + weights[3]!) / total, 2);
  });

  test('ecn marks what can be marked and loses what cannot', () => {
    const q = netem('loss 100% ecn');
    expect(q.enqueue(100, 0).copies).toMatchObject([{ markCe: true }]);
    expect(q.enqueue(100, 0, false).copies).toEqual([]);
  });
});

describe('delay', () => {
  test('uniform between delay ± jitter', () => {
    const d = delays('delay 100ms 20ms');
    expect(kolmogorovSmirnov(d, (x) => Math.min(1, Math.max(0, (x - 80) / 40)))).toBeLessThan(1.95);
    expect(mean(d)).toBeCloseTo(100, 0);
    expect(variance(d)).toBeCloseTo(40 ** 2 / 12, -1);
  });

  test('normal', () => {
    const d = delays('delay 100ms 20ms distribution normal');
    expect(kolmogorovSmirnov(d, (x) => normalCdf((x - 100) / 20))).toBeLessThan(1.95);
    expect(Math.sqrt(variance(d))).toBeCloseTo(20, 0);
  });

  test('pareto, up to where its table ends', () => {
    const end = 32767 / 8192;
    const cdf = (x: number): number => Math.max(0, 1 - (x * 0.75 + 1.5) ** -3);
    const d = delays('delay 100ms 20ms distribution pareto').map((ms) => (ms - 100) / 20);
    const below = d.filter((x) => x < end - 1e-6);
    expect(kolmogorovSmirnov(below, (x) => cdf(x) / cdf(end))).toBeLessThan(1.95);
    expect(Math.abs(binomialZ(below.length, N, cdf(end)))).toBeLessThan(Z);
  });

  test('paretonormal: a quarter of one and three of the other', () => {
    const table = [...tableOf('paretonormal')].map((t) => t / 8192).sort((a, b) => a - b);
    const d = delays('delay 100ms 20ms distribution paretonormal');
    const cdf = (x: number): number => {
      let n = 0;
      while (n < table.length && table[n]! <= x + 1e-6) n++;
      return n / table.length;
    };
    expect(kolmogorovSmirnov(d.slice(0, 3000), (x) => cdf((x - 100) / 20))).toBeLessThan(1.95);
  });

  test.each(['normal', 'pareto', 'paretonormal'] as const)('the table of %s is that of iproute2', (name) => {
    const file = ['/usr/lib/x86_64-linux-gnu/tc', '/usr/lib/aarch64-linux-gnu/tc', '/usr/lib/tc']
      .map((dir) => `${dir}/${name}.dist`)
      .find((f) => existsSync(f));
    if (file === undefined) return;
    const theirs = readFileSync(file, 'utf8').replaceAll(/#.*/g, '').trim().split(/\s+/).map(Number);
    const ours = [...tableOf(name)];
    expect(ours).toHaveLength(theirs.length);
    expect(Math.max(...ours.map((t, i) => Math.abs(t - theirs[i]!)))).toBeLessThanOrEqual(1);
  });

  test('never before now', () => {
    expect(Math.min(...delays('delay 1ms 20ms', 1000))).toBe(0);
  });
});

describe('duplicate and corrupt', () => {
  test('as often as they say', () => {
    const vs = run('duplicate 5% corrupt 2%');
    expect(Math.abs(binomialZ(vs.filter((v) => v.copies.length === 2).length, N, 0.05))).toBeLessThan(Z);
    const firsts = vs.map((v) => v.copies.at(-1)!);
    expect(Math.abs(binomialZ(firsts.filter((c) => c.corruptBit >= 0).length, N, 0.02))).toBeLessThan(Z);
  });

  test('any bit of the packet, one as likely as another', () => {
    const bits = run('corrupt 100%').map((v) => v.copies[0]!.corruptBit);
    const cells = Array.from({ length: 40 }, (_, i) => bits.filter((b) => Math.floor(b / 200) === i).length);
    expect(
      chiSquare(
        cells,
        cells.map(() => N / 40),
      ),
    ).toBeLessThan(chiSquareCritical(39));
    const low = Array.from({ length: 8 }, (_, i) => bits.filter((b) => b % 8 === i).length);
    expect(
      chiSquare(
        low,
        low.map(() => N / 8),
      ),
    ).toBeLessThan(chiSquareCritical(7));
  });

  test('the second copy has a time of its own, and may be lost', () => {
    const vs = run('delay 10ms 5ms duplicate 100% loss 20%');
    const both = vs.filter((v) => v.copies.length === 2);
    expect(Math.abs(binomialZ(both.length, N, 0.8 * 0.8))).toBeLessThan(Z);
    expect(both.filter((v) => v.copies[0]!.atMs === v.copies[1]!.atMs).length).toBeLessThan(5);
  });
});

describe('reorder', () => {
  test('with a gap: each fifth', () => {
    const ahead = run('delay 10ms reorder 100% gap 5', 20).map((v) => v.copies[0]!.ahead);
    expect(ahead).toEqual(Array.from({ length: 20 }, (_, i) => i % 5 === 4));
  });

  test('without: a share of all, at once, the others late', () => {
    const copies = run('delay 10ms reorder 25%').map((v, i) => ({ ...v.copies[0]!, i }));
    expect(Math.abs(binomialZ(copies.filter((c) => c.ahead).length, N, 0.25))).toBeLessThan(Z);
    for (const c of copies) expect(c.atMs - c.i).toBe(c.ahead ? 0 : 10);
  });
});

describe('rate', () => {
  test('packets one behind the other, to the nanosecond', () => {
    const q = netem('rate 1mbit');
    const at = [1500, 1500, 40].map((n) => q.enqueue(n, 5).copies[0]!.atMs);
    expect(at).toEqual([17, 29, 29.32]);
    for (const _ of at) q.left();
    expect(q.enqueue(125, 100).copies[0]!.atMs).toBe(101);
  });

  test('the delay runs while a packet waits for the cable', () => {
    const q = netem('delay 10ms rate 1mbit');
    expect([1250, 1250, 1250].map((n) => q.enqueue(n, 0).copies[0]!.atMs)).toEqual([20, 30, 40]);
  });

  test.each([
    ['rate 5kbit 20 100 5', 1500, (16 * 105 * 8) / 5], // the man page's, in ms
    ['rate 8kbit 0 48 5', 50, 106], // ATM: 106 bytes for 50
    ['rate 8kbit -14', 100, 86],
    ['rate 8kbit -14', 10, 0],
  ])('%s: %i bytes', (text, bytes, ms) => {
    expect(netem(text).enqueue(bytes, 0).copies[0]!.atMs).toBe(ms);
  });
});

test('limit: so many wait, and one that leaves makes room', () => {
  const q = netem('delay 10ms limit 2 duplicate 100%');
  expect(q.enqueue(1, 0)).toMatchObject({ overlimit: false, copies: [{ atMs: 10 }, { atMs: 10 }] });
  expect(q.enqueue(1, 0)).toEqual({ overlimit: true, copies: [] });
  q.left();
  // Room for the copy, which takes it before the first does: as the kernel, which has looked before.
  expect(q.enqueue(1, 0).copies).toHaveLength(2);
  expect(netem('limit 0').enqueue(1, 0).overlimit).toBe(true);
});

describe('slot', () => {
  test('what comes meanwhile leaves together, and no more than fits', () => {
    const q = netem('slot 10ms packets 3');
    const at = [0, 1, 2, 3, 4, 5, 6, 30].map((now) => q.enqueue(100, now).copies[0]!.atMs);
    expect(at).toEqual([10, 10, 10, 20, 20, 20, 30, 30]);
  });

  test('bytes, and times between two or distributed', () => {
    const q = netem('slot 10ms bytes 1500');
    expect([1000, 1000, 1000].map((n) => q.enqueue(n, 0).copies[0]!.atMs)).toEqual([10, 10, 20]);
    const gaps = (text: string): number[] => {
      const s = netem(text);
      const at = Array.from({ length: N }, () => {
        const [copy] = s.enqueue(1, 0).copies;
        s.left();
        return copy!.atMs;
      });
      return at.slice(1).map((t, i) => t - at[i]!);
    };
    const uniform = gaps('slot 10ms 20ms packets 1');
    expect(kolmogorovSmirnov(uniform, (x) => Math.min(1, Math.max(0, (x - 10) / 10)))).toBeLessThan(1.95);
    const normal = gaps('slot distribution normal 50ms 5ms packets 1');
    expect(kolmogorovSmirnov(normal, (x) => normalCdf((x - 50) / 5))).toBeLessThan(1.95);
  });
});

describe('whatever the options', () => {
  const options = [
    'delay 10ms 5ms 25%',
    'loss 10% 5%',
    'loss state 5% 20% 30% 40% 1%',
    'loss gemodel 5% 20%',
    'duplicate 20%',
    'corrupt 10%',
    'rate 1mbit 20',
    'slot 1ms 5ms',
    'limit 20',
  ];
  const texts = fc
    .subarray(options)
    .map((list) =>
      list.filter((o, i) => !o.startsWith('loss') || list.findIndex((x) => x.startsWith('loss')) === i).join(' '),
    );
  const packets = fc.array(fc.tuple(fc.integer({ min: 1, max: 1500 }), fc.nat({ max: 20 })), { maxLength: 60 });

  function decide(text: string, seed: number, list: readonly (readonly [number, number])[]): NetemVerdict[] {
    const q = netem(text, seed);
    let now = 0;
    return list.map(([bytes, pause]) => {
      now += pause;
      return q.enqueue(bytes, now);
    });
  }

  test('the same seed decides the same, and nothing leaves before it came', () => {
    fc.assert(
      fc.property(texts, fc.nat(), packets, (text, seed, list) => {
        const once = decide(text, seed, list);
        expect(decide(text, seed, list)).toEqual(once);
        let now = 0;
        for (const [i, v] of once.entries()) {
          now += list[i]![1];
          expect(v.copies.length).toBeLessThanOrEqual(2);
          for (const c of v.copies) {
            expect(c.atMs).toBeGreaterThanOrEqual(now);
            expect(c.corruptBit).toBeLessThan(8 * list[i]![0]);
          }
        }
      }),
    );
  });

  test('another seed decides otherwise; one in the text is stronger', () => {
    const bits = (text: string, seed: number): string =>
      lost(run(text, 200, seed))
        .map(Number)
        .join('');
    expect(bits('loss 50%', 1)).not.toBe(bits('loss 50%', 2));
    expect(bits('loss 50% seed 9', 1)).toBe(bits('loss 50%', 9));
  });
});
