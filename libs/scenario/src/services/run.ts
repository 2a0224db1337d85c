import { setTimeout as delay } from 'node:timers/promises';
import { nudName } from '@skbus/neigh';
import type { Observation, Tell } from '../observation.ts';
import { isTimed, type Plan, type Side, type Step, type Timed, type Workload } from '../plan.ts';
import { PlanProblem } from '../problem.ts';
import { Progress } from '../progress.ts';
import { seeded } from '../rule-text.ts';
import type { ServicesRunner } from '../run.ts';
import { tcpStateName } from '../states.ts';
import type { RuleView, StackApi, StatusView } from './api.ts';
import type { Seen } from './client.ts';
import { Cleanup, setUp } from './setup.ts';
import { Peer } from './peer.ts';
import { growth, parseProcNet, StackTally } from './tally.ts';
import { pingByPeer, pingByStack, runOnStack } from './work.ts';

const LOOK_EVERY_MS = 200;
const SETTLE_MS = 300;
const LOOK_WITHIN_MS = 100;

/** Plays plans on the stack behind a control API. */
export const servicesRunner =
  (api: StackApi): ServicesRunner =>
  async (plan, tell) => {
    const status = await api.get<StatusView>('/status');
    if (status.backend !== 'tap')
      throw new PlanProblem(
        `the stack's device is ${status.backend}: only opposite a Linux kernel (tap) are there programs`,
      );
    const theirs = await api.get<RuleView[]>('/faults');
    if (theirs.length > 0)
      throw new PlanProblem(`the stack has fault rules (${theirs.map((r) => r.id).join(', ')}): "skbus fault clear"`);
    const run = new ServicesRun(plan, tell, api, status);
    try {
      return await run.run();
    } finally {
      await run.close();
    }
  };

class ServicesRun {
  private readonly plan: Plan;
  private readonly tell: Tell;
  private readonly api: StackApi;
  private readonly status: StatusView;
  private readonly peer: Peer;
  private readonly tally: StackTally;
  private readonly cleanup = new Cleanup();
  private readonly progress = new Progress();
  private readonly streams: Observation['streams'] = [];
  private readonly replies: number[] = [];
  private readonly errors: string[] = [];
  private readonly hits: Record<string, number> = {};
  /** Rules of ours that are in force. */
  private readonly rules = new Set<string>();
  private readonly timers = new Set<NodeJS.Timeout>();
  private readonly failures: unknown[] = [];
  private busy: Promise<void> = Promise.resolve();
  private waiting: Step[];
  private rsts = 0;
  private beganAt = 0;
  private durationMs = 0;
  /** The workload has come to its end. */
  private worked = false;
  private over = false;

  constructor(plan: Plan, tell: Tell, api: StackApi, status: StatusView) {
    this.plan = plan;
    this.tell = tell;
    this.api = api;
    this.status = status;
    this.peer = new Peer(status.peerNetns);
    this.tally = new StackTally(api);
    this.waiting = plan.steps.filter((s) => 'afterBytes' in s.when);
  }

  async run(): Promise<Observation> {
    const { plan } = this;
    await setUp(plan, this.api, this.cleanup, (id) => this.rules.add(id));
    if (plan.expect.some((e) => e.metric.kind === 'rst')) await this.watchResets();
    if (plan.workloads.some((w) => w.by === 'stack')) await this.serveOnPeer();
    const before = await this.peerCounters();
    await this.tally.look();
    this.beganAt = performance.now();
    const timed = plan.steps.filter(isTimed);
    for (const s of timed) if (s.when.atMs === 0) await this.do(s);
    // the time of a scenario begins with its programs
    this.beganAt = performance.now();
    this.tally.watch(LOOK_EVERY_MS);
    for (const s of timed) this.schedule(s);
    const work = Promise.all(plan.workloads.map((w) => this.work(w))).then(() => void (this.worked = true));
    const last = Math.max(0, ...timed.map((s) => s.when.atMs));
    const done = await Promise.race([
      Promise.all([work, this.pause(last)]).then(() => true),
      this.pause(plan.withinMs).then(() => false),
    ]);
    this.durationMs ||= this.now;
    this.progress.end(this.now);
    await this.busy;
    if (this.failures.length > 0) throw this.failures[0];
    await this.pause(SETTLE_MS);
    this.over = true;
    return this.observed(done, before);
  }

  async close(): Promise<void> {
    this.tally.stop();
    for (const t of this.timers) clearTimeout(t);
    this.peer.close();
    for (const id of this.rules) await this.api.send('DELETE', `/faults/${id}`).catch(() => {});
    await this.cleanup.run();
  }

  private get now(): number {
    return performance.now() - this.beganAt;
  }

  private async work(w: Workload): Promise<void> {
    this.tell(this.now, w.text);
    const see = (s: Seen): void => this.see(w, s);
    const to = w.to ?? this.addressOf(w.by === 'peer' ? 'stack' : 'peer');
    if (w.kind === 'ping')
      await (w.by === 'peer' ? pingByPeer(this.peer, w, to, see) : pingByStack(this.api, w, to, see));
    else if (w.by === 'stack') await runOnStack(this.status.sock, w, to, see);
    else await this.peer.task({ be: 'client', w, to }, (row) => see(row as Seen));
    this.tell(this.now, `${w.text}: over`);
    this.durationMs = this.now;
  }

  private see(w: Workload, s: Seen): void {
    switch (s.kind) {
      case 'bytes':
        return this.made(s.n);
      case 'reply':
        this.replies.push(s.rttMs);
        return this.made(0);
      case 'error':
        this.errors.push(s.name);
        return this.tell(this.now, `${w.text}: ${s.name}`);
      case 'stream':
        this.streams.push({ name: w.text, expected: w.bytes, got: s.got, right: s.right });
    }
  }

  private made(bytes: number): void {
    this.progress.made(bytes, this.now);
    const due = this.waiting.filter((s) => (s.when as { afterBytes: number }).afterBytes <= this.progress.bytes);
    this.waiting = this.waiting.filter((s) => !due.includes(s));
    for (const s of due) this.soon(s);
  }

  private schedule(s: Timed): void {
    const { atMs, everyMs } = s.when;
    const again = (): void => {
      if (everyMs !== undefined) this.later(everyMs, () => this.worked || fire());
    };
    const fire = (): void => {
      this.soon(s);
      again();
    };
    if (atMs > 0) this.later(atMs, fire);
    else again();
  }

  /** One step after the other. */
  private soon(s: Step): void {
    this.busy = this.busy.then(() => this.do(s)).catch((e: unknown) => void this.failures.push(e));
  }

  private async do(step: Step): Promise<void> {
    const { action } = step;
    // What a service has counted goes with it; one that does not answer, as it was killed just now, has no say in when a step is due.
    if (this.beganAt > 0) await Promise.race([this.tally.look(), delay(LOOK_WITHIN_MS, undefined, { ref: false })]);
    this.tell(this.now, step.text);
    this.progress.begin(this.now);
    switch (action.kind) {
      case 'fault': {
        const body = {
          text: seeded(action.rule, this.plan.seed),
          ...(action.id === undefined ? {} : { id: action.id }),
        };
        this.rules.add((await this.api.send<RuleView>('POST', '/faults', body)).id);
        return;
      }
      case 'clear':
        return this.clear(action.id);
      case 'sysctl':
        return this.cleanup.sysctl(this.api, action.name, action.value);
      default:
        await this.api.send('POST', `/faults/${action.id}/${action.kind}`);
    }
  }

  private async clear(id: string | undefined): Promise<void> {
    await this.keepHits();
    for (const one of [...this.rules]) {
      if (id !== undefined && id !== one) continue;
      this.rules.delete(one);
      await this.api.send('DELETE', `/faults/${one}`);
    }
  }

  /** Of the rules that are there: each is asked for the last time before it goes. */
  private async keepHits(): Promise<void> {
    for (const r of await this.api.get<RuleView[]>('/faults')) this.hits[r.id] = Math.max(this.hits[r.id] ?? 0, r.hits);
  }

  private async watchResets(): Promise<void> {
    const args = ['-i', this.status.kernelIfname, '-nn', '-l', '--immediate-mode', 'tcp[tcpflags] & tcp-rst != 0'];
    await new Promise<void>((ready, failed) => {
      let said = '';
      const ended = this.peer.run('tcpdump', args, (line, from) => {
        if (from === 'out') {
          this.rsts++;
          if (!this.over) this.tell(this.now, 'a RST on the cable');
        } else if (line.includes('listening on')) ready();
        else said += `${line} `;
      });
      ended.then(() => failed(new PlanProblem(`RSTs are counted with tcpdump, which ended: ${said}`)), failed);
    });
  }

  private async serveOnPeer(): Promise<void> {
    await new Promise<void>((ready, failed) => {
      this.peer.task({ be: 'server', address: this.status.peer }, () => ready()).then(() => {}, failed);
    });
  }

  private addressOf(side: Side): string {
    return side === 'stack' ? this.status.address.replace(/\/.*/, '') : this.status.peer.replace(/\/.*/, '');
  }

  private async peerCounters(): Promise<Record<string, number>> {
    return parseProcNet(await this.peer.text('cat', '/proc/net/snmp', '/proc/net/netstat'));
  }

  private async observed(done: boolean, before: Record<string, number>): Promise<Observation> {
    await this.tally.look();
    await this.keepHits();
    const { tcp } = await this.api.get<{ tcp: { state: number }[] }>('/ss');
    const neighs = await this.api.get<{ addr: string; state: number }[]>('/neigh');
    const connections: Record<string, number> = {};
    for (const { state } of tcp) connections[tcpStateName(state)] = (connections[tcpStateName(state)] ?? 0) + 1;
    const { counters, restarts } = this.tally;
    const nothing = { drops: {}, connections: {}, neighbours: {} };
    const missing = this.plan.workloads.filter((w) => w.bytes > 0 && !this.streams.some((s) => s.name === w.text));
    return {
      done,
      durationMs: this.durationMs,
      streams: [...this.streams, ...missing.map((w) => ({ name: w.text, expected: w.bytes, got: 0, right: true }))],
      replies: this.replies.length,
      rttMs: Math.max(0, ...this.replies),
      errors: this.errors,
      recoverMs: this.progress.recoverMs,
      rsts: this.rsts,
      sides: {
        stack: {
          counters: counters.total,
          drops: this.tally.dropsByReason(),
          connections,
          neighbours: Object.fromEntries(neighs.map((n) => [n.addr, nudName(n.state)])),
        },
        peer: { counters: growth(before, await this.peerCounters()), ...nothing },
      },
      hits: this.hits,
      restarts: restarts.total,
    };
  }

  private later(ms: number, fn: () => void): void {
    this.timers.add(setTimeout(fn, ms));
  }

  private pause(ms: number): Promise<void> {
    return new Promise((r) => this.later(ms, r));
  }
}
