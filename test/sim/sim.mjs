#!/usr/bin/env node
// npm run sim -- --seed N | --seeds N [--seed-start N] | --minutes M   [--mutant NAME] [--json]
// Random scenarios in virtual time, on all CPUs. A failing one is cut down and printed with the command that plays it again.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { register } from 'node:module';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';

/**
 * Engines that are broken on purpose, to see that the checks notice: each changes the built code as it is loaded
 * (mutant-loader.mjs). Nothing of this is in the engines themselves.
 * @type {Record<string, { says: string, file: string, edits: [find: string, put: string][] }>}
 */
const MUTANTS = JSON.parse(readFileSync(new URL('mutants.json', import.meta.url), 'utf8'));

if (isMainThread) await main();
else await work();

async function main() {
  const number = (/** @type {string} */ text) => {
    if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('expected a number.');
    return Number(text);
  };
  const o = new Command('sim')
    .option('--seed <n>', 'one scenario, told in detail', number)
    .option('--seeds <n>', 'so many scenarios', number, 100)
    .option('--seed-start <n>', 'the first one', number, 1)
    .option('--minutes <m>', 'as many as there is time for', number)
    .option('--faults <n>', 'faults per scenario', number, 20)
    .option('--bytes <n>', 'bytes per scenario', number, 1_000_000)
    .option('--mutant <name>', `with an engine that is broken on purpose: ${Object.keys(MUTANTS).join(', ')}`)
    .option('--keep-going', 'more than one failure')
    .option('--json', 'the result as JSON')
    .parse()
    .opts();
  if (o.mutant !== undefined && MUTANTS[o.mutant] === undefined) {
    process.stderr.write(`sim: --mutant ${o.mutant}: there are ${Object.keys(MUTANTS).join(', ')}\n`);
    process.exit(2);
  }
  const started = performance.now();
  const until = o.minutes === undefined ? Infinity : started + o.minutes * 60_000;
  const first = o.seed ?? o.seedStart;
  const end = o.seed !== undefined ? o.seed + 1 : o.minutes !== undefined ? Infinity : first + o.seeds;
  const r = { ran: 0, events: 0, decisions: 0, failures: /** @type {Failure[]} */ ([]) };
  let next = first;
  const options = { faults: o.faults, bytes: o.bytes };
  await Promise.all(
    Array.from({ length: o.seed !== undefined ? 1 : Math.min(availableParallelism(), 16) }, () => {
      const w = new Worker(new URL(import.meta.url), {
        workerData: { mutant: o.mutant, options, told: o.seed !== undefined },
      });
      return new Promise((resolve, reject) => {
        const more = () => {
          if (next >= end || performance.now() > until || (r.failures.length > 0 && !o.keepGoing))
            w.postMessage(undefined);
          else w.postMessage(next++);
        };
        w.on('message', (m) => {
          if (m.outcome !== undefined) {
            r.ran++;
            r.events += m.outcome.events;
            r.decisions += m.outcome.decisions;
            if (m.outcome.problems.length > 0) r.failures.push(m);
          }
          more();
        });
        w.once('error', reject);
        w.once('exit', resolve);
      });
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  if (o.json) process.stdout.write(`${JSON.stringify({ ...r, seconds })}\n`);
  else report(r, seconds, first, o);
  process.exitCode = r.failures.length > 0 ? 1 : 0;
}

/** @typedef {{ seed: number, outcome: { problems: string[] }, small: { faults: object[], flows: object[] } | undefined }} Failure */

/** @param {{ ran: number, events: number, decisions: number, failures: Failure[] }} r @param {number} seconds @param {number} first @param {Record<string, any>} o */
function report(r, seconds, first, o) {
  const command = (/** @type {number} */ seed) =>
    [
      'npm run sim --',
      `--seed ${seed}`,
      ...(o.faults === 20 ? [] : [`--faults ${o.faults}`]),
      ...(o.bytes === 1_000_000 ? [] : [`--bytes ${o.bytes}`]),
      ...(o.mutant ? [`--mutant ${o.mutant}`] : []),
    ].join(' ');
  for (const f of r.failures) {
    process.stdout.write(`seed ${f.seed} fails:\n${f.outcome.problems.map((p) => `  ${p}\n`).join('')}`);
    if (f.small !== undefined) {
      process.stdout.write(`it takes ${f.small.flows.length} flow(s) and ${f.small.faults.length} fault(s):\n`);
      for (const x of [...f.small.flows, ...f.small.faults]) process.stdout.write(`  ${JSON.stringify(x)}\n`);
    }
    process.stdout.write(`again: ${command(f.seed)}\n`);
  }
  process.stdout.write(
    `${r.ran} scenarios from seed ${first}, ${r.failures.length} failed; ${r.events} events, ${r.decisions} faults, ${seconds.toFixed(1)} s (${((r.ran * 60) / seconds).toFixed(0)} a minute)\n`,
  );
}

async function work() {
  const { mutant, options, told } = workerData;
  if (mutant !== undefined) register(new URL('mutant-loader.mjs', import.meta.url), { data: MUTANTS[mutant] });
  const { planOf, runPlan, shrink } = await import('@skbus/sim');
  const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort);
  port.on('message', (seed) => {
    if (seed === undefined) {
      port.close();
      return;
    }
    const plan = planOf(seed, options);
    const outcome = runPlan(plan);
    const failed = outcome.problems.length > 0;
    if (told) process.stdout.write(`${JSON.stringify(plan, undefined, 2)}\n`);
    port.postMessage({ seed, outcome, small: failed && mutant === undefined ? shrink(plan) : undefined });
  });
  port.postMessage({});
}

export const program = fileURLToPath(import.meta.url);
