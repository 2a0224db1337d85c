import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CliError } from './errors.ts';

/** apps/cli/dist → the repository. */
export const root = resolve(import.meta.dirname, '../../..');
export const runRoot = (): string => process.env.SKBUS_RUN_ROOT || join(root, '.run');
export const orchestratorDir = join(root, 'apps/orchestrator/dist');

/** What `stack.json` of a run folder says; written by the orchestrator. */
export interface StackFile {
  stack: string;
  orchestrator: { pid: number; startTicks: string };
  api: string;
  nats: string;
  backend: string;
  peerNetns: string;
  kernelIfname: string;
  address: string;
  socksPort: number;
  partOf: string;
}

export interface FoundStack extends StackFile {
  runDir: string;
  running: boolean;
}

/** Stacks that run, or were killed and left something. */
export function listStacks(): FoundStack[] {
  let names: string[];
  try {
    names = readdirSync(runRoot());
  } catch {
    return [];
  }
  return names.toSorted().flatMap((name) => readStack(join(runRoot(), name)) ?? []);
}

export function readStack(runDir: string): FoundStack | undefined {
  try {
    const f = JSON.parse(readFileSync(join(runDir, 'stack.json'), 'utf8')) as StackFile;
    return { ...f, runDir, running: isAlive(f.orchestrator) };
  } catch {
    return undefined;
  }
}

/** The stack that is meant: --stack, SKBUS_STACK, else the one that runs (of a pair on one wire, the first). */
export function findStack(wanted: string | undefined): FoundStack {
  const name = wanted ?? (process.env.SKBUS_STACK || undefined);
  const all = listStacks();
  const running = all.filter((s) => s.running);
  const killed = all.find((s) => !s.running && (name === undefined || s.stack === name));
  if (killed && running.every((s) => s.stack !== name)) {
    if (name !== undefined || running.length === 0) {
      throw new CliError(
        `the orchestrator of stack ${killed.stack} was killed; "skbus down" removes what it has left, "skbus up" starts anew`,
      );
    }
  }
  if (name !== undefined) {
    const hit = running.find((s) => s.stack === name);
    if (hit) return hit;
    throw new CliError(`stack ${name} is not running; start it with "skbus up -d --stack ${name}"`);
  }
  if (running.length === 0) throw new CliError('no stack is running; start one with "npm start" or "skbus up -d"');
  const own = running.filter((s) => s.partOf === '');
  if (own.length === 1) return own[0]!;
  throw new CliError(`several stacks run (${running.map((s) => s.stack).join(', ')}); choose one with --stack`);
}

/** Where its control API is; SKBUS_API overrides. */
export const apiUrl = (stack: string | undefined): string => process.env.SKBUS_API || findStack(stack).api;

/** The same process as then, not a later one with its id (field 22 of /proc/PID/stat is when it started). */
export function isAlive(mark: { pid: number; startTicks: string }): boolean {
  try {
    const stat = readFileSync(`/proc/${mark.pid}/stat`, 'utf8');
    const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return rest[0] !== 'Z' && rest[19] === mark.startTicks;
  } catch {
    return false;
  }
}
