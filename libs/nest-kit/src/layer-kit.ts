import type { Bus, BusStatus } from '@skbus/bus';
import { encodeWfree, firstSkbId, HAND_OVER_OWNER, LAYERS, pb, subjects, type Layer } from '@skbus/contracts';
import {
  LayerEnv,
  NEVER,
  WfreeList,
  type HandOver,
  type LayerFaults,
  type Millis,
  type SkBuff,
  type SockOf,
  type Wfree,
} from '@skbus/skb';
import { clockJump } from '@skbus/fault';
import { TraceRing } from '@skbus/trace';
import { monotonicMs } from './clock.ts';
import type { ServiceConfig } from './config.ts';
import { handOversOf, initcallsOf, type InitcallContext, type InitcallResult } from './decorators.ts';
import { FaultBus } from './fault-bus.ts';
import { KitFaults } from './kit-faults.ts';
import { SkbPump } from './pump.ts';
import { systemRng } from './rng.ts';

/** Injection tokens. */
export const LAYER_KIT = Symbol('LayerKit');
export const BUS = Symbol('Bus');
export const CONFIG = Symbol('ServiceConfig');

/** The part of an engine that the pump drives (DESIGN 3). */
export interface LayerMachine {
  flush?(now: Millis): void;
  pollTimeout(): Millis;
  handleTimeout(now: Millis): void;
  /** Its successor is there (`skbus upgrade`): the last it has to say goes out with this batch; nothing comes in any more. */
  retire?(now: Millis): void;
  /** What it can be told to do wrong (libs/fault). */
  readonly faults?: LayerFaults;
  /** For filters that ask about sockets. */
  readonly sockOf?: SockOf;
}

/** setTimeout() takes 32 bits of milliseconds; a later deadline is looked at again then. */
const SLEEP_MAX_MS = 0x7fff_ffff;
/** A layer that is not back by then comes too late for what waits: TCP has sent it again. */
const ABSENT_MAX_MS = 2_000;
/** The broker is there again: how much later the other services have found it, too. */
const RECONNECT_SPREAD_MS = 50;
/** No fault of a service takes longer. */
const SUFFER_MAX_MS = 60_000;

/**
 * What every layer's shell shares: take a list of skbs → engine → drain → publish each destination's list once → arm one
 * timer at pollTimeout(). Everything runs synchronously per message, so order holds, and no Nest machinery is on the path.
 */
export class LayerKit {
  readonly env: LayerEnv;
  /** Random per start of the process; tells a restarted service from the one before. */
  readonly epoch: number;
  readonly startedMs = monotonicMs();
  readonly layer: Layer;
  /** Control messages on it pass the fault rules. */
  readonly bus: Bus;
  readonly faults: KitFaults;
  readonly config: ServiceConfig;
  private readonly faultBus: FaultBus;
  private readonly pump: SkbPump;
  private readonly wfree = new WfreeList();
  /** Per layer that is not there: when what is for it waits no longer. */
  private readonly impatience = new Map<Layer, NodeJS.Timeout>();
  private machine: LayerMachine | undefined;
  private readonly batchEnds: ((now: Millis) => void)[] = [];
  private readonly initcalls = new Map<string, (call: InitcallContext) => InitcallResult | Promise<InitcallResult>>();
  private readonly done = new Set<string>();
  private readonly extras: (() => Record<string, number>)[] = [];
  private timer: NodeJS.Timeout | undefined;
  private expired: NodeJS.Immediate | undefined = undefined;
  private armedMs: Millis = NEVER;
  private inBatch = false;
  private batchMs: Millis = 0;
  /** How far a fault rule has moved the clock. */
  private skewMs: Millis = 0;
  private closed = false;
  private readonly ring: TraceRing;
  private traceOff: NodeJS.Timeout | undefined;
  /** Hears of skbs that this layer itself was rid of, in place of the bus: TCP, whose own they are. */
  onFreed: ((freed: Wfree, now: Millis) => void) | undefined = undefined;
  /** Called with each initcall once all have run. */
  onReady: (() => void) | undefined = undefined;

  constructor(layer: Layer, bus: Bus, config: ServiceConfig) {
    this.layer = layer;
    this.faultBus = new FaultBus(bus);
    this.bus = this.faultBus;
    this.config = config;
    const rng = systemRng();
    this.epoch = rng.u32() || 1;
    this.pump = new SkbPump(this.bus, config.netns, this.epoch);
    this.env = new LayerEnv({
      layer,
      rng,
      out: this.pump,
      printk: (line) => this.printk([line]),
      // Ids of a restarted service must not repeat those of packets still on their way.
      firstId: firstSkbId(layer) + (rng.u32() & 0x07ff_ffff),
    });
    this.env.wfree = this.wfree.add;
    this.ring = new TraceRing(this.env, monotonicMs);
    this.faults = new KitFaults(this.env, {
      bus,
      netns: config.netns,
      run: (step) => this.run(step),
      now: () => (this.inBatch ? this.batchMs : this.now()),
    });
    this.faultBus.obey(this.faults);
    bus.onStatus((status) => this.onBusStatus(status));
  }

  get netns(): string {
    return this.config.netns;
  }

  now(): Millis {
    return monotonicMs() + this.skewMs;
  }

  /** Binds the engine's timer and the decorated methods of the shell. Call once, from onModuleInit. */
  bind(shell: object, machine: LayerMachine): void {
    this.machine = machine;
    const clock = clockJump(this.faults.injector, (ms) => this.jump(ms));
    this.faults.offer({ ...machine.faults, 'clock-jump': clock }, machine.sockOf?.bind(machine));
    const methods = shell as Record<string, (...args: never[]) => unknown>;
    for (const { to, method, instance } of handOversOf(shell)) {
      const fn = methods[method]!.bind(shell) as (skb: SkBuff, now: Millis) => void;
      this.takeOver(to, instance, fn);
    }
    for (const { name, method } of initcallsOf(shell)) {
      this.initcalls.set(name, methods[method]!.bind(shell) as (call: InitcallContext) => InitcallResult);
    }
  }

  /** Subscribes to one hand-over. */
  takeOver(to: HandOver, instance: number | '*', fn: (skb: SkBuff, now: Millis) => void): void {
    if (HAND_OVER_OWNER[to] !== this.layer)
      throw new Error(`${to} belongs to ${HAND_OVER_OWNER[to]}, not to ${this.layer}`);
    const subject = subjects.skb(this.netns, to, 0).replace(/\.0$/, instance === '*' ? '.*' : `.${instance}`);
    const { injector } = this.faults;
    const point = injector.entry(to);
    const go = (skb: SkBuff | undefined, at: Millis): void => fn(skb!, at);
    this.bus.subscribe(subject, (message, from) => {
      this.run((now) => {
        for (const skb of this.pump.receive(message, from, this.env)) {
          if (point.rules === undefined) fn(skb, now);
          else injector.offer(point, { skb, go }, now);
        }
      });
    });
  }

  /** Adds something to do at the end of every batch, before the lists are published (e.g. sending collected events). */
  onBatchEnd(fn: (now: Millis) => void): void {
    this.batchEnds.push(fn);
  }

  /** More counters for `stats`. */
  addStats(extra: () => Record<string, number>): void {
    this.extras.push(extra);
  }

  /**
   * Runs one step of the engine as a batch: whatever comes in other than by a hand-over (a command, an answer, a frame from
   * the device) goes through here. Nested calls join the batch that is open.
   */
  run<T>(step: (now: Millis) => T): T {
    const now = this.now();
    if (this.inBatch) return step(now);
    this.inBatch = true;
    this.batchMs = now;
    try {
      const result = step(now);
      this.machine?.flush?.(now);
      return result;
    } finally {
      for (const end of this.batchEnds) end(now);
      this.pump.flush();
      this.faults.publish();
      const freed = this.wfree.take();
      this.inBatch = false;
      if (freed !== undefined) this.tellFreed(freed);
      this.arm(this.batchMs);
    }
  }

  private tellFreed(freed: Wfree): void {
    const { onFreed } = this;
    if (onFreed) this.run((now) => onFreed(freed, now));
    else this.bus.publish(subjects.tcpWfree(this.netns), encodeWfree(freed));
  }

  printk(lines: string[]): void {
    this.bus.publish(subjects.log(this.netns, this.layer), pb.Printk.encode({ layer: this.layer, lines }).finish());
  }

  /** Runs an initcall for the orchestrator. A second run of the same one is a replay and must be harmless. */
  async initcall(call: InitcallContext): Promise<InitcallResult> {
    const fn = this.initcalls.get(call.name);
    if (!fn)
      return {
        errno: 38,
        message: `${this.layer} has no initcall ${call.name}; its version does not fit the orchestrator's`,
      };
    const result = await fn(call);
    if (!result || result.errno === 0) this.done.add(call.name);
    if (this.ready) this.onReady?.();
    return result;
  }

  /** Every initcall this service knows has run. */
  get ready(): boolean {
    return this.done.size >= this.initcalls.size;
  }

  get initcallNames(): string[] {
    return [...this.initcalls.keys()];
  }

  stats(): Record<string, unknown> {
    const { ledger, mib } = this.env;
    const { sent, got, lost } = this.pump.counters();
    return {
      layer: this.layer,
      pid: process.pid,
      epoch: this.epoch,
      uptimeMs: monotonicMs() - this.startedMs,
      rssBytes: process.memoryUsage.rss(),
      mib: Object.fromEntries(mib.entries()),
      received: ledger.received,
      created: ledger.created,
      passed: ledger.passed,
      consumed: ledger.consumed,
      queued: ledger.queued,
      dropped: Object.fromEntries(ledger.drops),
      sent,
      got,
      busLost: lost,
      extra: Object.assign({}, ...this.extras.map((f) => f())) as Record<string, number>,
      ready: this.ready,
    };
  }

  /** Turns tracing on for a while (a viewer renews it), or off. */
  trace(on: boolean, follow: number, forMs: number): void {
    clearTimeout(this.traceOff);
    if (!on) {
      this.ring.stop();
      return;
    }
    this.ring.start(follow, (events) => this.bus.publish(subjects.trace(this.netns, this.layer), events));
    this.traceOff = setTimeout(() => this.ring.stop(), Math.min(Math.max(forMs, 1_000), 60_000));
    this.traceOff.unref();
  }

  /** What the orchestrator says of another layer. */
  onLayerState(layer: Layer, here: boolean): void {
    if (here) this.back(layer);
    else {
      this.pump.absent.gone(layer);
      this.backAfter(layer, ABSENT_MAX_MS);
    }
  }

  /** Without a broker nobody is there. */
  onBusStatus(status: BusStatus): void {
    for (const layer of LAYERS) {
      if (status === 'disconnected') this.onLayerState(layer, false);
      else this.backAfter(layer, RECONNECT_SPREAD_MS);
    }
  }

  private back(layer: Layer): void {
    clearTimeout(this.impatience.get(layer));
    this.pump.absent.back(layer);
  }

  private backAfter(layer: Layer, ms: number): void {
    clearTimeout(this.impatience.get(layer));
    this.impatience.set(layer, setTimeout(() => this.back(layer), ms).unref());
  }

  /** The engine's last words; returns how far it has come, as a RetireReply. */
  retire(): Uint8Array {
    this.run((now) => {
      this.faults.injector.letAllGo(now);
      this.machine?.retire?.(now);
    });
    this.close();
    return this.pump.handled();
  }

  /** Goes on where the process before this one has retired. */
  takeUp(retired: Uint8Array): void {
    this.pump.takeUp(retired);
  }

  wasHandled(message: Uint8Array, subject: string): boolean {
    return this.pump.wasHandled(message, subject);
  }

  /** What a fault rule does to this process, when the request for it has been answered. */
  suffer(name: string, forMs: number): void {
    setImmediate(() => {
      const until = monotonicMs() + Math.min(forMs, SUFFER_MAX_MS);
      if (name === 'cut') this.faultBus.cut(until);
      else while (monotonicMs() < until);
    });
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearImmediate(this.expired);
    clearTimeout(this.traceOff);
    for (const timer of this.impatience.values()) clearTimeout(timer);
    this.ring.stop();
    this.faults.close();
  }

  private readonly onExpired = (): void => {
    this.expired = undefined;
    if (this.closed) return;
    this.run((t) => {
      this.faults.injector.handleTimeout(t);
      this.machine?.handleTimeout(this.batchMs);
    });
  };

  /** The clock that the engine sees. */
  private jump(byMs: Millis): void {
    this.skewMs += byMs;
    this.batchMs += byMs;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.armedMs = NEVER;
  }

  private arm(now: Millis): void {
    const at = Math.min(this.machine?.pollTimeout() ?? NEVER, this.faults.injector.pollTimeout());
    if (this.closed || at === this.armedMs) return;
    // A timer that fires early is harmless (spurious timeouts are no-ops) and cheaper than moving it with every packet.
    if (this.timer && this.armedMs <= at) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.armedMs = at;
    if (at === NEVER) return;
    this.timer = setTimeout(
      () => {
        this.timer = undefined;
        this.armedMs = NEVER;
        // What has arrived meanwhile comes first: after a pause (another process had the CPU) the event loop runs timers
        // before it reads, and a retransmission timer must not fire while the ACK lies in the socket.
        this.expired ??= setImmediate(this.onExpired);
      },
      Math.min(Math.max(Math.ceil(at - now), 0), SLEEP_MAX_MS),
    );
  }
}
