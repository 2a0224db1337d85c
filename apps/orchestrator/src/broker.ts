import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MemoryHub, NatsBus, type Bus } from '@skbus/bus';
import { SupervisedChild } from './child.ts';
import type { RunFolder } from './run-folder.ts';

/** The message bus of one or several stacks. */
export interface Broker {
  /** '' for the one in memory. */
  readonly url: string;
  readonly child: SupervisedChild | undefined;
  connect(name: string, onError: (e: unknown) => void): Promise<Bus>;
  stop(): Promise<void>;
}

export class BrokerError extends Error {
  override name = 'BrokerError';
}

/** Everything in one process: nothing to start. */
export function memoryBroker(onError: (e: unknown) => void): Broker {
  const hub = new MemoryHub({ onError });
  return { url: '', child: undefined, connect: () => Promise.resolve(hub.bus()), stop: () => Promise.resolve() };
}

/** A broker that somebody else runs. */
export function externalBroker(url: string): Broker {
  return {
    url,
    child: undefined,
    stop: () => Promise.resolve(),
    connect: (name, onError) => NatsBus.connect({ url, name, onError }),
  };
}

/** nats-server as a child of ours, with its store in the run folder. */
export async function startNats(
  run: RunFolder,
  wantedPort: number,
  stack: string,
  on: { died: (how: string) => void; change: () => void },
): Promise<Broker> {
  const bin = findNatsServer();
  if (!bin) {
    throw new BrokerError(
      'nats-server is not installed: apt-get install nats-server, or start with --inproc, which needs none',
    );
  }
  if (wantedPort !== 0 && !(await portIsFree(wantedPort))) {
    throw new BrokerError(`port ${wantedPort} on 127.0.0.1 is in use; choose another one with --nats-port`);
  }
  // A port that was free a moment ago may be taken now; only one that was asked for must be that one.
  for (let attempt = 1; ; attempt++) {
    const port = wantedPort || (await freePort());
    const child = await tryNats(bin, run, port, stack, on);
    if (child) {
      const url = `nats://127.0.0.1:${port}`;
      return {
        url,
        child,
        stop: () => child.stop(),
        connect: (name, onError) => NatsBus.connect({ url, name, onError, connectTimeoutMs: 10_000 }),
      };
    }
    if (attempt === 3 || wantedPort !== 0) {
      throw new BrokerError(`nats-server does not start; its log is ${run.log('nats')}: ${lastLine(run.log('nats'))}`);
    }
  }
}

async function tryNats(
  bin: string,
  run: RunFolder,
  port: number,
  stack: string,
  on: { died: (how: string) => void; change: () => void },
): Promise<SupervisedChild | undefined> {
  const store = run.path('jetstream');
  // A start of the stack is a boot: nothing that was configured at run time outlives it, as in a kernel.
  rmSync(store, { recursive: true, force: true });
  rmSync(run.log('nats'), { force: true });
  writeFileSync(run.path('nats.conf'), natsConfig(port, stack, store), { mode: 0o600 });
  const seen = { ends: 0 };
  const child = new SupervisedChild({
    name: 'nats',
    command: bin,
    args: ['-c', run.path('nats.conf')],
    // Go's collector runs at every doubling of a heap that is a few megabytes of passing messages; at every tenfold growth
    // instead, four hops of 64 KiB carry 1.1 Gbit/s where they carried 0.65. The limit keeps a burst from staying.
    env: { PATH: process.env.PATH, GOGC: '1000', GOMEMLIMIT: '512MiB' },
    cwd: run.dir,
    logFile: run.log('nats'),
    provenAfterMs: 1_000,
    onChange: on.change,
    onDied: (c, how) => {
      seen.ends++;
      if (c.state === 'restarting') on.died(how);
    },
  });
  child.start();
  for (let i = 0; i < 500 && seen.ends === 0; i++) {
    if (readIfThere(run.log('nats')).includes('Server is ready')) {
      child.running();
      return child;
    }
    await sleep(10);
  }
  await child.stop();
  return undefined;
}

function natsConfig(port: number, stack: string, store: string): string {
  return `# Written by skbus up.
server_name: "skbus-${stack}"
listen: "127.0.0.1:${port}"
max_payload: 8MB
max_pending: 64MB
write_deadline: "10s"
jetstream {
  store_dir: ${JSON.stringify(store)}
  max_memory_store: 16MB
  max_file_store: 256MB
}
`;
}

export function findNatsServer(): string | undefined {
  const dirs = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/bin',
    '/usr/local/sbin',
    '/usr/bin',
  ];
  return dirs
    .filter((d) => d !== '')
    .map((d) => join(d, 'nats-server'))
    .find((p) => existsSync(p));
}

/** `v2.9.10`, or undefined. */
export function natsVersion(bin: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(bin, ['-v'], { timeout: 5_000 }, (e, out) =>
      resolve(e ? undefined : (/v[\d.]+/.exec(out)?.[0] ?? out.trim())),
    );
  });
}

/** A port of loopback that is free now. */
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

export function portIsFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const s = createServer();
    s.once('error', () => resolve(false));
    s.listen(port, host, () => s.close(() => resolve(true)));
  });
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

const lastLine = (file: string): string => readIfThere(file).trim().split('\n').at(-1) ?? '';
