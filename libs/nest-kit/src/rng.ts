import { randomFillSync } from 'node:crypto';
import type { Rng } from '@skbus/skb';

const pool = new Uint32Array(256);

/** The operating system's randomness, fetched a kilobyte at a time. */
export function systemRng(): Rng {
  let at = pool.length;
  return {
    u32: () => {
      if (at >= pool.length) {
        randomFillSync(pool);
        at = 0;
      }
      return pool[at++]!;
    },
  };
}
