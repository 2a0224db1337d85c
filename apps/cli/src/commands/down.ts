import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Api } from '../api-client.ts';
import { composeStacks, type ComposeStack } from '../compose/stacks.ts';
import { CliError } from '../errors.ts';
import { say } from '../output.ts';
import { orchestratorDir } from '../folders.ts';
import { isAlive } from '../process-mark.ts';
import { apiElsewhere, findStack, listStacks, type FoundStack } from '../stacks.ts';

const GRACE_MS = 20_000;

export async function down(o: { stack?: string; all?: boolean }): Promise<void> {
  // A stack that is named is one of this machine.
  const url = o.stack === undefined && !o.all ? apiElsewhere() : undefined;
  if (url !== undefined) {
    await new Api(o.stack).send('POST', '/shutdown');
    say(`skbus: the stack of ${url} goes down`);
    return;
  }
  const inContainers = containersMeant(o);
  if (inContainers.length > 0) {
    const { takeDown } = await import('../compose/down.ts');
    for (const s of inContainers) await takeDown(s, (l) => say(`skbus: ${l}`));
  }
  if (inContainers.length > 0 && !o.all) return;
  if (process.env.SKBUS_COMPOSE === '1') {
    if (inContainers.length === 0) say(`skbus: no stack${o.stack ? ` ${o.stack}` : ''} runs in containers`);
    return;
  }
  const all = listStacks();
  // What a killed orchestrator has left is removed whatever was asked for.
  const left = all.filter((s) => !s.running);
  for (const s of left) await sweepFolder(s.runDir);
  const running = all.filter((s) => s.running);
  if (running.length === 0 && (o.stack === undefined || left.some((s) => s.stack === o.stack))) {
    if (left.length === 0) say('skbus: no stack is running');
    return;
  }
  const wanted = o.all ? running.filter((s) => s.partOf === '') : [findStack(o.stack)];
  for (const s of wanted) await stop(s, running);
}

/** With --compose or --all; else when no process is meant. What is left of one that was killed counts. */
function containersMeant(o: { stack?: string; all?: boolean }): ComposeStack[] {
  const name = o.stack ?? (process.env.SKBUS_STACK || undefined);
  const meant = (s: { stack: string }): boolean => o.all === true || name === undefined || s.stack === name;
  if (process.env.SKBUS_COMPOSE !== '1' && !o.all && listStacks().some(meant)) return [];
  const found = composeStacks(true).filter(meant);
  if (found.length > 1 && !o.all && name === undefined)
    throw new CliError(
      `several stacks run in containers (${found.map((s) => s.stack).join(', ')}); choose one with --stack, or --all`,
    );
  return found;
}

async function stop(s: FoundStack, running: readonly FoundStack[]): Promise<void> {
  const together = running.filter((r) => r.orchestrator.pid === s.orchestrator.pid);
  if (together.length > 1) say(`skbus: stacks ${together.map((r) => r.stack).join(' and ')} go down together`);
  const asked = await new Api(s.stack).send('POST', '/shutdown', undefined, 3_000).then(
    () => true,
    () => false,
  );
  if (!asked) kill(s.orchestrator.pid, 'SIGTERM');
  if (!(await gone(s, GRACE_MS))) {
    kill(s.orchestrator.pid, 'SIGKILL');
    if (!(await gone(s, 2_000)))
      throw new CliError(`the orchestrator of stack ${s.stack} (pid ${s.orchestrator.pid}) cannot be stopped`);
  }
  for (const r of together) if (existsSync(join(r.runDir, 'stack.json'))) await sweepFolder(r.runDir);
}

async function gone(s: FoundStack, withinMs: number): Promise<boolean> {
  for (let waited = 0; waited < withinMs; waited += 20) {
    if (!isAlive(s.orchestrator)) return true;
    await sleep(20);
  }
  return false;
}

/** Removes processes, namespace and device that a stack's folder names. Does nothing while its orchestrator lives. */
export function sweepFolder(runDir: string): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [join(orchestratorDir, 'sweep.js'), runDir], (e, stdout, stderr) => {
      for (const line of stdout.split('\n')) if (line !== '') say(`skbus: removed ${line}`);
      if (e) reject(new CliError(`cannot clean up ${runDir}: ${stderr.trim() || e.message}`));
      else resolve();
    });
  });
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}
