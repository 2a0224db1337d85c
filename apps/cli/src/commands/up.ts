import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { CmdlineError, parseCmdline } from '@skbus/boot';
import { CliError, UsageError } from '../errors.ts';
import { hostPort, intOption } from '../options.ts';
import { paint, print, printJson, say } from '../output.ts';
import { orchestratorDir, root, runRoot } from '../folders.ts';
import { listStacks } from '../stacks.ts';
import { sweepFolder } from './down.ts';

export interface UpOptions {
  stack?: string;
  compose?: boolean;
  build?: boolean;
  peer?: boolean;
  detach?: boolean;
  nic?: string;
  udpLocal?: string;
  udpPeer?: string;
  peerNetns?: string;
  append?: string;
  offload?: boolean;
  hangKill?: string;
  spare?: boolean;
  inproc?: boolean;
  apiPort?: string;
  apiHost?: string;
  apiTls?: boolean;
  apiCert?: string;
  apiKey?: string;
  apiTokenFile?: string;
  socksPort?: string;
  httpProxyPort?: string;
  natsPort?: string;
  natsHost?: string;
  natsUrl?: string;
  natsKeys?: string;
  doorConnections?: string;
  doorHalfOpen?: string;
  json?: boolean;
}

interface ReadyStack {
  stack: string;
  backend: string;
  address: string;
  peer: string;
  peerNetns: string;
  api: string;
  apiHost: string;
  apiTokenFile: string;
  apiCaFile: string;
  socksPort: number;
  services: number;
}

/** What the orchestrator says over the IPC channel. */
type Message =
  | { t: 'log'; stack: string; line: string }
  | { t: 'note'; text: string }
  | { t: 'ready'; stacks: ReadyStack[]; ms: number }
  | { t: 'failed'; message: string }
  | { t: 'stopping' };

export async function up(o: UpOptions): Promise<void> {
  if (o.compose) {
    const { upInContainers } = await import('../compose/up.ts');
    return upInContainers(o, stackName(o));
  }
  if (o.build) throw new UsageError('--build is for images: with --compose');
  const env = upEnv(o);
  const main = join(orchestratorDir, 'main.js');
  if (!existsSync(main))
    throw new CliError(`${relative(process.cwd(), main)} is missing; build it with "npm run build"`);
  await (o.detach ? detached(main, env, o) : foreground(main, env));
}

function stackName(o: UpOptions): string {
  const stack = o.stack ?? (process.env.SKBUS_STACK || 'a');
  if (/^[a-z0-9_-]{1,32}$/.test(stack)) return stack;
  throw new UsageError(`--stack ${stack}: expected 1 to 32 of a–z, 0–9, _ and -`);
}

/** Options as the orchestrator's environment. Throws UsageError naming the option. */
export function upEnv(o: UpOptions): Record<string, string> {
  const stack = stackName(o);
  if (o.nic !== undefined && !['tap', 'wire', 'udp'].includes(o.nic))
    throw new UsageError(`--nic ${o.nic}: expected tap, wire or udp`);
  const env: Record<string, string> = { SKBUS_NETNS: stack, SKBUS_RUN_DIR: join(runRoot(), stack) };
  if (o.nic) env.SKBUS_NIC_BACKEND = o.nic;
  if (o.nic === 'udp' && !(o.udpLocal && o.udpPeer))
    throw new UsageError('--nic udp needs --udp-local and --udp-peer, each host:port');
  for (const [name, value, variable] of [
    ['--udp-local', o.udpLocal, 'SKBUS_NIC_UDP_LOCAL'],
    ['--udp-peer', o.udpPeer, 'SKBUS_NIC_UDP_PEER'],
  ] as const) {
    if (value === undefined) continue;
    if (o.nic !== 'udp') throw new UsageError(`${name} goes with --nic udp`);
    hostPort(name, value);
    env[variable] = value;
  }
  if (o.peerNetns !== undefined) {
    if (!/^[\w.-]{1,64}$/.test(o.peerNetns))
      throw new UsageError(`--peer-netns ${o.peerNetns}: expected a name of letters, digits, _ . and -, or host`);
    env.SKBUS_PEER_NETNS = o.peerNetns;
  }
  if (o.append !== undefined) env.SKBUS_APPEND = checkedCmdline(o.append);
  if (o.offload === false) env.SKBUS_NIC_OFFLOAD = 'off';
  if (o.hangKill !== undefined) env.SKBUS_HANG_KILL = String(intOption('--hang-kill', o.hangKill, 0, 3600));
  if (o.spare === false) env.SKBUS_SPARE = 'off';
  if (o.inproc) env.SKBUS_SPAWN = 'inproc';
  for (const [name, value, variable] of [
    ['--api-port', o.apiPort, 'SKBUS_API_PORT'],
    ['--socks-port', o.socksPort, 'SKBUS_SOCKS_PORT'],
    ['--http-proxy-port', o.httpProxyPort, 'SKBUS_HTTP_PROXY_PORT'],
    ['--nats-port', o.natsPort, 'SKBUS_NATS_PORT'],
  ] as const) {
    if (value !== undefined) env[variable] = String(intOption(name, value, 0, 65_535));
  }
  Object.assign(env, accessEnv(o));
  for (const [name, value, variable] of [
    ['--door-connections', o.doorConnections, 'SKBUS_DOOR_CONNECTIONS'],
    ['--door-half-open', o.doorHalfOpen, 'SKBUS_DOOR_HALF_OPEN'],
  ] as const) {
    if (value !== undefined) env[variable] = String(intOption(name, value, 1, 1_000_000));
  }
  if (o.natsHost !== undefined) env.SKBUS_NATS_HOST = o.natsHost;
  if (o.natsUrl !== undefined || o.natsKeys !== undefined) return { ...env, ...brokerElsewhere(o, stack) };
  // A further stack on the wire joins the segment of those that are there: their broker carries it.
  const other =
    o.nic === 'wire' && stack !== 'a'
      ? listStacks().find((s) => s.running && s.backend === 'wire' && existsSync(join(s.runDir, 'nats.json')))
      : undefined;
  if (other) Object.assign(env, { SKBUS_NATS_URL: other.nats, SKBUS_NATS_HOME: other.runDir });
  return env;
}

/** The broker of a stack on another machine, whose cable this one joins. */
function brokerElsewhere(o: UpOptions, stack: string): Record<string, string> {
  const { natsUrl: url, natsKeys: keys } = o;
  if (url === undefined || keys === undefined)
    throw new UsageError('--nats-url and --nats-keys go together: what "skbus admit" on the other machine made');
  if (o.nic !== 'wire') throw new UsageError('--nats-url joins a wire: add --nic wire');
  if (o.natsHost !== undefined || o.natsPort !== undefined || o.inproc)
    throw new UsageError('--nats-url is a broker elsewhere: not with --nats-host, --nats-port or --inproc');
  if (!/^tls:\/\/[^/]+:\d+$/.test(url))
    throw new UsageError(`--nats-url ${url}: expected tls://HOST:PORT; a broker elsewhere is reached by TLS only`);
  if (!existsSync(join(keys, 'creds')))
    throw new UsageError(`--nats-keys ${keys}: no folder as "skbus admit ${stack}" on the other machine makes it`);
  return { SKBUS_NATS_URL: url, SKBUS_NATS_KEYS: resolve(keys) };
}

/** How the control API is reached. */
function accessEnv(o: UpOptions): Record<string, string> {
  const env: Record<string, string> = {};
  if ((o.apiCert === undefined) !== (o.apiKey === undefined))
    throw new UsageError('--api-cert and --api-key go together');
  if (o.apiTls && o.apiCert !== undefined) throw new UsageError('--api-tls makes a certificate: not with --api-cert');
  if (o.apiHost !== undefined) env.SKBUS_API_HOST = o.apiHost;
  if (o.apiTls) env.SKBUS_API_TLS = 'self';
  if (o.apiCert !== undefined) env.SKBUS_API_CERT = resolve(o.apiCert);
  if (o.apiKey !== undefined) env.SKBUS_API_KEY = resolve(o.apiKey);
  if (o.apiTokenFile !== undefined) env.SKBUS_API_TOKEN_FILE = resolve(o.apiTokenFile);
  // Its value must not be seen in a list of processes, so there is no option for it.
  if (process.env.SKBUS_API_TOKEN) env.SKBUS_API_TOKEN = process.env.SKBUS_API_TOKEN;
  return env;
}

export function checkedCmdline(text: string): string {
  try {
    parseCmdline(text);
    return text;
  } catch (e) {
    if (e instanceof CmdlineError) throw new UsageError(`--append: ${e.message}`);
    throw e;
  }
}

const childEnv = (env: Record<string, string>): NodeJS.ProcessEnv => {
  const inherited = Object.entries(process.env).filter(
    ([k]) => !k.startsWith('SKBUS_') || k === 'SKBUS_LOG_LEVEL' || k === 'SKBUS_APPS_DIR' || k === 'SKBUS_DEMO',
  );
  return { ...Object.fromEntries(inherited), ...env };
};

/** Ctrl-C comes to us alone: the orchestrator has a session of its own and is told by SIGTERM. */
async function foreground(main: string, env: Record<string, string>): Promise<void> {
  const child = spawn(process.execPath, ['--enable-source-maps', main], {
    env: childEnv(env),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
  });
  let failed: string | undefined;
  let stopping = 0;
  let pair = false;
  const stop = (): void => {
    stopping++;
    if (stopping === 1) say('\nskbus: stopping');
    child.kill(stopping >= 3 ? 'SIGKILL' : 'SIGTERM');
  };
  for (const sig of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(sig, stop);
  const orphaned = stopWhenNpmIsGone(stop);
  child.on('message', (m: Message) => {
    if (m.t === 'log') print(pair || m.stack !== env.SKBUS_NETNS ? `${m.stack}: ${m.line}` : m.line);
    else if (m.t === 'note') say(`skbus: ${m.text}`);
    else if (m.t === 'failed') failed = m.message;
    else if (m.t === 'ready') {
      pair = m.stacks.length > 1;
      for (const line of whatNext(m.stacks, m.ms)) print(line);
    }
  });
  const code = await ended(child);
  clearInterval(orphaned);
  if (failed !== undefined) throw new CliError(failed);
  if (code !== 0) {
    // Killed: nobody tidied up behind it.
    await sweepFolder(env.SKBUS_RUN_DIR!);
    if (stopping === 0) throw new CliError('the orchestrator was killed; what it had started is removed');
  }
}

async function detached(main: string, env: Record<string, string>, o: UpOptions): Promise<void> {
  const dir = env.SKBUS_RUN_DIR!;
  const log = join(dir, 'orchestrator.log');
  let fd: number;
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    fd = openSync(log, 'a', 0o600);
  } catch (e) {
    throw new CliError(
      `cannot write to the run folder ${dir}: ${(e as Error).message}; set SKBUS_RUN_ROOT to another one`,
    );
  }
  const child = spawn(process.execPath, ['--enable-source-maps', main], {
    env: childEnv({ ...env, SKBUS_DETACH: '1' }),
    stdio: ['ignore', fd, fd, 'ipc'],
    detached: true,
  });
  closeSync(fd);
  const giveUp = (): void => void child.kill('SIGTERM');
  for (const sig of ['SIGINT', 'SIGTERM'] as const) process.on(sig, giveUp);
  const ready = await new Promise<Extract<Message, { t: 'ready' }>>((resolve, reject) => {
    let why: string | undefined;
    child.on('message', (m: Message) => {
      if (m.t === 'note') say(`skbus: ${m.text}`);
      else if (m.t === 'failed') why = m.message;
      else if (m.t === 'ready') resolve(m);
    });
    child.once('error', (e) => reject(new CliError(e.message)));
    child.once('exit', () => reject(new CliError(why ?? `the orchestrator ended while starting; its log is ${log}`)));
  });
  child.removeAllListeners();
  child.disconnect();
  child.unref();
  if (o.json) printJson(ready.stacks);
  else for (const line of whatNext(ready.stacks, ready.ms)) say(line);
}

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once('error', (e) => reject(new CliError(e.message)));
    child.once('exit', (code) => resolve(code ?? 1));
  });

/** `npm start` puts a shell in between that dies of a signal without passing it on; then nobody could stop us. */
function stopWhenNpmIsGone(stop: () => void): NodeJS.Timeout | undefined {
  if (process.env.npm_lifecycle_event === undefined) return undefined;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, 250);
  return timer;
}

/** Three commands that work when pasted, from any folder. */
export function whatNext(stacks: readonly ReadyStack[], ms: number): string[] {
  const skbus = `node ${join(root, 'tools/skbus.mjs')}`;
  const [a, b] = stacks;
  const head = stacks.map(
    (s) => `stack ${s.stack} is ${s.address || 'without an address'} (${s.services} services, nic ${s.backend})`,
  );
  const lines = ['', paint('bold', `skbus is up after ${(ms / 1000).toFixed(1)} s: ${head.join(', ')}.`)];
  lines.push(
    `Control API ${a!.api}/api, SOCKS5 ${a!.socksPort ? `127.0.0.1:${a!.socksPort}` : 'off'}.`,
    ...remoteUse(a!),
    'Try next, in another terminal:',
  );
  return [...lines, ...commandsFor(a!, b, skbus).map((c) => `  ${c}`), ''];
}

/** How somebody on another machine gets in. */
function remoteUse(s: ReadyStack): string[] {
  if (s.api.startsWith('http:') || /^(127\.|localhost$|::1$)/.test(s.apiHost)) return [];
  const url = s.apiHost === '0.0.0.0' || s.apiHost === '::' ? s.api.replace('127.0.0.1', hostname()) : s.api;
  const ca = s.apiCaFile ? ` --ca ${s.apiCaFile}` : '';
  return [
    `From another machine, with a copy of ${s.apiCaFile ? 'these two files' : 'this file'}:`,
    `  skbus --api ${url} --token-file ${s.apiTokenFile || 'FILE'}${ca} status`,
  ];
}

function commandsFor(a: ReadyStack, b: ReadyStack | undefined, skbus: string): string[] {
  const pick = `--stack ${a.stack}`;
  if (a.backend === 'tap') {
    return [
      `${skbus} peer ${pick} -- ping -c 3 ${a.address}`,
      `${skbus} peer ${pick} -- curl -s http://${a.address}/`,
      `${skbus} dmesg ${pick}`,
    ];
  }
  if (b) {
    return [
      `${skbus} ping ${pick} -c 3 ${b.address}`,
      a.socksPort
        ? `curl -s --socks5-hostname 127.0.0.1:${a.socksPort} http://${b.address}/`
        : `${skbus} ss ${pick} -a`,
      `${skbus} dmesg ${pick}`,
    ];
  }
  return [`${skbus} status ${pick}`, `${skbus} ip addr`, `${skbus} dmesg ${pick}`];
}
