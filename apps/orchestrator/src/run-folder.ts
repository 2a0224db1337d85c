import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isAlive, markOf, type ProcessMark } from './process-mark.ts';

const mark = z.object({ pid: z.number().int(), startTicks: z.string() });

/** `stack.json`: what the CLI and a later clean-up need to know of a running stack. */
const stackFile = z.object({
  stack: z.string(),
  orchestrator: mark,
  api: z.string(),
  apiTokenFile: z.string(),
  apiCaFile: z.string(),
  nats: z.string(),
  backend: z.string(),
  /** The network namespace at the other end of the TAP; '' for the host's own or none. */
  peerNetns: z.string(),
  /** The namespace is ours to remove. */
  madeNetns: z.boolean(),
  /** The TAP's name at the kernel's end; '' for none. */
  kernelIfname: z.string(),
  address: z.string(),
  socksPort: z.number(),
  /** The first stack of a pair, for the second one; else ''. */
  partOf: z.string(),
  processes: z.record(z.string(), mark),
});
export type StackFile = z.infer<typeof stackFile>;

/** Longest path of a Unix socket: sizeof(sockaddr_un.sun_path), with its final NUL. */
const SUN_PATH_MAX = 107;

export class RunFolderError extends Error {
  override name = 'RunFolderError';
}

/** `.run/<stack>`: sockets, logs, the broker's store and the list of what runs. Nothing of a stack is anywhere else. */
export class RunFolder {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  get sock(): string {
    return join(this.dir, 'skbus.sock');
  }

  log(name: string): string {
    return join(this.dir, `${name}.log`);
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** Makes the folder. Throws RunFolderError with a sentence. */
  create(): void {
    if (Buffer.byteLength(this.sock) > SUN_PATH_MAX) {
      throw new RunFolderError(
        `the path of ${this.sock} is too long for a Unix socket; set SKBUS_RUN_DIR to a shorter folder`,
      );
    }
    try {
      mkdirSync(this.dir, { recursive: true, mode: 0o700 });
      chmodSync(this.dir, 0o700);
    } catch (e) {
      throw new RunFolderError(
        `cannot make the run folder ${this.dir}: ${(e as Error).message}; set SKBUS_RUN_DIR to another one`,
      );
    }
  }

  /** The stack of this folder: running, left over from one that was killed, or none. */
  read(): { file: StackFile; running: boolean } | undefined {
    const r = stackFile.safeParse(this.json('stack.json'));
    return r.success ? { file: r.data, running: isAlive(r.data.orchestrator) } : undefined;
  }

  /**
   * Takes the folder for this process. Two `up`s at the same moment: only one wins. Throws RunFolderError when a
   * stack runs here.
   */
  lock(stack: string): void {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        const fd = openSync(this.path('orchestrator.pid'), 'wx', 0o600);
        writeFileSync(fd, JSON.stringify(markOf(process.pid) ?? { pid: process.pid, startTicks: '' }));
        closeSync(fd);
        return;
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw e;
      }
      const holder = mark.safeParse(this.json('orchestrator.pid'));
      if (holder.success && isAlive(holder.data)) {
        throw new RunFolderError(
          `stack ${stack} is already running (pid ${holder.data.pid}); stop it with "skbus down --stack ${stack}", or start another with --stack`,
        );
      }
      // Written and not yet filled in by somebody who is starting right now.
      if (!holder.success && this.ageMs('orchestrator.pid') < 2_000) {
        throw new RunFolderError(`stack ${stack} is just being started by another process`);
      }
      rmSync(this.path('orchestrator.pid'), { force: true });
    }
    throw new RunFolderError(`stack ${stack} is just being started by another process`);
  }

  write(file: StackFile): void {
    // Readers never see half a file.
    const tmp = this.path('stack.json.new');
    writeFileSync(tmp, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
    renameSync(tmp, this.path('stack.json'));
  }

  /** Logs stay for a look; what says that something runs goes. */
  unlock(): void {
    for (const f of [
      'stack.json',
      'stack.json.new',
      'orchestrator.pid',
      'skbus.sock',
      'nstat.json',
      'nats.conf',
      'nats.json',
    ]) {
      rmSync(this.path(f), { force: true });
    }
    for (const d of ['jetstream', 'creds']) rmSync(this.path(d), { recursive: true, force: true });
    for (const f of this.list()) if (/\.(sock|pid)$/.test(f)) rmSync(this.path(f), { force: true });
  }

  private list(): string[] {
    try {
      return readdirSync(this.dir);
    } catch {
      return [];
    }
  }

  private ageMs(name: string): number {
    try {
      return Date.now() - statSync(this.path(name)).mtimeMs;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  private json(name: string): unknown {
    try {
      return JSON.parse(readFileSync(this.path(name), 'utf8'));
    } catch {
      return undefined;
    }
  }
}

export type { ProcessMark };
