import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './nats-server.ts';
import { root } from './projects.ts';

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

const CLI = join(root, 'tools/skbus.mjs');

/** Why tests against a Linux kernel cannot run here; `undefined`: they can. */
export function whyNoTap(...more: string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return 'no /dev/net/tun';
  }
  for (const tool of ['ip', 'curl', 'ping', 'tshark', 'tcpdump', 'iperf3', ...more])
    if (!installed(tool)) return `no ${tool}`;
  return undefined;
}

/**
 * May tests use this program? Where CI has just set the machine up (CI=true), one that is missing is a fault of the set-up: tests
 * that skip themselves would pass unseen.
 */
export function installed(tool: string): boolean {
  const dirs = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  if (dirs.some((d) => existsSync(join(d, tool)))) return true;
  if (process.env['CI'] === 'true')
    throw new Error(`${tool} is missing; \`node tools/setup.mjs --test\` should have installed it`);
  return false;
}

/** Runs a command to its end. */
export function run(
  cmd: string,
  args: readonly string[],
  opts: { input?: string; timeoutMs?: number; env?: Record<string, string> } = {},
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(cmd, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...opts.env },
      timeout: opts.timeoutMs ?? 120_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (d: Buffer) => (stdout += d.toString('latin1')));
    child.stderr.on('data', (d: Buffer) => (stderr += d.toString()));
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: code ?? (signal ? 128 : 1), stdout, stderr }));
    child.stdin.on('error', () => {});
    child.stdin.end(opts.input ?? '');
  });
}

export interface ServiceStatus {
  name: string;
  pid: number;
  state: string;
  restarts: number;
}

/** A stack of real processes, and the Linux kernel on the other side of its TAP. */
export class Stack {
  readonly name: string;
  readonly netns: string;
  readonly api: string;
  readonly socksPort: number;
  /** The Unix door, once up. */
  sock = '';
  private readonly env: Record<string, string>;
  private readonly children = new Set<ChildProcess>();
  readonly tmp = mkdtempSync(join(tmpdir(), 'skbus-e2e-'));

  private constructor(name: string, apiPort: number, socksPort: number) {
    this.name = name;
    this.netns = `skbus-${name}`;
    this.api = `http://127.0.0.1:${apiPort}`;
    this.socksPort = socksPort;
    // A run root of its own: a stack that somebody has running beside the tests is none of their business.
    this.env = { SKBUS_STACK: name, SKBUS_API: this.api, SKBUS_RUN_ROOT: join(this.tmp, 'run') };
  }

  static async up(name: string, ...args: string[]): Promise<Stack> {
    const [api, socks] = [await freePort(), await freePort()];
    const s = new Stack(name, api, socks);
    const r = await run(
      process.execPath,
      [
        CLI,
        'up',
        '-d',
        '--stack',
        name,
        '--peer-netns',
        s.netns,
        '--api-port',
        String(api),
        '--socks-port',
        String(socks),
        ...args,
      ],
      { env: s.env, timeoutMs: 60_000 },
    );
    if (r.code !== 0) {
      await s.down();
      throw new Error(`skbus up ended with ${r.code}\n${r.stdout}\n${r.stderr}`);
    }
    s.sock = (await s.json<{ sock: string }>('status')).sock;
    return s;
  }

  /** `skbus …` for this stack. */
  skbus(...args: string[]): Promise<Result> {
    return run(process.execPath, [CLI, ...args], { env: this.env });
  }

  /** Starts a `skbus …` that stays; it ends with the stack. */
  skbusStart(...args: string[]): ChildProcess {
    const env = { ...process.env, ...this.env };
    const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.children.add(child);
    return child;
  }

  async json<T>(...args: string[]): Promise<T> {
    const r = await this.skbus(...args, '--json');
    if (r.code !== 0) throw new Error(`skbus ${args.join(' ')} ended with ${r.code}: ${r.stderr}`);
    return JSON.parse(r.stdout) as T;
  }

  /** Runs a command as the Linux peer. */
  peer(cmd: string, ...args: string[]): Promise<Result> {
    return run('ip', ['netns', 'exec', this.netns, cmd, ...args]);
  }

  /** Starts a command as the Linux peer and lets it run; it ends with the stack. */
  peerStart(cmd: string, ...args: string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.netns, cmd, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.children.add(child);
    return child;
  }

  async pidOf(layer: string): Promise<number> {
    const { services } = await this.json<{ services: ServiceStatus[] }>('status');
    const s = services.find((x) => x.name === layer);
    if (!s) throw new Error(`no service ${layer}`);
    return s.pid;
  }

  /** What its services have complained about: the lines of level error and above in their logs. */
  complaints(): string[] {
    const dir = join(this.tmp, 'run', this.name);
    return readdirSync(dir)
      .filter((f) => f.endsWith('.log') && f !== 'nats.log')
      .flatMap((f) => readFileSync(join(dir, f), 'utf8').split('\n'))
      .filter((line) => /"level":[56]0/.test(line));
  }

  async down(): Promise<Result> {
    for (const c of this.children) c.kill('SIGTERM');
    const r = await run(process.execPath, [CLI, 'down', '--stack', this.name], { env: this.env, timeoutMs: 30_000 });
    rmSync(this.tmp, { recursive: true, force: true });
    return r;
  }
}

/** Waits for a condition, looking again every few milliseconds; a failure names what was waited for. */
export async function eventually(
  what: string,
  ready: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (await ready()) return;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for: ${what}`);
    await new Promise((r) => setTimeout(r, 20));
  }
}

export const netnsExists = (name: string): boolean =>
  execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
    .split('\n')
    .some((l) => l.split(' ')[0] === name);
