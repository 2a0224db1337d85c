import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { formatDmesg } from '@skbus/boot';
import { readOrchestratorConfig } from './config.ts';
import { Orchestrator } from './orchestrator.ts';
import type { Stack } from './stack.ts';

/** What `skbus up` is told over the IPC channel. */
type Message =
  | { t: 'log'; stack: string; line: string }
  | { t: 'note'; text: string }
  | { t: 'ready'; stacks: Record<string, unknown>[]; ms: number }
  | { t: 'failed'; message: string }
  | { t: 'stopping' };

const startedAt = Date.now();
let orchestrator: Orchestrator | undefined;

function tell(m: Message): void {
  if (process.connected) {
    process.send!(m);
    return;
  }
  if (m.t === 'log') process.stdout.write(`${m.line}\n`);
  else if (m.t === 'note') process.stderr.write(`skbus: ${m.text}\n`);
  else if (m.t === 'failed') process.stderr.write(`skbus: ${m.message}\n`);
}

async function stop(code: number): Promise<void> {
  tell({ t: 'stopping' });
  try {
    await orchestrator?.stop();
  } catch (e) {
    process.stderr.write(`skbus: while stopping: ${e instanceof Error ? e.stack : String(e)}\n`);
  }
  process.exit(code);
}

function watch(stack: Stack): void {
  stack.log.follow((r) => tell({ t: 'log', stack: stack.netns, line: formatDmesg(r) }));
}

function readyView(s: Stack): Record<string, unknown> {
  const { plan } = s.opts;
  return {
    stack: plan.stack,
    backend: plan.backend,
    address: plan.addressing?.address ?? '',
    peer: plan.addressing?.peer ?? '',
    peerNetns: plan.peerNetns,
    api: s.opts.apiUrl(),
    apiHost: s.opts.config.apiHost,
    apiTokenFile: s.opts.apiTokenFile,
    apiCaFile: s.opts.apiCaFile,
    socksPort: plan.socksPort,
    services: s.services().length,
  };
}

const signals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
for (const sig of signals) process.on(sig, () => void stop(0));
process.on('uncaughtException', (e) => process.stderr.write(`skbus: ${e.stack ?? e.message}\n`));
process.on('unhandledRejection', (e) => process.stderr.write(`skbus: ${e instanceof Error ? e.stack : String(e)}\n`));
// The terminal that held `skbus up` is gone; nobody would ever stop what runs.
if (process.env.SKBUS_DETACH !== '1') process.once('disconnect', () => void stop(0));

try {
  const config = readOrchestratorConfig(process.env);
  process.title = `skbus-orchestrator[${config.stack}]`;
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  orchestrator = new Orchestrator({
    config,
    version,
    appsDir: process.env.SKBUS_APPS_DIR || resolve(import.meta.dirname, '../..'),
    onStack: watch,
    note: (text) => tell({ t: 'note', text }),
    shutdown: () => void stop(0),
  });
  await orchestrator.start();
  tell({ t: 'ready', stacks: orchestrator.stacks.map(readyView), ms: Date.now() - startedAt });
} catch (e) {
  const known = e instanceof Error && /^(Config|Credentials|Run|Stack|Broker|Spawn|IpRoute|Bus)\w*Error$/.test(e.name);
  tell({ t: 'failed', message: known ? e.message : e instanceof Error ? (e.stack ?? e.message) : String(e) });
  await stop(1);
}
