import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { hasCapability } from './tap-support.ts';

// include/uapi/linux/capability.h
const CAP_SYS_NICE = 23;

/** Lowering one's priority needs no right, but taking that back does; without it both are left alone. */
export const canRenice = (): boolean => process.platform === 'linux' && hasCapability(CAP_SYS_NICE);

/** Linux has a priority per thread; a new thread inherits that of the one that makes it. */
export function renice(pid: number, nice: number): void {
  for (const tid of threadsOf(pid)) {
    try {
      setPriority(tid, nice);
    } catch {
      // It has just ended.
    }
  }
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}
