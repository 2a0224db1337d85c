import { describe, expect, test } from '@jest/globals';
import { RttEstimator } from '../../libs/tcp/src/rtt.ts';
import { calling, dataSent, established, Scripted, SK, THEM, write } from './peer.ts';

const info = (t: Scripted): NonNullable<ReturnType<Scripted['tcp']['tcpInfo']>> => t.tcp.tcpInfo(SK)!;

/** When segments at `seq` went out within `ms`, from now. */
function times(t: Scripted, seq: number, ms: number): number[] {
  const start = t.now;
  const at: number[] = [];
  while (t.now - start < ms) {
    t.wait(10);
    for (const s of dataSent(t)) if (s.seq === seq) at.push(t.now - start);
  }
  return at;
}

/** A connection whose RTT is `ms`, by several samples. */
function withRtt(ms: number): { t: Scripted; offset: number } {
  const t = established();
  let offset = 0;
  for (let i = 0; i < 30; i++) {
    write(t, offset, 1000);
    offset += 1000;
    t.wait(ms);
    t.inject('.', 1, 1 + offset);
  }
  t.sent();
  return { t, offset };
}

/** A sample by which a round trip is over. */
function sample(e: RttEstimator, rttMs: number): void {
  round++;
  e.sample(rttMs, round, round + 1, 200);
}
let round = 0;

describe('the estimator (RFC 6298 2)', () => {
  test('2.1: before the first sample the RTO is one second, and backs off', () => {
    const t = new Scripted({ sysctl: { tcpSynLinearTimeouts: 0 } });
    calling(t);
    const at: number[] = [];
    const start = t.now;
    while (at.length < 4) {
      t.wait(10);
      if (t.sent().length > 0) at.push(t.now - start);
    }
    expect(at).toEqual([1000, 3000, 7000, 15_000]);
  });

  test('2.2: the first sample R: SRTT = R, RTO = SRTT + 4 · R/2, where that is above the floor', () => {
    const e = new RttEstimator();
    sample(e, 400);
    expect(e.srttMs).toBe(400);
    expect(e.rtoMs).toBeCloseTo(400 + 4 * 200, 6);
  });

  test('2.3: then SRTT by 1/8 and RTTVAR by 1/4, RTTVAR first, with the SRTT of before', () => {
    const e = new RttEstimator();
    sample(e, 400);
    sample(e, 800);
    expect(e.srttMs).toBeCloseTo(400 + 400 / 8, 6);
    // 3/4 · 200 + 1/4 · |400 − 800| = 250; four times that above the smoothed RTT
    expect(e.rtoMs).toBeCloseTo(450 + 4 * 250, 6);
  });

  test('2.4: the variance term never falls below 200 ms, Linux’s least RTO', () => {
    const { t } = withRtt(100);
    expect(info(t).rto - info(t).rtt).toBeGreaterThanOrEqual(200);
    expect(info(t).rto - info(t).rtt).toBeLessThan(210);
  });

  test('2.5: the RTO has a bound, of two minutes', () => {
    const e = new RttEstimator();
    sample(e, 100_000);
    expect(e.rtoMs).toBe(120_000);
    const t = established();
    write(t, 0, 100);
    t.sent();
    const at = times(t, 1, 900_000);
    const gaps = at.slice(1).map((v, i) => v - at[i]!);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(120_010);
    expect(Math.max(...gaps)).toBeGreaterThan(60_000);
  });
});

describe('samples (RFC 6298 3)', () => {
  test('3: none from a segment that was retransmitted, unless timestamps say which one was meant', () => {
    const { t, offset } = withRtt(50);
    const before = info(t).rtt;
    write(t, offset, 1000);
    t.wait(300);
    t.inject('.', 1, 1001 + offset);
    expect(info(t).rtt).toBe(before);

    const ts = established({ mss: 1000, tsVal: 1, tsEcr: 0 });
    write(ts, 0, 1000);
    ts.sent();
    ts.wait(1500);
    const again = ts.sent().at(-1)!;
    expect(again.seq).toBe(1);
    const was = info(ts).rtt;
    ts.wait(77);
    ts.inject('.', 1, 1001, { opts: { tsVal: 2, tsEcr: again.opts.tsVal! } });
    expect(info(ts).rtt).toBeGreaterThan(was);
  });

  test('3: at least one in each round trip', () => {
    const t = established();
    write(t, 0, 100_000);
    let una = 1;
    let last = info(t).rtt;
    for (let i = 0; i < 5; i++) {
      const n = dataSent(t).reduce((a, s) => a + s.len, 0);
      t.wait(100 + 10 * i);
      t.inject('.', 1, (una += n));
      expect(info(t).rtt).not.toBe(last);
      last = info(t).rtt;
    }
  });

  test('4: a variance of nothing is rounded up', () => {
    const e = new RttEstimator();
    for (let i = 0; i < 200; i++) sample(e, 1000);
    expect(e.rtoMs).toBeGreaterThan(1000);
  });
});

describe('the timer (RFC 6298 5)', () => {
  test('5: no segment goes again before one RTO has passed', () => {
    const { t, offset } = withRtt(100);
    const { rto } = info(t);
    write(t, offset, 100);
    t.sent();
    const first = times(t, 1 + offset, 5000)[0]!;
    expect(first).toBeGreaterThanOrEqual(rto);
  });

  test('5.1, 5.3: it starts with the first segment, and anew with each ACK of new data', () => {
    const { t, offset } = withRtt(100);
    write(t, offset, 3000);
    t.wait(200);
    t.inject('.', 1, 1001 + offset);
    t.sent();
    t.wait(250);
    expect(dataSent(t).filter((s) => s.seq === 1001 + offset && s.flags === '.')).toEqual([]);
    expect(times(t, 1001 + offset, 2000).length).toBeGreaterThan(0);
  });

  test('5.2: with all acknowledged it is off', () => {
    const { t } = withRtt(100);
    expect(info(t)).toMatchObject({ unacked: 0, timer: 0 });
    t.wait(60_000);
    expect(t.sent()).toEqual([]);
  });

  test('5.4, 5.5, 5.6: the earliest segment goes again, and the RTO doubles', () => {
    const t = established();
    write(t, 0, 3000);
    t.sent();
    const at = times(t, 1, 30_000);
    expect(at.length).toBeGreaterThan(5);
    for (let i = 2; i < at.length; i++) expect((at[i]! - at[i - 1]!) / (at[i - 1]! - at[i - 2]!)).toBeCloseTo(2, 1);
  });

  test('5.7: after a SYN that was lost the RTO for data is three seconds, unless timestamps gave a sample', () => {
    const t = new Scripted();
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.wait(1100);
    t.inject('S.', 0, 1, { opts: { mss: 1000 } });
    write(t, 0, 100);
    t.sent();
    expect(times(t, 1, 10_000)).toEqual([3000, 9000]);
    const ts = new Scripted();
    ts.theirPort = 8080;
    ts.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    ts.wait(1100);
    ts.inject('S.', 0, 1, { opts: { mss: 1000, tsVal: 1, tsEcr: ts.sent().at(-1)!.opts.tsVal! } });
    expect(info(ts).rto).toBeLessThan(1000);
  });

  test('5: a sample from new data ends the back-off', () => {
    const { t, offset } = withRtt(100);
    const { rto } = info(t);
    write(t, offset, 1000);
    t.wait(3000);
    t.inject('.', 1, 1001 + offset);
    write(t, offset + 1000, 1000);
    t.wait(100);
    t.inject('.', 1, 2001 + offset);
    expect(info(t).backoff).toBe(0);
    expect(info(t).rto).toBeLessThan(rto + 100);
  });
});
