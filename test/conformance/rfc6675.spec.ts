import { describe, expect, test } from '@jest/globals';
import { TCP_ESTABLISHED } from '@skbus/skb';
import { bytesOf, dataSent, established, sack, SK, write, type Scripted } from './peer.ts';

const MSS = 1000;
const info = (t: Scripted): NonNullable<ReturnType<Scripted['tcp']['tcpInfo']>> => t.tcp.tcpInfo(SK)!;

/** Segment `n` (from 0) of the stream begins here. */
const at = (n: number): number => 1 + n * MSS;

/** `n` segments in flight, and `more` written that waits for a window. */
function flight(n: number, more = 0): Scripted {
  const t = established({ mss: MSS, sackPermitted: true }, 60_000);
  t.cmd({ sk: SK, opSeq: 2, options: { congestion: 'reno' } });
  write(t, 0, (n + more) * MSS);
  t.sent();
  return t;
}

/** The peer holds these segments beyond a hole at `una`: [from, to) counted in segments, the newest first. */
function sacked(t: Scripted, una: number, ...blocks: [number, number][]): void {
  t.inject('.', 1, at(una), { win: 60_000, ...sack(t, ...blocks.map(([l, r]): [number, number] => [at(l), at(r)])) });
}

describe('the scoreboard (RFC 6675 3, 4)', () => {
  test('Update: what is SACKed is marked once, what is acknowledged leaves', () => {
    const t = flight(10);
    sacked(t, 0, [4, 5]);
    expect(info(t)).toMatchObject({ unacked: 10, sacked: 1 });
    sacked(t, 0, [4, 5]);
    expect(info(t).sacked).toBe(1);
    sacked(t, 0, [8, 9], [4, 5]);
    expect(info(t).sacked).toBe(2);
    sacked(t, 6, [8, 9]);
    expect(info(t)).toMatchObject({ unacked: 4, sacked: 1 });
  });

  test('what was SACKed is kept until it is acknowledged', () => {
    const t = flight(4);
    sacked(t, 0, [1, 4]);
    expect(t.lastView(SK).sndUna).toBe(0);
    t.wait(100_000); // the peer reneged: all of it is still there to be sent
    t.sent();
    t.inject('.', 1, at(1), { win: 60_000 });
    t.wait(100_000);
    expect(dataSent(t).some((s) => s.seq === at(1))).toBe(true);
  });

  test('IsLost: three segments above it, or more than two segments of bytes', () => {
    const t = flight(10);
    sacked(t, 0, [2, 4]);
    expect(dataSent(t).filter((s) => s.seq === at(0))).toEqual([]);
    sacked(t, 0, [2, 5]);
    expect(dataSent(t).filter((s) => s.seq === at(0))).toHaveLength(1);
  });

  test('IsLost: discontiguous segments count as well', () => {
    const t = flight(10);
    sacked(t, 0, [2, 3]);
    sacked(t, 0, [5, 6], [2, 3]);
    expect(info(t).caState).toBe(1);
    sacked(t, 0, [8, 9], [5, 6], [2, 3]);
    expect(info(t).caState).toBe(3);
    expect(dataSent(t).map((s) => s.seq)).toContain(at(0));
  });

  test('pipe: what is SACKed or lost is not in the network, what was sent again is', () => {
    const t = flight(10);
    sacked(t, 0, [1, 10]);
    const i = info(t);
    expect(i).toMatchObject({ unacked: 10, sacked: 9, lost: 1, retrans: 1 });
    expect(i.unacked - i.sacked - i.lost + i.retrans).toBe(1);
  });

  test('NextSeg: first the holes, from the lowest up, each once; then new data', () => {
    const t = flight(10, 10);
    sacked(t, 0, [2, 4], [6, 10]);
    sacked(t, 0, [6, 10], [2, 4]);
    const order: number[] = [];
    for (let round = 0; round < 6; round++) {
      order.push(...dataSent(t).flatMap((s) => Array.from({ length: s.len / MSS }, (_, i) => (s.seq - 1) / MSS + i)));
      const top = Math.max(10, ...order.map((n) => n + 1));
      sacked(t, 0, [6, top], [2, 4]);
    }
    const holes = order.filter((n) => n < 10);
    expect(holes.slice(0, 4)).toEqual([0, 1, 4, 5]);
    expect(order.findIndex((n) => n >= 10)).toBeGreaterThanOrEqual(4);
    expect(order.some((n) => n >= 10)).toBe(true);
  });
});

describe('loss recovery (RFC 6675 5)', () => {
  test('a cumulative ACK starts the count of duplicates anew', () => {
    const t = flight(10);
    sacked(t, 0, [1, 3]);
    sacked(t, 3);
    sacked(t, 3, [4, 6]);
    expect(info(t).caState).toBe(1);
    expect(dataSent(t).filter((s) => s.seq === at(3))).toEqual([]);
  });

  test('limited transmit: the first duplicates let new data go', () => {
    const t = flight(10, 10);
    sacked(t, 0, [1, 2]);
    expect(dataSent(t)).toMatchObject([{ seq: at(10), len: MSS }]);
    sacked(t, 0, [1, 3]);
    expect(dataSent(t)).toMatchObject([{ seq: at(11), len: MSS }]);
  });

  test('limited transmit: a duplicate that says nothing new lets nothing go', () => {
    const t = flight(10, 10);
    sacked(t, 0, [1, 2]);
    t.sent();
    for (let i = 0; i < 5; i++) sacked(t, 0, [1, 2]);
    expect(dataSent(t).filter((s) => s.seq >= at(10))).toEqual([]);
  });

  test('(4): the third enters recovery: half the window, and the hole again at once', () => {
    const t = flight(10);
    sacked(t, 0, [1, 4]);
    expect(info(t)).toMatchObject({ caState: 3, sndSsthresh: 5 });
    expect(dataSent(t)).toMatchObject([{ seq: at(0), len: MSS }]);
    expect(t.env.mib.get('TcpExtTCPSackRecovery')).toBe(1);
  });

  test('(A): an ACK of all that was out then ends it', () => {
    const t = flight(10, 10);
    sacked(t, 0, [1, 4]);
    const high = Math.max(...dataSent(t).map((s) => s.seq + s.len), at(10));
    t.inject('.', 1, at(9), { win: 60_000 });
    expect(info(t).caState).toBe(3);
    t.inject('.', 1, high, { win: 60_000 });
    t.sent();
    expect(info(t).caState).toBe(0);
    expect(info(t).sndCwnd).toBeLessThanOrEqual(6);
  });

  test('(B), (C): each ACK in recovery updates the board and sends what fits', () => {
    const t = flight(10, 20);
    sacked(t, 0, [1, 4]);
    t.sent();
    let total = 0;
    for (let n = 5; n <= 10; n++) {
      sacked(t, 0, [1, n]);
      total += bytesOf(dataSent(t));
      const i = info(t);
      expect(i.unacked - i.sacked - i.lost + i.retrans).toBeLessThanOrEqual(Math.max(i.sndCwnd, i.sndSsthresh));
    }
    expect(total).toBeGreaterThan(0);
  });

  test('5.1: after a timeout in recovery no new recovery begins before all that was out is acknowledged', () => {
    const t = flight(10, 10);
    sacked(t, 0, [1, 4]);
    t.wait(5000);
    t.sent();
    expect(info(t).caState).toBe(4);
    const { sndSsthresh } = info(t);
    sacked(t, 1, [2, 9]);
    expect(info(t).caState).toBe(4);
    expect(info(t).sndSsthresh).toBe(sndSsthresh);
    expect(t.env.mib.get('TcpExtTCPSackRecovery')).toBe(1);
  });

  test('5.1: and what the peer holds is not sent again after it', () => {
    const t = flight(10);
    sacked(t, 0, [2, 9]);
    t.sent();
    t.wait(60_000);
    const again = dataSent(t).map((s) => (s.seq - 1) / MSS);
    expect(again.length).toBeGreaterThan(0);
    expect(again.filter((n) => n >= 2 && n < 9)).toEqual([]);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test('6: the retransmission of the first hole starts the timer anew', () => {
    const t = flight(10);
    const { rto } = info(t);
    t.wait(rto - 20);
    sacked(t, 0, [1, 4]);
    expect(dataSent(t).filter((s) => s.seq === at(0))).toHaveLength(1);
    t.wait(rto - 50);
    expect(info(t).caState).toBe(3);
  });
});
