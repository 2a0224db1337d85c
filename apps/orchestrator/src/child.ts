import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { markOf, stopAll, type ProcessMark } from './process-mark.ts';

export type ChildState = 'stopped' | 'starting' | 'running' | 'restarting';

export interface ChildOptions {
  name: string;
  command: string;
  args: readonly string[];
  env: Record<string, string | undefined>;
  cwd: string;
  logFile: string;
  /** The process is there (again), or gone. */
  onChange: (child: SupervisedChild) => void;
  /** Said once per unexpected end. */
  onDied?: (child: SupervisedChild, how: string) => void;
  stopGraceMs?: number;
  /** It says nothing of itself: alive for this long, it counts as running. */
  provenAfterMs?: number;
}

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 5_000;
/** A process that lived this long starts the next series of restarts at the shortest pause. */
const STABLE_MS = 10_000;

/** A process that is started again when it ends, ever slower while it keeps ending. */
export class SupervisedChild {
  state: ChildState = 'stopped';
  restarts = 0;
  lastExit: string | undefined = undefined;
  mark: ProcessMark | undefined = undefined;
  private readonly opts: ChildOptions;
  private child: ChildProcess | undefined = undefined;
  private startedAt = 0;
  private backoffMs = BACKOFF_MIN_MS;
  private timer: NodeJS.Timeout | undefined = undefined;
  private stopping = false;

  constructor(opts: ChildOptions) {
    this.opts = opts;
  }

  get name(): string {
    return this.opts.name;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  get uptimeMs(): number {
    return this.child ? Date.now() - this.startedAt : 0;
  }

  start(): void {
    if (this.child || this.stopping) return;
    const { command, args, env, cwd, logFile, name } = this.opts;
    const fd = openSync(logFile, 'a', 0o600);
    this.state = 'starting';
    this.startedAt = Date.now();
    // A session of its own: Ctrl-C goes to the orchestrator alone, which knows the order in which things end.
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', fd, fd], detached: true });
    this.child = child;
    child.once('error', (e) => {
      writeSync(fd, `${name}: ${e.message}\n`);
      if (child.pid === undefined) this.ended(child, e.message);
    });
    child.once('exit', (code, sig) => this.ended(child, sig ? `killed by ${sig}` : `exit code ${code}`));
    // spawn() has its own copies; ours is kept until the child has failed to start or not.
    child.once('spawn', () => closeSync(fd));
    if (child.pid !== undefined) this.mark = markOf(child.pid);
    if (this.opts.provenAfterMs !== undefined) {
      setTimeout(() => this.child === child && this.running(), this.opts.provenAfterMs).unref();
    }
    this.opts.onChange(this);
  }

  /** The process has shown that it works. */
  running(): void {
    if (this.child) this.state = 'running';
  }

  async stop(): Promise<void> {
    this.stopping = true;
    clearTimeout(this.timer);
    if (this.child && this.mark) await stopAll([this.mark], this.opts.stopGraceMs ?? 2_000);
    this.state = 'stopped';
  }

  /** The end of its log without stack frames, for a sentence about why it does not start. */
  lastWords(): string {
    try {
      const lines = readFileSync(this.opts.logFile, 'utf8').split('\n');
      const telling = lines.filter((l) => l.trim() !== '' && !/^\s+at |^Node\.js v|^\s*\^+$/.test(l));
      return telling.slice(-2).join(' | ').slice(-600);
    } catch {
      return '';
    }
  }

  private ended(child: ChildProcess, how: string): void {
    if (this.child !== child) return;
    this.child = undefined;
    this.mark = undefined;
    this.lastExit = how;
    if (this.stopping) {
      this.state = 'stopped';
      return;
    }
    if (Date.now() - this.startedAt >= STABLE_MS) this.backoffMs = BACKOFF_MIN_MS;
    this.state = 'restarting';
    this.restarts++;
    this.timer = setTimeout(() => this.start(), this.backoffMs);
    this.backoffMs = Math.min(this.backoffMs * 2, BACKOFF_MAX_MS);
    this.opts.onChange(this);
    this.opts.onDied?.(this, how);
  }
}
