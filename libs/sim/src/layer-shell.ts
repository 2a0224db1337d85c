import { decodeSkbList, encodeSkbList, HAND_OVER_OWNER, type Layer } from '@skbus/contracts';
import {
  clockJump,
  type DecisionLog,
  FaultInjector,
  faultTools,
  openGates,
  type FaultRule,
  type RuleCounters,
  type RuleStatus,
  type SeamDir,
} from '@skbus/fault';
import {
  LayerEnv,
  NEVER,
  SeededRng,
  WfreeList,
  type HandOver,
  type LayerFaults,
  type Millis,
  type SkbOut,
  type SkBuff,
  type SockOf,
  type Tracepoint,
  type TraceDetail,
  type Wfree,
} from '@skbus/skb';
import type { EventKind, VirtualClock } from './clock.ts';

/** The part of an engine that a shell drives (DESIGN 3). */
export interface Machine {
  flush?(now: Millis): void;
  pollTimeout(): Millis;
  handleTimeout(now: Millis): void;
  readonly faults?: LayerFaults;
  readonly sockOf?: SockOf;
}

/** What all the shells of one host share. */
export interface Wiring {
  readonly clock: VirtualClock;
  /** Each host has a clock of its own, ahead of the simulation's by this. */
  readonly clockAheadMs: Millis;
  /** How long a message takes from one layer to the next. */
  readonly busMs: Millis;
  /** Messages are encoded and decoded as on the bus; else the skbs themselves are handed over. */
  readonly codec: boolean;
  deliver(to: HandOver, instance: number, skbs: readonly SkBuff[]): void;
  /** What has left or was dropped in a layer, as its destructors say. */
  wfree(freed: Wfree): void;
  onTrace(hit: TraceHit): void;
}

/** A trace point that was passed. */
export interface TraceHit {
  layer: Layer;
  point: Tracepoint;
  /** The skb's id; 0: none. */
  skb: number;
  parent: number;
  detail: TraceDetail | undefined;
  atMs: Millis;
}

/** More than what a sum of times loses, and less than anything takes. */
const ROUNDING_MS: Millis = 1e-6;

interface Outbound {
  to: HandOver;
  instance: number;
  skbs: SkBuff[];
  seq: number;
  sent: number;
}

/**
 * One layer of one host: the loop of a service's shell (list in → engine → one list out per destination → one timer), with
 * the simulation's clock and messages in place of a process and a broker.
 */
export class LayerShell implements SkbOut {
  readonly layer: Layer;
  /** A new one with each start; the ledger goes on. */
  env: LayerEnv;
  /** What fault rules do to what passes; a new one with each start, and the rules go on. */
  faults: FaultInjector;
  /** Deadlines that had passed when they were asked for, right after handleTimeout() and flush(). */
  stuckTimers = 0;
  private readonly wiring: Wiring;
  private readonly out = new Map<string, Outbound>();
  private dirty: Outbound[] = [];
  private readonly wfree = new WfreeList();
  private readonly batchEnds: (() => void)[] = [];
  private machine: Machine | undefined = undefined;
  private armedMs: Millis = NEVER;
  private inBatch = false;
  private tracing = false;
  /** How often it was started before. */
  private restarts = 0;
  private dead = false;
  /** It hangs until then. */
  private awakeAt: Millis = 0;
  /** Rules from the life before, until there is an engine again. */
  private kept: RuleStatus[] = [];
  /** How far a rule has moved its clock. */
  private skewMs: Millis = 0;
  private readonly seed: number;

  constructor(wiring: Wiring, layer: Layer, opts: { seed: number; firstId: number }) {
    this.wiring = wiring;
    this.layer = layer;
    this.seed = opts.seed;
    this.env = new LayerEnv({ layer, rng: new SeededRng(opts.seed), out: this, firstId: opts.firstId });
    this.faults = this.injector();
    this.env.wfree = this.wfree.add;
  }

  bind(machine: Machine): void {
    this.machine = machine;
    this.faults.sockOf = machine.sockOf?.bind(machine);
    this.faults.layerFaults = { ...machine.faults, 'clock-jump': clockJump(this.faults, (ms) => this.jump(ms)) };
    const { kept } = this;
    this.kept = [];
    for (const r of kept) this.setRule(r.rule, { ...r, past: r });
  }

  /** False between kill() and start(). */
  get alive(): boolean {
    return !this.dead;
  }

  /** Between hang() and its end. */
  get hangs(): boolean {
    return this.awakeAt > this.wiring.clock.now;
  }

  /** Tells one life of this layer from the next, as the publisher's number does on the bus. */
  get epoch(): number {
    return 1 + this.restarts;
  }

  /** kill -9: the engine is gone with all it knew. What is on its way to it is lost, as on a bus without memory. */
  kill(): void {
    if (this.inBatch) throw new Error(`${this.layer} cannot be killed by what it is doing`);
    if (this.dead) return;
    this.dead = true;
    this.machine = undefined;
    this.wfree.take();
    this.armedMs = NEVER;
    this.awakeAt = 0;
    this.env.ledger.bury('LAYER_DIED');
  }

  /** SIGSTOP, and SIGCONT after so long: what is sent to it waits, and its timers are late. */
  hang(forMs: Millis): void {
    this.awakeAt = this.wiring.clock.now + forMs;
  }

  /** At that time, or when the layer goes on; what waits keeps its order. */
  whenAwake(at: Millis, kind: EventKind, run: () => void): void {
    this.wiring.clock.schedule(at, kind, () => {
      if (this.awakeAt > this.wiring.clock.now) this.whenAwake(this.awakeAt, kind, run);
      else run();
    });
  }

  /** A fresh env for a fresh engine, which bind() then takes. */
  start(): LayerEnv {
    const { ledger } = this.env;
    const firstId = this.env.nextId();
    this.dead = false;
    this.restarts++;
    const rng = new SeededRng(this.seed + this.restarts * 0x1_0001);
    this.env = new LayerEnv({ layer: this.layer, rng, out: this, firstId, ledger });
    this.env.wfree = this.wfree.add;
    this.setTracing(this.tracing);
    const { faults } = this;
    this.kept = faults.status().map((r) => ({ ...r, sinceMs: r.sinceMs - this.skewMs }));
    this.skewMs = 0;
    this.faults = this.injector(faults.log);
    return this.env;
  }

  /** Adds a fault rule; throws what is wrong with it. */
  setRule(rule: FaultRule, at: { order: number; sinceMs: Millis; past?: RuleCounters }): void {
    const problem = this.faults.set(rule, at, this.now);
    if (problem !== undefined) throw new Error(`${rule.id}: ${problem.message}`);
    this.arm();
  }

  /** A message at a seam of this layer, which comes in or is about to leave. */
  message(dir: SeamDir, func: string, sk: number, go: (now: Millis) => void): void {
    const { faults } = this;
    faults.message(faults.point(dir, func), { sk: { id: sk, state: '' }, go: (_skb, at) => go(at) }, this.now);
  }

  /** Something to do at the end of every batch, before the lists leave. */
  onBatchEnd(fn: () => void): void {
    this.batchEnds.push(fn);
  }

  get now(): Millis {
    return this.wiring.clock.now + (this.wiring.clockAheadMs + this.skewMs);
  }

  /** One step of the engine as a batch; a nested call joins the batch that is open. */
  run<T>(step: (now: Millis) => T): T {
    const { now } = this;
    if (this.dead) throw new Error(`${this.layer} is dead`);
    if (this.inBatch) return step(now);
    this.inBatch = true;
    const result = step(now);
    this.machine?.flush?.(now);
    for (const end of this.batchEnds) end();
    this.publish();
    const freed = this.wfree.take();
    if (freed !== undefined) this.wiring.wfree(freed);
    this.inBatch = false;
    this.arm();
    return result;
  }

  pass(to: HandOver, skb: SkBuff, instance: number): void {
    const key = `${to}.${instance}`;
    let o = this.out.get(key);
    if (o === undefined) this.out.set(key, (o = { to, instance, skbs: [], seq: 0, sent: 0 }));
    if (o.skbs.length === 0) this.dirty.push(o);
    o.skbs.push(skb);
  }

  /**
   * A message for this layer: `run` gets it when the bus has carried it. One that was sent before the layer was started
   * (again) never arrives: nobody had subscribed to it. `skbs`: how many then end on the way.
   */
  post(run: (now: Millis) => void, opts: { skbs?: number } = {}): void {
    const { clock, busMs } = this.wiring;
    const { restarts } = this;
    const sent = !this.dead;
    this.whenAwake(clock.now + busMs, 'message', () => {
      if (sent && !this.dead && this.restarts === restarts) this.run(run);
      else this.lose(opts.skbs ?? 0);
    });
  }

  private lose(skbs: number): void {
    const { ledger } = this.env;
    ledger.received += skbs;
    for (let i = 0; i < skbs; i++) ledger.dropped('BUS_LOST');
  }

  setTracing(on: boolean): void {
    this.tracing = on;
    if (!on) {
      this.env.setTraceSink(undefined);
      return;
    }
    this.env.setTraceSink(({ point, skb, detail }) =>
      this.wiring.onTrace({
        layer: this.layer,
        point,
        skb: skb?.id ?? 0,
        parent: skb?.parent ?? 0,
        detail,
        atMs: this.wiring.clock.now,
      }),
    );
  }

  private publish(): void {
    const { dirty } = this;
    this.dirty = [];
    for (const o of dirty) {
      const { skbs } = o;
      o.skbs = [];
      this.wiring.deliver(o.to, o.instance, this.wiring.codec ? this.recode(o, skbs) : skbs);
      o.seq++;
      o.sent += skbs.length;
    }
  }

  /** There and back through the contract. What does not survive it is an error of the engine or of the codec. */
  private recode(o: Outbound, skbs: readonly SkBuff[]): readonly SkBuff[] {
    const list = decodeSkbList(encodeSkbList(1, o.seq, o.sent, skbs));
    if (list === undefined || list.malformed > 0 || list.skbs.length !== skbs.length) {
      throw new Error(
        `${this.layer} → ${HAND_OVER_OWNER[o.to]}: ${o.to} carries an skb that does not survive the contract`,
      );
    }
    return list.skbs;
  }

  private injector(log?: DecisionLog): FaultInjector {
    const faults = new FaultInjector(this.env, faultTools, log);
    openGates(this.env, faults, () => this.now);
    return faults;
  }

  private jump(byMs: Millis): void {
    this.skewMs += byMs;
    this.armedMs = NEVER;
  }

  private arm(): void {
    const at = Math.min(this.machine?.pollTimeout() ?? NEVER, this.faults.pollTimeout());
    // As in a shell, a timer that comes early is left alone: it does nothing.
    if (at === NEVER || at >= this.armedMs) return;
    this.armedMs = at;
    const ahead = this.wiring.clockAheadMs + this.skewMs;
    let due = at - ahead;
    // where the sum is rounded down it would never be due
    if (due + ahead < at) due += ROUNDING_MS;
    const { restarts } = this;
    this.whenAwake(due, 'timer', () => {
      if (this.armedMs !== at || this.restarts !== restarts) return;
      this.armedMs = NEVER;
      this.run((now) => {
        this.faults.handleTimeout(now);
        this.machine!.handleTimeout(this.now);
      });
      if (this.machine!.pollTimeout() <= this.now) this.stuckTimers++;
    });
  }
}
