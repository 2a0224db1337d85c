import { LAYERS } from '@skbus/contracts';
import { parseIpSysctl } from '@skbus/ip';
import { nudName } from '@skbus/neigh';
import { formatIpv4 } from '@skbus/skb';
import { Net, type Host } from '@skbus/sim';
import { parseTcpSysctl, SysctlRefusal, tcpSysctlNames } from '@skbus/tcp';
import type { Observation, SideSeen, Tell } from '../observation.ts';
import { isTimed, type Plan, type Side, type Step, type Timed } from '../plan.ts';
import { PlanProblem } from '../problem.ts';
import { Progress } from '../progress.ts';
import { seeded } from '../rule-text.ts';
import { tcpStateName } from '../states.ts';
import { Client, type Witness } from './clients.ts';
import { serve, take, type Arrival } from './servers.ts';
import { Tasks } from './task.ts';

const SIDES: readonly Side[] = ['stack', 'peer'];
/** Servers listen by then. */
const BOOT_MS = 10;
/** After the last program has ended: last acknowledgements and FINs. */
const SETTLE_MS = 200;
const TCP_RST = 0x04;

/** Runs a plan on two hosts in virtual time; `seed` in place of the plan's. The same plan and seed: the same run. */
export function runInSim(plan: Plan, tell: Tell = () => {}): { seen: Observation; problems: string[] } {
  return new SimRun(plan, tell).run();
}

class SimRun {
  private readonly plan: Plan;
  private readonly tell: Tell;
  private readonly net: Net;
  private readonly hosts: Record<Side, Host>;
  private readonly progress = new Progress();
  private readonly uploads: Arrival[];
  private readonly downloads: (Arrival | undefined)[] = [];
  private readonly replies: number[] = [];
  private readonly errors: string[] = [];
  private readonly hits: Record<string, number> = {};
  /** Counters of layers that are gone. */
  private readonly buried: Record<Side, Record<string, number>> = { stack: {}, peer: {} };
  private waiting: Step[];
  private rsts = 0;
  private open = 0;
  /** When the time of the scenario begins: the servers listen. */
  private beganAt = 0;
  private durationMs = 0;

  constructor(plan: Plan, tell: Tell) {
    this.plan = plan;
    this.tell = tell;
    this.net = new Net(plan.seed);
    this.hosts = this.makeHosts();
    this.uploads = plan.workloads.map(() => ({ got: 0, right: true }));
    this.waiting = plan.steps.filter((s) => 'afterBytes' in s.when);
  }

  run(): { seen: Observation; problems: string[] } {
    const { net, plan } = this;
    const tasks = this.serveAll();
    net.runFor(BOOT_MS);
    this.beganAt = net.now;
    let lastMs = 0;
    for (const s of plan.steps.filter(isTimed)) {
      lastMs = Math.max(lastMs, s.when.atMs);
      this.schedule(s);
    }
    plan.workloads.forEach((_, i) => this.start(i, tasks));
    let late = false;
    net.after(plan.withinMs, () => (late = true));
    net.runUntil(() => late || (this.open === 0 && this.now >= lastMs), { withinMs: plan.withinMs + 1 });
    const done = this.open === 0;
    if (!done) this.ended();
    net.runFor(SETTLE_MS);
    return { seen: this.observed(done), problems: net.check() };
  }

  private schedule(s: Timed): void {
    const { atMs, everyMs } = s.when;
    const fire = (): void => {
      this.do(s);
      if (everyMs !== undefined) this.net.after(everyMs, () => this.open > 0 && fire());
    };
    // what happens at once is in force before the first packet
    if (atMs === 0) fire();
    else this.net.after(atMs, fire);
  }

  private get now(): number {
    return this.net.now - this.beganAt;
  }

  private makeHosts(): Record<Side, Host> {
    const { setup } = this.plan;
    const link = this.net.link({
      ...(setup.latencyMs === undefined ? {} : { latencyMs: setup.latencyMs }),
      ...(setup.bitsPerSecond === undefined ? {} : { bitsPerSecond: setup.bitsPerSecond }),
    });
    link.drop = (frame) => {
      if (frame[12] === 8 && frame[13] === 0 && frame[23] === 6 && isReset(frame)) {
        this.rsts++;
        this.tell(this.now, 'a RST on the cable');
      }
      return false;
    };
    const host = (side: Side, cidr: string): Host => {
      const h = this.net.host(side, { offload: setup.offload });
      h.attach(link, cidr, setup.mtu === undefined ? {} : { mtu: setup.mtu });
      for (const [name, value] of Object.entries(setup.sysctl)) setSysctl(h, name, value);
      h.onDeath = (layer) => {
        this.tell(this.now, `${side} ${layer} dies`);
        add(this.buried[side], h.shells[layer].env.mib.entries());
      };
      return h;
    };
    const hosts = { peer: host('peer', '10.77.0.1/24'), stack: host('stack', '10.77.0.2/24') };
    for (const [prefix, via] of Object.entries(setup.routes)) hosts.stack.route(prefix, via);
    return hosts;
  }

  private serveAll(): Record<Side, Tasks> {
    const on = { stack: new Tasks(this.net, this.hosts.stack), peer: new Tasks(this.net, this.hosts.peer) };
    const { workloads } = this.plan;
    for (const side of SIDES)
      serve(on[side], {
        workloads,
        arrived: (i, parts) => this.made(take(this.uploads[i]!, parts)),
      });
    return on;
  }

  private start(index: number, tasks: Record<Side, Tasks>): void {
    const w = this.plan.workloads[index]!;
    const other = w.by === 'stack' ? 'peer' : 'stack';
    const witness: Witness = {
      bytes: (n) => this.made(n),
      reply: (rttMs) => {
        this.replies.push(rttMs);
        this.made(0);
      },
      error: (name) => {
        this.errors.push(name);
        this.tell(this.now, `${w.text}: ${name}`);
      },
    };
    this.open++;
    const hosts = { host: this.hosts[w.by], other: this.hosts[other] };
    const client = new Client({ net: this.net, on: tasks[w.by], ...hosts, w, index, witness });
    if (w.kind === 'download') this.downloads[index] = client.arrival;
    this.tell(this.now, w.text);
    client.start(() => {
      this.tell(this.now, `${w.text}: over`);
      if (--this.open === 0) this.ended();
    });
  }

  private ended(): void {
    this.durationMs = this.now;
    this.progress.end(this.now);
  }

  private made(bytes: number): void {
    this.progress.made(bytes, this.now);
    while (this.waiting.length > 0) {
      const due = this.waiting.find((s) => (s.when as { afterBytes: number }).afterBytes <= this.progress.bytes);
      if (due === undefined) return;
      this.waiting = this.waiting.filter((s) => s !== due);
      // not in the middle of what a layer is doing
      this.net.after(0, () => this.do(due));
    }
  }

  private do(step: Step): void {
    const { action, host: side } = step;
    const host = this.hosts[side];
    this.tell(this.now, step.text);
    this.progress.begin(this.now);
    switch (action.kind) {
      case 'fault':
        host.fault(seeded(action.rule, this.plan.seed), action.id);
        return;
      case 'clear':
        this.keepHits(host, action.id);
        host.heal(action.id);
        return;
      case 'sysctl':
        setSysctl(host, action.name, action.value);
        return;
      default:
        this.letGo(host, action.kind, action.id);
    }
  }

  private letGo(host: Host, how: 'step' | 'release', id: string): void {
    const rule = host.faultStatus().find((s) => s.rule.id === id);
    if (rule === undefined) throw new PlanProblem(`${how} ${id}: there is no such rule then`);
    const shell = host.shells[rule.rule.at.layer as 'tcp'];
    if (shell.alive) shell.run((now) => void shell.faults[how](id, now));
  }

  private keepHits(host: Host, id?: string): void {
    for (const s of host.faultStatus())
      if (id === undefined || s.rule.id === id) this.hits[s.rule.id] = (this.hits[s.rule.id] ?? 0) + s.hits;
  }

  private observed(done: boolean): Observation {
    for (const side of SIDES) this.keepHits(this.hosts[side]);
    const { stack } = this.hosts;
    return {
      done,
      durationMs: this.durationMs,
      streams: this.plan.workloads.flatMap((w, i) => {
        if (w.bytes === 0) return [];
        const { got, right } = (w.kind === 'download' ? this.downloads[i] : this.uploads[i])!;
        return [{ name: w.text, expected: w.bytes, got, right }];
      }),
      replies: this.replies.length,
      rttMs: Math.max(0, ...this.replies),
      errors: this.errors,
      recoverMs: this.progress.recoverMs,
      rsts: this.rsts,
      sides: { stack: this.sideSeen('stack'), peer: this.sideSeen('peer') },
      hits: this.hits,
      restarts: Object.fromEntries(LAYERS.map((l) => [l, stack.shells[l].epoch - 1])),
    };
  }

  private sideSeen(side: Side): SideSeen {
    const host = this.hosts[side];
    const counters = this.buried[side];
    for (const l of LAYERS) if (host.shells[l].alive) add(counters, host.shells[l].env.mib.entries());
    const connections: Record<string, number> = {};
    for (const s of host.shells.tcp.alive ? host.tcp.sockets() : [])
      connections[tcpStateName(s.state)] = (connections[tcpStateName(s.state)] ?? 0) + 1;
    const neighbours = host.shells.neigh.alive ? host.neigh.entries() : [];
    return {
      counters,
      drops: host.drops,
      connections,
      neighbours: Object.fromEntries(neighbours.map((n) => [formatIpv4(n.addr), nudName(n.state)])),
    };
  }
}

function isReset(frame: Uint8Array): boolean {
  const flags = 14 + (frame[14]! & 15) * 4 + 13;
  return ((frame[flags] ?? 0) & TCP_RST) !== 0;
}

function add(sum: Record<string, number>, counters: Iterable<readonly [string, number]>): void {
  for (const [name, n] of counters) sum[name] = (sum[name] ?? 0) + n;
}

function setSysctl(host: Host, name: string, value: string): void {
  if (tcpSysctlNames().includes(name)) {
    const tcp = parseTcpSysctl(name, value);
    if (tcp instanceof SysctlRefusal) throw new PlanProblem(tcp.message);
    host.tcp.setSysctl(tcp);
    return;
  }
  const ip = parseIpSysctl(name, value);
  if (typeof ip === 'string') throw new PlanProblem(ip);
  host.ip.applySysctl(ip);
}
