import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process, so that it can be told from a later one with the same id. */
export interface ProcessMark {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot; '' where there is no /proc. */
  startTicks: string;
}

/** `undefined`: there is no such process, or only its zombie. */
export function markOf(pid: number): ProcessMark | undefined {
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything, spaces and parentheses included.
    const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return rest[0] === 'Z' || rest[0] === 'X' ? undefined : { pid, startTicks: rest[19] ?? '' };
  } catch {
    return process.platform !== 'linux' && signal(pid, 0) ? { pid, startTicks: '' } : undefined;
  }
}

export function isAlive(mark: ProcessMark): boolean {
  const now = markOf(mark.pid);
  return now !== undefined && now.startTicks === mark.startTicks;
}

/** The command line of a process, '' when it is gone. */
export function cmdlineOfPid(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/** Memory of a process that does not say it itself; `undefined`: it is gone, or there is no /proc. */
export function rssOf(pid: number): number | undefined {
  try {
    const kb = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kb === undefined ? undefined : Number(kb) * 1024;
  } catch {
    return undefined;
  }
}

export function signal(pid: number, sig: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, sig);
    return true;
  } catch {
    return false;
  }
}

/** SIGTERM, and SIGKILL to what is still there after `graceMs`. */
export async function stopAll(marks: readonly ProcessMark[], graceMs: number): Promise<void> {
  const alive = (): ProcessMark[] => marks.filter(isAlive);
  for (const m of alive()) signal(m.pid, 'SIGTERM');
  if (await within(graceMs, () => alive().length === 0)) return;
  for (const m of alive()) signal(m.pid, 'SIGKILL');
  await within(1_000, () => alive().length === 0);
}

async function within(ms: number, done: () => boolean): Promise<boolean> {
  for (let waited = 0; ; waited += 10) {
    if (done()) return true;
    if (waited >= ms) return false;
    await sleep(10);
  }
}
