import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Api } from '../api-client.ts';
import { CliError } from '../errors.ts';
import { root } from '../folders.ts';
import { say } from '../output.ts';
import { isAlive, startTicksOf } from '../process-mark.ts';
import type { ComposeStack } from './stacks.ts';

const READY_MS = 10_000;
const fileOf = (s: Pick<ComposeStack, 'runDir'>): string => join(s.runDir, 'hands.json');

/** Sees to it that somebody acts on the containers of a stack: starts a process that does, unless there is one. */
export async function needHands(s: ComposeStack): Promise<void> {
  const api = new Api(s.stack);
  const there = async (): Promise<boolean> => (await api.get<{ hands: number }>('/faults/hands')).hands > 0;
  if (await there()) return;
  mkdirSync(s.runDir, { recursive: true, mode: 0o700 });
  const log = join(s.runDir, 'hands.log');
  const fd = openSync(log, 'a', 0o600);
  const child = spawn(
    process.execPath,
    [join(root, 'tools/skbus.mjs'), '--compose', 'fault', 'hands', '--stack', s.stack],
    { detached: true, stdio: ['ignore', fd, fd] },
  );
  closeSync(fd);
  child.unref();
  writeFileSync(fileOf(s), JSON.stringify({ pid: child.pid, startTicks: startTicksOf(child.pid!) }), { mode: 0o600 });
  for (let waited = 0; waited < READY_MS; waited += 50) {
    if (await there()) {
      say(`skbus: process ${child.pid} acts on the containers from here on; "skbus down" ends it, its log is ${log}`);
      return;
    }
    await sleep(50);
  }
  throw new CliError(`nobody acts on the containers of stack ${s.stack}; see ${log}`);
}

export async function endHands(s: Pick<ComposeStack, 'runDir'>): Promise<void> {
  let mark: { pid: number; startTicks: string };
  try {
    mark = JSON.parse(readFileSync(fileOf(s), 'utf8')) as typeof mark;
  } catch {
    return;
  }
  if (isAlive(mark)) process.kill(mark.pid, 'SIGTERM');
  for (let waited = 0; waited < 2_000 && isAlive(mark); waited += 20) await sleep(20);
}
