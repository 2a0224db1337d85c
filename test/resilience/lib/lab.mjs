import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const SKBUS = fileURLToPath(new URL('../../../tools/skbus.mjs', import.meta.url));
const STACK = 'resil';
const PEER = 'skbus-resil-peer';
const PORT = 9_000;
const HEAL_MS = 45_000;

/** The running stack with the server on it and the client opposite. */
export class Lab {
  /** @param {{ spare: boolean }} opts */
  constructor({ spare }) {
    this.spare = spare;
  }

  tmp = mkdtempSync(join(tmpdir(), 'skbus-resil-'));
  env = { ...process.env, SKBUS_RUN_ROOT: join(this.tmp, 'run'), SKBUS_STACK: '', SKBUS_API: '' };
  runDir = join(this.tmp, 'run', STACK);
  /** @type {import('node:child_process').ChildProcess[]} */
  children = [];
  /** @type {((answer: any) => void)[]} */
  waiting = [];

  /** @param {string[]} args */
  skbus = (...args) =>
    new Promise((/** @type {(out: string) => void} */ resolve, reject) => {
      const child = spawn(process.execPath, [SKBUS, ...args, '--stack', STACK], { env: this.env });
      let out = '';
      let err = '';
      child.stdout.on('data', (d) => (out += d));
      child.stderr.on('data', (d) => (err += d));
      child.once('close', (code) => (code === 0 ? resolve(out) : reject(new Error(`skbus ${args[0]}: ${err}`))));
    });

  async up() {
    const more = this.spare ? [] : ['--no-spare'];
    const port = 20_000 + (process.pid % 10_000);
    await this.skbus(
      'up',
      '-d',
      '--nic',
      'tap',
      '--peer-netns',
      PEER,
      '--api-port',
      String(port),
      '--socks-port',
      '0',
      ...more,
    );
    this.api = `http://127.0.0.1:${port}`;
    this.brokerPort = Number(new URL((await this.status()).nats).port);
    const program = (/** @type {string} */ name) => fileURLToPath(new URL(`../programs/${name}.mjs`, import.meta.url));
    const server = spawn(process.execPath, [program('server'), join(this.runDir, 'skbus.sock'), String(PORT)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.children.push(server);
    await new Promise((listening) => server.stdout.once('data', listening));
    const client = spawn(
      'ip',
      ['netns', 'exec', PEER, process.execPath, program('client'), '10.77.0.2', String(PORT)],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    this.children.push(client);
    createInterface({ input: client.stdout }).on('line', (l) => this.waiting.shift()?.(JSON.parse(l)));
    this.client = client;
  }

  async down() {
    for (const c of this.children.splice(0)) c.kill('SIGKILL');
    this.waiting = [];
    await this.skbus('down').catch(() => '');
  }

  /** @param {string} cmd @returns {Promise<any>} */
  async ask(cmd) {
    const answer = await new Promise((resolve) => {
      this.waiting.push(resolve);
      this.client?.stdin?.write(`${JSON.stringify({ cmd })}\n`);
    });
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  /** @returns {Promise<any>} */
  async status() {
    const r = await fetch(`${this.api}/status`, { signal: AbortSignal.timeout(5_000) });
    return r.json();
  }

  /** From the run folder: asking the layers takes time. @param {string} layer */
  pidOf = (layer) => {
    try {
      const { processes } = JSON.parse(readFileSync(join(this.runDir, 'stack.json'), 'utf8'));
      return Promise.resolve(processes[layer]?.pid ?? 0);
    } catch {
      return Promise.resolve(0);
    }
  };

  /** All layers run, and the next spare is there. */
  async healed() {
    for (const deadline = performance.now() + HEAL_MS; performance.now() < deadline; await sleep(100)) {
      try {
        const { services } = await this.status();
        const ok = services.every((/** @type {any} */ s) => s.state === 'running' || s.state === 'ready');
        const spare = services.some((/** @type {any} */ s) => s.name === 'spare' && s.state === 'ready');
        if (ok && (spare || !this.spare)) return true;
      } catch {
        // It is busy.
      }
    }
    return false;
  }
}
