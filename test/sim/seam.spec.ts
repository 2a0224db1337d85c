import { describe, expect, test } from '@jest/globals';
import { errnoName, TCP_LISTEN } from '@skbus/skb';
import { twoHosts } from '@skbus/sim';
import { transfer, whole } from '@skbus/sim';

// Any message between TCP and the socket layer may be lost, doubled, late or out of order, and nothing breaks.

const SIZE = 300_000;

describe('between TCP and the socket layer', () => {
  const kinds = {
    lost: 'loss 10%',
    doubled: 'duplicate 20%',
    'out of order': 'delay 2ms reorder 80%',
    'everything at once': 'delay 20ms reorder 90% loss 10% duplicate 10%',
  };
  const rules = (netem: string, seed: number): string[] => [`at socket ${netem} seed ${seed}`];
  const cases = Object.entries(kinds).flatMap(([name, p]) => [1, 2, 3].map((seed) => ({ name, p, seed })));

  test.each(cases)('messages are $name, seed $seed: the streams are whole', ({ p, seed }) => {
    const two = twoHosts({ latencyMs: 1, bitsPerSecond: 100e6 }, { seed, faults: rules(p, seed) });
    const t = transfer(two, SIZE);
    expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
    expect(two.net.check()).toEqual([]);
    expect(two.a.faultLog().length + two.b.faultLog().length).toBeGreaterThan(10);
    for (const h of [two.a, two.b]) h.heal();
    // Connections and sockets end as they would have anyway.
    two.net.runFor(70_000);
    expect(two.a.tcp.sockets()).toEqual([]);
    expect(two.a.sockets.sockets()).toEqual([]);
    expect(two.b.tcp.sockets().map((s) => s.state)).toEqual([TCP_LISTEN]);
    expect(two.b.sockets.sockets().map((s) => s.state)).toEqual([TCP_LISTEN]);
    expect(two.net.check()).toEqual([]);
  });

  test('and the link loses, too', () => {
    const faults = rules(kinds['everything at once'], 5);
    const two = twoHosts({ latencyMs: 3, loss: 0.03, reorder: 0.05, duplicate: 0.02 }, { seed: 5, faults });
    const t = transfer(two, SIZE);
    expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
    expect(two.net.check()).toEqual([]);
  });

  test('a refused connection is still refused', () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { net, b, onA } = twoHosts({}, { seed, faults: rules(kinds['everything at once'], seed) });
      expect(errnoName(onA.connect(b.addr, 81).errno)).toBe('ECONNREFUSED');
      net.runUntilIdle();
      expect(net.check()).toEqual([]);
    }
  });
});

describe('each n-th message is lost, again and again', () => {
  const ways = ['tcp.sk_evt', 'tcp.sk_cmd', 'socket.sk_cmd', 'socket.sk_evt'];
  const cases = ways.flatMap((where) => [2, 3, 5, 7].map((n) => ({ where, n })));

  test.each(cases)('at $where, every $n: the streams are whole', ({ where, n }) => {
    const faults = [`at ${where} drop every ${n}`];
    const two = twoHosts({ latencyMs: 1, bitsPerSecond: 100e6 }, { seed: 1, faults });
    const t = transfer(two, SIZE);
    expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
    expect(two.net.check()).toEqual([]);
  });

  test('what is lost comes again, and not all that was on its way with it', () => {
    const two = twoHosts({ latencyMs: 1, bitsPerSecond: 100e6 }, { seed: 1, faults: ['at tcp.sk_evt drop every 5'] });
    const events = (): number => two.b.faultLog().length;
    transfer(two, 2_000_000);
    // each fifth is in the log
    expect(events() * 5).toBeLessThan(2.2 * (2_000_000 / 1448));
    expect(two.net.now).toBeLessThan(2_000);
  });
});

test('layers that take their time: 2 ms per message', () => {
  const two = twoHosts({ latencyMs: 1 }, { busMs: 2 });
  const t = transfer(two, SIZE);
  expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
  expect(two.net.check()).toEqual([]);
  for (const h of [two.a, two.b]) expect(h.shells.tcp.env.mib.get('TcpRetransSegs')).toBe(0);
});
