import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TestBroker {
  url: string;
  /** Its store, and what `configure` wrote. */
  dir: string;
  /** As if it had crashed. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** A port that was free a moment ago, on loopback. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const s = createServer();
    s.once('error', reject);
    s.listen(0, '127.0.0.1', () => {
      const { port } = s.address() as { port: number };
      s.close(() => resolve(port));
    });
  });
}

/**
 * A real nats-server with JetStream on a free loopback port and a store of its own, both gone after stop(); a store that is
 * given stays. `configure` writes a configuration file into the folder and returns its path.
 */
export async function startBroker(
  at: { port?: number; store?: string; configure?: (port: number, dir: string) => string } = {},
): Promise<TestBroker> {
  const port = at.port ?? (await freePort());
  const dir = at.store ?? mkdtempSync(join(tmpdir(), 'skbus-nats-'));
  const plain = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', dir];
  const args = at.configure === undefined ? plain : ['-c', at.configure(port, dir)];
  const child = spawn('nats-server', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  await ready(child);
  const end = (sig: NodeJS.Signals): Promise<void> =>
    new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.kill(sig);
    });
  return {
    url: `nats://127.0.0.1:${port}`,
    dir,
    kill: () => end('SIGKILL'),
    stop: async () => {
      await end('SIGTERM');
      if (at.store === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.stderr!.on('data', (d: Buffer) => {
      log += d.toString();
      if (log.includes('Server is ready')) resolve();
    });
    child.once('error', (e) =>
      reject(new Error(`nats-server does not start: ${e.message} (Debian: apt-get install nats-server)`)),
    );
    child.once('exit', (code) => reject(new Error(`nats-server ended with ${code}:\n${log}`)));
  });
}
