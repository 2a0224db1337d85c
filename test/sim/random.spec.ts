import { expect, test } from '@jest/globals';
import { below, SeededRng, TCP_LISTEN } from '@skbus/skb';
import type { HostOptions } from '@skbus/sim';
import type { LinkModel } from '@skbus/sim';
import { twoHosts } from '@skbus/sim';
import { transfer, whole } from '@skbus/sim';

// One seed decides the link, the hosts, the workload and the faults. More of them: SIM_SEEDS=1-5000, and a failure names its seed.

interface Plan {
  link: Partial<LinkModel>;
  opts: HostOptions & { seed: number; mtu: number };
  size: number;
}

function plan(seed: number): Plan {
  const rng = new SeededRng(seed * 7919);
  const upTo = (max: number): number => (below(rng, 1_000) / 1_000) * max;
  const oneIn = (n: number): boolean => below(rng, n) === 0;
  const link = {
    latencyMs: 0.1 + upTo(50),
    loss: upTo(0.12),
    duplicate: upTo(0.1),
    reorder: upTo(0.3),
    reorderMs: upTo(30),
    bitsPerSecond: oneIn(2) ? 0 : 1e6 + upTo(100e6),
    queueFrames: 10 + below(rng, 500),
  };
  const percent = (max: number): string => `${upTo(max).toFixed(2)}%`;
  const netem = `delay ${(0.1 + upTo(50)).toFixed(3)}ms reorder ${(100 - upTo(20)).toFixed(2)}% loss ${percent(20)} duplicate ${percent(20)}`;
  const opts = {
    seed,
    busMs: oneIn(2) ? 0 : upTo(3),
    offload: oneIn(3),
    mtu: oneIn(2) ? 1500 : 300 + below(rng, 1_200),
    // Three lost questions in a row would be no error of the stack.
    neigh: { mcastSolicit: 20 },
    ...(oneIn(3) ? { faults: [`at socket ${netem} seed ${seed}`] } : {}),
  };
  return { link, opts, size: 1_000 + below(rng, 200_000) };
}

const [first = 1, last = first + 39] = (process.env['SIM_SEEDS'] ?? '1-40').split('-').map(Number);

test.each(Array.from({ length: last - first + 1 }, (_, i) => first + i))('seed %i', (seed) => {
  const { link, opts, size } = plan(seed);
  const two = twoHosts(link, opts);
  const t = transfer(two, size);
  expect([t.toServer, t.toClient]).toEqual([whole(size), whole(size)]);
  expect(two.net.check()).toEqual([]);
  // The faults end; then so does everything else, but for the listener.
  two.link.set({ loss: 0, duplicate: 0, reorder: 0 });
  for (const h of [two.a, two.b]) h.heal();
  two.net.runFor(200_000);
  expect(two.net.check()).toEqual([]);
  for (const h of [two.a, two.b]) {
    const states = [...h.tcp.sockets(), ...h.sockets.sockets()].map((s) => s.state);
    expect(states).toEqual(h === two.b ? [TCP_LISTEN, TCP_LISTEN] : []);
  }
});
