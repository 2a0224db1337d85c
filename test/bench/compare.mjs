#!/usr/bin/env node
// npm run bench: the stack next to the kernel's own path and next to the bare broker, in one run.
// npm run bench -- tcp: the TCP engine alone.
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { BareBroker } from './lib/broker.mjs';
import { allowedCpus } from './lib/children.mjs';
import { KernelPath } from './lib/kernel.mjs';
import { runProgram, UsageError } from './lib/program.mjs';
import { asJson, asText } from './lib/report.mjs';
import { Stack } from './lib/stack.mjs';
import { Samples } from './lib/stats.mjs';
import { TCP_PARTS, TCP_SECTIONS, tcpParts } from './lib/tcp.mjs';

const USAGE = `npm run bench -- [tcp|path] [--rounds N] [--quick] [--only LIST] [--json FILE|-]

  tcp           the TCP engine alone, in process, without a bus
  path          (npm run bench -- path --help) bulk over a cable with delay and loss, next to Linux

  --rounds N    how often everything is measured; medians are shown (default 5)
  --quick       two rounds of short measurements
  --only LIST   some of kernel, broker, stack; with tcp: some of ${TCP_PARTS.join(', ')} (default all)
  --json FILE   also write the result as JSON; - is standard output
`;
const STACK_PARTS = ['kernel', 'broker', 'stack'];

function options() {
  /** @type {{ rounds?: string, quick?: boolean, only?: string, json?: string, help?: boolean }} */
  let given;
  /** @type {string[]} */
  let what;
  try {
    ({ values: given, positionals: what } = parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        quick: { type: 'boolean' },
        only: { type: 'string' },
        json: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (e) {
    throw new UsageError(e instanceof Error ? e.message : String(e));
  }
  const quick = given.quick ?? false;
  const rounds = Number(given.rounds ?? (quick ? 2 : 5));
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 1000) throw new UsageError('--rounds must be 1 to 1000');
  if (what.length > 1 || (what[0] ?? 'tcp') !== 'tcp') throw new UsageError(`unknown: ${what.join(' ')}`);
  const tcp = what.length > 0;
  const parts = tcp ? TCP_PARTS : STACK_PARTS;
  const only = given.only?.split(',') ?? parts;
  const unknown = only.find((p) => !parts.includes(p));
  if (unknown !== undefined) throw new UsageError(`--only knows ${parts.join(', ')}, not "${unknown}"`);
  return { tcp, rounds, ms: quick ? 500 : 1_500, only, json: given.json, help: given.help ?? false };
}

/** @param {string} line */
const say = (line) => void process.stderr.write(`${line}\n`);

/**
 * What can be measured here: each part with its own way to run one round.
 * @param {{ only: string[], ms: number }} opts @param {Samples} samples @param {import('./lib/children.mjs').Cleanup} cleanup
 * @returns {Promise<{ name: string, round: () => Promise<void> }[]>}
 */
async function prepare({ only, ms }, samples, cleanup) {
  const allowed = allowedCpus();
  const parts = [];
  if (process.getuid?.() !== 0 && (only.includes('kernel') || only.includes('stack'))) {
    say(
      'bench: not root: namespaces and a TAP cannot be made, so only the bare broker is measured (try: sudo npm run bench)',
    );
    only = only.filter((p) => p === 'broker');
  }
  if (only.includes('kernel')) {
    const kernel = new KernelPath(allowed);
    await kernel.open(cleanup);
    parts.push({ name: 'kernel', round: () => kernel.measure(samples, { ms }) });
  }
  if (only.includes('broker')) {
    const broker = new BareBroker(allowed);
    await broker.open(cleanup);
    parts.push({ name: 'bare broker', round: () => broker.measure(samples, { ms }) });
  }
  if (only.includes('stack')) {
    const stack = new Stack(allowed, cleanup);
    parts.push({ name: 'skbus, offload', round: () => stack.measure('offload', samples, { ms }) });
    parts.push({ name: 'skbus, plain frames', round: () => stack.measure('plain', samples, { ms }) });
  }
  return parts;
}

/** @param {ReturnType<typeof options>} opts @param {import('./lib/children.mjs').Cleanup} cleanup */
async function main(opts, cleanup) {
  const samples = new Samples();
  const parts = opts.tcp ? tcpParts(opts, samples) : await prepare(opts, samples, cleanup);
  const sections = opts.tcp ? TCP_SECTIONS : undefined;
  /** @type {string[]} */
  const failures = [];
  for (let round = 1; round <= opts.rounds; round++) {
    samples.round = round;
    for (const part of parts) {
      say(`round ${round} of ${opts.rounds}: ${part.name}`);
      try {
        await part.round();
      } catch (e) {
        if (cleanup.started) return;
        failures.push(`${part.name}, round ${round}: ${e instanceof Error ? e.message : String(e)}`);
        say(`bench: ${failures.at(-1)}`);
      }
    }
  }
  const about = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: allowedCpus(),
    kernel: release(),
    node: process.version,
    rounds: opts.rounds,
    msPerMeasurement: opts.ms,
    failures,
  };
  const json = () => `${JSON.stringify(asJson(samples, about, sections), undefined, 2)}\n`;
  if (opts.json !== '-') {
    process.stdout.write(
      `${about.cpu}, CPUs ${about.cpus}, Linux ${about.kernel}, Node ${about.node}; medians of ${about.rounds} rounds, lowest … highest\n` +
        `${asText(samples, sections)}\n`,
    );
  }
  if (opts.json === '-') process.stdout.write(json());
  else if (opts.json !== undefined) writeFileSync(opts.json, json());
  if (failures.length > 0) process.exitCode = 1;
}

await runProgram({ usage: USAGE, options, main });
