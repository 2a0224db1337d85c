import { expect, test } from '@jest/globals';
import { LAYERS } from '@skbus/contracts';
import { below, SeededRng } from '@skbus/skb';
import { outcome, Program, sockAddr, transfer, twoHosts, whole, type Two } from '@skbus/sim';

// kill -9 of a layer and its new start, in virtual time.

const SIZE = 400_000;
const LINK = { latencyMs: 2, bitsPerSecond: 50e6 };

/** Kills `layer` at some moments while both ends send. */
function killing(two: Two, layer: (typeof LAYERS)[number], seed: number): void {
  const rng = new SeededRng(seed);
  for (let i = 0; i < 4; i++) {
    const host = below(rng, 2) === 0 ? two.a : two.b;
    const downMs = below(rng, 3) * 20;
    two.net.after(10 + below(rng, 200), () => host.shells[layer].alive && host.restart(layer, downMs));
  }
}

test.each(['nic', 'neigh', 'ip'] as const)('%s dies and comes back: what was on its way is sent again', (layer) => {
  let lost = 0;
  for (let seed = 1; seed <= 10; seed++) {
    const two = twoHosts(LINK, { seed, busMs: seed % 2 });
    killing(two, layer, seed);
    const t = transfer(two, SIZE);
    expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
    expect(two.net.check()).toEqual([]);
    for (const h of [two.a, two.b]) lost += (h.drops['BUS_LOST'] ?? 0) + (h.drops['LAYER_DIED'] ?? 0);
  }
  expect(lost).toBeGreaterThan(0);
});

test('udp dies and comes back: its sockets are bound again', () => {
  const two = twoHosts(LINK);
  const fd = two.onB.udp(53);
  two.b.restart('udp', 50);
  two.net.runFor(500);
  const from = two.onA.udp(0);
  two.onA.must({ call: 'sendto', fd: from, data: [Uint8Array.of(1, 2, 3)], flags: 0, to: sockAddr(two.b.addr, 53) });
  expect(two.onB.must({ call: 'recvfrom', fd, len: 100, flags: 0 })).toBe(3);
  expect(two.net.check()).toEqual([]);
});

test.each(['tcp', 'socket'] as const)('after the death of %s there are new connections', (layer) => {
  const two = twoHosts(LINK);
  for (const h of [two.a, two.b]) h.restart(layer, 30);
  two.net.runFor(200);
  // the programs of a socket layer that died have lost their sockets
  const onA = new Program(two.net, two.a);
  const onB = new Program(two.net, two.b);
  const t = transfer({ ...two, onA, onB }, SIZE);
  expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
  expect(two.net.check()).toEqual([]);
});

test('a listener of a tcp that died listens again', () => {
  const two = twoHosts(LINK);
  two.onB.listen(80);
  two.b.restart('tcp', 30);
  two.net.runFor(1_000);
  expect(outcome(two.onA.connect(two.b.addr, 80))).toBe('ok');
});

test('what a layer holds when it dies ends with a reason', () => {
  const two = twoHosts(LINK);
  // nobody has this address: the packet waits for ARP
  two.onA.call({ call: 'connect', fd: two.onA.socket(1), addr: sockAddr('10.77.0.9', 80) }, () => {});
  two.net.runFor(10);
  expect(two.a.shells.neigh.env.ledger.queued).toBe(1);
  two.a.kill('neigh');
  expect(two.a.drops).toMatchObject({ LAYER_DIED: 1 });
  expect(() => two.a.shells.neigh.run(() => {})).toThrow('neigh is dead');
  two.net.runFor(5_000);
  expect(two.a.drops['BUS_LOST']).toBeGreaterThan(0);
  expect(two.net.check()).toEqual([]);
  two.a.start('neigh');
  expect(outcome(two.onA.connect('10.77.0.9', 80))).toBe('EHOSTUNREACH');
});
