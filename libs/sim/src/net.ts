import { LAYERS } from '@skbus/contracts';
import type { Millis } from '@skbus/skb';
import { VirtualClock } from './clock.ts';
import { Host, type HostOptions } from './host.ts';
import { Link, type LinkModel } from './link.ts';

export interface RunLimits {
  /** Events; more than this is a livelock, and an error. */
  stepsMax?: number;
  /** Virtual time from now. */
  withinMs?: Millis;
}

const STEPS_MAX = 5_000_000;
/** Timers that are due later than this do not keep runUntilIdle() waiting. */
const QUIET_MS: Millis = 3_000;

/** Hosts and the cables between them on one virtual clock; everything random comes from one seed. */
export class Net {
  readonly clock = new VirtualClock();
  readonly hosts: Host[] = [];
  readonly links: Link[] = [];
  readonly seed: number;
  private readonly problems: string[] = [];

  constructor(seed = 1) {
    this.seed = seed;
  }

  host(name: string, opts: HostOptions = {}): Host {
    const h = new Host(name, this.clock, this.hosts.length, this.seed, opts);
    this.hosts.push(h);
    return h;
  }

  link(model: Partial<LinkModel> = {}): Link {
    const l = new Link(this.clock, this.seed * 1_000 + this.links.length, model);
    this.links.push(l);
    return l;
  }

  get now(): Millis {
    return this.clock.now;
  }

  after(ms: Millis, run: () => void): void {
    this.clock.schedule(this.clock.now + ms, 'program', run);
  }

  /** Runs until `cond` holds, or throws when it does not within the limits. */
  runUntil(cond: () => boolean, { stepsMax = STEPS_MAX, withinMs = 600_000 }: RunLimits = {}): void {
    const until = this.clock.now + withinMs;
    const { steps } = this.clock;
    while (!cond()) {
      if (this.clock.steps - steps >= stepsMax)
        throw new Error(`not there after ${stepsMax} events (seed ${this.seed})`);
      if (!this.step(until)) throw new Error(`not there after ${withinMs} ms of virtual time (seed ${this.seed})`);
    }
  }

  runFor(ms: Millis): void {
    const until = this.clock.now + ms;
    while (this.step(until));
  }

  /** Runs until nothing is on its way and no timer is near. */
  runUntilIdle({ stepsMax = STEPS_MAX }: { stepsMax?: number } = {}): void {
    const { steps } = this.clock;
    while (!this.clock.quiet || this.clock.nextAt <= this.clock.now + QUIET_MS) {
      if (this.clock.steps - steps >= stepsMax)
        throw new Error(`not idle after ${stepsMax} events (seed ${this.seed})`);
      if (!this.step(Number.POSITIVE_INFINITY)) return;
    }
  }

  /**
   * What must hold whenever nothing is on its way; empty when it does. Each layer accounts for every skb; what one
   * layer handed on, another received; no timer is in the past; no illegal change of state; no malformed frame.
   */
  check(): string[] {
    const found = [...this.problems];
    for (const h of this.hosts) found.push(...this.checkHost(h));
    for (const [i, l] of this.links.entries()) found.push(...l.problems.map((p) => `link ${i}: ${p}`));
    return found;
  }

  private checkHost(h: Host): string[] {
    const found: string[] = [];
    let passed = 0;
    let received = 0;
    for (const layer of LAYERS) {
      const { env, stuckTimers } = h.shells[layer];
      passed += env.ledger.passed;
      received += env.ledger.received;
      if (env.ledger.imbalance !== 0)
        found.push(`${h.name} ${layer}: imbalance ${env.ledger.imbalance} ${JSON.stringify(env.ledger)}`);
      if (stuckTimers > 0) found.push(`${h.name} ${layer}: ${stuckTimers} timers in the past`);
    }
    if (h.tcp.illegalTransitions > 0) found.push(`${h.name} tcp: ${h.tcp.illegalTransitions} illegal transitions`);
    if (this.clock.quiet && passed !== received + h.framesOut) {
      found.push(`${h.name}: ${passed} skbs handed on, ${received} received and ${h.framesOut} sent`);
    }
    return found;
  }

  /** One event; then the first broken ledger is remembered with its time. */
  private step(until: Millis): boolean {
    if (!this.clock.step(until)) return false;
    if (this.problems.length > 0 || this.clock.steps % 64 !== 0) return true;
    for (const h of this.hosts) {
      for (const layer of LAYERS) {
        const { ledger } = h.shells[layer].env;
        if (ledger.imbalance !== 0)
          this.problems.push(`${h.name} ${layer}: imbalance ${ledger.imbalance} at ${this.clock.now} ms`);
      }
    }
    return true;
  }
}
