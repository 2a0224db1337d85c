import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  copySkb,
  formatIpv4,
  formatMac,
  Ledger,
  LayerEnv,
  maskOf,
  parseCidr,
  parseIpv4,
  parseMac,
  SeededRng,
  SkBuff,
} from './index.ts';

const filled = (n: number, from = 0): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (from + i) & 255);

describe('SkBuff', () => {
  test('push() beyond the headroom keeps bytes and header offsets', () => {
    const skb = new SkBuff(filled(10), 2, 10);
    skb.networkHeader = 2;
    skb.csumStart = 4;
    const before = skb.bytes();
    skb.push(20);
    skb.pull(20);
    expect(skb.bytes()).toEqual(before);
    expect(skb.buf[skb.networkHeader]).toBe(2);
    expect(skb.buf[skb.csumStart]).toBe(4);
  });

  test('pull, mayPull and trim agree with the plain bytes, however they are cut into fragments', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 40 }), { minLength: 1, maxLength: 6 }),
        fc.array(fc.tuple(fc.constantFrom('pull', 'mayPull', 'trim', 'slices'), fc.nat({ max: 60 })), { maxLength: 8 }),
        (sizes, ops) => {
          let at = 0;
          const parts = sizes.map((n) => filled(n, (at += n) - n));
          const skb = new SkBuff(parts[0]!.slice(), 0, parts[0]!.length, []);
          for (const p of parts.slice(1)) skb.addFrag(p);
          let plain = filled(at);
          for (const [op, n] of ops) {
            if (op === 'pull') {
              expect(skb.pull(n)).toBe(n <= plain.length);
              if (n <= plain.length) plain = plain.subarray(n);
            } else if (op === 'mayPull') {
              expect(skb.mayPull(n)).toBe(n <= plain.length);
            } else if (op === 'trim') {
              skb.trim(n);
              plain = plain.subarray(0, n);
            } else {
              const got = skb.slices(n, 10).flatMap((v) => [...v]);
              expect(got).toEqual([...plain.subarray(n, n + 10)]);
            }
            expect(skb.len).toBe(plain.length);
            expect(skb.bytes()).toEqual(plain.slice());
          }
        },
      ),
    );
  });

  test('a copy owns its headers', () => {
    const skb = new SkBuff(filled(10), 0, 10, [filled(5)]);
    skb.id = 7;
    const copy = copySkb(skb);
    copy.buf[0] = 99;
    copy.trim(3);
    expect(skb.bytes()).toEqual(Uint8Array.from([...filled(10), ...filled(5)]));
    expect(copy.parent).toBe(7);
  });
});

describe('addresses', () => {
  test.each(['1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', '', 'a.b.c.d', '1.2.3.-4', '1.2.3.4 '])(
    '%j is no address',
    (t) => {
      expect(parseIpv4(t)).toBeUndefined();
    },
  );
  test('round trips', () => {
    fc.assert(fc.property(fc.nat({ max: 0xffffffff }), (a) => expect(parseIpv4(formatIpv4(a))).toBe(a)));
    fc.assert(fc.property(fc.nat({ max: 2 ** 48 - 1 }), (m) => expect(parseMac(formatMac(m))).toBe(m)));
  });
  test('prefixes', () => {
    expect(parseCidr('10.77.0.0/24')).toEqual({ addr: 0x0a4d0000, len: 24 });
    expect(parseCidr('10.77.0.1')).toEqual({ addr: 0x0a4d0001, len: 32 });
    for (const bad of ['10.0.0.0/33', '10.0.0.0/', '10.0.0/8', '10.0.0.0/8x']) expect(parseCidr(bad)).toBeUndefined();
    expect([0, 1, 24, 32].map(maskOf)).toEqual([0, 0x80000000, 0xffffff00, 0xffffffff]);
  });
});

describe('LayerEnv', () => {
  test('the ledger balances when every skb has one end', () => {
    const passed: string[] = [];
    const env = new LayerEnv({ layer: 't', rng: new SeededRng(1), out: { pass: (to) => passed.push(to) } });
    const queue: SkBuff[] = [];
    env.ledger.addQueue(() => queue.length);
    const skbs = Array.from({ length: 4 }, () => env.alloc(64, 0, 0));
    env.pass('ip_rcv', skbs[0]!);
    env.consume(skbs[1]!);
    env.drop(skbs[2]!, 'NO_SOCKET');
    expect(env.ledger.imbalance).toBe(1);
    queue.push(skbs[3]!);
    expect(env.ledger.imbalance).toBe(0);
    env.drop(skbs[2]!, 'NO_SOCKET');
    expect(env.ledger.imbalance).toBe(-1);
    expect(passed).toEqual(['ip_rcv']);
    expect(new Set(skbs.map((s) => s.id)).size).toBe(4);
  });

  test('tracing off calls nobody; on, it sees drops with their reason', () => {
    const env = new LayerEnv({ layer: 't', rng: new SeededRng(1), out: { pass: () => {} } });
    const seen: unknown[] = [];
    env.drop(env.alloc(0, 0, 0), 'IP_CSUM');
    env.setTraceSink((e) => seen.push([e.point, e.detail]));
    env.drop(env.alloc(0, 0, 0), 'IP_CSUM');
    env.setTraceSink(undefined);
    env.trace('ip_rcv');
    expect(seen).toEqual([['kfree_skb', { reason: 'IP_CSUM' }]]);
  });

  test('a fresh ledger is empty', () => {
    expect(new Ledger().toJSON()).toMatchObject({ imbalance: 0, dropped: {} });
  });
});

test('the seeded generator repeats itself and spreads', () => {
  const a = new SeededRng(7);
  const b = new SeededRng(7);
  const c = new SeededRng(8);
  const xs = Array.from({ length: 100 }, () => a.u32());
  expect(Array.from({ length: 100 }, () => b.u32())).toEqual(xs);
  expect(Array.from({ length: 100 }, () => c.u32())).not.toEqual(xs);
  expect(new Set(xs).size).toBe(100);
});
