import { fileURLToPath } from 'node:url';
import { pin, run } from './children.mjs';

/** A measurement and its warm-up; a stack that was just started takes milliseconds for its first round trips. */
const ASK_MS = 20_000;

/** @param {string} name */
export const program = (name) => fileURLToPath(new URL(`../programs/${name}.mjs`, import.meta.url));

/** Where processes run: all on CPU 0, or wherever the scheduler likes. */
export const PLACEMENTS = /** @type {const} */ (['oneCpu', 'across']);
/** @typedef {(typeof PLACEMENTS)[number]} Placement */

/** @param {Placement} placement @param {string} allowed */
export const cpusFor = (placement, allowed) => (placement === 'oneCpu' ? (/^\d+/.exec(allowed)?.[0] ?? '0') : allowed);

/**
 * Runs one of the programs to its end, on the given CPUs, and reads its answer.
 * @param {string[]} inFront e.g. `ip netns exec NAME` @param {string} cpus @param {string[]} args
 */
export async function ask(inFront, cpus, args) {
  const [name = '', ...rest] = args;
  return JSON.parse(
    await run([...inFront, 'taskset', '-c', cpus, process.execPath, program(name), ...rest], { timeoutMs: ASK_MS }),
  );
}

/**
 * The measurements that the kernel and the stack share: round trips and short connections from a namespace.
 * @param {object} at
 * @param {string} at.name prefix of the samples
 * @param {string} at.host
 * @param {string[]} at.inFront
 * @param {number[]} at.pids the processes on the way
 * @param {string} at.allowed
 * @param {import('./stats.mjs').Samples} samples
 * @param {{ ms: number }} opts
 */
export async function measureConnections(at, samples, { ms }) {
  try {
    for (const placement of PLACEMENTS) {
      const cpus = cpusFor(placement, at.allowed);
      await pin(at.pids, cpus);
      const r = await ask(at.inFront, cpus, ['client', 'rtt', at.host, '7', String(ms)]);
      samples.add(`${at.name}.rtt.${placement}.p50`, r.p50Us);
      samples.add(`${at.name}.rtt.${placement}.p99`, r.p99Us);
    }
  } finally {
    await pin(at.pids, at.allowed);
  }
  // The steady state is asked for: what accepts and serves connections gets compiled first.
  await ask(at.inFront, at.allowed, ['client', 'conn', at.host, '80', String(ms), '16']);
  for (const atOnce of [1, 16]) {
    const c = await ask(at.inFront, at.allowed, ['client', 'conn', at.host, '80', String(ms), String(atOnce)]);
    samples.add(`${at.name}.conn.${atOnce}`, c.perSecond);
    samples.add(`${at.name}.conn.${atOnce}.errors`, c.errors);
  }
}
