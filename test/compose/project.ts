import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../support/nats-server.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Why there are no compose tests on this machine; undefined: there are. */
export function whyNoEngine(): string | undefined {
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 });
    execFileSync('docker', ['compose', 'version'], { stdio: 'ignore', timeout: 10_000 });
    return undefined;
  } catch {
    return 'no container engine answers (test/compose/engine.mjs up makes one)';
  }
}

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

export interface Container {
  id: string;
  pid: number;
  restarts: number;
  /** How long the engine took to start it again; meaningless before its first restart. */
  awayMs: number;
  health: string;
}

/** Names of their own: those of whoever works here stay. */
export const IMAGES = 'skbus-test';

/** One compose project: a stack, each layer in a container. */
export class Project {
  readonly name: string;
  readonly address: string;
  api = '';
  socksPort = 0;
  /** Of the CLI. */
  readonly runRoot: string;
  private env: Record<string, string> = {};

  constructor(name: string, address: string) {
    this.name = name;
    this.address = address;
    this.runRoot = mkdtempSync(join(tmpdir(), `${name}-`));
  }

  async prepare(cable: string): Promise<void> {
    const [api, socks] = [await freePort(), await freePort()];
    this.api = `http://127.0.0.1:${api}`;
    this.socksPort = socks;
    this.env = {
      SKBUS_STACK: this.name,
      SKBUS_ADDRESS: this.address,
      SKBUS_API_PORT: String(api),
      SKBUS_SOCKS_PORT: String(socks),
      // Few enough to be used up.
      SKBUS_DOOR_HALF_OPEN: '32',
      SKBUS_CABLE: cable,
      SKBUS_CABLE_SUBNET: '10.79.0.0/24',
      SKBUS_CABLE_RANGE: '10.79.0.128/25',
      SKBUS_GATEWAY: '10.79.0.1',
      SKBUS_PEER_IMAGE: 'skbus-test-peer',
      // Both projects from the same images, built once.
      SKBUS_IMAGES: IMAGES,
      SKBUS_RUN_ROOT: this.runRoot,
    };
  }

  /** `docker compose -p NAME …`; rejects when it fails. */
  async compose(...args: string[]): Promise<Result> {
    const r = await this.tryCompose(...args);
    if (r.code !== 0) throw new Error(`docker compose ${args.join(' ')}: ${r.stderr || r.stdout}`);
    return r;
  }

  tryCompose(...args: string[]): Promise<Result> {
    return this.run('docker', ['compose', '-p', this.name, ...args]);
  }

  /** A command in the plain Linux on the cable. */
  peer(...args: string[]): Promise<Result> {
    return this.tryCompose('exec', '-T', 'peer', ...args);
  }

  /**
   * 1 MB and more down from the demo, to the peer: calls back with how much has come, and resolves with the hash of all and the
   * longest time in which nothing came.
   */
  async download(
    bytes: number,
    onData: (got: number) => void,
  ): Promise<{ code: number; sha256: string; pauseMs: number }> {
    const h = createHash('sha256');
    let [got, last, pauseMs] = [0, 0, 0];
    const code = await this.stream(['curl', '-sS', '-m', '100', `http://${this.address}/bytes/${bytes}`], (d) => {
      const now = performance.now();
      if (last > 0) pauseMs = Math.max(pauseMs, now - last);
      last = now;
      got += d.length;
      h.update(d);
      onData(got);
    });
    return { code, sha256: h.digest('hex'), pauseMs: Math.round(pauseMs) };
  }

  /** What it prints goes to `onData`; resolves with its exit code. */
  stream(args: readonly string[], onData: (d: Buffer) => void): Promise<number> {
    const child = spawn('docker', ['compose', '-p', this.name, 'exec', '-T', 'peer', ...args], {
      cwd: root,
      env: { ...process.env, ...this.env },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    child.stdout.on('data', onData);
    return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? -1)));
  }

  async container(service: string): Promise<Container> {
    const id = (await this.compose('ps', '-a', '-q', service)).stdout.trim();
    const r = await this.run('docker', ['inspect', '-f', '{{json .}}', id]);
    const c = JSON.parse(r.stdout) as {
      RestartCount: number;
      State: { Pid: number; StartedAt: string; FinishedAt: string; Health?: { Status: string } };
    };
    const { Pid: pid, StartedAt, FinishedAt, Health } = c.State;
    const awayMs = Date.parse(StartedAt) - Date.parse(FinishedAt);
    return { id, pid, restarts: c.RestartCount, awayMs, health: Health?.Status ?? '' };
  }

  /** `skbus …`, which finds this project by itself. */
  cli(...args: string[]): Promise<Result> {
    return this.run(process.execPath, ['tools/skbus.mjs', ...args]);
  }

  /** What its control API wants to hear. */
  async token(): Promise<string> {
    return (await this.compose('exec', '-T', 'orchestrator', 'cat', '/keys/api-token')).stdout.trim();
  }

  /** On this machine, outside of all containers. */
  curl(...args: string[]): Promise<Result> {
    return this.run('curl', ['-sS', '-m', '10', ...args]);
  }

  docker(...args: string[]): Promise<Result> {
    return this.run('docker', args);
  }

  private run(command: string, args: string[]): Promise<Result> {
    return new Promise((resolve) => {
      execFile(
        command,
        args,
        { cwd: root, env: { ...process.env, ...this.env }, maxBuffer: 1 << 26 },
        (e, stdout, stderr) => resolve({ code: e ? ((e.code as unknown as number) ?? -1) : 0, stdout, stderr }),
      );
    });
  }
}
