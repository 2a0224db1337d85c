import { below, SeededRng } from '@skbus/skb';
import type { HostOptions, LinkModel } from '@skbus/sim';

export interface Plan {
  link: Partial<LinkModel>;
  opts: HostOptions & { seed: number };
  size: number;
  /** When, from connect(), which host, for how long. */
  kills: { atMs: number; host: 'a' | 'b'; downMs: number }[];
}

export function plan(seed: number): Plan {
  const rng = new SeededRng(seed * 104_729);
  const upTo = (max: number): number => (below(rng, 10_000) / 10_000) * max;
  const oneIn = (n: number): boolean => below(rng, n) === 0;
  const link: Partial<LinkModel> = { latencyMs: 0.2 + upTo(20), bitsPerSecond: oneIn(3) ? 0 : 5e6 + upTo(100e6) };
  if (oneIn(3)) Object.assign(link, { loss: upTo(0.05), reorder: upTo(0.1), duplicate: upTo(0.05) });
  const size = oneIn(4) ? 0 : 1_000 + below(rng, 600_000);
  // about as long as all of it takes, the end included
  const spanMs = 10 * link.latencyMs! + (size * 8_000) / (link.bitsPerSecond || 100e6);
  const kills = Array.from({ length: 1 + below(rng, 4) }, () => ({
    atMs: upTo(oneIn(3) ? 6 * link.latencyMs! : spanMs),
    host: oneIn(2) ? ('a' as const) : ('b' as const),
    downMs: oneIn(2) ? 0 : upTo(400),
  }));
  return {
    link,
    opts: { seed, busMs: oneIn(2) ? 0 : upTo(2), offload: oneIn(3), neigh: { mcastSolicit: 20 } },
    size,
    kills,
  };
}
