import { describe, expect, test } from '@jest/globals';
import { formatMac } from '@skbus/skb';
import { outcome, transfer, twoHosts, whole, type Two } from '@skbus/sim';

const SIZE = 20_000;

function moves(two: Two): void {
  const t = transfer(two, SIZE);
  expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
  expect(two.net.check()).toEqual([]);
}

const connectTo = ({ onA, b }: Two, port = 80): string => outcome(onA.connect(b.addr, port));

describe('ARP', () => {
  test('no reply: the peer asks three times, then its program has EHOSTUNREACH (net/ipv4/arp.c:arp_error_report)', () => {
    const two = twoHosts();
    two.b.fault('at neigh layer arp-silent');
    two.onB.serve(80, () => {});
    expect(connectTo(two)).toBe('EHOSTUNREACH');
    expect(two.b.faultLog().map((d) => d.ordinal)).toEqual([0, 1, 2, 3]);
    expect(two.net.check()).toEqual([]);
  });

  test('the first reply is missing: the second request, a second later, is answered', () => {
    const two = twoHosts();
    two.b.fault('at neigh layer arp-silent first 1');
    two.onB.serve(80, () => {});
    expect(connectTo(two)).toBe('ok');
    expect(two.net.now).toBeGreaterThan(1_000);
    expect(two.net.now).toBeLessThan(1_100);
  });

  test('a late reply: what waits goes when it comes', () => {
    const two = twoHosts();
    two.b.fault(`at neigh layer arp-late 300ms 10.0.0.99`);
    const id = two.b.fault('at neigh layer arp-late 700ms');
    two.onB.serve(80, () => {});
    expect(connectTo(two)).toBe('ok');
    expect(two.net.now).toBeGreaterThan(700);
    expect(two.net.now).toBeLessThan(800);
    expect(two.b.faultLog().filter((d) => d.ordinal > 0)).toMatchObject([{ rule: id, atMs: expect.any(Number) }]);
  });

  test('a poisoned reply: the peer sends to nobody; another reply heals it', () => {
    const two = twoHosts();
    two.b.fault('at neigh layer arp-poison 02:00:00:00:00:99 first 1');
    two.onB.serve(80, () => {});
    two.net.after(500, () => {
      const [n] = two.a.neigh.entries().filter((e) => e.addr === two.b.addr);
      expect(formatMac(n!.lladdr!)).toBe('02:00:00:00:00:99');
    });
    expect(connectTo(two)).toBe('ok');
    expect(two.net.now).toBeGreaterThan(5_000);
    expect(two.b.drops).toHaveProperty('OTHERHOST');
  });
});

test('the neighbour table is full: packets end as NEIGH_CREATEFAIL, and a connect waits (net/core/neighbour.c:neigh_alloc)', () => {
  const two = twoHosts();
  two.a.fault('at neigh layer table-full for 2500ms');
  two.onB.serve(80, () => {});
  expect(connectTo(two)).toBe('ok');
  expect(two.a.drops).toMatchObject({ NEIGH_CREATEFAIL: 3 });
  expect(two.a.neigh.stats).toMatchObject({ table_fulls: 3 });
  // SYNs go each second at first (tcp_syn_linear_timeouts)
  expect(two.net.now).toBeGreaterThan(3_000);
  expect(two.net.now).toBeLessThan(3_100);
});

test('a standing fault survives the restart of its layer', () => {
  const two = twoHosts();
  two.b.fault('at neigh layer arp-silent');
  two.b.restart('neigh');
  expect(connectTo(two)).toBe('EHOSTUNREACH');
  two.b.heal();
  moves(two);
});
