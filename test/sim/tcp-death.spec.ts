import { expect, test } from '@jest/globals';
import { ETH_P_IP, IPPROTO_TCP, TCP_LISTEN } from '@skbus/skb';
import { transfer, twoHosts, whole, type Two } from '@skbus/sim';
import { ETHERNET_HLEN, get16, parseIpv4Header, TCP_RST } from '@skbus/wire';
import { plan, type Plan } from './tcp-death.plan.ts';

// tcp is killed at random moments of connections: no stream breaks, nobody is told that one did. More of them:
// SIM_SEEDS=1-2000, and a failure names its seed.

const [first = 1, last = first + 119] = (process.env['SIM_SEEDS'] ?? '1-120').split('-').map(Number);

const CONNECT_AT_MS = 100;

/** Resets that pass the cable. */
function watchResets(two: Two): { atMs: number; from: number }[] {
  const seen: { atMs: number; from: number }[] = [];
  two.link.drop = (bytes) => {
    if (get16(bytes, 12) !== ETH_P_IP) return false;
    const ip = parseIpv4Header(bytes, ETHERNET_HLEN, bytes.length);
    if (ip?.proto === IPPROTO_TCP && (bytes[ETHERNET_HLEN + ip.hlen + 13]! & TCP_RST) !== 0) {
      seen.push({ atMs: two.net.now, from: ip.saddr & 255 });
    }
    return false;
  };
  return seen;
}

function kill(two: Two, kills: Plan['kills']): void {
  for (const { atMs, host, downMs } of kills) {
    two.net.after(atMs, () => {
      const h = two[host];
      if (h.shells.tcp.alive) h.restart('tcp', downMs);
    });
  }
}

test.each(Array.from({ length: last - first + 1 }, (_, i) => first + i))('seed %i', (seed) => {
  const { link, opts, size, kills } = plan(seed);
  const two = twoHosts(link, opts);
  const resets = watchResets(two);
  two.net.runFor(CONNECT_AT_MS);
  kill(two, kills);
  const t = transfer(two, size);
  expect([t.toServer, t.toClient]).toEqual([whole(size), whole(size)]);
  expect(two.net.check()).toEqual([]);
  two.link.set({ loss: 0, duplicate: 0, reorder: 0 });
  two.net.runFor(200_000);
  // On a bad cable a doubled or late ACK may meet a connection that is over, as with any TCP.
  const over = link.loss === undefined ? Number.POSITIVE_INFINITY : CONNECT_AT_MS + t.took;
  expect(resets.filter((r) => r.atMs < over)).toEqual([]);
  expect(two.net.check()).toEqual([]);
  for (const h of [two.a, two.b]) {
    const states = [...h.tcp.sockets(), ...h.sockets.sockets()].map((s) => s.state);
    expect(states).toEqual(h === two.b ? [TCP_LISTEN, TCP_LISTEN] : []);
    expect(h.sockets.gauges.loose_records).toBeLessThan(10);
  }
});
