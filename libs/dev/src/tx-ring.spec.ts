import { expect, test } from '@jest/globals';
import { SKB_GSO_TCPV4 } from '@skbus/skb';
import { Bench, bytes, tcpFrame } from './testing/bench.ts';

const SK = 7;
const TSO = { csum: true, tso: true };
const frame = (payload = 10): Uint8Array => tcpFrame({ seq: 1, payload: bytes(payload) }, 'out');

function bench(...args: ConstructorParameters<typeof Bench>): { b: Bench; freed: [number, number][] } {
  const b = new Bench(...args);
  const freed: [number, number][] = [];
  b.env.wfree = (sk, wmem): void => {
    freed.push([sk, wmem]);
  };
  return { b, freed };
}

test('a driver that sends at once: the skb is free with its batch', () => {
  const { b, freed } = bench(TSO);
  b.xmit(frame(), { sk: SK, wmem: 100 });
  b.xmit(frame());
  expect(freed).toEqual([[SK, 100]]);
  b.end();
});

test('a driver with a ring: each skb is free when the driver has sent it', () => {
  const { b, freed } = bench(TSO);
  b.inRing = 3; // of others
  b.inRing++;
  b.xmit(frame(), { sk: SK, wmem: 100 });
  b.inRing++;
  b.xmit(frame());
  b.inRing++;
  b.xmit(frame(), { sk: SK, wmem: 200 });
  b.end();
  expect([freed, b.core.awaitsRing]).toEqual([[], true]);
  b.inRing = 2;
  b.end();
  expect(freed).toEqual([[SK, 100]]);
  b.inRing = 0;
  b.end();
  expect([freed.at(-1), b.core.awaitsRing]).toEqual([[SK, 200], false]);
});

test('cut into segments, the last one counts', () => {
  const { b, freed } = bench();
  b.inRing = 1;
  b.xmit(frame(3000), { gsoSize: 1000, gsoType: SKB_GSO_TCPV4, sk: SK, wmem: 5 });
  b.end();
  expect([b.sent.length, freed]).toEqual([3, []]);
  b.inRing = 0;
  b.end();
  expect(freed).toEqual([[SK, 5]]);
});

test('what is dropped, and what goes by the loopback device, is free as well', () => {
  const { b, freed } = bench(TSO);
  b.room = 0;
  b.xmit(frame(), { sk: SK, wmem: 1 });
  b.xmit(new Uint8Array(9), { networkHeader: -1, sk: SK, wmem: 2 });
  b.xmit(frame(), { ifindex: 1, sk: SK, wmem: 3 });
  b.end();
  expect(freed.map(([, wmem]) => wmem)).toEqual([1, 2, 3]);
});
