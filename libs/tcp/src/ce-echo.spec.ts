import { describe, expect, test } from '@jest/globals';
import { TCP_ESTABLISHED } from '@skbus/skb';
import { ADDR_B, Pair } from './testing/pair.ts';
import type { MiniSock } from './testing/mini-socket.ts';
import { Scripted, SK, THEM } from './testing/peer.ts';

const DCTCP = { tcpCongestionControl: 'dctcp' };

/** A server with DCTCP whose peer has sent 10 segments unmarked, so that ACKs are delayed from here on. */
function server(): [Scripted, number, (n: number, tos: number, flags?: string) => void, (to: number) => void] {
  const t = new Scripted({ sysctl: DCTCP });
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
  t.inject('SEW', 0, 0, { opts: { mss: 1000, sackPermitted: true }, tos: 2 });
  expect(t.sent()[0]).toMatchObject({ flags: 'S.E' });
  t.inject('.', 1, 1);
  const child = t.events.find((e) => e.child)!.sk;
  t.view(child, {});
  let next = 1;
  const data = (n: number, tos: number, flags = '.'): void => {
    t.inject(flags, next, 1, { len: n, tos });
    next += n;
  };
  const confirm = (to: number): void => t.view(child, { rcvGot: to - 1, rcvRead: to - 1 });
  for (let i = 0; i < 20; i++) {
    data(1000, 2);
    confirm(next);
  }
  t.wait(50);
  t.sent();
  return [t, next, data, confirm];
}

describe('each change of the marks is echoed (RFC 8257 3.2)', () => {
  test('a delayed ACK goes first and still tells the old state, then the new one at once', () => {
    const [t, at, data, confirm] = server();
    data(1000, 2);
    confirm(at + 1000);
    expect(t.sentText()).toEqual([]);
    data(1000, 3);
    expect(t.sentText()).toEqual([`. 1:1 ack ${at + 1000}`]);
    confirm(at + 2000);
    expect(t.sent()).toMatchObject([{ flags: '.E', ack: at + 2000 }]);
    data(1000, 3);
    confirm(at + 3000);
    expect(t.sentText()).toEqual([]);
    data(1000, 2);
    expect(t.sent()).toMatchObject([{ flags: '.E', ack: at + 3000 }]);
    confirm(at + 4000);
    expect(t.sent()).toMatchObject([{ flags: '.', ack: at + 4000 }]);
  });

  test('what the socket layer confirms late, and all at once, is told change by change', () => {
    const [t, at, data, confirm] = server();
    for (const tos of [2, 3, 3, 2, 3]) data(1000, tos);
    expect(t.sent()).toEqual([]);
    confirm(at + 5000);
    expect(t.sentText()).toEqual([
      `. 1:1 ack ${at + 1000}`,
      `.E 1:1 ack ${at + 3000}`,
      `. 1:1 ack ${at + 4000}`,
      `.E 1:1 ack ${at + 5000}`,
    ]);
  });

  test('CWR does not end the echo, the first unmarked segment does', () => {
    const [t, at, data, confirm] = server();
    data(1000, 3);
    confirm(at + 1000);
    expect(t.sent()).toMatchObject([{ flags: '.E', ack: at + 1000 }]);
    data(1000, 3, '.W');
    confirm(at + 2000);
    expect(t.sent()).toMatchObject([{ flags: '.E', ack: at + 2000 }]);
    data(1000, 2);
    confirm(at + 3000);
    expect(t.sent()).toMatchObject([{ flags: '.', ack: at + 3000 }]);
  });
});

/** A transfer over a link that marks `share` of the packets: what the sender heard of it, and its mean window in the end. */
function transfer(share: number): { told: number; reductions: number; cwnd: number } {
  const p = new Pair({ gro: false, latencyMs: 5, sysctl: DCTCP });
  const listener = p.b.socks.listen(80);
  p.run(() => listener.opAck === 1);
  const c = p.a.socks.connect(ADDR_B, 80);
  let s: MiniSock | undefined;
  p.run(() => (s ??= p.b.socks.accept(listener)) !== undefined && c.established);
  let packets = 0;
  p.a.marks = () => Math.floor(++packets * share) > Math.floor((packets - 1) * share);
  const bytes = 8_000_000;
  p.a.socks.write(c, new Uint8Array(bytes));
  let reductions = 0;
  const cwnds: number[] = [];
  let { sndSsthresh } = p.a.tcp.tcpInfo(c.id)!;
  p.run(() => {
    const now = p.a.tcp.tcpInfo(c.id)!;
    if (s!.received.length > bytes / 2) cwnds.push(now.sndCwnd);
    if (now.sndSsthresh !== sndSsthresh) reductions++;
    sndSsthresh = now.sndSsthresh;
    return s!.received.length === bytes;
  });
  const { mib } = p.a.env;
  return {
    told: mib.get('TcpExtTCPDeliveredCE') / mib.get('TcpExtTCPDelivered'),
    reductions,
    cwnd: cwnds.reduce((a, b) => a + b, 0) / cwnds.length,
  };
}

describe('two hosts and a link that marks', () => {
  test('the sender hears of just the packets marked, and so many marks more is so much less window', () => {
    const windows: number[] = [];
    for (const share of [0.02, 0.05, 0.1, 0.2]) {
      const { told, cwnd } = transfer(share);
      expect(told).toBeCloseTo(share, 2);
      windows.push(cwnd * share);
    }
    // Reno's would grow threefold: its window goes by the square root
    expect(Math.max(...windows) / Math.min(...windows)).toBeLessThan(1.4);
  });

  test('every packet marked: the least window; none: no reduction', () => {
    expect(transfer(1).cwnd).toBe(2);
    expect(transfer(0)).toMatchObject({ told: 0, reductions: 0 });
  });

  test('a SYN is lost: the handshake ends before the algorithm starts', () => {
    const t = new Scripted({ sysctl: DCTCP });
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    expect(t.sent()).toMatchObject([{ flags: 'SEW', tos: 2 }]);
    t.wait(1100);
    t.inject('S.E', 0, 1, { opts: { mss: 1000 } });
    expect(t.tcp.tcpInfo(SK)!.state).toBe(TCP_ESTABLISHED);
  });
});
