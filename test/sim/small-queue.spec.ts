import { expect, test } from '@jest/globals';
import { transfer, twoHosts, whole, type Two } from '@skbus/sim';

const BYTES = 2_000_000;

/** Bytes TCP sent again, and frames that did not fit into the transmit ring. */
function run(two: Two): { resent: number; overflow: number } {
  const { toServer, toClient } = transfer(two, BYTES);
  expect([toServer, toClient]).toEqual([whole(BYTES), whole(BYTES)]);
  const resent = [two.a, two.b].reduce((n, h) => n + (h.shells.tcp.env.mib.get('TcpRetransSegs') ?? 0), 0);
  return { resent, overflow: two.link.counters.overflow };
}

const SLOW = { bitsPerSecond: 20_000_000, latencyMs: 5, queueFrames: 40 };

test.each([
  ['skbs themselves', { codec: false }],
  ['encoded', {}],
  ['messages that take a while', { busMs: 0.3 }],
  ['whole GSO segments', { offload: true }],
])('TCP small queues: a slow device is never handed more than its ring holds (%s)', (_name, opts) => {
  expect(run(twoHosts(SLOW, opts))).toEqual({ resent: 0, overflow: 0 });
});

test('when nobody says what has left, all arrives nevertheless', () => {
  const two = twoHosts(SLOW);
  for (const h of [two.a, two.b]) h.wfree = () => {};
  run(two);
});

test('answers that are lost, late and doubled at random stop nothing', () => {
  const two = twoHosts(SLOW);
  for (const h of [two.a, two.b]) {
    const say = h.wfree.bind(h);
    let n = 0;
    h.wfree = (freed) => {
      const kind = (n = (n * 75 + 74) % 65_537) % 4;
      if (kind === 0) return;
      say(freed);
      if (kind === 1) say(freed);
      if (kind === 2) two.net.clock.schedule(two.net.clock.now + 30, 'message', () => say(freed));
    };
  }
  run(two);
});
