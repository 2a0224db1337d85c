import { describe, expect, test } from '@jest/globals';
import { TCP_ESTABLISHED, TCP_TIME_WAIT, TCP_CLOSE } from '@skbus/skb';
import { ADDR_B, Pair, type PairOptions } from './testing/pair.ts';
import type { MiniSock } from './testing/mini-socket.ts';

const pattern = (n: number, salt: number): Uint8Array => {
  const b = new Uint8Array(n);
  for (let i = 0; i < n; i++) b[i] = (i * 31 + (i >>> 8) * 7 + salt) & 255;
  return b;
};

function open(p: Pair): [MiniSock, MiniSock] {
  const listener = p.b.socks.listen(80);
  p.run(() => listener.opAck === 1);
  const c = p.a.socks.connect(ADDR_B, 80);
  let s: MiniSock | undefined;
  p.run(() => (s ??= p.b.socks.accept(listener)) !== undefined && c.established);
  return [c, s!];
}

function balanced(p: Pair): void {
  expect(p.a.env.ledger.imbalance).toBe(0);
  expect(p.b.env.ledger.imbalance).toBe(0);
  expect(p.a.tcp.illegalTransitions + p.b.tcp.illegalTransitions).toBe(0);
}

/** Both ways at once, then both close; streams must be equal. */
function exchange(opts: PairOptions, n: number): Pair {
  const p = new Pair(opts);
  const [c, s] = open(p);
  const up = pattern(n, 1);
  const down = pattern(n, 2);
  p.a.socks.write(c, up);
  p.b.socks.write(s, down);
  p.a.socks.shutdown(c);
  p.b.socks.shutdown(s);
  p.run(() => c.finGot && s.finGot);
  expect(s.received.differsAt(up)).toBe(-1);
  expect(c.received.differsAt(down)).toBe(-1);
  p.a.socks.close(c);
  p.b.socks.close(s);
  p.run(() => c.ops.length === 0 && s.ops.length === 0);
  p.runFor(300_000);
  expect(p.a.tcp.sockets()).toEqual([]);
  expect(p.b.tcp.sockets().map((x) => x.lport)).toEqual([80]);
  balanced(p);
  return p;
}

describe('two hosts', () => {
  test('connect, send, close', () => {
    const p = new Pair();
    const [c, s] = open(p);
    expect(c.state).toBe(TCP_ESTABLISHED);
    p.a.socks.write(c, pattern(10, 0));
    p.run(() => s.received.length === 10);
    p.a.socks.close(c);
    p.run(() => s.finGot);
    p.b.socks.close(s);
    p.run(() => s.ended && c.ended);
    expect(s.state).toBe(TCP_CLOSE);
    expect(c.state).toBe(TCP_TIME_WAIT);
    balanced(p);
  });

  test('1 MB each way on a clean link, without a single retransmission', () => {
    const p = exchange({}, 1_000_000);
    expect(p.a.env.mib.get('TcpRetransSegs')).toBe(0);
    expect(p.b.env.mib.get('TcpRetransSegs')).toBe(0);
  });

  test('the same with plain packets instead of GRO', () => {
    const p = exchange({ gro: false }, 300_000);
    expect(p.a.env.mib.get('TcpRetransSegs') + p.b.env.mib.get('TcpRetransSegs')).toBe(0);
  });

  test('a slow seam does not make the peer retransmit', () => {
    const p = exchange({ seamLatencyMs: 5, gro: false }, 300_000);
    expect(p.a.env.mib.get('TcpRetransSegs') + p.b.env.mib.get('TcpRetransSegs')).toBe(0);
  });

  test.each([1, 2, 3, 4, 5, 6])('loss, duplicates and reordering, seed %i', (seed) => {
    exchange({ seed, latencyMs: 5, gro: seed % 2 === 0, net: { loss: 0.03, dup: 0.03, reorder: 0.1 } }, 200_000);
  });

  test.each([1, 2, 3])('heavy loss, seed %i', (seed) => {
    exchange({ seed, latencyMs: 20, gro: false, net: { loss: 0.2, dup: 0.05, reorder: 0.2 } }, 40_000);
  });

  test.each([1, 2, 3, 4])('without SACK, timestamps and scaling, seed %i', (seed) => {
    exchange(
      {
        seed,
        latencyMs: 5,
        gro: false,
        net: { loss: 0.03, dup: 0.02, reorder: 0.05 },
        sysctl: { tcpSack: false, tcpTimestamps: false, tcpWindowScaling: false },
      },
      200_000,
    );
  });

  test.each([1, 2, 3, 4, 5, 6])('a seam that loses, doubles and reorders, seed %i', (seed) => {
    exchange({ seed, seamLatencyMs: 1, seam: { loss: 0.05, dup: 0.1, reorder: 0.2 } }, 300_000);
  });

  test.each([1, 2, 3, 4])('everything bad at once, seed %i', (seed) => {
    const bad = { loss: 0.05, dup: 0.05, reorder: 0.1 };
    exchange({ seed, latencyMs: 3, seamLatencyMs: 1, gro: seed % 2 === 0, net: bad, seam: bad }, 100_000);
  });

  test.each([0xffffffff, 0xfffffff0, 0xffff8000, 0x7fffff00])('across the wrap, ISN %i', (isn) => {
    exchange({ isn, gro: false, latencyMs: 3, net: { loss: 0.02, reorder: 0.05 }, seed: isn & 15 }, 150_000);
    exchange({ isn, sysctl: { tcpTimestamps: false } }, 100_000);
  });

  test('a reader that stops closes the window, and memory stays bounded; then it goes on', () => {
    const p = new Pair({ latencyMs: 2 });
    const [c, s] = open(p);
    const data = pattern(3_000_000, 5);
    s.readTo = 0;
    p.a.socks.write(c, data);
    p.runFor(20_000);
    expect(s.received.length).toBeLessThan(200_000);
    expect(p.b.tcp.tcpInfo(s.id)!.rcvWnd).toBe(0);
    expect(p.a.env.mib.get('TcpExtTCPWinProbe')).toBeGreaterThan(3);
    const at = p.now;
    s.readTo = undefined;
    p.b.socks.push(s);
    p.run(() => s.received.length === data.length);
    expect(s.received.differsAt(data)).toBe(-1);
    expect(p.now - at).toBeLessThan(5000);
    // the ACK of what filled the window is a delayed one, and a tail loss probe asks after it, with new bytes or old ones
    expect(p.a.env.mib.get('TcpRetransSegs')).toBeLessThanOrEqual(p.a.env.mib.get('TcpExtTCPLossProbes'));
    balanced(p);
  });

  test('the receive buffer grows with a long path: 8 MB over 40 ms', () => {
    const p = new Pair({ latencyMs: 20 });
    const [c, s] = open(p);
    const data = pattern(8_000_000, 6);
    const at = p.now;
    p.a.socks.write(c, data);
    p.run(() => s.received.length === data.length);
    expect(s.received.differsAt(data)).toBe(-1);
    expect(p.b.tcp.tcpInfo(s.id)!.rcvSsthresh).toBeGreaterThan(1_000_000);
    expect(p.now - at).toBeLessThan(2500);
    expect(p.a.env.mib.get('TcpRetransSegs')).toBe(0);
  });

  test('fifty connections at once', () => {
    const p = new Pair({ latencyMs: 2, net: { loss: 0.01 } });
    const listener = p.b.socks.listen(80, 100);
    p.run(() => listener.opAck === 1);
    const cs = Array.from({ length: 50 }, () => p.a.socks.connect(ADDR_B, 80));
    p.run(() => cs.every((c) => c.established) && p.b.socks.children(listener).length === 50);
    cs.forEach((c, i) => p.a.socks.write(c, pattern(5000 + i, i)));
    const kids = p.b.socks.children(listener);
    p.run(
      () =>
        kids.every((k) => k.received.length >= 5000 && k.view !== undefined) &&
        cs.every((c, i) => (c.view?.sndUna ?? 0) === 5000 + i),
    );
    for (const k of kids) expect(k.received.differsAt(pattern(k.received.length, k.received.length - 5000))).toBe(-1);
    balanced(p);
  });
});
