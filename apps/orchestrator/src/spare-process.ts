import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Layer } from '@skbus/contracts';
import { canRenice, renice } from './priority.ts';
import { isAlive, markOf, stopAll, type ProcessMark } from './process-mark.ts';

/** What a spare is told by its IPC channel. */
export interface Become {
  layer: Layer;
  /** All of the layer's environment. */
  env: Record<string, string>;
  /** Where its output goes from then on. */
  logFile: string;
  /** The layer runs still: wait beside it for `Go`. */
  beside: boolean;
}

/** The one before is gone: its RetireReply in base64. */
export interface Go {
  retired: string;
}

/** The layer whose environment a spare is started with: with its credentials it tries the broker, and it has a bucket to read. */
export const WARM_UP_AS = 'tcp';

/** The descriptor at which nic and spare find the TAP that the orchestrator keeps open. */
export const TAP_FD = 3;

/** A spare that loads is below everything that moves packets; one that becomes a layer is above, as all wait for it. */
const NICE_LOADING = 10;
const NICE_BECOMING = -5;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;

export interface SpareOptions {
  main: string;
  appsDir: string;
  stack: string;
  natsUrl: string;
  cwd: string;
  logFile: string;
  env: Record<string, string>;
  tapFd: number | undefined;
  onChange: () => void;
  say: (line: string) => void;
}

/**
 * A process in reserve that has loaded all layers and becomes the one that dies: most of a start is loading modules, and a
 * layer that is away for longer than a retransmission timeout is noticed. There is one; a layer that dies before
 * the next is ready takes it half-loaded, and without any it is started the long way.
 */
export class SpareProcess {
  state: 'none' | 'starting' | 'ready' = 'none';
  mark: ProcessMark | undefined = undefined;
  restarts = 0;
  lastExit: string | undefined = undefined;
  private readonly opts: SpareOptions;
  private readonly mayRenice = canRenice();
  private child: ChildProcess | undefined = undefined;
  private startedAt = 0;
  private retry: NodeJS.Timeout | undefined = undefined;
  private retryMs = RETRY_MIN_MS;
  private stopped = false;

  constructor(opts: SpareOptions) {
    this.opts = opts;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  get uptimeMs(): number {
    return this.child ? Date.now() - this.startedAt : 0;
  }

  /** Starts one in the background where there is none. */
  start(): void {
    if (this.child !== undefined || this.stopped) return;
    clearTimeout(this.retry);
    const { main, appsDir, stack, natsUrl, cwd, logFile, env, tapFd } = this.opts;
    const fd = openSync(logFile, 'a', 0o600);
    const child = spawn(
      process.execPath,
      ['--enable-source-maps', main, appsDir, stack, natsUrl, tapFd === undefined ? 'none' : 'tap'],
      { cwd, env, stdio: ['ignore', fd, fd, tapFd ?? 'ignore', 'ipc'], detached: true },
    );
    closeSync(fd);
    this.child = child;
    this.state = 'starting';
    this.startedAt = Date.now();
    child.once('exit', (code, sig) => this.ended(child, sig ? `killed by ${sig}` : `exit code ${code}`));
    child.once('error', (e) => this.ended(child, e.message));
    child.once('message', () => {
      if (this.child !== child) return;
      this.state = 'ready';
      this.retryMs = RETRY_MIN_MS;
      this.opts.onChange();
    });
    if (child.pid !== undefined) {
      this.mark = markOf(child.pid);
      if (this.mayRenice) renice(child.pid, NICE_LOADING);
    }
    this.opts.onChange();
  }

  /** It becomes a layer, and is nobody's spare any more. `undefined`: there is none. */
  take(what: Become): ChildProcess | undefined {
    const { child, mark } = this;
    if (child?.pid === undefined || !child.connected || mark === undefined || !isAlive(mark)) return undefined;
    child.removeAllListeners();
    // The channel may break while we write; then its end is seen as the layer's.
    child.on('error', () => {});
    if (this.mayRenice) renice(child.pid, NICE_BECOMING);
    child.send(what, () => {});
    this.forget();
    return child;
  }

  /**
   * It becomes the successor of a layer that still runs. Resolves when it listens behind its gate; then it waits for Go.
   * Rejects with a sentence.
   */
  async standBy(what: Become, withinMs: number): Promise<ChildProcess> {
    const { child } = this;
    if (child === undefined) throw new Error('the new process did not start');
    const late = performance.now() + withinMs;
    try {
      // Loading is no hurry: the layer runs.
      await said(child, 'ready', late);
      const taken = this.take({ ...what, beside: true });
      if (taken === undefined) throw new Error('ended');
      await said(taken, 'standby', late);
      return taken;
    } catch (e) {
      child.kill('SIGKILL');
      throw new Error(
        `the new process ${(e as Error).message}; its logs are ${this.opts.logFile} and ${what.logFile}`,
        {
          cause: e,
        },
      );
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.retry);
    const { child, mark } = this;
    this.forget();
    if (child !== undefined && mark !== undefined) await stopAll([mark], 500);
  }

  private forget(): void {
    this.child = undefined;
    this.mark = undefined;
    this.state = 'none';
  }

  private ended(child: ChildProcess, how: string): void {
    if (this.child !== child) return;
    this.forget();
    this.lastExit = how;
    this.restarts++;
    this.opts.say(`skbus: spare: ${how}`);
    this.retry = setTimeout(() => this.start(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS);
    this.opts.onChange();
  }
}

/** Resolves when a process says a word over its channel; rejects with what became of it instead. */
function said(child: ChildProcess, word: string, lateMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (failed?: string): void => {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
      if (failed === undefined) resolve();
      else reject(new Error(failed));
    };
    const onMessage = (m: unknown): void => {
      if (m === word) settle();
    };
    const onExit = (code: number | null, sig: string | null): void =>
      settle(sig ? `was killed by ${sig}` : `ended with exit code ${code}`);
    const timer = setTimeout(() => settle('was not ready in time'), lateMs - performance.now());
    child.on('message', onMessage);
    child.once('exit', onExit);
  });
}
