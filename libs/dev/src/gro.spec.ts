import { describe, expect, test } from '@jest/globals';
import { CHECKSUM_NONE, CHECKSUM_UNNECESSARY, SKB_GSO_TCPV4 } from '@skbus/skb';
import {
  get32,
  ipv4ChecksumOk,
  parseIpv4Header,
  TCP_ACK,
  TCP_CWR,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
} from '@skbus/wire';
import type { RxMeta } from './netdevice.ts';
import { Bench, bytes, PLAIN, tcpFrame, TS, type Seg } from './testing/bench.ts';

describe('GRO', () => {
  /** Feeds a train and returns what came out: sequence number and payload length of each skb. */
  const run = (segs: Seg[], metaOf: (i: number) => RxMeta = () => PLAIN): { b: Bench; out: [number, number][] } => {
    const b = new Bench();
    segs.forEach((s, i) => b.rx(tcpFrame(s, 'in', metaOf(i).csum !== 'partial'), metaOf(i)));
    b.end();
    const out = b.passed.map(({ skb }): [number, number] => [get32(skb.buf, skb.data + 24), skb.len - 40 - TS]);
    return { b, out };
  };
  const train = (n: number, size = 100): Seg[] =>
    Array.from({ length: n }, (_, i) => ({ seq: 1 + i * size, payload: bytes(size, i * size), id: i }));

  test('consecutive segments become one, with right headers', () => {
    const { b, out } = run(train(10));
    expect(out).toEqual([[1, 1000]]);
    const { skb } = b.passed[0]!;
    expect(skb).toMatchObject({ gsoSize: 100, gsoSegs: 10, gsoType: SKB_GSO_TCPV4, ipSummed: CHECKSUM_UNNECESSARY });
    expect(parseIpv4Header(skb.buf, skb.data, skb.tail)!.totalLen).toBe(skb.len);
    expect(ipv4ChecksumOk(skb.buf, skb.data, 20)).toBe(true);
    expect(skb.bytes().subarray(40 + TS)).toEqual(bytes(1000));
    expect(b.points).toContain('napi_gro_flush');
  });

  const second = (s: Partial<Seg>): Seg[] => [train(2)[0]!, { ...train(2)[1]!, ...s }];
  test.each<[string, Seg[], number]>([
    ['the same', second({}), 1],
    ['a gap', second({ seq: 102 }), 2],
    ['another acknowledgement', second({ ack: 8 }), 2],
    ['another window', second({ window: 501 }), 2],
    ['another timestamp', second({ tsVal: 2 }), 2],
    ['another TTL', second({ ttl: 63 }), 2],
    ['another DF', second({ df: false }), 2],
    ['another port', second({ sport: 4001 }), 2],
    ['the id stands still, with DF', second({ id: 0 }), 1],
    ['the id jumps', second({ id: 5 }), 2],
    ['a longer segment', second({ payload: bytes(101) }), 2],
    ['a shorter segment', second({ payload: bytes(99, 100) }), 1],
    ['RST', second({ flags: TCP_ACK | TCP_RST }), 2],
    ['SYN', second({ flags: TCP_ACK | TCP_SYN }), 2],
    ['CWR', second({ flags: TCP_ACK | TCP_CWR }), 2],
    ['no payload', second({ payload: bytes(0) }), 2],
    ['PSH', second({ flags: TCP_ACK | TCP_PSH }), 1],
    ['FIN', second({ flags: TCP_ACK | TCP_FIN }), 1],
  ])('%s', (_name, segs, skbs) => {
    const { b, out } = run(segs);
    expect(out).toHaveLength(skbs);
    if (skbs === 1) expect(b.passed[0]!.skb.buf[b.passed[0]!.skb.data + 33]! | TCP_ACK).toBe(segs[1]!.flags ?? TCP_ACK);
    expect(out.map(([, n]) => n).reduce((a, n) => a + n)).toBe(segs[0]!.payload.length + segs[1]!.payload.length);
  });

  test('PSH and a short segment end the train; the next one begins another', () => {
    const segs = train(4);
    segs[1]!.flags = TCP_ACK | TCP_PSH;
    expect(run(segs).out).toEqual([
      [1, 200],
      [201, 200],
    ]);
    const short = [
      ...train(2),
      { seq: 201, payload: bytes(50, 200), id: 2 },
      { seq: 251, payload: bytes(100, 250), id: 3 },
    ];
    expect(run(short).out).toEqual([
      [1, 250],
      [251, 100],
    ]);
  });

  test('two flows at once', () => {
    const a = train(5);
    const b = train(5).map((s) => ({ ...s, sport: 4001 }));
    expect(run(a.flatMap((s, i) => [s, b[i]!])).out).toEqual([
      [1, 500],
      [1, 500],
    ]);
  });

  test('more flows than it keeps: the oldest goes first, nothing is lost', () => {
    const segs = Array.from({ length: 20 }, (_, i) => ({ seq: 1, payload: bytes(10), sport: 5000 + i }));
    expect(run(segs).out).toHaveLength(20);
  });

  test('not beyond 64 KiB', () => {
    const { out } = run(train(50, 1448));
    expect(out[0]![1]).toBe(45 * 1448);
    expect(out[1]![1]).toBe(5 * 1448);
  });

  test('a wrong checksum is not merged, and left to TCP to find', () => {
    const segs = train(3);
    const b = new Bench();
    const frames = segs.map((s) => tcpFrame(s));
    frames[1]![60 + TS]! ^= 1;
    for (const f of frames) b.rx(f);
    b.end();
    expect(b.passed.map(({ skb }) => skb.ipSummed).sort((x, y) => x - y)).toEqual([
      CHECKSUM_NONE,
      CHECKSUM_UNNECESSARY,
      CHECKSUM_UNNECESSARY,
    ]);
  });

  test('trailing padding after a short packet is no payload', () => {
    const b = new Bench();
    const f = new Uint8Array(80);
    f.set(tcpFrame({ seq: 1, payload: bytes(2) }));
    b.rx(f);
    b.end();
    expect(b.passed[0]!.skb.len).toBe(66);
  });
});
