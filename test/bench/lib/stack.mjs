import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { rssOf, run } from './children.mjs';
import { measureConnections, program } from './measure.mjs';

const SKBUS = fileURLToPath(new URL('../../../tools/skbus.mjs', import.meta.url));
const HOST = '10.77.0.2';
/** A stack of our own: whatever runs already is somebody else's and is left alone. */
const NAME = 'bench';
const PEER_NETNS = 'skbus-bench';
const IN_PEER = ['ip', 'netns', 'exec', PEER_NETNS];
const IDLE_CONNECTIONS = 1_000;
/** Bytes of the first, unmeasured transfer: its speed decides how much the next one moves. */
const TRIAL_BYTES = 4 << 20;

/** The running stack, from `skbus up -d` to `skbus down`, on a TAP with the Linux peer in its namespace. */
export class Stack {
  #allowed;
  /** @type {import('./children.mjs').Cleanup} */
  #cleanup;
  /** @type {number[]} */
  #services = [];
  /** @type {number[]} */
  #all = [];

  /** @param {string} allowed CPUs @param {import('./children.mjs').Cleanup} cleanup */
  constructor(allowed, cleanup) {
    this.#allowed = allowed;
    this.#cleanup = cleanup;
  }

  /** @param {'offload' | 'plain'} kind @param {import('./stats.mjs').Samples} samples @param {{ ms: number }} opts */
  async measure(kind, samples, opts) {
    const down = () => skbus(['down', '--stack', NAME], 20_000);
    const flags = kind === 'plain' ? ['--no-offload'] : [];
    const forget = this.#cleanup.add(down);
    try {
      const ports = ['--api-port', String(await freePort()), '--socks-port', '0'];
      await skbus(
        ['up', '-d', '--stack', NAME, '--nic', 'tap', '--peer-netns', PEER_NETNS, ...ports, ...flags],
        60_000,
      );
    } catch (e) {
      // What `up` started before it failed it has taken down again itself; a second one of ours stays untouched.
      forget();
      throw e;
    }
    try {
      await this.#findProcesses();
      if (kind === 'offload') await this.#measureIdle(samples);
      await this.#measureBulk(kind, samples, opts.ms);
      if (kind === 'offload') {
        const at = { name: 'stack', host: HOST, inFront: IN_PEER, pids: this.#all, allowed: this.#allowed };
        await measureConnections(at, samples, opts);
      }
    } finally {
      forget();
      await down();
    }
  }

  /** The layers and their orchestrator, for memory; and everything they belong to, for pinning. */
  async #findProcesses() {
    /** @type {{ pid: number, services: { pid: number, rssBytes?: number }[] }} */
    const status = JSON.parse(await skbus(['status', '--stack', NAME, '--json']));
    const layers = status.services.filter((s) => s.rssBytes !== undefined);
    this.#services = [status.pid, ...layers.map((s) => s.pid)];
    this.#all = descendants([status.pid, ...status.services.map((s) => s.pid)].filter((pid) => pid > 0));
  }

  /** @param {string} kind @param {import('./stats.mjs').Samples} samples @param {number} ms */
  async #measureBulk(kind, samples, ms) {
    samples.add(`stack.${kind}.down`, await steady((bytes) => this.#download(bytes), ms));
    const dir = await mkdtemp(join(tmpdir(), 'skbus-bench-'));
    const forget = this.#cleanup.add(() => rm(dir, { recursive: true, force: true }));
    try {
      const file = join(dir, 'upload');
      await writeFile(file, '');
      const upload = async (/** @type {number} */ bytes) => {
        await truncate(file, bytes);
        return this.#upload(file);
      };
      samples.add(`stack.${kind}.up`, await steady(upload, ms));
      const before = await this.#sentAgain();
      await this.#download(TRIAL_BYTES * 8);
      await upload(TRIAL_BYTES * 8);
      samples.add(`stack.${kind}.again`, (await this.#sentAgain()) - before);
    } finally {
      forget();
      await rm(dir, { recursive: true, force: true });
    }
  }

  /** Segments that the peer or the stack has sent more than once: the cable loses nothing, so one of them was slow to answer. */
  async #sentAgain() {
    const [names, values] = (await run([...IN_PEER, 'cat', '/proc/net/snmp']))
      .split('\n')
      .filter((line) => line.startsWith('Tcp:'))
      .map((line) => line.split(' '));
    const peer = Number(values?.[names?.indexOf('RetransSegs') ?? -1]);
    const { kernel } = JSON.parse(await skbus(['nstat', '--stack', NAME, '-a', '-j', 'TcpRetransSegs']));
    return peer + (kernel.TcpRetransSegs ?? 0);
  }

  /** @param {number} bytes @returns {Promise<number>} bits per second */
  async #download(bytes) {
    const curl = [
      'curl',
      '-sS',
      '--fail',
      '--max-time',
      '5',
      '-o',
      '/dev/null',
      '-w',
      '%{size_download} %{time_total}',
    ];
    const [size, seconds] = await this.#timed([...curl, `http://${HOST}/bytes/${bytes}`]);
    if (size !== bytes) throw new Error(`GET /bytes/${bytes} brought ${size} bytes`);
    return (size * 8) / seconds;
  }

  /** @param {string} file @returns {Promise<number>} bits per second, up to the answer that says all has arrived */
  async #upload(file) {
    const curl = ['curl', '-sS', '--fail', '--max-time', '5', '-o', '/dev/null', '-w', '%{size_upload} %{time_total}'];
    // Without "Expect:" curl would wait for the server's 100 Continue first.
    const [size, seconds] = await this.#timed([...curl, '-H', 'Expect:', '-T', file, `http://${HOST}/sink`]);
    return (size * 8) / seconds;
  }

  /** @param {string[]} curl */
  async #timed(curl) {
    const out = await run([...IN_PEER, ...curl], { timeoutMs: 8_000 });
    return /** @type {[number, number]} */ (out.trim().split(' ').map(Number));
  }

  /** @param {import('./stats.mjs').Samples} samples */
  async #measureIdle(samples) {
    // The code behind a connection is loaded and compiled with the first ones; that is not what a connection costs.
    await this.#holding(50, async () => {});
    const before = this.#rss();
    await this.#holding(IDLE_CONNECTIONS, async (open) => {
      await new Promise((resolve) => void setTimeout(resolve, 300));
      const after = this.#rss();
      samples.add('stack.idle.open', open);
      samples.add('stack.idle.bytes', after.services - before.services);
      samples.add('stack.idle.allBytes', after.all - before.all);
    });
  }

  #rss() {
    const sum = (/** @type {number[]} */ pids) => pids.reduce((n, pid) => n + rssOf(pid), 0);
    return { services: sum(this.#services), all: sum(this.#all) };
  }

  /** @param {number} count @param {(open: number) => Promise<void>} during */
  async #holding(count, during) {
    const [file, ...args] = [...IN_PEER, process.execPath, program('idle'), HOST, '7', String(count)];
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const gone = new Promise((resolve) => void child.once('exit', resolve));
    const forget = this.#cleanup.add(() => child.kill('SIGKILL'));
    const hard = setTimeout(() => child.kill('SIGKILL'), 8_000);
    try {
      for await (const line of createInterface({ input: child.stdout })) {
        await during(JSON.parse(line).open);
        child.stdin.end();
      }
    } finally {
      await gone;
      clearTimeout(hard);
      forget();
    }
  }
}

/**
 * Bits per second of a transfer of about `ms`. The steady state is asked for: what moves bulk data gets compiled first.
 * @param {(bytes: number) => Promise<number>} move bits per second @param {number} ms
 */
async function steady(move, ms) {
  const trial = await move(TRIAL_BYTES);
  const speed = await move(sizeFor(trial, ms));
  return move(sizeFor(speed, ms));
}

/** What `bitsPerSecond` moves in `ms`, within bounds that keep every transfer below its five seconds. @param {number} bitsPerSecond @param {number} ms */
const sizeFor = (bitsPerSecond, ms) => Math.max(1 << 20, Math.round((bitsPerSecond / 8) * (Math.min(ms, 2_500) / 1e3)));

/** @param {string[]} args @param {number} [timeoutMs] */
export const skbus = (args, timeoutMs) =>
  run([process.execPath, SKBUS, ...args], timeoutMs === undefined ? {} : { timeoutMs });

/** A port that was free a moment ago, on loopback. @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** The processes and all that they started. @param {number[]} roots @returns {number[]} */
function descendants(roots) {
  /** @type {Map<number, number[]>} */
  const children = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // It ended between the listing and the reading.
    }
  }
  const all = new Set(roots);
  for (const pid of all) for (const child of children.get(pid) ?? []) all.add(child);
  return [...all];
}
