import { describe, expect, test } from '@jest/globals';
import { bytesOf, dataSent, established, sack, Scripted, SK, THEM, write, type Sysctl } from './peer.ts';

const MSS = 1000;
const RTT = 100;
const info = (t: Scripted): NonNullable<ReturnType<Scripted['tcp']['tcpInfo']>> => t.tcp.tcpInfo(SK)!;

/** Segment `n` of what is in flight begins here. */
const at = (n: number, base = 0): number => 1 + (base + n) * MSS;

/** A connection whose RTT is known to be 100 ms, after `BASE` segments. */
const BASE = 20;
function connection(sysctl: Sysctl['sysctl'] = {}): Scripted {
  const t = new Scripted({ sysctl });
  t.theirPort = 8080;
  t.cmd({ sk: SK, opSeq: 1, options: { congestion: 'reno' }, connect: { addr: THEM, port: 8080 } });
  t.wait(RTT);
  t.inject('S.', 0, 1, { opts: { mss: MSS, sackPermitted: true }, win: 60_000 });
  for (let i = 0; i < BASE; i++) {
    write(t, i * MSS, MSS);
    t.wait(RTT);
    t.inject('.', 1, at(i + 1), { win: 60_000 });
  }
  t.sent();
  return t;
}

/** The application writes `n` segments; what was sent of them. */
function flight(t: Scripted, n: number): void {
  write(t, t.lastView(SK).sndGot, n * MSS);
  t.sent();
}

/** The peer acknowledges the segments below `una` and holds these blocks beyond, in segments of the flight. */
function ack(t: Scripted, una: number, ...blocks: [number, number][]): void {
  const edges = blocks.map(([l, r]): [number, number] => [at(l, BASE), at(r, BASE)]);
  t.inject('.', 1, at(una, BASE), blocks.length > 0 ? { win: 60_000, ...sack(t, ...edges) } : { win: 60_000 });
}

/** Which segments of the flight were sent since the last look, by number. */
const numbers = (t: Scripted): number[] =>
  dataSent(t).flatMap((s) => Array.from({ length: Math.ceil(s.len / MSS) }, (_, i) => (s.seq - 1) / MSS - BASE + i));

describe('the reordering window (RFC 8985 3.3.2, 6.2)', () => {
  test('with three segments SACKed and no reordering seen it is zero', () => {
    const t = connection();
    flight(t, 8);
    t.wait(RTT);
    ack(t, 0, [1, 4]);
    expect(numbers(t)).toEqual([0]);
  });

  test('with fewer it is a quarter of the least RTT', () => {
    const t = connection();
    flight(t, 4);
    t.wait(RTT);
    ack(t, 0, [1, 2]);
    expect(numbers(t)).toEqual([]);
    t.wait(RTT / 4 - 3);
    expect(numbers(t)).toEqual([]);
    t.wait(8);
    expect(numbers(t)).toEqual([0]);
    expect(info(t).caState).toBe(3);
  });

  test('in recovery, without reordering, it is zero', () => {
    const t = connection();
    flight(t, 8);
    t.wait(RTT);
    ack(t, 0, [1, 4]);
    t.sent();
    t.wait(1);
    ack(t, 0, [1, 4], [6, 7]); // 4 and 5 were sent before 6
    expect(numbers(t)).toEqual([4, 5]);
  });

  test('reordering that was seen makes duplicates count for less than time', () => {
    const t = connection();
    flight(t, 6);
    t.wait(RTT);
    ack(t, 0, [1, 3]);
    ack(t, 3); // 0 was only late
    t.sent();
    t.wait(RTT);
    ack(t, 6);
    write(t, t.lastView(SK).sndGot, 8 * MSS);
    t.sent();
    t.wait(RTT);
    ack(t, 6, [7, 11]);
    expect(numbers(t)).toEqual([]);
    t.wait(RTT / 4 + 8);
    expect(numbers(t)).toEqual([6]);
  });

  /** Reordering, then `n` round trips whose retransmission a DSACK says was for nothing. Returns how long the next hole waits. */
  const afterDsacks = (n: number): number => {
    const t = connection();
    flight(t, 6);
    t.wait(RTT);
    ack(t, 0, [1, 3]);
    ack(t, 6);
    let una = 6;
    for (let i = 0; i < n; i++) {
      flight(t, 4);
      t.wait(RTT);
      ack(t, una, [una + 1, una + 4]);
      t.wait(2 * RTT);
      expect(numbers(t)).toContain(una);
      ack(t, una + 4, [una, una + 1]); // the DSACK
      una += 4;
    }
    flight(t, 4);
    t.wait(RTT);
    ack(t, una, [una + 1, una + 4]);
    for (let ms = 0; ms < 10 * RTT; ms++) {
      if (numbers(t).includes(una)) return ms;
      t.wait(1);
    }
    return -1;
  };

  test('a DSACK makes it a quarter longer', () => {
    expect(afterDsacks(0)).toBeGreaterThan(20);
    expect(afterDsacks(0)).toBeLessThan(32);
    expect(afterDsacks(1)).toBeGreaterThan(45);
    expect(afterDsacks(1)).toBeLessThan(60);
  });

  test('but never longer than the smoothed RTT', () => {
    expect(afterDsacks(12)).toBeLessThanOrEqual(RTT + 20);
  });
});

describe('detecting losses (RFC 8985 6.2, 9.3)', () => {
  test('a lost retransmission is found by what was sent after it', () => {
    const t = connection();
    flight(t, 8);
    t.wait(RTT);
    ack(t, 0, [2, 5]);
    expect(numbers(t)).toEqual([0, 1]);
    t.wait(RTT);
    ack(t, 0, [1, 5]); // the retransmission of 1 arrived, that of 0 did not
    t.wait(RTT / 4 + 8);
    expect(numbers(t)).toContain(0);
  });

  test('what was sent at the same time is told apart by its place', () => {
    const t = connection();
    flight(t, 3);
    t.wait(RTT);
    ack(t, 0, [0, 0], [1, 2]);
    t.wait(RTT / 4 + 8);
    expect(numbers(t)).toEqual([0]);
  });

  test('the ACK of a retransmission that comes too soon is the original’s', () => {
    const t = connection();
    flight(t, 8);
    t.wait(RTT);
    ack(t, 0, [1, 4]);
    expect(numbers(t)).toEqual([0]);
    t.wait(5);
    ack(t, 4); // no round trip takes 5 ms here
    t.wait(10);
    expect(numbers(t).filter((n) => n >= 1 && n < 8)).toEqual([]);
  });

  test('without SACK there is none of it', () => {
    const t = established({ mss: MSS }, 60_000);
    write(t, 0, 3 * MSS);
    t.sent();
    t.inject('.', 1, 1, { win: 60_000 });
    t.wait(100);
    expect(dataSent(t)).toEqual([]);
  });

  test('the least RTT is that of the last five minutes', () => {
    const t = connection();
    expect(info(t).minRtt).toBeLessThanOrEqual(RTT);
    let una = 0;
    for (let i = 0; i < 40; i++) {
      flight(t, 1);
      t.wait(400);
      ack(t, ++una);
      t.wait(20_000);
    }
    expect(info(t).minRtt).toBeGreaterThan(RTT);
  });

  test('what is lost leaves as the congestion window allows', () => {
    const t = connection();
    flight(t, 10);
    t.wait(RTT);
    ack(t, 0, [9, 10]);
    t.wait(RTT / 4 + 8); // nine are lost at once
    const { lost, retrans, sndCwnd } = info(t);
    expect(lost).toBeGreaterThan(5);
    expect(retrans).toBeLessThan(lost);
    expect(info(t).unacked - info(t).sacked - lost + retrans).toBeLessThanOrEqual(sndCwnd);
  });
});

describe('the probe of the tail (RFC 8985 7)', () => {
  test('after two round trips the last segment goes again', () => {
    const t = connection();
    flight(t, 3);
    const { rtt } = info(t);
    t.wait(2 * rtt - 3);
    expect(numbers(t)).toEqual([]);
    t.wait(8);
    expect(numbers(t)).toEqual([2]);
    expect(t.env.mib.get('TcpExtTCPLossProbes')).toBe(1);
  });

  test('a single segment is given the time of a delayed ACK more', () => {
    const t = connection();
    flight(t, 1);
    const { rtt } = info(t);
    t.wait(2 * rtt + 20);
    expect(numbers(t)).toEqual([]);
    t.wait(200);
    expect(numbers(t)).toEqual([0]);
  });

  test('new data goes rather than the last segment again', () => {
    const t = connection();
    const { sndCwnd } = info(t);
    flight(t, sndCwnd + 5);
    const { rtt } = info(t);
    t.wait(2 * rtt + 8);
    expect(numbers(t)).toEqual([sndCwnd]);
  });

  test('without an RTT it is a second', () => {
    const t = new Scripted();
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.wait(1100); // the SYN was sent twice, so its answer is no sample
    t.inject('S.', 0, 1, { opts: { mss: MSS, sackPermitted: true }, win: 60_000 });
    write(t, 0, 3 * MSS);
    t.sent();
    t.wait(990);
    expect(dataSent(t)).toEqual([]);
    t.wait(20);
    expect(dataSent(t)).toMatchObject([{ seq: 1 + 2 * MSS, len: MSS }]);
  });

  test('one probe at a time, and then the timeout', () => {
    const t = connection();
    flight(t, 3);
    const { rtt, rto } = info(t);
    t.wait(2 * rtt + 8);
    expect(numbers(t)).toEqual([2]);
    t.wait(rto - 20);
    expect(numbers(t)).toEqual([]);
    t.wait(30);
    expect(numbers(t)).toEqual([0]);
    expect(info(t).caState).toBe(4);
    expect(t.env.mib.get('TcpExtTCPLossProbes')).toBe(1);
  });

  test('with segments SACKed, or in recovery, there is none', () => {
    const t = connection();
    flight(t, 8);
    t.wait(RTT);
    ack(t, 0, [1, 4]);
    t.sent();
    t.wait(2 * RTT + 20);
    expect(t.env.mib.get('TcpExtTCPLossProbes')).toBe(0);
  });

  test('an ACK of new data starts it anew', () => {
    const t = connection();
    flight(t, 4);
    const { rtt } = info(t);
    t.wait(2 * rtt - 20);
    ack(t, 1);
    t.wait(2 * rtt - 20);
    expect(numbers(t)).toEqual([]);
    t.wait(60);
    expect(numbers(t)).toEqual([3]);
  });

  test('its answer lets RACK find the rest', () => {
    const t = connection();
    flight(t, 4);
    t.wait(2 * info(t).rtt + 8);
    expect(numbers(t)).toEqual([3]);
    t.wait(RTT);
    ack(t, 0, [3, 4]);
    t.wait(RTT / 4 + 8);
    expect(numbers(t)[0]).toBe(0);
    expect(info(t)).toMatchObject({ caState: 3, lost: 3 });
  });

  test('a loss that the probe itself has repaired shrinks the window', () => {
    const t = connection();
    flight(t, 4);
    t.wait(2 * info(t).rtt + 8);
    const { sndCwnd } = info(t);
    ack(t, 4);
    flight(t, 1);
    t.wait(RTT);
    ack(t, 5);
    expect(info(t).sndCwnd).toBeLessThan(sndCwnd);
    expect(t.env.mib.get('TcpExtTCPLossProbeRecovery')).toBe(1);
  });

  test('one that was for nothing, as a DSACK says, does not', () => {
    const t = connection();
    flight(t, 4);
    t.wait(2 * info(t).rtt + 8);
    const { sndCwnd } = info(t);
    ack(t, 4);
    ack(t, 4, [3, 4]);
    flight(t, 1);
    t.wait(RTT);
    ack(t, 5);
    expect(info(t).sndCwnd).toBeGreaterThanOrEqual(sndCwnd);
    expect(bytesOf(t.sent())).toBe(0);
  });

  test('a probe does not stop the next one once an RTT is known', () => {
    const t = connection();
    flight(t, 3);
    t.wait(2 * info(t).rtt + 8);
    ack(t, 3);
    t.wait(50);
    flight(t, 1);
    t.wait(RTT);
    ack(t, 4);
    flight(t, 3);
    t.wait(2 * info(t).rtt + 8);
    expect(t.env.mib.get('TcpExtTCPLossProbes')).toBe(2);
  });
});
