import { CLONE_NEWNET, errno, O_CLOEXEC, O_RDONLY, sys, SysError } from './libc.ts';

/** Runs `f` in a network namespace and comes back. Blocks the calling thread, which is there meanwhile. `undefined`: ours. */
export function inNetns<T>(path: string | undefined, f: () => T): T {
  if (path === undefined) return f();
  const home = mustOpen('/proc/thread-self/ns/net');
  let result: T;
  try {
    enter(mustOpen(path), path);
    result = f();
  } finally {
    // After a failed setns() this is a no-op.
    sys.setns(home, CLONE_NEWNET);
    sys.close(home);
  }
  return result;
}

function enter(ns: number, path: string): void {
  const failed = sys.setns(ns, CLONE_NEWNET) < 0;
  const code = errno();
  sys.close(ns);
  if (failed) throw new SysError(`setns ${path}`, code);
}

function mustOpen(path: string): number {
  const fd = sys.open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw new SysError(path, errno());
  return fd;
}
