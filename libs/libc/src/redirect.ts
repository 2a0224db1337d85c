import { closeSync, openSync } from 'node:fs';
import { errno, sys, SysError } from './libc.ts';

/** Standard output and error of this process go to the end of a file from now on, those of its native code included. */
export function redirectOutput(file: string): void {
  const fd = openSync(file, 'a', 0o600);
  try {
    for (const to of [1, 2]) if (sys.dup2(fd, to) < 0) throw new SysError(`dup2 ${file}`, errno());
  } finally {
    closeSync(fd);
  }
}
