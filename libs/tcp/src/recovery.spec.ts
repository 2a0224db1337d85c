import { describe, expect, test } from '@jest/globals';
import type { MibName } from '@skbus/skb';
import type { TcpOptions } from '@skbus/wire';
import { MinRtt } from './min-rtt.ts';
import { makeRec, RtxQueue } from './rtx-queue.ts';
import { Scripted, SK, THEM } from './testing/peer.ts';
import type { TcpStackOptions } from './stack.ts';

const RTT = 100;

/** An active connection whose handshake took 100 ms; `n` segments of 1000 bytes are out. */
function sending(
  n: number,
  sysctl: TcpStackOptions['sysctl'] = {},
  probeFloorMs?: TcpStackOptions['probeFloorMs'],
): Scripted {
  const t = new Scripted({ sysctl: { tcpCongestionControl: 'reno', ...sysctl }, probeFloorMs });
  t.theirPort = 8080;
  t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
  t.wait(RTT);
  t.inject('S.', 0, 1, { opts: { mss: 1000, sackPermitted: true } });
  t.sent();
  t.cmd({ sk: SK, data: { offset: 0, data: new Uint8Array(n * 1000).fill(7) } });
  t.wait(RTT);
  t.sent();
  return t;
}

const seq = (t: Scripted, position: number): number => (t.ourIsn + position) >>> 0;
const sack = (t: Scripted, ...blocks: [number, number][]): { opts: TcpOptions } => ({
  opts: { sack: blocks.map(([a, b]) => [seq(t, a), seq(t, b)]) },
});
const counted = (t: Scripted, names: MibName[]): number[] => names.map((n) => t.env.mib.get(n));

describe('what is counted', () => {
  test('a tail loss probe that repairs a loss', () => {
    const t = sending(2);
    t.wait(110);
    expect(t.sentText()).toEqual(['P. 1001:2001 ack 1']);
    t.inject('.', 1, 2001);
    t.cmd({ sk: SK, data: { offset: 2000, data: new Uint8Array(1000) } });
    t.inject('.', 1, 3001);
    expect(counted(t, ['TcpExtTCPLossProbes', 'TcpExtTCPLossProbeRecovery', 'TcpExtTCPTimeouts'])).toEqual([1, 1, 0]);
  });

  test('the floor under a probe is low for new data, which costs nothing when it is too early', () => {
    const floor = { newData: 250, retrans: 300 };
    const counts = (t: Scripted): number[] => [t.sent().length, ...counted(t, ['TcpExtTCPLossProbes'])];
    // 10 of 12 segments fill the initial window
    const news = sending(12, {}, floor);
    news.wait(250 - RTT - 1);
    expect(counts(news)).toEqual([0, 0]);
    news.wait(2);
    expect(news.sentText()).toEqual(['. 10001:11001 ack 1']);

    const again = sending(2, {}, floor);
    again.wait(300 - RTT - 1);
    expect(counts(again)).toEqual([0, 0]);
    again.wait(2);
    expect(again.sentText()).toEqual(['P. 1001:2001 ack 1']);
  });

  test('recovery by SACK, and its undoing by a DSACK', () => {
    const t = sending(10);
    t.inject('.', 1, 1, sack(t, [1001, 4001]));
    expect(t.sentText()).toEqual(['. 1:1001 ack 1']);
    t.inject('.', 1, 10_001);
    t.inject('.', 1, 10_001, sack(t, [1, 1001]));
    expect(
      counted(t, [
        'TcpExtTCPSackRecovery',
        'TcpExtTCPFastRetrans',
        'TcpExtTCPDSACKRecv',
        'TcpExtTCPDSACKRecvSegs',
        'TcpExtTCPDSACKUndo',
      ]),
    ).toEqual([1, 1, 1, 1, 1]);
  });

  test('a peer that drops what it SACKed', () => {
    const t = sending(6);
    t.inject('.', 1, 1, sack(t, [1001, 3001]));
    t.inject('.', 1, 1001);
    t.wait(60);
    expect(counted(t, ['TcpExtTCPSACKReneging', 'TcpExtTCPTimeouts'])).toEqual([1, 1]);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ sacked: 0, caState: 4 });
  });

  test('a retransmission that is lost as well', () => {
    const t = sending(12);
    t.inject('.', 1, 1, sack(t, [1001, 10_001]));
    t.wait(RTT);
    t.inject('.', 1, 1, sack(t, [1001, 11_001]));
    expect(counted(t, ['TcpExtTCPLostRetransmit'])).toEqual([1]);
  });

  test('a DSACK for more than was ever sent twice is not believed', () => {
    const t = sending(4);
    t.inject('.', 1, 4001, sack(t, [1, 1001]));
    expect(counted(t, ['TcpExtTCPDSACKIgnoredDubious', 'TcpExtTCPDSACKRecvSegs'])).toEqual([1, 0]);
  });

  test('a peer that SACKs segment by segment does not shred the queue', () => {
    const t = sending(10);
    for (let i = 2; i <= 10; i++) t.inject('.', 1, 1, sack(t, [1001, i * 1000 + 1]));
    const [merged, shifted] = counted(t, ['TcpExtTCPSackMerged', 'TcpExtTCPSackShifted']);
    expect(merged! + shifted!).toBeGreaterThan(7);
    expect(t.tcp.tcpInfo(SK)!.sacked).toBe(9);
    t.inject('.', 1, 10_001);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ sacked: 0, lost: 0, retrans: 0, unacked: 0 });
  });
});

test('R1: IP is told to look for another way after tcp_retries1 doublings', () => {
  const t = sending(1);
  t.startTrace();
  t.wait(3000);
  expect(t.trace).not.toContain('__dst_negative_advice');
  t.wait(12_000);
  expect(t.trace).toContain('__dst_negative_advice');
});

test('the order by time of sending follows splits, retransmissions and losses', () => {
  const q = new RtxQueue();
  const order = (): number[] => {
    const out: number[] = [];
    for (let r = q.oldest; r !== undefined; r = r.newer) out.push(r.seq);
    return out;
  };
  for (const at of [0, 100, 200]) q.push(makeRec(at, at + 100, 0, 50));
  q.split(1, 150);
  expect(order()).toEqual([0, 100, 150, 200]);
  q.sentNow(q.at(0));
  expect(order()).toEqual([100, 150, 200, 0]);
  q.forget(q.at(2));
  q.forget(q.at(2));
  expect(order()).toEqual([100, 200, 0]);
  q.shift();
  expect(order()).toEqual([100, 200]);
});

test('the least RTT is believed for a while, then the next best one', () => {
  const m = new MinRtt();
  m.update(10, 0, 1000);
  m.update(30, 300, 1000);
  m.update(20, 600, 1000);
  expect(m.ms).toBe(10);
  m.update(40, 1001, 1000);
  expect(m.ms).toBe(20);
  m.update(5, 1100, 1000);
  expect(m.ms).toBe(5);
});
