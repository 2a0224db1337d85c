import { spawnSync } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatFilterError } from '../filter/filter.ts';
import { formatNetem } from './format.ts';
import { parseNetem } from './parse.ts';
import type { Distribution, NetemSpec } from './spec.ts';

function spec(text: string): NetemSpec {
  const { spec, error } = parseNetem(text);
  if (error) throw new Error(formatFilterError(text, error));
  return spec;
}

describe('text → spec → text', () => {
  test.each([
    ['', ''],
    ['delay 100ms', 'delay 100ms'],
    ['latency 1.5s 20us 25', 'delay 1500ms 20us 25%'],
    ['delay 100 20', 'delay 100us 20us'],
    ['delay 1e3msec 5SEC', 'delay 1s 5s'],
    ['distribution normal delay 100ms 20ms', 'delay 100ms 20ms distribution normal'],
    ['delay 10ms 1ms distribution uniform', 'delay 10ms 1ms'],
    ['delay 10ms 0ms 5%', 'delay 10ms 0s 5%'],
    ['drop 0.1%', 'loss 0.1%'],
    ['loss random 1 25', 'loss 1% 25%'],
    ['loss state 1%', 'loss state 1%'],
    ['loss state 1% 99% 0% 100% 0%', 'loss state 1%'],
    ['loss state 1% 10% 70% 20% 0.1% ecn', 'loss state 1% 10% 70% 20% 0.1% ecn'],
    ['loss gemodel 1%', 'loss gemodel 1%'],
    ['loss gemodel 1% 10% 70% 0.1%', 'loss gemodel 1% 10% 70% 0.1%'],
    ['loss gemodel 1% 10% 100% 0%', 'loss gemodel 1% 10%'],
    ['gap 5 reorder 25% 50% delay 10ms', 'delay 10ms reorder 25% 50% gap 5'],
    ['rate 10mbit', 'rate 10mbit'],
    ['rate 1kbps', 'rate 8kbit'],
    ['rate 1Gibit -14', 'rate 1073741824bit -14'],
    ['rate 5kbit 20 100 5', 'rate 5kbit 20 100 5'],
    ['rate 1.5mbit 0 48 -2', 'rate 1500kbit 0 48 -2'],
    ['slot 800us', 'slot 800us'],
    ['slot 800 1ms packets 5 bytes 3k', 'slot 800ns 1ms packets 5 bytes 3072'],
    ['slot distribution pareto 10ms 1ms', 'slot distribution pareto 10ms 1ms'],
    ['limit 1k seed 7', 'limit 1024 seed 7'],
    ['corrupt 1% duplicate 5% 10%', 'duplicate 5% 10% corrupt 1%'],
  ])('%s', (text, canonical) => {
    expect(formatNetem(spec(text))).toBe(canonical);
    expect(spec(canonical)).toEqual(spec(text));
  });

  test('what is left out makes the simpler model', () => {
    expect(spec('loss state 20%').loss).toEqual({ model: 'state', p13: 0.2, p31: 0.8, p32: 0, p23: 1, p14: 0 });
    expect(spec('loss gemodel 20%').loss).toEqual({ model: 'gemodel', p: 0.2, r: 0.8, lossBad: 1, lossGood: 0 });
    expect(spec('slot 5ms').slot).toEqual({ every: { minMs: 5, maxMs: 5 }, packets: 0, bytes: 0 });
    expect(spec('rate 1mbit').rate).toEqual({ bytesPerSec: 125_000, packetOverhead: 0, cellSize: 0, cellOverhead: 0 });
  });

  const share = fc.integer({ min: 1, max: 1000 }).map((n) => n / 1000);
  const chance = fc.record({ p: share, correlation: fc.constantFrom(0, 0.25, 0.5) });
  const ms = fc.integer({ min: 1, max: 5_000_000_000 }).map((ns) => ns / 1e6);
  const distribution = fc.constantFrom<Distribution>('uniform', 'normal', 'pareto', 'paretonormal');
  const half = fc.integer({ min: 0, max: 500 }).map((n) => n / 1000);
  const loss = fc.oneof(
    chance.map((c) => ({ model: 'random' as const, ...c })),
    fc.record({ model: fc.constant('state' as const), p13: half, p31: half, p32: half, p23: share, p14: half }),
    fc.record({ model: fc.constant('gemodel' as const), p: share, r: share, lossBad: share, lossGood: share }),
  );
  const size = fc.nat({ max: 2000 });
  const specs: fc.Arbitrary<NetemSpec> = fc.record(
    {
      limit: fc.nat({ max: 100_000 }),
      delay: fc.record({ delayMs: ms, jitterMs: ms, correlation: fc.constantFrom(0, 0.1), distribution }),
      loss,
      duplicate: chance,
      corrupt: chance,
      rate: fc.record({
        bytesPerSec: fc.integer({ min: 1, max: 10 ** 12 }),
        packetOverhead: fc.integer({ min: -50, max: 50 }),
        cellSize: size,
        cellOverhead: fc.integer({ min: -50, max: 50 }),
      }),
      slot: fc.record({
        every: fc.oneof(
          fc.tuple(ms, ms).map(([a, b]) => ({ minMs: Math.min(a, b), maxMs: Math.max(a, b) })),
          fc.record({ distribution, delayMs: ms, jitterMs: ms }),
        ),
        packets: size,
        bytes: size,
      }),
      seed: fc.nat(),
    },
    { requiredKeys: ['limit'] },
  );

  test('every spec has a text that means it', () => {
    fc.assert(fc.property(specs, (s) => expect(spec(formatNetem(s))).toEqual(s)));
  });
});

test('every example of tc-netem(8) and of its documentation is read', () => {
  // netem man page (EXAMPLES and the options' texts), and wiki.linuxfoundation.org/networking/netem
  for (const text of [
    'rate 5kbit 20 100 5',
    'delay 10ms reorder 25% 50% gap 5',
    'delay 10ms reorder 25% 50%',
    'delay 100ms',
    'delay 100ms 10ms',
    'delay 100ms 10ms 25%',
    'delay 100ms 20ms distribution normal',
    'loss 0.1%',
    'loss 0.3% 25%',
    'duplicate 1%',
    'corrupt 0.1%',
    'gap 5 delay 10ms reorder 100%',
    'delay 100ms 75ms',
    'rate 100kbit',
    'slot 800us',
    'slot distribution normal 800us 100us packets 10 bytes 1500',
    'delay 100ms 20ms 25% distribution normal loss gemodel 1% 10% 70% 0.1% duplicate 1% corrupt 0.1% reorder 25% 50% gap 5 rate 10mbit limit 1000 seed 7',
  ])
    expect([text, parseNetem(text).error]).toEqual([text, undefined]);
});

/** Text, column, length, part of the message. tc refuses them too, but for the reasons in brackets. */
const REFUSED: readonly [string, number, number, string][] = [
  ['dely 5ms', 0, 4, "'dely' is no option"],
  ['delay', 5, 1, 'a time like 100ms is wanted here'],
  ['delay 1h', 6, 2, "not '1h'"],
  ['delay -5ms', 6, 4, "not '-5ms'"],
  ['delay 5ms 2ms 3% 4', 17, 1, "'4' is no option"],
  ['loss', 4, 1, 'loss needs a share'],
  ['loss 150%', 5, 4, 'at most 100%'],
  ['loss 5%%', 5, 3, 'at most 100%'],
  ['loss sometimes', 5, 9, 'random, state or gemodel'],
  ['loss 1% loss 2%', 8, 4, 'loss is there twice'],
  ['delay 5ms ecn', 10, 3, 'it needs loss'],
  ['reorder 25% 50%', 0, 7, 'it needs a delay'],
  ['delay 0ms reorder 5%', 10, 7, 'it needs a delay'],
  ['delay 10ms gap 5', 11, 3, 'it needs reorder'],
  ['distribution normal', 0, 12, 'it needs a delay with jitter'],
  ['delay 10ms distribution normal', 11, 12, 'it needs a delay with jitter'],
  ['delay 10ms 1ms distribution gauss', 28, 5, 'one of uniform, normal'],
  ['rate fast', 5, 4, 'a rate like 10mbit'],
  ['rate 10foo', 5, 5, 'a rate like 10mbit'],
  ['rate 10%', 5, 3, 'a seam has none'],
  ['slot 10ms 5ms', 10, 3, 'not below its least'],
  ['slot 10ms bytes 1500 packets 5', 21, 7, 'no option'],
  ['slot distribution normal 10ms 0', 30, 1, 'more than 0'],
  ['slot soon', 5, 4, 'or distribution'],
  ['limit -1', 6, 2, 'a number of packets'],
  ['corrupt', 7, 1, 'a share like 0.1%'],
];

/** tc reads these, and we say why they cannot be meant. */
const STRICTER: readonly [string, number, number, string][] = [
  ['delay 10ms delay 20ms', 11, 5, 'delay is there twice'],
  ['loss state 60% 10% 10% 10% 60%', 11, 3, 'p13 and p14'],
  ['loss state 10% 60% 60%', 11, 3, 'p31 and p32'],
  ['rate -5', 5, 2, 'a rate like 10mbit'],
];

describe('errors name the word', () => {
  test.each([...REFUSED, ...STRICTER])('%s', (text, column, length, message) => {
    const { error } = parseNetem(text);
    expect(error).toMatchObject({ column, length });
    expect(error!.message).toContain(message);
  });

  test('no text throws', () => {
    const words = [
      'delay',
      '5ms',
      'loss',
      'state',
      '1%',
      'rate',
      '5kbit',
      '-3',
      'slot',
      'distribution',
      'normal',
      'x',
      '',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words)), (list) => {
        const text = list.join(' ');
        const { error } = parseNetem(text);
        if (error) expect(error.column).toBeLessThanOrEqual(text.length);
      }),
    );
  });
});

/** Whether tc's own parser takes it; it never reaches a device that matters. `undefined`: there is no tc, or no right to ask. */
function tcAccepts(text: string): boolean | undefined {
  const args = ['-n', 'tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', ...text.split(' ')];
  const { status, stderr, error } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 20_000 });
  if (error || /unshare(:| failed)/.test(stderr)) return undefined;
  return status === 0 || /qdisc kind is unknown/.test(stderr);
}

(tcAccepts('delay 1ms') === true && tcAccepts('dely 1ms') === false ? describe : describe.skip)('as tc', () => {
  test('what we refuse, tc refuses', () => {
    expect(REFUSED.filter(([text]) => tcAccepts(text)).map(([text]) => text)).toEqual([]);
  });

  test('what we read, tc reads', () => {
    const texts = [
      'delay 1500ms 20us 25%',
      'delay 100 20',
      'delay 10ms 1ms distribution paretonormal',
      'drop 0.1%',
      'loss random 1 25',
      'loss state 1% 10% 70% 20% 0.1% ecn',
      'loss gemodel 1% 10% 70% 0.1%',
      'gap 5 reorder 25% 50% delay 10ms',
      'rate 1Gibit -14',
      'rate 1.5mbit 0 48 -2',
      'slot 800 1ms packets 5 bytes 3k',
      'slot distribution pareto 10ms 1ms',
      'limit 1k corrupt 1% duplicate 5% 10%',
    ];
    expect(texts.filter((t) => !tcAccepts(t) || parseNetem(t).error)).toEqual([]);
  });
});
