#!/usr/bin/env node
// npm run bench -- path: bulk transfers over a cable with delay and loss, skbus next to Linux on the same cable.
//
//   client ──TAP── relay ──TAP── router ──TAP── skbus
//   (Linux)                     (Linux) ──veth── Linux
//
// Same client, same pages (apps/demo), same relay; only the stack that serves differs. CUBIC on all Linux ends. Each
// transfer has a cable of its own, with the same dice for the nth segment of the kth connection whoever serves.
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { run, start } from './lib/children.mjs';
import { program } from './lib/measure.mjs';
import { runProgram, UsageError } from './lib/program.mjs';
import { freePort, skbus } from './lib/stack.mjs';
import { Samples } from './lib/stats.mjs';

const USAGE = `npm run bench -- path [--rounds N] [--seconds S] [--rtt 1,20,100] [--loss 0,0.1,1,3] [--reorder P] [--mbit 50]
                             [--flows N] [--dir down,up] [--inproc] [--pcap DIR] [--json]

  Loss and reordering in percent, both ways; a transfer is as long as Linux is expected to need S seconds for (default 4).
  Where loss leaves a connection little of the rate, up to N of them (default 8) go side by side, each with dice of its own.
  --pcap keeps the headers of each transfer as its server's side of the cable sees them.
  --inproc runs the stack in one process: what then changes is the bus's part.
`;
const STACK = 'path';
const ROUTER = `skbus-path-r${process.pid}`;
const CLIENT = `skbus-path-c${process.pid}`;
const SERVER = `skbus-path-s${process.pid}`;
const HOSTS = { linux: '10.80.0.2', skbus: '10.77.0.2' };
const MSS = 1448;
const TARGET = 0.9;

/** @typedef {{ rttMs: number, loss: number }} Path */
/** @typedef {keyof typeof HOSTS} Who */

function options() {
  const { values: v } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '4' },
      rtt: { type: 'string', default: '1,20,100' },
      loss: { type: 'string', default: '0,0.1,1,3' },
      reorder: { type: 'string', default: '0' },
      mbit: { type: 'string', default: '50' },
      flows: { type: 'string', default: '8' },
      dir: { type: 'string', default: 'down,up' },
      inproc: { type: 'boolean', default: false },
      pcap: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  /** @param {'rounds' | 'seconds' | 'rtt' | 'loss' | 'reorder' | 'mbit' | 'flows'} name @returns {number[]} */
  const list = (name) =>
    v[name].split(',').map((word) => {
      if (word.trim() !== '' && Number(word) >= 0) return Number(word);
      throw new UsageError(`--${name} ${v[name]}: "${word}" is no number from 0 on`);
    });
  const one = (/** @type {Parameters<typeof list>[0]} */ name) => list(name)[0] ?? 0;
  return {
    rounds: one('rounds'),
    seconds: one('seconds'),
    bitsPerSecond: one('mbit') * 1e6,
    reorder: one('reorder') / 100,
    paths: list('rtt').flatMap((rttMs) => list('loss').map((percent) => ({ rttMs, loss: percent / 100 }))),
    flows: one('flows'),
    dirs: v.dir.split(','),
    inproc: v.inproc,
    pcap: v.pcap,
    json: v.json,
    help: v.help,
  };
}

/** @param {string} line */
const say = (line) => void process.stderr.write(`${line}\n`);
const ip = (/** @type {string} */ ns, /** @type {string} */ words) => run(['ip', '-n', ns, ...words.split(' ')]);
const inside = (/** @type {string} */ ns, /** @type {string[]} */ ...argv) => ['ip', 'netns', 'exec', ns, ...argv];

const ALLOWED = 'net.ipv4.tcp_allowed_congestion_control';

/** A namespace may only choose CUBIC where the machine allows it to all; that is put back as it was. @param {import('./lib/children.mjs').Cleanup} cleanup */
async function allowCubic(cleanup) {
  const before = (await run(['sysctl', '-n', ALLOWED])).trim();
  if (before.split(' ').includes('cubic')) return;
  await run(['sysctl', '-q', `${ALLOWED}=${before} cubic`]);
  cleanup.add(() => run(['sysctl', '-q', `${ALLOWED}=${before}`]));
}

/**
 * Namespaces, the router between them, the running stack and the Linux server.
 * @param {ReturnType<typeof options>} o
 * @param {import('./lib/children.mjs').Cleanup} cleanup
 */
async function lab(o, cleanup) {
  await allowCubic(cleanup);
  cleanup.add(() => skbus(['down', '--stack', STACK], 20_000));
  const ports = ['--api-port', String(await freePort()), '--socks-port', '0', ...(o.inproc ? ['--inproc'] : [])];
  await skbus(['up', '-d', '--stack', STACK, '--nic', 'tap', '--peer-netns', ROUTER, ...ports], 60_000);
  for (const ns of [CLIENT, SERVER]) {
    await run(['ip', 'netns', 'add', ns]);
    cleanup.add(() => run(['ip', 'netns', 'del', ns]));
    await ip(ns, 'link set lo up');
  }
  await ip(ROUTER, `link add v0 type veth peer name v0 netns ${SERVER}`);
  await ip(ROUTER, 'addr add 10.80.0.1/24 dev v0');
  await ip(SERVER, 'addr add 10.80.0.2/24 dev v0');
  await ip(ROUTER, 'link set v0 up');
  await ip(SERVER, 'link set v0 up');
  await ip(SERVER, 'route add default via 10.80.0.1');
  for (const ns of [ROUTER, SERVER]) await run(inside(ns, 'ethtool', '-K', 'v0', 'tso', 'off', 'gso', 'off'));
  for (const ns of [CLIENT, SERVER]) {
    await run(inside(ns, 'sysctl', '-q', 'net.ipv4.tcp_congestion_control=cubic', 'net.ipv4.tcp_no_metrics_save=1'));
  }
  await run(inside(ROUTER, 'sysctl', '-q', 'net.ipv4.ip_forward=1'));
  await start(inside(SERVER, process.execPath, program('pages')), /ready/, cleanup);
}

/** @param {Path} path @param {number} seed @param {ReturnType<typeof options>} o @param {import('./lib/children.mjs').Cleanup} cleanup */
async function cable(path, seed, o, cleanup) {
  const bdp = (o.bitsPerSecond / 8e3) * Math.max(path.rttMs, 20);
  const relay = await start(
    [
      // A cable never waits for a CPU; what comes late into its queue would come as a burst.
      ...['nice', '-n', '-20'],
      process.execPath,
      program('relay'),
      JSON.stringify({
        ends: [
          { ifname: 'cable', netnsPath: `/run/netns/${CLIENT}` },
          { ifname: 'cable', netnsPath: `/run/netns/${ROUTER}` },
        ],
        bitsPerSecond: o.bitsPerSecond,
        delayMs: path.rttMs / 2,
        queueBytes: Math.round(bdp),
        loss: path.loss,
        reorder: o.reorder,
        seed,
      }),
    ],
    /ready/,
    cleanup,
  );
  for (const [ns, addr] of [
    [CLIENT, '10.79.0.1/24'],
    [ROUTER, '10.79.0.2/24'],
  ]) {
    await ip(/** @type {string} */ (ns), `addr replace ${addr} dev cable`);
    await ip(/** @type {string} */ (ns), 'link set cable up');
  }
  await ip(CLIENT, 'route replace default via 10.79.0.2');
  return relay;
}

/** What Linux is expected to reach with one connection: the rate, or what loss leaves of it (Mathis). @param {Path} p @param {ReturnType<typeof options>} o */
function expected(p, o) {
  const lossy = p.loss > 0 ? (1.22 * MSS * 8) / ((p.rttMs / 1e3) * Math.sqrt(p.loss)) : Infinity;
  return Math.min(o.bitsPerSecond * 0.9, lossy);
}

/** Connections side by side, so few that the cable itself holds none of them up. @param {Path} p @param {ReturnType<typeof options>} o */
const flowsFor = (p, o) => Math.max(1, Math.min(o.flows, Math.floor((o.bitsPerSecond * 0.4) / expected(p, o))));

const CURL = ['curl', '-sS', '--fail', '--max-time', '90', '-o', '/dev/null', '-w', '%{time_total}'];

/** @param {Who} who @param {number} bytes @returns {Promise<number>} bits per second */
async function download(who, bytes) {
  const s = await run(inside(CLIENT, ...CURL, `http://${HOSTS[who]}/bytes/${bytes}`), { timeoutMs: 95_000 });
  return (bytes * 8) / Number(s);
}

/** @param {Who} who @param {number} bytes @returns {Promise<number>} bits per second, until the server says it has all */
async function upload(who, bytes) {
  const dir = await mkdtemp(join(tmpdir(), 'skbus-path-'));
  try {
    const file = join(dir, 'upload');
    await writeFile(file, '');
    await truncate(file, bytes);
    const to = ['-H', 'Expect:', '-T', file, `http://${HOSTS[who]}/sink`];
    return (bytes * 8) / Number(await run(inside(CLIENT, ...CURL, ...to), { timeoutMs: 95_000 }));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/**
 * One transfer, or several side by side, over a cable of its own.
 * @param {Path} path @param {Who} who @param {string} dir @param {number} round @param {ReturnType<typeof options>} o
 * @param {import('./lib/children.mjs').Cleanup} cleanup
 * @returns {Promise<number>} bits per second of all connections
 */
async function transfer(path, who, dir, round, o, cleanup) {
  const relay = await cable(path, round * 1_000 + path.rttMs, o, cleanup);
  // The neighbours on the way are known before it counts.
  await run(inside(CLIENT, 'ping', '-c', '1', '-W', '2', HOSTS[who]));
  const file = o.pcap === undefined ? undefined : join(o.pcap, `${keyOf(path)}.${dir}.${round}.${who}.pcap`);
  const capture =
    file &&
    (await start(inside(ROUTER, 'tcpdump', '-i', 'cable', '-s', '120', '-w', file, 'tcp'), /listening/, cleanup));
  const bytes = Math.round(Math.max(512 << 10, (expected(path, o) / 8) * o.seconds));
  const one = dir === 'down' ? download : upload;
  const speeds = await Promise.all(Array.from({ length: flowsFor(path, o) }, () => one(who, bytes)));
  if (capture) await capture.stop();
  await relay.stop();
  return speeds.reduce((a, b) => a + b);
}

const keyOf = (/** @type {Path} */ p) => `rtt${p.rttMs}.loss${p.loss}`;

/** @param {Samples} samples @param {ReturnType<typeof options>} o */
function rows(samples, o) {
  return o.paths.flatMap((p) =>
    o.dirs.map((dir) => {
      const median = (/** @type {Who} */ who) => samples.median(`${keyOf(p)}.${who}.${dir}`) ?? Number.NaN;
      const ratio = samples.ratio(`${keyOf(p)}.skbus.${dir}`, `${keyOf(p)}.linux.${dir}`) ?? Number.NaN;
      return { rttMs: p.rttMs, lossPercent: p.loss * 100, dir, linux: median('linux'), skbus: median('skbus'), ratio };
    }),
  );
}

/** @param {ReturnType<typeof rows>} table */
function asText(table) {
  const lines = ['RTT ms  loss %  skbus is  Linux Mbit/s  skbus Mbit/s  ratio'];
  for (const r of table) {
    const cells = [
      String(r.rttMs).padStart(6),
      r.lossPercent.toFixed(1).padStart(6),
      (r.dir === 'down' ? 'sender' : 'receiver').padEnd(8),
      (r.linux / 1e6).toFixed(2).padStart(12),
      (r.skbus / 1e6).toFixed(2).padStart(12),
      r.ratio.toFixed(2).padStart(5),
    ];
    lines.push(`${cells.join('  ')}${r.ratio >= TARGET ? '' : `  below ${TARGET}`}`);
  }
  return lines.join('\n');
}

/** @param {ReturnType<typeof options>} o @param {import('./lib/children.mjs').Cleanup} cleanup */
async function main(o, cleanup) {
  await lab(o, cleanup);
  const samples = new Samples();
  // Warm: what is compiled with the first megabytes is not what a path costs.
  const warm = await cable({ rttMs: 1, loss: 0 }, 1, o, cleanup);
  for (let i = 0; i < 2; i++) {
    await download('skbus', 20 << 20);
    await upload('skbus', 20 << 20);
  }
  await warm.stop();
  for (let round = 1; round <= o.rounds; round++) {
    samples.round = round;
    for (const path of o.paths) {
      for (const dir of o.dirs) {
        for (const who of /** @type {Who[]} */ (['linux', 'skbus'])) {
          const speed = await transfer(path, who, dir, round, o, cleanup);
          samples.add(`${keyOf(path)}.${who}.${dir}`, speed);
          say(
            `round ${round}: RTT ${path.rttMs} ms, loss ${path.loss * 100} %, ${dir}, ${who}: ${(speed / 1e6).toFixed(2)} Mbit/s`,
          );
        }
      }
    }
  }
  const table = rows(samples, o);
  process.stdout.write(o.json ? `${JSON.stringify(table, undefined, 2)}\n` : `${asText(table)}\n`);
}

await runProgram({ usage: USAGE, options, main });
