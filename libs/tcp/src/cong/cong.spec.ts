import { describe, expect, test } from '@jest/globals';
import { CongPath } from '../testing/cong-path.ts';
import { CaEvent, congAvoidAi, slowStart } from './cong.ts';
import { cubic } from './cubic.ts';
import { dctcp } from './dctcp.ts';
import { reno } from './reno.ts';

/** The window over some round trips. */
const rounds = (p: CongPath, n: number, rttMs: number, o = {}): number[] =>
  Array.from({ length: n }, () => p.round(rttMs, o));

describe('Reno (RFC 5681)', () => {
  test('slow start to the threshold, then one segment per window', () => {
    const { sk } = new CongPath(reno);
    sk.ssthresh = 15;
    expect(slowStart(sk, 8)).toBe(3);
    expect(sk.cwnd).toBe(15);
    for (let i = 0; i < 15; i++) congAvoidAi(sk, sk.cwnd, 1);
    expect(sk.cwnd).toBe(16);
  });

  test.each([1, 2, 4, 10])('slow start doubles whether an ACK is for 1 or for %i segments', (perAck) => {
    expect(rounds(new CongPath(reno), 3, 100, { perAck })).toEqual([20, 40, 80]);
  });

  test('half the window after a loss, at least two; an undo takes it all back', () => {
    const p = new CongPath(reno);
    p.sk.cwnd = 21;
    p.loss();
    expect(p.sk.cwnd).toBe(10);
    expect(reno.undoCwnd(p.sk)).toBe(21);
    p.sk.cwnd = 1;
    p.loss();
    expect(p.sk.cwnd).toBe(2);
  });

  test('it does not grow while the application sends less than the window', () => {
    const p = new CongPath(reno);
    p.sk.cwndLimited = false;
    p.sk.maxPacketsOut = 5;
    reno.congAvoid!(p, p.sk, 5);
    expect(p.sk.cwnd).toBe(10);
    p.sk.maxPacketsOut = 6; // in slow start up to twice of what was used
    reno.congAvoid!(p, p.sk, 5);
    expect(p.sk.cwnd).toBe(15);
  });
});

describe('CUBIC (RFC 9438)', () => {
  const BETA = 717 / 1024;
  const C = 0.4;
  const afterLoss = (wMax: number, sysctl = {}): CongPath => {
    const p = new CongPath(cubic, sysctl);
    p.round(100);
    p.sk.cwnd = wMax;
    p.loss();
    return p;
  };

  test('the curve is C (t - K)³ + W_max, concave below W_max and convex above', () => {
    const p = afterLoss(1000);
    expect(p.sk.cwnd).toBe(Math.floor(1000 * BETA));
    const k = Math.cbrt((1000 * (1 - BETA)) / C);
    const t0 = p.now + 100; // the epoch begins with the first ACK
    for (let i = 0; i < 150; i++) {
      const cwnd = p.round(100);
      // an ACK's increase aims at the curve one RTT ahead, so the window is on it a round later
      const t = (p.now - t0) / 1000;
      const want = C * (t - k) ** 3 + 1000;
      if (i > 10) expect(Math.abs(cwnd - want) / want).toBeLessThan(0.02);
    }
    expect(p.sk.cwnd).toBeGreaterThan(1050);
  });

  test('with a short RTT it is as fast as Reno with the same beta (4.3)', () => {
    const p = afterLoss(40);
    const from = p.sk.cwnd;
    rounds(p, 100, 2);
    // alpha_cubic = 3 (1 - beta) / (1 + beta) = 0.53 segments per round trip
    const alpha = (3 * (1 - BETA)) / (1 + BETA);
    expect((p.sk.cwnd - from) / 100).toBeGreaterThan(0.85 * alpha);
    expect((p.sk.cwnd - from) / 100).toBeLessThan(1.15 * alpha);
    const slow = afterLoss(40, { cubicTcpFriendliness: false });
    rounds(slow, 100, 2);
    expect(slow.sk.cwnd).toBeLessThan(p.sk.cwnd / 1.5);
  });

  test('fast convergence (4.7): a second loss below W_max makes room for others', () => {
    const plateau = (cubicFastConvergence: boolean): number => {
      const p = afterLoss(1000, { cubicFastConvergence });
      p.sk.cwnd = 900;
      p.loss();
      return rounds(p, 85, 100).at(-1)!;
    };
    expect(plateau(true)).toBeLessThan(800);
    expect(plateau(false)).toBeGreaterThan(850);
  });

  test('an idle time does not count as time of growth (5.8)', () => {
    const p = afterLoss(1000);
    rounds(p, 20, 100);
    const before = p.sk.cwnd;
    p.now += 60_000;
    cubic.cwndEvent!(p, p.sk, CaEvent.TxStart);
    expect(p.round(100)).toBeLessThan(before * 1.03);
  });

  test('no loss yet but past the threshold: 5 % per round trip', () => {
    const p = new CongPath(cubic);
    p.sk.ssthresh = 100;
    p.sk.cwnd = 100;
    const w = rounds(p, 3, 10);
    expect(w[2]! - 100).toBeGreaterThanOrEqual(14);
    expect(w[2]! - 100).toBeLessThanOrEqual(17);
  });

  test('a timeout forgets the curve', () => {
    const p = afterLoss(1000);
    p.timeout();
    expect(p.sk.ssthresh).toBe(Math.floor((700 * 717) / 1024));
    p.sk.caState = 0;
    expect(rounds(p, 3, 100)).toEqual([2, 4, 8]);
  });
});

describe('HyStart++ (RFC 9406)', () => {
  test('a stable RTT is plain slow start', () => {
    expect(rounds(new CongPath(cubic), 5, 40)).toEqual([20, 40, 80, 160, 320]);
  });

  test('an RTT that rises by an eighth: a quarter of the pace for five rounds, then the end of slow start', () => {
    const p = new CongPath(cubic);
    rounds(p, 3, 80);
    expect(p.sk.cwnd).toBe(80);
    p.round(91); // its first ACKs still belong to the round before
    const w = rounds(p, 6, 91);
    for (let i = 1; i < 5; i++) expect(w[i]! / w[i - 1]!).toBeCloseTo(1.25, 1);
    const { ssthresh } = p.sk;
    expect(ssthresh).toBeGreaterThan(w[3]!);
    expect(ssthresh).toBeLessThanOrEqual(w[5]!);
    expect(p.env.mib.get('TcpExtTCPHystartDelayDetect')).toBe(1);
    expect(p.env.mib.get('TcpExtTCPHystartDelayCwnd')).toBe(ssthresh);
  });

  test('less than the threshold is no signal; 4 ms is the least', () => {
    const p = new CongPath(cubic);
    rounds(p, 2, 10);
    expect(rounds(p, 2, 13)).toEqual([80, 160]);
    expect(rounds(p, 1, 18)[0]).toBeLessThan(320);
  });

  test('the RTT falls again: a false alarm, slow start resumes', () => {
    const p = new CongPath(cubic);
    rounds(p, 3, 80);
    rounds(p, 2, 95);
    const before = p.sk.cwnd;
    p.round(80);
    expect(p.sk.cwnd).toBeGreaterThan(before * 1.8);
    expect(p.sk.ssthresh).toBeGreaterThan(1e6);
  });

  test('L: without pacing an ACK may count for at most that many', () => {
    const p = new CongPath(cubic, { cubicHystartLimit: 8 });
    p.round(40, { perAck: 10 });
    expect(p.sk.cwnd).toBe(18);
    p.sk.pacing = true;
    p.sk.cwnd = 20;
    p.round(40, { perAck: 20 });
    expect(p.sk.cwnd).toBe(40);
  });

  test('only the first slow start (4.3)', () => {
    const p = new CongPath(cubic);
    rounds(p, 3, 80);
    p.timeout();
    p.sk.caState = 0;
    rounds(p, 3, 80);
    p.sk.ssthresh = 1000;
    expect(rounds(p, 2, 160)).toEqual([16, 32]);
  });
});

describe("Linux's HyStart", () => {
  test('the delay of the first eight ACKs of a round ends slow start at once', () => {
    const p = new CongPath(cubic, { cubicHystart: 1, cubicHystartDetect: 2 });
    rounds(p, 2, 80);
    p.round(91);
    expect(p.sk.ssthresh).toBe(48); // the ninth ACK of the round of 40
    expect(p.env.mib.get('TcpExtTCPHystartDelayDetect')).toBe(1);
  });

  test('a train of ACKs as long as half the path', () => {
    const p = new CongPath(cubic, { cubicHystart: 1, cubicHystartDetect: 1 });
    rounds(p, 3, 20, { spreadMs: 5 });
    expect(p.sk.ssthresh).toBeGreaterThan(1e6);
    p.round(20, { spreadMs: 12 });
    expect(p.env.mib.get('TcpExtTCPHystartTrainDetect')).toBe(1);
    expect(p.sk.ssthresh).toBeLessThan(160);
  });

  test('windows below hystart_low_window are not judged, and 0 turns it off', () => {
    const p = new CongPath(cubic, { cubicHystart: 1 });
    p.round(10);
    p.sk.cwnd = 10;
    p.round(100);
    expect(p.sk.ssthresh).toBeGreaterThan(1e6);
    const off = new CongPath(cubic, { cubicHystart: 0, cubicInitialSsthresh: 33 });
    expect(off.sk.ssthresh).toBe(33);
  });
});

describe('DCTCP (RFC 8257)', () => {
  const marked = (each: number, n: number): CongPath => {
    const p = new CongPath(dctcp);
    for (let i = 0; i < n; i++) {
      p.sk.cwnd = 100;
      p.sk.ssthresh = 50;
      p.round(1, { marked: each });
    }
    p.sk.cwnd = 100;
    return p;
  };

  test('alpha starts at one and halves the window, as Reno would', () => {
    const p = new CongPath(dctcp);
    expect(dctcp.ssthresh(p, p.sk)).toBe(5);
  });

  test.each([
    [0, 100],
    [10, 95],
    [50, 75],
    [100, 50],
  ])('%i %% marked: the window of 100 goes to about %i', (each, want) => {
    const p = marked(each, 100);
    expect(Math.abs(dctcp.ssthresh(p, p.sk) - want)).toBeLessThanOrEqual(2);
  });

  test('a loss is a loss; without ECN it is Reno', () => {
    const p = marked(0, 100);
    p.sk.cwnd = 100;
    p.loss();
    expect(p.sk.ssthresh).toBe(50);
    expect(dctcp.undoCwnd(p.sk)).toBe(100);
    p.sk.ecnOk = false;
    p.sk.cwnd = 30;
    expect(dctcp.ssthresh(p, p.sk)).toBe(15);
  });
});
