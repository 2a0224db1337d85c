import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { HostPort } from './cable.ts';

const CLI = fileURLToPath(new URL('../../../../../tools/skbus.mjs', import.meta.url));
const UP_MS = 60_000;

/** A stack that runs, and its cable. */
export interface RunningStack {
  /** The control API's URL. */
  api: string;
  /** The Unix socket of its door. */
  sock: string;
  /** The NIC's own end of the cable. */
  nic: HostPort;
  /** Ends it, if we started it. */
  stop(): void;
}

/** Starts the services with a `udp` NIC whose cable ends at `peer`, in a run folder of their own. */
export async function startStack(peer: HostPort): Promise<RunningStack> {
  const name = `pd-${process.pid}`;
  const dir = mkdtempSync(join(tmpdir(), 'skbus-packetdrill-'));
  const [api, nic] = [await freePort(), { host: '127.0.0.1', port: await freePort() }];
  const env = { ...process.env, SKBUS_RUN_ROOT: dir, SKBUS_STACK: name, SKBUS_API: '', SKBUS_DEMO: 'off' };
  const stop = (): void => {
    spawnSync(process.execPath, [CLI, 'down', '--stack', name], { env, stdio: 'ignore' });
    rmSync(dir, { recursive: true, force: true });
  };
  const cable = ['--nic', 'udp', '--udp-local', at(nic), '--udp-peer', at(peer)];
  const doors = ['--api-port', String(api), '--socks-port', '0', '--http-proxy-port', '0'];
  try {
    const argv = [CLI, 'up', '-d', '--json', '--stack', name, ...cable, ...doors];
    await promisify(execFile)(process.execPath, argv, { env, timeout: UP_MS });
  } catch (e) {
    stop();
    const { stderr = '', message } = e as { stderr?: string; message: string };
    throw new Error(`the services do not start: ${stderr.trim() || message}`, { cause: e });
  }
  return { api: `http://127.0.0.1:${api}`, sock: join(dir, name, 'skbus.sock'), nic, stop };
}

const at = ({ host, port }: HostPort): string => `${host}:${port}`;

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const s = createServer();
    s.once('error', reject);
    s.listen(0, '127.0.0.1', () => {
      const { port } = s.address() as { port: number };
      s.close(() => resolve(port));
    });
  });
}
