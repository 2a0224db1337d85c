import { fileURLToPath } from 'node:url';
import { pin, run } from './children.mjs';

/** A measurement and its warm-up; a stack that was just started takes milliseconds for its first round trips. */
const ASK_MS = 20_000;

/** A connection that is silent for this long has failed. */
const STALL_S = 3;

/** @param {string} name @param {'mjs' | 'py'} [kind] */
export const program = (name, kind = 'mjs') => fileURLToPath(new URL(`../programs/${name}.${kind}`, import.meta.url));

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
 * One byte there and back, p50 and p99 in µs.
 * @param {string[]} inFront @param {string} cpus @param {string} host @param {number} ms
 * @returns {Promise<{ p50Us: number, p99Us: number }>}
 */
async function roundTrips(inFront, cpus, host, ms) {
  const argv = [...inFront, 'taskset', '-c', cpus, 'python3', program('rtt', 'py'), host, '7', String(ms)];
  return JSON.parse(await run(argv, { timeoutMs: ASK_MS }));
}

/**
 * Connect, GET /, read to the end, close; so many at once. ApacheBench asks with HTTP/1.0 and without keep-alive.
 * @param {string[]} inFront @param {string} cpus @param {string} host @param {number} ms @param {number} atOnce
 */
async function shortConnections(inFront, cpus, host, ms, atOnce) {
  // whole seconds is what it knows; -t sets a number of requests, too, unless one is given after it
  const load = ['-c', String(atOnce), '-t', String(Math.ceil(ms / 1e3)), '-n', '1000000'];
  const argv = ['taskset', '-c', cpus, 'ab', '-q', '-r', '-s', String(STALL_S), ...load, `http://${host}/`];
  const out = await run([...inFront, ...argv], { timeoutMs: ASK_MS });
  const figure = (/** @type {RegExp} */ line) => Number(line.exec(out)?.[1] ?? Number.NaN);
  const bad = /^Non-2xx responses:\s+(\d+)/m.exec(out)?.[1];
  return {
    perSecond: figure(/^Requests per second:\s+([\d.]+)/m),
    errors: figure(/^Failed requests:\s+(\d+)/m) + Number(bad ?? 0),
  };
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
      const r = await roundTrips(at.inFront, cpus, at.host, ms);
      samples.add(`${at.name}.rtt.${placement}.p50`, r.p50Us);
      samples.add(`${at.name}.rtt.${placement}.p99`, r.p99Us);
    }
  } finally {
    await pin(at.pids, at.allowed);
  }
  // The steady state is asked for: what accepts and serves connections gets compiled first.
  await shortConnections(at.inFront, at.allowed, at.host, ms, 16);
  for (const atOnce of [1, 16]) {
    const c = await shortConnections(at.inFront, at.allowed, at.host, ms, atOnce);
    samples.add(`${at.name}.conn.${atOnce}`, c.perSecond);
    samples.add(`${at.name}.conn.${atOnce}.errors`, c.errors);
  }
}
