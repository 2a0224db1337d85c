import { execFile } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { paint, print, printJson, table } from '../output.ts';
import { orchestratorDir } from '../folders.ts';
import { listStacks } from '../stacks.ts';

interface Check {
  name: string;
  ok: boolean;
  /** Without it nothing works; else something is missing. */
  required: boolean;
  found: string;
  /** What to do when it is not there, and what works without. */
  fix: string;
}

export async function doctor(o: { json?: boolean }): Promise<void> {
  const checks = [node(), build(), tun(), rootRights()];
  const asked = await Promise.all([
    natsServer(),
    program('ip', 'iproute2', 'needed for the TAP; without it use --nic wire', ['-V']),
    program('ping', 'iputils-ping', 'needed by some tests only', ['-V']),
    program('curl', 'curl', 'needed by some tests only', ['-V']),
    program('tshark', 'tshark', 'needed by some tests only', ['-v']),
    program('iperf3', 'iperf3', 'needed by some tests only', ['-v']),
    program('docker', 'docker.io docker-compose-plugin', 'needed for skbus up --compose only', ['--version']),
    port(7070, 'control API', '--api-port'),
    port(1080, 'SOCKS5', '--socks-port'),
  ]);
  checks.push(...asked);
  if (o.json) printJson(checks);
  else {
    const rows = checks.map((c) => [
      c.ok ? 'ok' : c.required ? 'MISSING' : 'missing',
      c.name,
      c.found,
      c.ok ? '' : c.fix,
    ]);
    for (const line of table(rows)) {
      const style = line.startsWith('ok') ? 'green' : line.startsWith('MISSING') ? 'red' : 'yellow';
      const end = line.indexOf(' ');
      print(paint(style, line.slice(0, end)) + line.slice(end));
    }
  }
  process.exitCode = checks.some((c) => c.required && !c.ok) ? 1 : 0;
}

function node(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > 20 || (major === 20 && minor >= 19);
  return { name: 'node', ok, required: true, found: process.version, fix: 'install Node 20.19 or later' };
}

function build(): Check {
  const ok = existsSync(join(orchestratorDir, 'main.js'));
  return { name: 'build', ok, required: true, found: ok ? 'apps and libs are built' : '', fix: 'npm run build' };
}

async function natsServer(): Promise<Check> {
  const bin = find('nats-server');
  const found = bin ? `${await firstLine(bin, ['-v'])} (${bin})` : '';
  return {
    name: 'nats-server',
    ok: bin !== undefined,
    required: false,
    found,
    fix: 'apt-get install nats-server; without it: skbus up --inproc',
  };
}

function tun(): Check {
  const base = { name: '/dev/net/tun', required: false };
  if (!existsSync('/dev/net/tun'))
    return { ...base, ok: false, found: '', fix: 'modprobe tun; without it: skbus up --nic wire' };
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return { ...base, ok: true, found: 'can be opened', fix: '' };
  } catch (e) {
    return { ...base, ok: false, found: (e as Error).message, fix: 'run as root; without it: skbus up --nic wire' };
  }
}

function rootRights(): Check {
  let caps = 0n;
  try {
    caps = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  } catch {
    // Not Linux: no capabilities, no TAP.
  }
  const ok = ((caps >> 12n) & 1n) === 1n && ((caps >> 21n) & 1n) === 1n;
  const found = ok ? 'CAP_NET_ADMIN and CAP_SYS_ADMIN' : `uid ${process.getuid?.() ?? '?'}`;
  return { name: 'root', ok, required: false, found, fix: 'run as root for a TAP; without it: two stacks on one wire' };
}

async function program(name: string, pkg: string, what: string, version: string[]): Promise<Check> {
  const bin = find(name);
  const found = bin ? await firstLine(bin, version) : '';
  return { name, ok: bin !== undefined, required: false, found, fix: `apt-get install ${pkg} (${what})` };
}

async function port(n: number, what: string, option: string): Promise<Check> {
  const name = `port ${n}`;
  if (await isFree(n)) return { name, ok: true, required: false, found: `free for ${what}`, fix: '' };
  const own = listStacks().find((s) => s.running && (s.socksPort === n || s.api.endsWith(`:${n}`)));
  if (own) return { name, ok: true, required: false, found: `${what} of stack ${own.stack}`, fix: '' };
  return { name, ok: false, required: false, found: 'in use', fix: `choose another one for ${what} with ${option}` };
}

function isFree(n: number): Promise<boolean> {
  return new Promise((resolve) => {
    const s = createServer();
    s.once('error', () => resolve(false));
    s.listen(n, '127.0.0.1', () => s.close(() => resolve(true)));
  });
}

function find(name: string): string | undefined {
  const dirs = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin',
    '/sbin',
    '/usr/local/sbin',
    '/usr/bin',
    '/bin',
  ];
  return dirs
    .map((d) => join(d, name))
    .find((p) => {
      try {
        accessSync(p, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function firstLine(bin: string, args: string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(bin, args, { timeout: 5_000 }, (_e, stdout, stderr) =>
      resolve((stdout || stderr).split('\n')[0]!.slice(0, 60).trim()),
    );
  });
}
