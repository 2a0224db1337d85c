#!/usr/bin/env node
// npm run resilience: kills, stops and cuts off each layer under traffic, and looks what becomes of connections in each state.
// Needs root, /dev/net/tun, nats-server, iproute2 and iptables. All of it runs in network namespaces of its own.
import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Cleanup, run } from '../bench/lib/children.mjs';
import { inject } from './lib/faults.mjs';
import { Lab } from './lib/lab.mjs';
import { FAULTS, LAYERS, plan } from './lib/plan.mjs';
import { markdown } from './lib/report.mjs';

const USAGE = `npm run resilience -- [--kills 100] [--others 4] [--controls 20] [--seed N] [--minutes M]
                         [--layers ${LAYERS.join(',')}] [--faults ${Object.keys(FAULTS).slice(1).join(',')}]
                         [--no-spare] [--json FILE] [--out docs/RESILIENCE.md | --out -]

  --kills     kill -9 of each layer, at random moments
  --others    how often each of the other faults hits each layer
  --minutes   stop after so long and report what was done
`;
const root = fileURLToPath(new URL('../..', import.meta.url));
const HOST = `skbus-resil-h${process.pid}`;
const INSIDE = 'SKBUS_RESILIENCE_INSIDE';

const { values: o } = parseArgs({
  allowNegative: true,
  options: {
    kills: { type: 'string', default: '100' },
    others: { type: 'string', default: '4' },
    controls: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '600' },
    layers: { type: 'string', default: LAYERS.join(',') },
    faults: { type: 'string', default: Object.keys(FAULTS).slice(1).join(',') },
    spare: { type: 'boolean', default: true },
    json: { type: 'string' },
    out: { type: 'string', default: join(root, 'docs/RESILIENCE.md') },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const say = (/** @type {string} */ line) => void process.stderr.write(`${line}\n`);
const cleanup = new Cleanup();

if (o.help) process.stdout.write(USAGE);
else if (process.env[INSIDE] === undefined) process.exitCode = await outside();
else process.exitCode = await inside();

/** A namespace of its own for the stack: its loopback has a firewall that may be used. */
async function outside() {
  for (const sig of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(sig, () => {});
  await run(['ip', 'netns', 'add', HOST]);
  try {
    await run(['ip', '-n', HOST, 'link', 'set', 'lo', 'up']);
    const argv = [
      `--net=/run/netns/${HOST}`,
      process.execPath,
      fileURLToPath(import.meta.url),
      ...process.argv.slice(2),
    ];
    const child = spawn('nsenter', argv, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } });
    return await new Promise((done) => child.once('close', (code) => done(code ?? 1)));
  } finally {
    await run(['ip', 'netns', 'del', HOST]);
  }
}

/** @param {Lab} lab @param {import('./lib/plan.mjs').Round} r @returns {Promise<import('./lib/report.mjs').Result>} */
async function play(lab, r) {
  await lab.ask('arm');
  await sleep(r.afterMs);
  await lab.ask('mark');
  const over = performance.now() + FAULTS[r.fault].windowMs;
  await inject(r.fault, r.layer, { pidOf: lab.pidOf, skbus: lab.skbus, brokerPort: lab.brokerPort ?? 0 });
  await sleep(Math.max(0, over - performance.now()));
  const { verdicts } = await lab.ask('judge');
  return { layer: r.layer, fault: r.fault, verdicts };
}

async function inside() {
  for (const sig of /** @type {const} */ (['SIGINT', 'SIGTERM']))
    process.on(sig, () => void cleanup.run().then(() => process.exit(1)));
  const lab = new Lab({ spare: o.spare });
  cleanup.add(() => rmSync(lab.tmp, { recursive: true, force: true }));
  cleanup.add(() => lab.down());
  const seed = Number(o.seed);
  const faults = /** @type {import('./lib/plan.mjs').Fault[]} */ (o.faults.split(','));
  const rounds = plan({
    layers: o.layers.split(','),
    faults,
    kills: Number(o.kills),
    others: Number(o.others),
    controls: Number(o.controls),
    seed,
  });
  /** @type {import('./lib/report.mjs').Result[]} */
  const results = [];
  const began = performance.now();
  try {
    await lab.up();
    for (const [i, r] of rounds.entries()) {
      if (cleanup.started || performance.now() - began > Number(o.minutes) * 60_000) break;
      results.push(await attempt(lab, r));
      say(`${i + 1}/${rounds.length} ${r.fault} ${r.layer}: ${brief(results.at(-1))}`);
    }
  } finally {
    await cleanup.run();
  }
  if (o.json) writeFileSync(o.json, `${JSON.stringify(results)}\n`);
  const command = `npm run resilience -- --kills ${o.kills} --others ${o.others} --controls ${o.controls}${o.spare ? '' : ' --no-spare'}`;
  const text = markdown(results, { seed, cpus: availableParallelism(), command });
  if (o.out === '-') process.stdout.write(text);
  else writeFileSync(o.out, text);
  return 0;
}

/** A round, and a new stack where this one does not come back. @param {Lab} lab @param {import('./lib/plan.mjs').Round} r */
async function attempt(lab, r) {
  let result;
  let unhealed = !(await lab.healed());
  if (!unhealed) {
    try {
      result = await play(lab, r);
    } catch (e) {
      say(`${r.fault} ${r.layer}: ${e instanceof Error ? e.message : String(e)}`);
      unhealed = true;
    }
  }
  if (unhealed) {
    say(await lab.skbus('dmesg').then((t) => t.split('\n').slice(-20).join('\n'), String));
    await lab.down();
    await lab.up();
  }
  return { ...(result ?? { layer: r.layer, fault: r.fault, verdicts: {} }), ...(unhealed ? { unhealed } : {}) };
}

/** @param {import('./lib/report.mjs').Result | undefined} r */
function brief(r) {
  const parts = Object.entries(r?.verdicts ?? {}).map(
    ([s, v]) =>
      `${s} ${v.outcome === 'alive' ? '' : `${v.outcome.toUpperCase()}${v.why ? ` (${v.why})` : ''} `}${Math.round(v.ms)}`,
  );
  return r?.unhealed ? `not healed; ${parts.join(', ')}` : parts.join(', ');
}
