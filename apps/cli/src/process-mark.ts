import { readFileSync } from 'node:fs';

/** Field 22 of /proc/PID/stat: when the process started; '' when there is none, or only its exit status waits to be asked for. */
export function startTicksOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return rest[0] === 'Z' ? '' : (rest[19] ?? '');
  } catch {
    return '';
  }
}

/** The same process as then, not a later one with its id. */
export const isAlive = (mark: { pid: number; startTicks: string }): boolean =>
  mark.startTicks !== '' && startTicksOf(mark.pid) === mark.startTicks;
