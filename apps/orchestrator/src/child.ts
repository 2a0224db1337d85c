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
  /** Descriptors of ours that it gets as 3, 4, … */
  fds?: readonly number[];
  /** A process that is there already and becomes this one; `undefined`: there is none. */
  takeOver?: () => ChildProcess | undefined;
  /** Runs each start of it. */
  starter?: (spawn: () => ChildProcess) => ChildProcess;
  /** The process is there (again), or gone. */
  onChange: (child: SupervisedChild) => void;
  /** Said once per unexpected end. */
  onDied?: (child: SupervisedChild, how: string) => void;
  stopGraceMs?: number;
  /** It says nothing of itself: alive for this long, it counts as running. */
  provenAfterMs?: number;
}

/** Before the first restarts there is no pause: who was killed twice has done nothing wrong. */
const PROMPT_RESTARTS = 2;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 5_000;
/**
 * A process that has worked this long does not end of what it began with: the next series of restarts starts without a pause.
 * Whoever kills a layer every two seconds gets one back at once; one that dies of its first packets does not.
 */
const STABLE_MS = 1_000;

/** A process that is started again when it ends, ever slower while it keeps ending. */
export class SupervisedChild {
  state: ChildState = 'stopped';
  restarts = 0;
  lastExit: string | undefined = undefined;
  mark: ProcessMark | undefined = undefined;
  private readonly opts: ChildOptions;
  private child: ChildProcess | undefined = undefined;
  private startedAt = 0;
  /** When it had shown that it works. */
  private provenAt: number | undefined = undefined;
  /** Ends in a row, none of a process that was stable. */
  private streak = 0;
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
    this.state = 'starting';
    this.startedAt = Date.now();
    const child = this.opts.takeOver?.() ?? this.spawn();
    this.adopt(child);
    if (this.opts.provenAfterMs !== undefined) {
      setTimeout(() => this.child === child && this.running(), this.opts.provenAfterMs).unref();
    }
    this.opts.onChange(this);
  }

  /** The process has shown that it works. */
  running(): void {
    if (!this.child) return;
    this.state = 'running';
    this.provenAt ??= Date.now();
  }

  /** Another process takes its place. What becomes of the one before is the caller's business. */
  replaceBy(child: ChildProcess): void {
    this.adopt(child);
    this.state = 'starting';
    this.startedAt = Date.now();
    this.streak = 0;
    this.opts.onChange(this);
  }

  /** Ends it the hard way; it comes back like one that died by itself. */
  kill(): void {
    this.child?.kill('SIGKILL');
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

  private adopt(child: ChildProcess): void {
    this.child = child;
    this.provenAt = undefined;
    child.once('exit', (code, sig) => this.ended(child, sig ? `killed by ${sig}` : `exit code ${code}`));
    if (child.pid !== undefined) this.mark = markOf(child.pid);
  }

  private spawn(): ChildProcess {
    const { command, args, env, cwd, logFile, name, fds = [], starter = (start) => start() } = this.opts;
    const fd = openSync(logFile, 'a', 0o600);
    // A session of its own: Ctrl-C goes to the orchestrator alone, which knows the order in which things end.
    const child = starter(() => spawn(command, args, { cwd, env, stdio: ['ignore', fd, fd, ...fds], detached: true }));
    child.once('error', (e) => {
      writeSync(fd, `${name}: ${e.message}\n`);
      if (child.pid === undefined) this.ended(child, e.message);
    });
    // spawn() has its own copies; ours is kept until the child has failed to start or not.
    child.once('spawn', () => closeSync(fd));
    return child;
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
    if (this.provenAt !== undefined && Date.now() - this.provenAt >= STABLE_MS) this.streak = 0;
    this.state = 'restarting';
    this.restarts++;
    this.streak++;
    this.opts.onDied?.(this, how);
    const pauseMs = pauseBefore(this.streak);
    if (pauseMs === 0) {
      this.start();
      return;
    }
    this.timer = setTimeout(() => this.start(), pauseMs);
    this.opts.onChange(this);
  }
}

function pauseBefore(restart: number): number {
  if (restart <= PROMPT_RESTARTS) return 0;
  return Math.min(BACKOFF_MIN_MS * 2 ** (restart - PROMPT_RESTARTS - 1), BACKOFF_MAX_MS);
}
