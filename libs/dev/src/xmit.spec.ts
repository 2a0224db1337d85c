import { describe, expect, test } from '@jest/globals';
import { CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, SkBuff } from '@skbus/skb';
import { get16, get32, parseTcp, TCP_ACK, TCP_CWR, TCP_FIN, TCP_PSH } from '@skbus/wire';
import fc from 'fast-check';
import { flatStats } from './netdevice.ts';
import { ALL, Bench, bytes, NONE, PLAIN, tcpFrame, tcpOk } from './testing/bench.ts';

describe('transmit', () => {
  test('a plain frame goes to the driver; the trace points of the kernel', () => {
    const b = new Bench();
    const f = tcpFrame({ seq: 1, payload: bytes(100) }, 'out');
    b.xmit(f);
    expect(b.sent).toEqual([f]);
    expect(b.points).toEqual([
      'dev_queue_xmit',
      'net_dev_queue',
      'validate_xmit_skb',
      'dev_hard_start_xmit',
      'net_dev_start_xmit',
      'ndo_start_xmit',
      'tun_net_xmit',
      'net_dev_xmit',
    ]);
    b.end();
    expect(b.flushes).toBe(1);
    expect(b.env.ledger.passed).toBe(1);
    expect(flatStats(b.core.stats(2)!)).toMatchObject({ tx_packets: 1, tx_bytes: f.length });
  });

  test('the checksum is finished for a device that cannot, and left to one that can', () => {
    const partial = { ipSummed: CHECKSUM_PARTIAL, csumStart: 34, csumOffset: 16 };
    const f = tcpFrame({ seq: 1, payload: bytes(1300) }, 'out', false);
    const b = new Bench(NONE);
    b.xmit(f, partial);
    expect(tcpOk(b.sent[0]!)).toBe(true);
    const c = new Bench(ALL);
    c.xmit(f, partial);
    expect(c.metas[0]).toEqual({ gsoSize: 0, ipSummed: CHECKSUM_PARTIAL, csumStart: 34 });
    expect(c.sent[0]).toEqual(f);
  });

  test('a checksum outside of the skb: SKB_CSUM', () => {
    const b = new Bench();
    b.xmit(tcpFrame({ seq: 1, payload: bytes(10) }, 'out', false), {
      ipSummed: CHECKSUM_PARTIAL,
      csumStart: 500,
      csumOffset: 16,
    });
    b.end();
    expect(b.env.ledger.drops.get('SKB_CSUM')).toBe(1);
  });

  test.each<[string, Partial<SkBuff>, number, string]>([
    ['unknown device', { ifindex: 7 }, 10, 'DEV_READY'],
    ['longer than the MTU', {}, 1501 - 52, 'PKT_TOO_BIG'],
    ['GSO of a kind we cannot cut', { gsoSize: 1000, gsoType: 9 }, 3000, 'SKB_GSO_SEG'],
  ])('%s', (_name, set, size, reason) => {
    const b = new Bench();
    b.xmit(tcpFrame({ seq: 1, payload: bytes(size) }, 'out'), set);
    b.end();
    expect(Object.fromEntries(b.env.ledger.drops)).toEqual({ [reason]: 1 });
    expect(b.sent).toEqual([]);
  });

  test('shorter than an Ethernet header: HDR_TRUNC', () => {
    const b = new Bench();
    b.xmit(new Uint8Array(9), { networkHeader: -1 });
    b.end();
    expect(b.env.ledger.drops.get('HDR_TRUNC')).toBe(1);
  });

  test('a full ring: FULL_RING', () => {
    const b = new Bench();
    b.room = 2;
    for (let i = 0; i < 5; i++) b.xmit(tcpFrame({ seq: i, payload: bytes(10) }, 'out'));
    b.end();
    expect(b.env.ledger.drops.get('FULL_RING')).toBe(3);
    expect(flatStats(b.core.stats(2)!)).toMatchObject({ tx_packets: 2, tx_dropped: 3 });
  });

  test('GSO stays whole for a device with TSO', () => {
    const b = new Bench(ALL);
    b.xmitGso({ seq: 1, payload: bytes(5000) }, 1448);
    b.end();
    expect(b.metas).toEqual([{ gsoSize: 1448, ipSummed: CHECKSUM_PARTIAL, csumStart: 34 }]);
  });

  test('GSO in software: numbers, flags, ids, lengths and sums of every segment', () => {
    const b = new Bench();
    const skb = b.xmitGso(
      { seq: 0xffff_fff0, payload: bytes(3000), id: 0xfffe, flags: TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR },
      1000,
    );
    b.end();
    expect(b.sent.map((f) => f.length)).toEqual([1066, 1066, 1066]);
    expect(b.sent.every(tcpOk)).toBe(true);
    expect(b.sent.map((f) => get16(f, 18))).toEqual([0xfffe, 0xffff, 0]);
    const tcp = b.sent.map((f) => parseTcp(f, 34, f.length)!);
    expect(tcp.map((t) => t.seq)).toEqual([0xffff_fff0, 984, 1984]);
    expect(tcp.map((t) => t.flags)).toEqual([TCP_ACK | TCP_CWR, TCP_ACK, TCP_ACK | TCP_PSH | TCP_FIN]);
    expect(b.points.filter((p) => p === 'skb_gso_segment')).toHaveLength(1);
    expect(b.env.ledger).toMatchObject({ created: 3, consumed: 1, passed: 3 });
    expect(skb.gsoSize).toBe(1000);
  });

  test('GSO, then GRO, gives the stream back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20_000 }),
        fc.integer({ min: 64, max: 1448 }),
        fc.nat(0xffff_ffff),
        fc.nat(0xffff),
        fc.boolean(),
        (n, mss, seq, id, deviceSums) => {
          const tx = new Bench({ csum: deviceSums, tso: false });
          tx.xmitGso({ seq, payload: bytes(n), id, flags: TCP_ACK | TCP_PSH }, mss);
          tx.end();
          const rx = new Bench();
          for (const f of tx.sent) rx.rx(f, deviceSums ? { csum: 'partial', csumStart: 34, csumOffset: 16 } : PLAIN);
          rx.end();
          const out = rx.passed.map((p) => p.skb);
          expect(out).toHaveLength(1);
          expect(get32(out[0]!.buf, out[0]!.data + 24)).toBe(seq);
          expect(out[0]!.bytes().subarray(52)).toEqual(bytes(n));
          expect(out[0]!.ipSummed).toBe(CHECKSUM_UNNECESSARY);
        },
      ),
      { seed: 5, numRuns: 60 },
    );
  });

  test('random skbs never throw, and every skb is accounted for', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.record({
          ipSummed: fc.constantFrom(0, 1, 3),
          csumStart: fc.nat(400),
          csumOffset: fc.nat(400),
          gsoSize: fc.nat(100),
          gsoType: fc.nat(2),
          networkHeader: fc.integer({ min: -1, max: 320 }),
          ifindex: fc.integer({ min: 1, max: 3 }),
        }),
        fc.boolean(),
        (raw, set, small) => {
          const b = new Bench();
          if (small) b.core.setMtu(2, 68);
          b.xmit(Uint8Array.from(raw), set, 60);
          b.end();
        },
      ),
      { seed: 9, numRuns: 500 },
    );
  });
});
