import { createServer } from 'node:net';
import { Api } from '../api-client.ts';
import { checkedCmdline, type UpOptions } from '../commands/up.ts';
import { showDmesg } from '../commands/dmesg.ts';
import type { Status } from '../commands/status.ts';
import { CliError, UsageError } from '../errors.ts';
import { intOption } from '../options.ts';
import { paint, print, printJson, say } from '../output.ts';
import { takeDown } from './down.ts';
import { composeUp, docker, projectOf, requireEngine, type Project } from './engine.ts';
import { composeStacks, runDirOf } from './stacks.ts';

/** What is for processes only. */
const NOT_HERE: [keyof UpOptions, string][] = [
  ['nic', '--nic'],
  ['udpLocal', '--udp-local'],
  ['udpPeer', '--udp-peer'],
  ['peerNetns', '--peer-netns'],
  ['hangKill', '--hang-kill'],
  ['inproc', '--inproc'],
  ['apiHost', '--api-host'],
  ['apiTls', '--api-tls'],
  ['apiCert', '--api-cert'],
  ['apiKey', '--api-key'],
  ['apiTokenFile', '--api-token-file'],
  ['httpProxyPort', '--http-proxy-port'],
  ['natsPort', '--nats-port'],
  ['natsHost', '--nats-host'],
  ['natsUrl', '--nats-url'],
  ['natsKeys', '--nats-keys'],
];

/** `skbus up --compose`: each layer in a container. */
export async function upInContainers(o: UpOptions, stack: string): Promise<void> {
  const project = projectFor(o, stack);
  await requireEngine();
  if (composeStacks().some((s) => s.stack === stack))
    throw new CliError(
      `stack ${stack} is already running in containers; stop it with "skbus down --compose --stack ${stack}"`,
    );
  await checkPorts(project);
  process.env.SKBUS_COMPOSE = '1';
  const startedAt = Date.now();
  const seconds = (): string => `${((Date.now() - startedAt) / 1000).toFixed(1)} s`;
  const end = (): Promise<void> => takeDown({ stack, project: project.name, runDir: runDirOf(project.name) }, () => {});
  let stopped = false;
  const stop = new AbortController();
  for (const sig of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(sig, () => {
      if (!stopped) say('\nskbus: stopping');
      stopped = true;
      stop.abort();
    });
  say(`skbus: project ${project.name}; the first time images are built, which takes a minute or two`);
  try {
    await composeUp(project, { build: o.build === true, peer: o.peer !== false }, (l) =>
      say(`skbus: ${seconds()}: ${l}`),
    );
  } catch (e) {
    const words = stopped ? '' : await lastWords(project);
    await end().catch(() => {});
    if (stopped) return;
    const what = e instanceof Error ? e.message : String(e);
    const hint =
      o.peer !== false && /registry|pull|manifest/i.test(what) ? '--no-peer does without the image of the peer' : words;
    throw new CliError(hint === '' ? what : `${what}; ${hint}`);
  }
  if (!stopped) await ready(stack, o, seconds());
  if (o.detach && !stopped) return;
  try {
    if (!stopped) await follow(stack, stop.signal);
  } finally {
    await end();
  }
}

function projectFor(o: UpOptions, stack: string): Project {
  const wrong = NOT_HERE.find(([key]) => o[key] !== undefined);
  if (wrong) throw new UsageError(`${wrong[1]} is for layers that are processes: not with --compose`);
  const env: Record<string, string> = { SKBUS_STACK: stack };
  for (const [name, value, variable] of [
    ['--api-port', o.apiPort, 'SKBUS_API_PORT'],
    ['--socks-port', o.socksPort, 'SKBUS_SOCKS_PORT'],
    ['--door-connections', o.doorConnections, 'SKBUS_DOOR_CONNECTIONS'],
    ['--door-half-open', o.doorHalfOpen, 'SKBUS_DOOR_HALF_OPEN'],
  ] as const) {
    if (value !== undefined)
      env[variable] = String(intOption(name, value, 1, variable.endsWith('PORT') ? 65_535 : 1e6));
  }
  if (o.append !== undefined) env.SKBUS_APPEND = checkedCmdline(o.append);
  return { name: projectOf(stack), env };
}

/** Docker's own words for it do not say what to do. */
async function checkPorts({ env }: Project): Promise<void> {
  for (const [variable, usual, option] of [
    ['SKBUS_API_PORT', '7070', '--api-port'],
    ['SKBUS_SOCKS_PORT', '1080', '--socks-port'],
  ] as const) {
    const port = Number(env[variable] ?? process.env[variable] ?? usual);
    if (!(await isFree(port)))
      throw new CliError(`port ${port} on 127.0.0.1 is in use; choose another one with ${option}`);
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const s = createServer();
    s.once('error', () => resolve(false));
    s.listen(port, '127.0.0.1', () => s.close(() => resolve(true)));
  });
}

/** What the container that does not come up said last. */
async function lastWords({ name }: Project): Promise<string> {
  const rows = (
    await docker([
      'ps',
      '-a',
      ...['--filter', `label=com.docker.compose.project=${name}`],
      ...['--format', '{{.ID}}\t{{.Label "com.docker.compose.service"}}\t{{.Status}}'],
    ])
  ).stdout.split('\n');
  const bad = rows.map((r) => r.split('\t')).find(([, , s = '']) => /unhealthy|Restarting|Exited \([^0]/.test(s));
  if (bad === undefined) return '';
  const { stdout, stderr } = await docker(['logs', '--tail', '3', bad[0]!]);
  const last = `${stdout}${stderr}`.trim().split('\n').at(-1) ?? '';
  return `${bad[1]} is ${bad[2]}${last === '' ? '' : ` and said last: ${last.slice(0, 300)}`}`;
}

async function ready(stack: string, o: UpOptions, time: string): Promise<void> {
  const api = new Api(stack);
  const s = await api.get<Status>('/status');
  const socks = Number(o.socksPort ?? (process.env.SKBUS_SOCKS_PORT || 1080));
  if (o.json) {
    const { address, peer, backend, services } = s;
    printJson([{ stack, backend, address, peer, api: api.url, socksPort: socks, services: services.length }]);
    return;
  }
  const pick = stack === 'a' ? '' : ` --stack ${stack}`;
  const tell = o.detach ? say : print;
  const lines = [
    '',
    paint('bold', `skbus is up after ${time}: stack ${stack} is ${s.address}, each layer in a container.`),
    `Control API ${api.url} (with the token that "skbus" asks the engine for), SOCKS5 127.0.0.1:${socks}.`,
    'Try next, in another terminal:',
    ...(o.peer === false
      ? [`  skbus ping${pick} -c 3 ${s.peer}`]
      : [`  skbus peer${pick} -- ping -c 3 ${s.address}`, `  skbus peer${pick} -- curl -s http://${s.address}/`]),
    `  skbus fault add${pick} service kill tcp`,
    `  skbus down${pick}`,
    '',
  ];
  for (const l of lines) tell(l);
}

/** The kernel log, until somebody wants to stop. That of an orchestrator that was restarted begins anew. */
async function follow(stack: string, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      await new Api(stack).lines('/dmesg?follow=1', showDmesg, stop);
    } catch (e) {
      if (!(e instanceof CliError)) throw e;
      if (composeStacks(true).every((s) => s.stack !== stack))
        throw new CliError(`stack ${stack} was taken down by somebody else`);
    }
    if (!stop.aborted) await new Promise((r) => setTimeout(r, 1_000));
  }
}
