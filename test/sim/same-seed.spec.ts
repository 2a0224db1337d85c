import { expect, test } from '@jest/globals';
import { twoHosts } from '@skbus/sim';
import { transfer } from '@skbus/sim';

/** Everything that happened, as far as it can be seen. */
function run(seed: number): unknown {
  const two = twoHosts({ latencyMs: 3, loss: 0.05, duplicate: 0.05, reorder: 0.1 }, { seed });
  two.a.trace();
  two.b.trace();
  const t = transfer(two, 100_000);
  return {
    t,
    link: two.link.counters,
    steps: two.net.clock.steps,
    now: two.net.now,
    hits: [two.a, two.b].map((h) => h.hits.map((hit) => `${hit.atMs} ${hit.layer} ${hit.point} ${hit.skb}`).join('\n')),
  };
}

test('one seed is one run, event by event', () => {
  expect(run(11)).toEqual(run(11));
});

test('another seed is another run', () => {
  expect(run(11)).not.toEqual(run(12));
});
