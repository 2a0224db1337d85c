import { describe, expect, test } from '@jest/globals';
import { ERRNO, NUD_REACHABLE, NUD_STALE } from '@skbus/skb';
import type { PingResult } from '@skbus/ip';
import type { Host } from '@skbus/sim';
import { Net } from '@skbus/sim';
import { twoHosts } from '@skbus/sim';

function ping(net: Net, from: Host, to: number, opts: { size?: number; ttl?: number } = {}): PingResult {
  let result: PingResult | undefined;
  from.shells.ip.run((now) =>
    from.ip.ping(
      { id: 7, seq: 1, daddr: to, size: opts.size ?? 56, ttl: opts.ttl ?? 0 },
      now,
      (r) => (result = r),
      10_000,
    ),
  );
  net.runUntil(() => result !== undefined);
  return result!;
}

describe('ping', () => {
  test('both ways; the first packet waits for ARP', () => {
    const { net, a, b } = twoHosts({ latencyMs: 2 });
    const first = ping(net, a, b.addr);
    expect(first).toMatchObject({ errno: 0, from: b.addr, ttl: 64, bytes: 64 });
    // Request and answer of ARP, then of ICMP; b learnt a from a's question.
    expect(first.rttMs).toBe(8);
    expect(ping(net, a, b.addr).rttMs).toBe(4);
    expect(ping(net, b, a.addr)).toMatchObject({ errno: 0, from: a.addr });
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
    expect(a.neigh.entries()).toMatchObject([{ addr: b.addr, state: NUD_REACHABLE }]);
    expect([NUD_STALE, NUD_REACHABLE, 8]).toContain(b.neigh.entries()[0]!.state);
  });

  test('itself over lo, and 127.0.0.1', () => {
    const { net, a } = twoHosts();
    expect(ping(net, a, a.addr)).toMatchObject({ errno: 0, from: a.addr, rttMs: 0 });
    expect(ping(net, a, 0x7f000001)).toMatchObject({ errno: 0, from: 0x7f000001 });
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
    expect(net.links[0]!.counters.sent).toBe(0);
  });

  test('a large one is cut and put together again on both sides', () => {
    const { net, a, b, link } = twoHosts();
    expect(ping(net, a, b.addr, { size: 4000 })).toMatchObject({ errno: 0, bytes: 4008 });
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
    expect(link.counters.sent).toBe(2 + 3 + 3);
    expect(b.shells.ip.env.mib.get('IpReasmOKs')).toBe(1);
  });

  test('nobody has the address: EHOSTUNREACH after three questions', () => {
    const { net, a, link } = twoHosts();
    const r = ping(net, a, a.addr + 100);
    expect(r.errno).toBe(ERRNO.EHOSTUNREACH);
    expect(net.now).toBeGreaterThanOrEqual(3_000);
    expect(net.now).toBeLessThan(3_100);
    net.runUntilIdle();
    expect(link.counters.sent).toBe(3);
    expect(net.check()).toEqual([]);
    expect(a.drops).toMatchObject({ NEIGH_FAILED: 1 });
  });

  test('through a router, which counts down the TTL and says so when it ends', () => {
    const net = new Net(3);
    const [a, r, b] = [net.host('a'), net.host('r', { router: true }), net.host('b')];
    const [left, right] = [net.link(), net.link()];
    a.attach(left, '10.1.0.2/24');
    r.attach(left, '10.1.0.1/24');
    r.attach(right, '10.2.0.1/24');
    b.attach(right, '10.2.0.2/24');
    a.route('default', '10.1.0.1');
    b.route('default', '10.2.0.1');
    expect(ping(net, a, b.addr)).toMatchObject({ errno: 0, from: b.addr, ttl: 63 });
    expect(ping(net, a, b.addr, { ttl: 1 })).toMatchObject({ type: 11, code: 0, from: 0x0a010001 });
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
  });
});
