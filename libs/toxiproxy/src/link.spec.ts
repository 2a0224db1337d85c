import { expect, test } from '@jest/globals';
import { SeededRng } from '@skbus/skb';
import { ToxicLink } from './link.ts';
import type { Attributes, Toxic, ToxicType } from './toxics.ts';

// In virtual time: what leaves a link, and when.

function toxic<T extends ToxicType>(type: T, attributes: Attributes<T>, more: Partial<Toxic> = {}): Toxic {
  return { name: `${type}_downstream`, type, stream: 'downstream', toxicity: 1, attributes, ...more };
}

const bytes = (n: number): Uint8Array => new Uint8Array(n).map((_, i) => i);
const half = (): number => 0.5;

/** `time:length` or `time:how it ended` of all that leaves up to a time. */
function leaves(link: ToxicLink, until: number): string[] {
  const seen: string[] = [];
  for (let now = 0; now <= until; now++)
    for (const p of link.take(now)) seen.push(`${now}:${'data' in p ? p.data.length : p.end}`);
  return seen;
}

test.each<[string, Toxic[], string[]]>([
  ['nothing', [], ['0:1000', '0:fin']],
  ['latency', [toxic('latency', { latency: 30, jitter: 0 })], ['30:1000', '30:fin']],
  [
    'bandwidth: 2 KB/s',
    [toxic('bandwidth', { rate: 2 })],
    ['100:200', '200:200', '300:200', '400:200', '500:200', '500:fin'],
  ],
  ['bandwidth 0 is none', [toxic('bandwidth', { rate: 0 })], ['0:1000', '0:fin']],
  ['slow_close', [toxic('slow_close', { delay: 40 })], ['0:1000', '40:fin']],
  ['timeout', [toxic('timeout', { timeout: 50 })], ['0:fin', '50:close']],
  ['reset_peer', [toxic('reset_peer', { timeout: 20 })], ['20:reset']],
  [
    'slicer',
    [toxic('slicer', { average_size: 400, size_variation: 10, delay: 5000 })],
    ['0:400', '5:400', '10:200', '10:fin'],
  ],
  ['limit_data', [toxic('limit_data', { bytes: 600 })], ['0:600', '0:close']],
  ['limit_data above all there is', [toxic('limit_data', { bytes: 6000 })], ['0:1000', '0:fin']],
  [
    'one after the other',
    [toxic('limit_data', { bytes: 300 }), toxic('latency', { latency: 7, jitter: 0 }), toxic('bandwidth', { rate: 3 })],
    ['107:300', '107:close'],
  ],
  ['toxicity: spared', [toxic('timeout', { timeout: 1 }, { toxicity: 0.4 })], ['0:1000', '0:fin']],
  ['toxicity: hit', [toxic('latency', { latency: 9, jitter: 0 }, { toxicity: 0.6 })], ['9:1000', '9:fin']],
])('%s', (_name, toxics, expected) => {
  const link = new ToxicLink(toxics, half, 0);
  link.write(bytes(1000), 0);
  link.end(0);
  expect(leaves(link, 1000)).toEqual(expected);
});

test('jitter never turns the order round, and nothing is lost or changed', () => {
  const rng = new SeededRng(3);
  const link = new ToxicLink(
    [
      toxic('latency', { latency: 20, jitter: 20 }),
      toxic('slicer', { average_size: 7, size_variation: 5, delay: 100 }),
    ],
    () => rng.u32() / 2 ** 32,
    0,
  );
  const got: number[] = [];
  const sent: number[] = [];
  for (let now = 0; now < 500; now++) {
    if (now < 50) {
      const data = new Uint8Array(20).map(() => rng.u32() & 255);
      sent.push(...data);
      link.write(data, now);
    }
    for (const p of link.take(now)) if ('data' in p) got.push(...p.data);
  }
  expect(got).toEqual(sent);
});

test('a toxic comes and goes under a connection: what waits goes on when it is taken away', () => {
  const link = new ToxicLink([], half, 0);
  link.add(toxic('latency', { latency: 1000, jitter: 0 }), 0);
  link.write(bytes(10), 5);
  expect(link.take(20)).toEqual([]);
  expect(link.nextAt).toBe(1005);
  expect(link.buffered).toBe(10);
  link.update(toxic('latency', { latency: 10, jitter: 0 }), 20);
  link.remove('latency_downstream', 21);
  expect(link.take(21)).toEqual([{ at: 21, data: bytes(10) }]);
  link.add(toxic('timeout', { timeout: 0 }), 30);
  link.write(bytes(10), 31);
  expect(link.take(100_000)).toEqual([]);
  link.remove('timeout_downstream', 100_000);
  expect(link.take(100_000)).toEqual([{ at: 100_000, end: 'close' }]);
});

test('a toxic that is changed throws its dice again, and a timeout counts anew', () => {
  const link = new ToxicLink([toxic('latency', { latency: 50, jitter: 0 }, { toxicity: 0.4 })], half, 0);
  link.update(toxic('latency', { latency: 50, jitter: 0 }, { toxicity: 0.6 }), 0);
  link.write(bytes(5), 0);
  expect(link.nextAt).toBe(50);
  link.update(toxic('latency', { latency: 50, jitter: 0 }, { toxicity: 0 }), 10);
  expect(link.take(10)).toEqual([{ at: 10, data: bytes(5) }]);
  link.add(toxic('timeout', { timeout: 0 }), 20);
  link.update(toxic('timeout', { timeout: 100 }), 5000);
  expect(leaves(link, 5099)).toEqual([]);
  expect(link.take(5100)).toEqual([{ at: 5100, end: 'close' }]);
});

test('a timeout that comes to spare the connection does not close it', () => {
  const link = new ToxicLink([toxic('timeout', { timeout: 100 })], half, 0);
  link.update(toxic('timeout', { timeout: 100 }, { toxicity: 0 }), 10);
  link.write(bytes(5), 11);
  expect(leaves(link, 200)).toEqual(['0:5']);
});
