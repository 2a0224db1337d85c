import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  credentialsFor,
  ensureCertificate,
  MemoryHub,
  NatsBus,
  natsTuning,
  spawnNats,
  type Bus,
  type NatsConfig,
  type NatsUser,
} from '@skbus/bus';
import type { Service } from '@skbus/contracts';
import { SupervisedChild } from './child.ts';
import { admitUsers, credentialsIn, ensureUsersIn, writeNatsConfig } from '@skbus/bus';
import { isLoopback, namesOf } from './api/access.ts';
import { GUEST_CA, guestsOf, NATS_CERT } from './guests.ts';
import { isAlive } from './process-mark.ts';
import type { RunFolder } from './run-folder.ts';

const CONNECT_MS = 10_000;

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
  /** The certificate to trust, where it speaks TLS with one of its own. */
  readonly caFile: string | undefined;
  /** The folder with credentials for each service of the stack in this run folder; undefined: it does not ask who one is. */
  keysOf(run: RunFolder): string | undefined;
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
    caFile: undefined,
    keysOf: () => undefined,
    connect: () => Promise.resolve(hub.bus()),
    stop: () => Promise.resolve(),
  };
}

/**
 * A broker that somebody else runs. `natsCreds`: who we are there, the services know themselves who they are; `natsKeys`: a
 * folder in which its owner has made credentials for all of them.
 */
export function externalBroker(c: {
  natsUrl: string;
  natsCreds: string | undefined;
  natsKeys: string | undefined;
  natsCa: string | undefined;
}): Broker {
  const { natsUrl: url, natsCreds, natsKeys } = c;
  const caFile = c.natsCa ?? caIn(natsKeys);
  return {
    url,
    caFile,
    child: undefined,
    keysOf: () => natsKeys,
    stop: () => Promise.resolve(),
    connect: (who, onError) => {
      const creds = natsCreds ?? (natsKeys === undefined ? undefined : credentialsIn(natsKeys)(who.service));
      // Whoever gives keys knows that the broker is there; services of a compose project may come before it.
      return connectAs({ url, caFile }, who, creds, onError, natsKeys === undefined ? undefined : CONNECT_MS);
    },
  };
}

const caIn = (keys: string | undefined): string | undefined => {
  const file = keys === undefined ? undefined : join(keys, GUEST_CA);
  return file !== undefined && existsSync(file) ? file : undefined;
};

/** The broker of another stack on this machine, whose run folder is `home`: it lets ours in, too. */
export function sharedBroker(url: string, home: RunFolder, stack: string, run: RunFolder): Broker {
  admit(home, stack, ensureUsersIn(stack, run.dir));
  const ca = home.path(NATS_CERT);
  return guardedBroker(url, undefined, url.startsWith('tls:') ? ca : undefined);
}

/** Tells the running broker of `home` who else may come. */
export function admit(home: RunFolder, stack: string, users: readonly NatsUser[]): void {
  admitUsers(home.dir, stack, users);
  const nats = home.read()?.file.processes.nats;
  if (nats === undefined || !isAlive(nats)) throw new BrokerError(`the broker of ${home.dir} does not run any more`);
  process.kill(nats.pid, 'SIGHUP');
}

function guardedBroker(url: string, child: SupervisedChild | undefined, caFile: string | undefined): Broker {
  return {
    url,
    child,
    caFile,
    keysOf: (run) => run.dir,
    stop: () => child?.stop() ?? Promise.resolve(),
    connect: (who, onError) =>
      connectAs({ url, caFile }, who, credentialsIn(who.run.dir)(who.service), onError, CONNECT_MS),
  };
}

function connectAs(
  broker: { url: string; caFile: string | undefined },
  { service, stack }: Client,
  creds: string | undefined,
  onError: (e: unknown) => void,
  connectTimeoutMs?: number,
): Promise<Bus> {
  return NatsBus.connect({
    ...broker,
    name: `${service}.${stack}`,
    credentials: creds === undefined ? undefined : credentialsFor(creds, stack, service),
    onError,
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
  });
}

/** nats-server as a child of ours, with its store in the run folder. */
export async function startNats(
  stacks: readonly { name: string; run: RunFolder }[],
  { natsPort: wantedPort, natsHost: host }: { natsPort: number; natsHost: string },
  on: { died: (how: string) => void; change: () => void },
): Promise<Broker> {
  const { run } = stacks[0]!;
  const bin = findNatsServer();
  if (!bin) {
    throw new BrokerError(
      'nats-server is not installed: apt-get install nats-server, or start with --inproc, which needs none',
    );
  }
  const problem = wantedPort === 0 && host === '127.0.0.1' ? undefined : await listenProblem(wantedPort, host);
  if (problem === 'EADDRINUSE')
    throw new BrokerError(`port ${wantedPort} on ${host} is in use; choose another one with --nats-port`);
  if (problem !== undefined) throw new BrokerError(`no broker can listen on ${host} here (${problem}); see "ip addr"`);
  const tls = isLoopback(host) ? undefined : natsTls(run, host);
  const reached = host === '0.0.0.0' || isLoopback(host) ? '127.0.0.1' : host;
  // A port that was free a moment ago may be taken now; only one that was asked for must be that one.
  for (let attempt = 1; ; attempt++) {
    const port = wantedPort || (await freePort());
    const child = await tryNats(bin, stacks, { listen: `${host}:${port}`, tls }, on);
    if (child) return guardedBroker(`${tls ? 'tls' : 'nats'}://${reached}:${port}`, child, tls?.cert);
    if (attempt === 3 || wantedPort !== 0) {
      throw new BrokerError(`nats-server does not start; its log is ${run.log('nats')}: ${lastLine(run.log('nats'))}`);
    }
  }
}

/** The broker's certificate in the run folder; it stays there, as others have copies of it. */
function natsTls(run: RunFolder, host: string): { cert: string; key: string } {
  const files = { cert: run.path(NATS_CERT), key: run.path('nats-key.pem') };
  ensureCertificate(files, 'skbus broker', namesOf(host), Date.now());
  return files;
}

async function tryNats(
  bin: string,
  stacks: readonly { name: string; run: RunFolder }[],
  at: Pick<NatsConfig, 'listen' | 'tls'>,
  on: { died: (how: string) => void; change: () => void },
): Promise<SupervisedChild | undefined> {
  const { name, run } = stacks[0]!;
  const store = run.path('jetstream');
  // A start of the stack is a boot: nothing that was configured at run time outlives it, as in a kernel.
  rmSync(store, { recursive: true, force: true });
  rmSync(run.log('nats'), { force: true });
  const conf = writeNatsConfig(run.dir, {
    ...at,
    name: `skbus-${name}`,
    storeDir: store,
    users: [...stacks.flatMap((s) => ensureUsersIn(s.name, s.run.dir)), ...guestsOf(run)],
  });
  const seen = { ends: 0 };
  const child = new SupervisedChild({
    name: 'nats',
    command: bin,
    args: ['-c', conf],
    env: { PATH: process.env.PATH, ...natsTuning(availableParallelism()) },
    starter: spawnNats,
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
