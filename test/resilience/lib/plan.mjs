// Which fault hits which layer when: all of it follows from one seed.

export const LAYERS = ['nic', 'neigh', 'ip', 'udp', 'tcp', 'socket', 'nats'];

/** What is done to a layer, and for how long it is watched afterwards. */
export const FAULTS = {
  none: { title: 'nothing', windowMs: 1_200 },
  kill: { title: 'kill -9', windowMs: 1_200 },
  twice: { title: 'kill -9 twice in a row', windowMs: 2_500 },
  restart: { title: 'restart (SIGTERM)', windowMs: 1_500 },
  upgrade: { title: 'skbus upgrade', windowMs: 1_500 },
  hang: { title: 'hang 2 s (SIGSTOP)', windowMs: 3_500 },
  cut: { title: 'bus cut 2 s', windowMs: 4_500 },
};

/** @typedef {keyof typeof FAULTS} Fault */
/** @typedef {{ layer: string, fault: Fault, afterMs: number }} Round */

/** mulberry32: small, seeded, good enough to pick moments. @param {number} seed */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** The broker has no successor beside it, and is not cut off from itself. @param {string} layer @param {Fault} fault */
const makesSense = (layer, fault) => layer !== 'nats' || !['upgrade', 'cut'].includes(fault);

/**
 * All rounds in random order, so that what else the machine does falls on all of them.
 * @param {{ layers: string[], faults: Fault[], kills: number, others: number, controls: number, seed: number }} o
 * @returns {Round[]}
 */
export function plan({ layers, faults, kills, others, controls, seed }) {
  const rnd = random(seed);
  /** @type {Omit<Round, 'afterMs'>[]} */
  const all = Array.from({ length: controls }, () => ({ layer: '', fault: 'none' }));
  for (const layer of layers) {
    for (const fault of faults) {
      if (!makesSense(layer, fault)) continue;
      const n = fault === 'kill' ? kills : others;
      for (let i = 0; i < n; i++) all.push({ layer, fault });
    }
  }
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(rnd() * (i + 1));
    const [a, b] = [all[i], all[j]];
    if (a && b) [all[i], all[j]] = [b, a];
  }
  return all.map((r) => ({ ...r, afterMs: Math.floor(rnd() * 300) }));
}
