import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { credentialsFor, MemoryHub, NatsBus, type Bus } from '@skbus/bus';
import type { Service } from '@skbus/contracts';
import { SupervisedChild } from './child.ts';
import { admitUsers, credentialsIn, ensureUsersIn, writeNatsConfig } from '@skbus/bus';
import { isAlive } from './process-mark.ts';
import type { RunFolder } from './run-folder.ts';

/** A service of a stack. */
export interface Client {
  service: Service;
  stack: string;
  run: RunFolder;
}

/** The message bus of one or several stacks. */
export interface Broker {
  /** '' for the one in memory. */
  readonly url: string;
  readonly child: SupervisedChild | undefined;
  /** It asks who one is: each service has credentials in the run folder of its stack. */
  readonly guarded: boolean;
  connect(who: Client, onError: (e: unknown) => void): Promise<Bus>;
  stop(): Promise<void>;
}

export class BrokerError extends Error {
  override name = 'BrokerError';
}

/** Everything in one process: nothing to start. */
export function memoryBroker(onError: (e: unknown) => void): Broker {
  const hub = new MemoryHub({ onError });
  return {
    url: '',
    child: undefined,
    guarded: false,
    connect: () => Promise.resolve(hub.bus()),
    stop: () => Promise.resolve(),
  };
}

/** A broker that somebody else runs; `creds`: who we are there. */
export function externalBroker(url: string, creds: string | undefined): Broker {
  return {
    url,
    child: undefined,
    guarded: false,
    stop: () => Promise.resolve(),
    connect: (who, onError) => connectAs(url, who, creds, onError),
  };
}

/** The broker of another stack on this machine, whose run folder is `home`: it lets ours in, too. */
export function sharedBroker(url: string, home: RunFolder, stack: string, run: RunFolder): Broker {
  admitUsers(home.dir, stack, ensureUsersIn(stack, run.dir));
  const nats = home.read()?.file.processes.nats;
  if (nats === undefined || !isAlive(nats)) throw new BrokerError(`the broker of ${home.dir} does not run any more`);
  process.kill(nats.pid, 'SIGHUP');
  return guardedBroker(url, undefined);
}

function guardedBroker(url: string, child: SupervisedChild | undefined): Broker {
  return {
    url,
    child,
    guarded: true,
    stop: () => child?.stop() ?? Promise.resolve(),
    connect: (who, onError) => connectAs(url, who, credentialsIn(who.run.dir)(who.service), onError, 10_000),
  };
}

function connectAs(
  url: string,
  { service, stack }: Client,
  creds: string | undefined,
  onError: (e: unknown) => void,
  connectTimeoutMs?: number,
): Promise<Bus> {
  return NatsBus.connect({
    url,
    name: `${service}.${stack}`,
    credentials: creds === undefined ? undefined : credentialsFor(creds, stack, service),
    onError,
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
  });
}

/** nats-server as a child of ours, with its store in the run folder. */
export async function startNats(
  stacks: readonly { name: string; run: RunFolder }[],
  wantedPort: number,
  on: { died: (how: string) => void; change: () => void },
): Promise<Broker> {
  const { run } = stacks[0]!;
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
    const child = await tryNats(bin, stacks, port, on);
    if (child) return guardedBroker(`nats://127.0.0.1:${port}`, child);
    if (attempt === 3 || wantedPort !== 0) {
      throw new BrokerError(`nats-server does not start; its log is ${run.log('nats')}: ${lastLine(run.log('nats'))}`);
    }
  }
}

async function tryNats(
  bin: string,
  stacks: readonly { name: string; run: RunFolder }[],
  port: number,
  on: { died: (how: string) => void; change: () => void },
): Promise<SupervisedChild | undefined> {
  const { name, run } = stacks[0]!;
  const store = run.path('jetstream');
  // A start of the stack is a boot: nothing that was configured at run time outlives it, as in a kernel.
  rmSync(store, { recursive: true, force: true });
  rmSync(run.log('nats'), { force: true });
  const conf = writeNatsConfig(run.dir, {
    listen: `127.0.0.1:${port}`,
    name: `skbus-${name}`,
    storeDir: store,
    users: stacks.flatMap((s) => ensureUsersIn(s.name, s.run.dir)),
  });
  const seen = { ends: 0 };
  const child = new SupervisedChild({
    name: 'nats',
    command: bin,
    args: ['-c', conf],
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

export const portIsFree = async (port: number, host = '127.0.0.1'): Promise<boolean> =>
  (await listenProblem(port, host)) === undefined;

/** Why nobody can listen there now, as an error code. */
export function listenProblem(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const s = createServer();
    s.once('error', (e: NodeJS.ErrnoException) => resolve(e.code ?? e.message));
    s.listen(port, host, () => s.close(() => resolve(undefined)));
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
