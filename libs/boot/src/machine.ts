import { ERRNO, errnoName, NEVER, type LayerEnv, type Millis } from '@skbus/skb';
import type { Cmdline } from './cmdline.ts';
import { BOOT_TABLE, INITCALL_LEVELS, replayFor, type BootEntry, type BootLayer } from './table.ts';

export type BootState = 'idle' | 'booting' | 'up' | 'failed';

/** "Run this initcall", for the service `to`. */
export interface BootRequest {
  id: number;
  to: BootLayer;
  name: string;
  level: string;
  params: Record<string, string>;
  /** The service restarted and this is a repeat. */
  replay: boolean;
}

export interface BootAnswer {
  errno: number;
  message: string;
  printk: readonly string[];
}

/** What became of one entry of the boot table. */
export interface BootResult {
  name: string;
  level: string;
  owner: string;
  file: string;
  /** Since start_kernel. */
  startMs: Millis;
  durationMs: Millis;
  errno: number;
  /** Left out because of initcall_blacklist=. */
  blacklisted: boolean;
}

/** Why the boot stopped. */
export interface BootFailure {
  name: string;
  owner: string;
  errno: number;
  /** One sentence: which call, why, what to do. */
  message: string;
}

export interface BootOptions {
  cmdline: Cmdline;
  /** First line of dmesg: `Linux version …`. */
  banner: string;
  log: (text: string, now: Millis) => void;
  /** How long a service may take to answer a call before the boot gives up on it. */
  patienceMs?: Millis;
}

const RETRY_MS = 100;
const REPLAY_RETRY_MAX_MS = 5_000;
const PATIENCE_MS = 20_000;

/** A row of calls made one after the other: the boot itself, or the replay for one restarted service. */
interface Lane {
  layer: BootLayer | undefined;
  todo: readonly BootEntry[];
  at: number;
  /** The request that waits for its answer; 0: none. */
  waitingFor: number;
  /** The current entry has been announced. */
  begun: boolean;
  /** When that was. */
  sinceMs: Millis;
  retryAtMs: Millis;
  retryMs: Millis;
}

const lane = (layer: BootLayer | undefined, todo: readonly BootEntry[], now: Millis): Lane => ({
  layer,
  todo,
  at: 0,
  waitingFor: 0,
  begun: false,
  sinceMs: now,
  retryAtMs: NEVER,
  retryMs: RETRY_MS,
});

/**
 * start_kernel → rest_init → kernel_init → kernel_init_freeable → do_basic_setup → do_initcalls (init/main.c), where
 * each call is a request to the service that owns it; afterwards the replays for services that restarted.
 *
 * After every call of start(), handleAnswer(), handleTimeout() or restarted(): take pollRequest() until it is empty, and
 * arm a timer at pollTimeout(). A spurious handleTimeout() does nothing.
 */
export class BootMachine {
  state: BootState = 'idle';
  failure: BootFailure | undefined = undefined;
  readonly results: BootResult[] = [];
  private readonly env: LayerEnv;
  private readonly opts: BootOptions;
  private readonly patienceMs: Millis;
  private readonly done = new Set<BootEntry>();
  private readonly out: BootRequest[] = [];
  private boot: Lane;
  private readonly replays = new Map<BootLayer, Lane>();
  private originMs: Millis = 0;
  private lastId = 0;
  private level = -1;
  /** inet_init while its steps run. */
  private outer: BootResult | undefined = undefined;

  constructor(env: LayerEnv, opts: BootOptions) {
    this.env = env;
    this.opts = opts;
    this.patienceMs = opts.patienceMs ?? PATIENCE_MS;
    this.boot = lane(undefined, BOOT_TABLE, 0);
  }

  start(now: Millis): void {
    if (this.state !== 'idle') return;
    this.state = 'booting';
    this.originMs = now;
    this.env.trace('start_kernel');
    this.printHead(now);
    for (const p of [
      'net_ns_init',
      'rest_init',
      'kernel_init',
      'kernel_init_freeable',
      'do_basic_setup',
      'do_initcalls',
    ] as const) {
      this.env.trace(p);
    }
    this.boot = lane(undefined, BOOT_TABLE, now);
    this.advance(this.boot, now);
  }

  /** The next request to send. May have something new after any other call. */
  pollRequest(): BootRequest | undefined {
    return this.out.shift();
  }

  /** When to call handleTimeout(). May change with any other call. */
  pollTimeout(): Millis {
    let at = this.boot.retryAtMs;
    for (const l of this.replays.values()) at = Math.min(at, l.retryAtMs);
    return at;
  }

  /** `undefined`: nobody answered; the request is repeated. An answer nobody waits for any more is ignored. */
  handleAnswer(id: number, answer: BootAnswer | undefined, now: Millis): void {
    const l = this.laneOf(id);
    if (!l || this.state === 'failed') return;
    l.waitingFor = 0;
    if (!answer) this.unanswered(l, now);
    else if (answer.errno !== 0) this.refused(l, answer, now);
    else {
      for (const text of answer.printk) this.opts.log(text, now);
      this.finish(l, now);
    }
  }

  handleTimeout(now: Millis): void {
    for (const l of [...this.replays.values(), this.boot]) {
      if (l.retryAtMs > now) continue;
      l.retryAtMs = NEVER;
      this.advance(l, now);
    }
  }

  /** A service said hello that is not the one known before: what it was told at boot has to be told again. */
  restarted(layer: BootLayer, now: Millis): void {
    if (this.state === 'idle' || this.state === 'failed') return;
    // What was asked of the old process will not be answered.
    for (const l of [...this.replays.values(), this.boot]) {
      if (l.waitingFor === 0 || l.todo[l.at]?.owner !== layer) continue;
      l.waitingFor = 0;
      l.retryAtMs = now + RETRY_MS;
    }
    const todo = replayFor(layer).filter((e) => this.done.has(e));
    this.replays.delete(layer);
    if (todo.length === 0) return;
    const l = lane(layer, todo, now);
    this.replays.set(layer, l);
    this.advance(l, now);
  }

  /** True while a restarted service has not been told everything again. */
  isReplaying(layer: BootLayer): boolean {
    return this.replays.has(layer);
  }

  private printHead(now: Millis): void {
    const { cmdline, banner, log } = this.opts;
    log(banner, now);
    log(`Command line: ${cmdline.text}`, now);
    for (const name of cmdline.blacklist) {
      log(`blacklisting initcall ${name}`, now);
      const known = BOOT_TABLE.find((e) => e.name === name);
      if (!known) log(`initcall_blacklist: there is no initcall ${name} in this stack`, now);
      else if (known.within) log(`initcall_blacklist: ${name} is no initcall, ${known.within} calls it directly`, now);
    }
    if (cmdline.unknown.length > 0) {
      log(`Unknown kernel command line parameters "${cmdline.unknown.join(' ')}", will be passed to user space.`, now);
    }
  }

  /** Goes on until a request is out, a retry is due later, or the lane is at its end. */
  private advance(l: Lane, now: Millis): void {
    while (this.state !== 'failed' && l.waitingFor === 0 && l.retryAtMs === NEVER) {
      const entry = l.todo[l.at];
      if (!entry) {
        this.laneEnded(l, now);
        return;
      }
      // New calls of the boot wait until a service that died in the middle of it knows again what it had been told.
      if (l === this.boot && this.replays.size > 0) return;
      if (l === this.boot && !l.begun && !this.begin(l, entry, now)) continue;
      if (entry.owner === 'orchestrator') {
        if (entry.name !== 'inet_init') this.succeeded(entry, l.sinceMs, now);
        this.next(l, now);
        continue;
      }
      l.waitingFor = this.lastId = (this.lastId % 0x7fff_ffff) + 1;
      this.out.push({
        id: l.waitingFor,
        to: entry.owner,
        name: entry.name,
        level: entry.level,
        params: this.paramsOf(entry),
        replay: l !== this.boot,
      });
    }
  }

  /** First look at an entry of the boot: level, blacklist, trace points. False: it is left out. */
  private begin(l: Lane, entry: BootEntry, now: Millis): boolean {
    l.begun = true;
    l.sinceMs = now;
    if (!entry.within) this.closeOuter(now);
    this.enterLevel(entry.level);
    if (this.isBlacklisted(entry)) {
      // init/main.c:do_one_initcall returns -EPERM, and nobody looks at it.
      if (!entry.within) this.opts.log(`initcall ${entry.name} blacklisted`, now);
      this.record(entry, now, 0, ERRNO.EPERM, true);
      this.next(l, now);
      return false;
    }
    if (this.opts.cmdline.initcallDebug && !entry.within) this.opts.log(`calling  ${entry.name}+0x0/0x0 @ 1`, now);
    for (let i = 0; i < (entry.times ?? 1); i++) this.env.trace(entry.point, undefined, detailOf(entry));
    if (entry.name === 'inet_init') this.outer = this.record(entry, now, 0);
    return true;
  }

  private next(l: Lane, now: Millis): void {
    l.at++;
    l.begun = false;
    l.sinceMs = now;
    l.retryMs = RETRY_MS;
  }

  private finish(l: Lane, now: Millis): void {
    const entry = l.todo[l.at]!;
    if (l === this.boot) this.succeeded(entry, l.sinceMs, now);
    this.next(l, now);
    this.advance(l, now);
  }

  private succeeded(entry: BootEntry, sinceMs: Millis, now: Millis): void {
    this.done.add(entry);
    for (const p of entry.inside ?? []) this.env.trace(p);
    this.record(entry, sinceMs, now - sinceMs);
    if (!entry.within) this.debugReturned(entry.name, 0, now - sinceMs, now);
  }

  private unanswered(l: Lane, now: Millis): void {
    const entry = l.todo[l.at]!;
    if (l === this.boot && now - l.sinceMs >= this.patienceMs) {
      const seconds = Math.round(this.patienceMs / 1000);
      this.fail(
        entry,
        ERRNO.ETIMEDOUT,
        `the ${entry.owner} service did not answer ${entry.name} within ${seconds} s`,
        now,
      );
      return;
    }
    l.retryAtMs = now + RETRY_MS;
  }

  private refused(l: Lane, answer: BootAnswer, now: Millis): void {
    const entry = l.todo[l.at]!;
    for (const text of answer.printk) this.opts.log(text, now);
    if (l === this.boot) {
      const why = answer.message === '' ? errnoName(answer.errno) : `${errnoName(answer.errno)}: ${answer.message}`;
      this.fail(entry, answer.errno, `${entry.name} of the ${entry.owner} service failed with ${why}`, now);
      return;
    }
    // The table it registers with may be in a service that is just restarting, too.
    if (l.retryMs === RETRY_MS)
      this.opts.log(`skbus: replay of ${entry.name} failed: ${answer.message}; trying again`, now);
    l.retryAtMs = now + l.retryMs;
    l.retryMs = Math.min(l.retryMs * 2, REPLAY_RETRY_MAX_MS);
  }

  private fail(entry: BootEntry, errno: number, message: string, now: Millis): void {
    this.record(entry, this.boot.sinceMs, now - this.boot.sinceMs, errno);
    const since = this.outer ? this.outer.startMs + this.originMs : this.boot.sinceMs;
    this.debugReturned(entry.within ?? entry.name, -errno, now - since, now);
    this.opts.log(`skbus: boot stopped: ${message}`, now);
    this.state = 'failed';
    this.failure = { name: entry.name, owner: entry.owner, errno, message };
    this.out.length = 0;
    this.boot.retryAtMs = NEVER;
    this.replays.clear();
  }

  private laneEnded(l: Lane, now: Millis): void {
    if (l !== this.boot) {
      if (this.replays.get(l.layer!) !== l) return;
      this.replays.delete(l.layer!);
      this.opts.log(`skbus: ${l.layer}: ${l.todo.length} calls replayed after a restart`, now);
      this.advance(this.boot, now);
      return;
    }
    if (this.state !== 'booting') return;
    this.closeOuter(now);
    for (let i = this.level + 1; i < INITCALL_LEVELS.length; i++) this.enterLevel(INITCALL_LEVELS[i]!);
    this.state = 'up';
  }

  /** inet_init returns when the last of its calls has. */
  private closeOuter(now: Millis): void {
    const outer = this.outer;
    if (!outer) return;
    this.outer = undefined;
    outer.durationMs = now - this.originMs - outer.startMs;
    this.debugReturned(outer.name, 0, outer.durationMs, now);
  }

  private enterLevel(level: BootEntry['level']): void {
    const to = INITCALL_LEVELS.indexOf(level);
    while (this.level < to) this.env.trace('do_initcall_level', undefined, { level: INITCALL_LEVELS[++this.level]! });
  }

  private isBlacklisted(entry: BootEntry): boolean {
    return this.opts.cmdline.blacklist.includes(entry.within ?? entry.name);
  }

  private record(entry: BootEntry, sinceMs: Millis, durationMs: Millis, errno = 0, blacklisted = false): BootResult {
    const { name, level, owner, file } = entry;
    const r: BootResult = {
      name,
      level,
      owner,
      file,
      startMs: sinceMs - this.originMs,
      durationMs,
      errno,
      blacklisted,
    };
    this.results.push(r);
    return r;
  }

  private debugReturned(name: string, result: number, durationMs: Millis, now: Millis): void {
    // The form that scripts/bootgraph.pl reads.
    if (this.opts.cmdline.initcallDebug) {
      this.opts.log(`initcall ${name}+0x0/0x0 returned ${result} after ${Math.round(durationMs * 1000)} usecs`, now);
    }
  }

  private paramsOf(entry: BootEntry): Record<string, string> {
    const params: Record<string, string> = { cmdline: this.opts.cmdline.text };
    const { ip } = this.opts.cmdline;
    if (entry.name === 'ip_auto_config' && ip && !ip.off) params.ip = ip.text;
    return params;
  }

  private laneOf(id: number): Lane | undefined {
    if (id === 0) return undefined;
    if (this.boot.waitingFor === id) return this.boot;
    for (const l of this.replays.values()) if (l.waitingFor === id) return l;
    return undefined;
  }
}

/** `{ arg: '&tcp_prot' }` where the call has one. */
function detailOf(entry: BootEntry): { owner: string; arg?: string } {
  const arg = /\((.*)\)/.exec(entry.name)?.[1];
  return arg === undefined ? { owner: entry.owner } : { owner: entry.owner, arg };
}
