import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { NEVER, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, TCP_STATE_NAMES, TCP_TIME_WAIT } from '@skbus/skb';
import { modelTimeoutMs } from './write-timeout.ts';
import { makeRec, RtxQueue } from './rtx-queue.ts';
import { RttEstimator } from './rtt.ts';
import { sackAdd, sackRemove, type SackBlock } from './sack-out.ts';
import { SendQueue } from './send-queue.ts';
import { after, before, fromWire, toWire } from './sequence.ts';
import { SipHash } from './siphash.ts';
import { setTimer, stopTimer, Timed, Timer, TimerHeap } from './timers.ts';
import { isLegalTransition, TRANSITIONS, transitionsDiagram } from './transitions.ts';

describe('sequence', () => {
  test.each([
    [0, 1, true],
    [1, 0, false],
    [5, 5, false],
    [0xffffffff, 0, true],
    [0, 0xffffffff, false],
    [0x7fffffff, 0xfffffffe, true],
    [0xfffffff0, 0x10, true],
  ])('before(%i, %i) is %s', (a, b, want) => {
    expect(before(a, b)).toBe(want);
    expect(after(b, a)).toBe(want);
  });

  test('positions survive the wire, however often it wrapped', () => {
    fc.assert(
      fc.property(
        fc.nat(0xffffffff),
        fc.double({ min: 0, max: 2 ** 45, noNaN: true }),
        fc.integer({ min: -(2 ** 30), max: 2 ** 30 }),
        (isn, near, delta) => {
          const n = Math.floor(near);
          expect(fromWire(isn, n, toWire(isn, n + delta))).toBe(n + delta);
        },
      ),
    );
  });
});

describe('transitions', () => {
  test('TIME_WAIT and CLOSE can be reached from every state; nothing leads to itself', () => {
    for (const [from, tos] of Object.entries(TRANSITIONS)) {
      expect(tos).not.toContain(Number(from));
      for (const to of tos) expect(TRANSITIONS[to]).toBeDefined();
    }
    expect(isLegalTransition(TCP_CLOSE, TCP_LISTEN)).toBe(true);
    expect(isLegalTransition(TCP_CLOSE, TCP_ESTABLISHED)).toBe(false);
    expect(isLegalTransition(TCP_ESTABLISHED, TCP_TIME_WAIT)).toBe(false);
    expect(Object.keys(TRANSITIONS)).toHaveLength(TCP_STATE_NAMES.length - 1);
    expect(transitionsDiagram()).toContain('SYN_SENT --> ESTABLISHED: SYN-ACK');
  });
});

describe('RTT', () => {
  test('the first sample: srtt is it, RTO at least 200 ms above', () => {
    const r = new RttEstimator();
    expect(r.rtoMs).toBe(1000);
    r.sample(10, 1, 2, 200);
    expect(r).toMatchObject({ srttMs: 10, rtoMs: 210 });
    const far = new RttEstimator();
    far.sample(300, 1, 2, 200);
    expect(far.rtoMs).toBe(900);
  });

  test('steady samples: RTO settles at srtt + 200 ms; a jump raises it, never above 120 s', () => {
    const r = new RttEstimator();
    for (let i = 1; i < 200; i++) r.sample(50, i * 10, i * 10 + 10, 200);
    expect(r.srttMs).toBeCloseTo(50, 3);
    expect(r.rtoMs).toBeCloseTo(250, 0);
    r.sample(500, 3000, 3010, 200);
    expect(r.rtoMs).toBeGreaterThan(400);
    for (let i = 0; i < 50; i++) r.sample(1e6, 4000 + i, 4001 + i, 200);
    expect(r.rtoMs).toBe(120_000);
  });

  test.each([
    [3, 200, 3000],
    [15, 200, 924_600],
    [6, 1000, 127_000],
  ])('%i retries from %i ms last %i ms', (n, base, want) => {
    expect(modelTimeoutMs(n, base)).toBe(want);
  });
});

describe('SipHash-2-4', () => {
  // the vectors of the paper's appendix and reference implementation: key 00 … 0f, input 00, 01, 02 …
  test.each([
    [0, 0x726fdb47, 0xdd0e0e31],
    [1, 0x74f839c5, 0x93dc67fd],
    [15, 0xa129ca61, 0x49be45e5],
  ])('%i bytes', (n, high, low) => {
    const h = new SipHash(Uint8Array.from({ length: 16 }, (_, i) => i));
    expect(h.hashBytes(Uint8Array.from({ length: n }, (_, i) => i)).toString(16)).toBe((low >>> 0).toString(16));
    expect(h.high.toString(16)).toBe((high >>> 0).toString(16));
  });

  test('four words are sixteen bytes', () => {
    const h = new SipHash(Uint8Array.from({ length: 16 }, (_, i) => i * 3));
    const b = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
    const bytes = h.hashBytes(b);
    const v = new DataView(b.buffer);
    expect(h.hash4(v.getUint32(0, true), v.getUint32(4, true), v.getUint32(8, true), v.getUint32(12, true))).toBe(
      bytes,
    );
  });
});

describe('timers', () => {
  test('the table knows the earliest', () => {
    const sk = { numbers: new Float64Array(20).fill(NEVER), slot: 8, nextTimer: NEVER };
    setTimer(sk, Timer.Retrans, 50);
    setTimer(sk, Timer.DelAck, 40);
    expect(sk.nextTimer).toBe(40);
    setTimer(sk, Timer.DelAck, 60);
    expect(sk.nextTimer).toBe(50);
    stopTimer(sk, Timer.Retrans);
    expect(sk.nextTimer).toBe(60);
    stopTimer(sk, Timer.DelAck);
    expect(sk.nextTimer).toBe(NEVER);
  });

  class One extends Timed {
    at = NEVER;
    override wakeMs = NEVER;
    override deadline(): number {
      return this.at;
    }
  }

  test('the heap wakes all in order, whatever is moved or stopped', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(9), fc.oneof(fc.nat(1000), fc.constant(NEVER))), { maxLength: 60 }),
        (moves) => {
          const heap = new TimerHeap();
          const all = Array.from({ length: 10 }, () => new One());
          for (const [i, at] of moves) {
            all[i]!.at = at;
            heap.touch(all[i]!);
            // early is allowed, late is not
            expect(heap.next()).toBeLessThanOrEqual(Math.min(...all.map((x) => x.at)));
          }
          let last = -1;
          for (let t = heap.due(5000) as One | undefined; t; t = heap.due(5000) as One | undefined) {
            expect(t.at).toBeGreaterThanOrEqual(last);
            last = t.at;
            t.at = NEVER;
          }
          expect(heap.next()).toBe(NEVER);
          expect(heap.size).toBe(0);
        },
      ),
    );
  });
});

describe('send queue', () => {
  test('any slices of any writes give the same bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 30 }),
        fc.array(fc.tuple(fc.nat(), fc.nat())),
        (writes, cuts) => {
          const q = new SendQueue();
          const all: number[] = [];
          for (const n of writes) {
            const b = Uint8Array.from({ length: n }, (_, i) => (all.length + i * 7) & 255);
            all.push(...b);
            q.append(b);
          }
          expect(q.end).toBe(all.length);
          for (const [x, y] of cuts) {
            const from = q.start + (q.length === 0 ? 0 : x % q.length);
            const n = Math.min(y % 5000, q.end - from);
            const out: Uint8Array[] = [];
            if (n > 0) q.slice(from, n, out);
            expect(out.flatMap((p) => [...p])).toEqual(all.slice(from, from + n));
            q.dropTo(q.start + (x % 50));
            if (q.start > q.end) return;
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('retransmission queue', () => {
  test('is the same whichever side of it moves', () => {
    const op = fc.tuple(fc.constantFrom('push', 'shift', 'split', 'remove'), fc.nat());
    fc.assert(
      fc.property(fc.array(op, { maxLength: 300 }), (ops) => {
        const q = new RtxQueue();
        const model: [seq: number, end: number][] = [];
        let next = 0;
        for (const [what, n] of ops) {
          const i = model.length === 0 ? 0 : n % model.length;
          if (what === 'push' || model.length === 0) {
            q.push(makeRec(next, next + 64, 0, 8));
            model.push([next, (next += 64)]);
          } else if (what === 'shift') {
            q.shift();
            model.shift();
          } else if (what === 'remove') {
            q.remove(i);
            model.splice(i, 1);
          } else {
            const [seq, end] = model[i]!;
            if (end - seq < 16) continue;
            q.split(i, seq + 8);
            model.splice(i, 1, [seq, seq + 8], [seq + 8, end]);
          }
          expect(q.length).toBe(model.length);
          expect(q.first?.seq).toBe(model[0]?.[0]);
          expect(q.last?.end).toBe(model.at(-1)?.[1]);
        }
        expect(Array.from({ length: q.length }, (_, i) => [q.at(i).seq, q.at(i).end])).toEqual(model);
      }),
    );
  });
});

describe('SACK blocks', () => {
  test('the newest first, touching ones merged, at most four', () => {
    const b: SackBlock[] = [];
    sackAdd(b, 10, 20);
    sackAdd(b, 30, 40);
    expect(b).toEqual([
      [30, 40],
      [10, 20],
    ]);
    sackAdd(b, 20, 30);
    expect(b).toEqual([[10, 40]]);
    for (const s of [50, 70, 90, 110]) sackAdd(b, s, s + 10);
    expect(b).toEqual([
      [110, 120],
      [90, 100],
      [70, 80],
      [50, 60],
    ]);
    sackRemove(b, 80);
    expect(b).toEqual([
      [110, 120],
      [90, 100],
    ]);
  });
});
