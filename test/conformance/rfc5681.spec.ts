import { describe, expect, test } from '@jest/globals';
import { bytesOf, dataSent, established, readTo, Scripted, SK, THEM, write } from './peer.ts';

const MSS = 1000;
const info = (t: Scripted): NonNullable<ReturnType<Scripted['tcp']['tcpInfo']>> => t.tcp.tcpInfo(SK)!;

/** Reno, a wide window, and so much to send that only the congestion window limits. */
function busy(): Scripted {
  const t = established({ mss: MSS, wscale: 7 }, 65_535);
  t.cmd({ sk: SK, opSeq: 2, options: { congestion: 'reno', sndbuf: 4_000_000 } });
  t.inject('.', 1, 1, { win: 60_000 });
  fill(t);
  return t;
}

function fill(t: Scripted): void {
  const { sndGot } = t.lastView(SK);
  write(t, sndGot, 1_000_000);
}

/** The peer acknowledges up to `ack`. */
function ack(t: Scripted, upTo: number): void {
  t.inject('.', 1, upTo, { win: 60_000 });
  fill(t);
}

/** Three duplicate ACKs for `at`. */
function triple(t: Scripted, at: number): void {
  for (let i = 0; i < 3; i++) t.inject('.', 1, at, { win: 60_000 });
}

/** Ten segments in flight; the first is lost, and the peer has said so three times. */
function inRecovery(): Scripted {
  const t = busy();
  t.sent();
  triple(t, 1);
  return t;
}

describe('slow start and congestion avoidance (RFC 5681 3.1)', () => {
  test('the initial window is ten segments (RFC 6928), and never more', () => {
    const t = busy();
    expect(bytesOf(t.sent())).toBe(10 * MSS);
    t.wait(20);
    expect(dataSent(t)).toEqual([]);
  });

  test('neither SYN-ACK nor its ACK make it larger', () => {
    expect(info(established({ mss: MSS })).sndCwnd).toBe(10);
  });

  test('after a SYN that was lost twice it is one segment', () => {
    const t = new Scripted();
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.wait(2500);
    t.inject('S.', 0, 1, { opts: { mss: MSS } });
    expect(info(t).sndCwnd).toBe(1);
  });

  test('ssthresh begins as high as can be', () => {
    expect(info(established({ mss: MSS })).sndSsthresh).toBeGreaterThan(100_000);
  });

  test('slow start: at most one segment more for each that was acknowledged', () => {
    const t = busy();
    t.sent();
    let una = 1;
    for (let i = 1; i <= 10; i++) {
      ack(t, (una += MSS));
      expect(info(t).sndCwnd).toBeLessThanOrEqual(10 + i);
    }
    expect(info(t).sndCwnd).toBe(20);
    expect(bytesOf(dataSent(t))).toBe(20 * MSS);
  });

  test('slow start: an ACK of a few bytes is not worth a segment', () => {
    const t = busy();
    t.sent();
    for (let i = 1; i <= 100; i++) ack(t, 1 + i * 10);
    expect(info(t).sndCwnd).toBeLessThanOrEqual(11);
  });

  test('congestion avoidance: one segment in each round trip', () => {
    const t = inRecovery();
    let una = 12 * MSS + 1; // all there is, with the two segments of limited transmit
    ack(t, una);
    ack(t, (una += MSS));
    const { sndCwnd, sndSsthresh } = info(t);
    expect(sndCwnd).toBeGreaterThanOrEqual(sndSsthresh);
    for (let round = 1; round <= 6; round++) {
      for (let n = info(t).unacked; n > 0; n--) ack(t, (una += MSS));
      expect(info(t).sndCwnd - sndCwnd).toBeLessThanOrEqual(round);
      expect(info(t).sndCwnd - sndCwnd).toBeGreaterThanOrEqual(round - 1);
    }
  });

  test('a timeout: ssthresh at most half of what was in flight, two segments at least', () => {
    const t = busy();
    t.sent();
    t.wait(250);
    expect(info(t).sndSsthresh).toBeLessThanOrEqual(5);
    expect(info(t).sndSsthresh).toBeGreaterThanOrEqual(2);
    const small = established({ mss: MSS });
    write(small, 0, 100);
    small.cmd({ sk: SK, opSeq: 2, options: { congestion: 'reno' } });
    small.wait(250);
    expect(info(small).sndSsthresh).toBeGreaterThanOrEqual(2);
  });

  test('a timeout of the same segment again leaves ssthresh as it is', () => {
    const t = busy();
    t.wait(250);
    const { sndSsthresh } = info(t);
    t.wait(3000);
    expect(info(t).retransmits).toBeGreaterThan(2);
    expect(info(t).sndSsthresh).toBe(sndSsthresh);
  });

  test('a timeout: the window is one segment, and slow start begins again', () => {
    const t = busy();
    t.sent();
    t.wait(210);
    expect(info(t).sndCwnd).toBe(1);
    expect(dataSent(t)).toMatchObject([{ seq: 1, len: MSS }]);
    ack(t, 1 + MSS);
    expect(info(t).sndCwnd).toBe(2);
  });
});

describe('fast retransmit and fast recovery (RFC 5681 3.2)', () => {
  test('the receiver: a duplicate ACK at once for what is early', () => {
    const t = established({ mss: MSS });
    for (let i = 1; i <= 3; i++) {
      t.inject('P.', 1 + i * MSS, 1, { len: MSS });
      expect(t.sent()).toMatchObject([{ ack: 1, len: 0 }]);
    }
  });

  test('the receiver: an ACK at once for what fills a hole, or part of one', () => {
    const t = established({ mss: MSS });
    for (let i = 0; i < 40; i++) {
      t.inject('.', 1 + i * MSS, 1, { len: MSS });
      readTo(t, (i + 1) * MSS);
      t.wait(50);
    }
    const at = 40 * MSS;
    t.inject('.', 1 + at + 2 * MSS, 1, { len: MSS });
    t.sent();
    t.inject('.', 1 + at, 1, { len: MSS });
    t.view(SK, { rcvGot: at + MSS, rcvRead: at });
    expect(t.sent().map((s) => s.ack)).toContain(1 + at + MSS);
    t.inject('.', 1 + at + MSS, 1, { len: MSS });
    t.view(SK, { rcvGot: at + 3 * MSS, rcvRead: at });
    expect(t.sent().map((s) => s.ack)).toContain(1 + at + 3 * MSS);
  });

  test('step 1: the first two duplicates each let a new segment go, and the window stays', () => {
    const t = busy();
    t.sent();
    for (let i = 0; i < 2; i++) {
      t.inject('.', 1, 1, { win: 60_000 });
      expect(dataSent(t)).toMatchObject([{ seq: 1 + (10 + i) * MSS, len: MSS }]);
      expect(info(t).sndCwnd).toBe(10);
    }
  });

  test('step 1: and what is in flight is never more than the window and two segments', () => {
    const t = busy();
    for (let i = 0; i < 2; i++) t.inject('.', 1, 1, { win: 60_000 });
    expect(info(t).unacked).toBeLessThanOrEqual(12);
  });

  test('step 2: the third sets ssthresh to half of the flight', () => {
    const t = inRecovery();
    expect(info(t).sndSsthresh).toBeLessThanOrEqual(5);
    expect(info(t).sndSsthresh).toBeGreaterThanOrEqual(2);
  });

  test('step 3: and retransmits the segment that is missing, at once', () => {
    const t = inRecovery();
    expect(dataSent(t).filter((s) => s.seq === 1)).toMatchObject([{ len: MSS }]);
  });

  test('step 4, 5: each further duplicate is worth something: sending goes on in proportion', () => {
    const t = inRecovery();
    t.sent();
    for (let i = 0; i < 9; i++) t.inject('.', 1, 1, { win: 60_000 });
    const more = bytesOf(dataSent(t));
    expect(more).toBeGreaterThan(0);
    expect(more).toBeLessThanOrEqual(9 * MSS);
  });

  test('step 6: when all is acknowledged the window is ssthresh', () => {
    const t = inRecovery();
    const { sndSsthresh } = info(t);
    ack(t, 1 + 12 * MSS);
    t.sent();
    ack(t, 1 + 13 * MSS);
    expect(info(t).sndCwnd).toBeLessThanOrEqual(sndSsthresh + 1);
    expect(info(t).caState).toBe(0);
  });
});

describe('more (RFC 5681 4)', () => {
  test('4.1: after an idle time the window falls back towards the initial one', () => {
    const t = established({ mss: MSS, wscale: 7 }, 65_535);
    t.inject('.', 1, 1, { win: 60_000 });
    t.cmd({ sk: SK, opSeq: 2, options: { congestion: 'reno' } });
    let una = 1;
    for (let i = 0; i < 5; i++) {
      write(t, una - 1, info(t).sndCwnd * MSS);
      t.inject('.', 1, (una += bytesOf(dataSent(t))), { win: 60_000 });
    }
    const before = info(t).sndCwnd;
    expect(before).toBeGreaterThan(20);
    t.wait(60_000);
    write(t, una - 1, 60_000);
    expect(bytesOf(dataSent(t))).toBeLessThanOrEqual(10 * MSS);
  });

  test('4.2: an ACK is late by less than half a second, and there is one for every second full segment', () => {
    const t = established({ mss: MSS });
    let offset = 0;
    let acks = 0;
    for (let i = 0; i < 100; i++) {
      t.inject('.', 1 + offset, 1, { len: MSS });
      readTo(t, (offset += MSS));
      acks += t.sent().length;
    }
    expect(acks).toBeGreaterThanOrEqual(50);
    t.inject('.', 1 + offset, 1, { len: MSS });
    readTo(t, offset + MSS);
    t.wait(499);
    expect(t.sent().at(-1)).toMatchObject({ ack: 1 + offset + MSS });
  });

  test('4.3: a second loss in the same window does not halve it twice', () => {
    const t = inRecovery();
    const { sndSsthresh } = info(t);
    t.sent();
    t.inject('.', 1, 1 + 3 * MSS, { win: 60_000 }); // partial: the fourth segment is missing too
    t.inject('.', 1, 1 + 3 * MSS, { win: 60_000 });
    expect(dataSent(t).some((s) => s.seq === 1 + 3 * MSS)).toBe(true);
    expect(info(t).sndSsthresh).toBe(sndSsthresh);
  });

  test('4.3: with SACK only what is missing is sent again', () => {
    const t = established({ mss: MSS, sackPermitted: true });
    write(t, 0, 10 * MSS);
    t.sent();
    const block = (r: number): [number, number][] => [[(t.ourIsn + 1 + MSS) >>> 0, (t.ourIsn + r) >>> 0]];
    for (const r of [2, 3, 4, 5]) t.inject('.', 1, 1, { opts: { sack: block(1 + r * MSS) } });
    expect(new Set(dataSent(t).map((s) => s.seq))).toEqual(new Set([1]));
  });
});
