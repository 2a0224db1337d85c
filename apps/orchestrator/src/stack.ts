import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { KernelLog, type BootLayer, type BootRequest } from '@skbus/boot';
import type { Bus } from '@skbus/bus';
import { LAYERS, pb, subjects, type Layer } from '@skbus/contracts';
import { monotonicMs, systemRng, type LayerDefinition } from '@skbus/nest-kit';
import { LayerEnv } from '@skbus/skb';
import { BootRunner } from './boot-runner.ts';
import type { Broker } from './broker.ts';
import { SupervisedChild } from './child.ts';
import type { OrchestratorConfig } from './config.ts';
import { FaultDesk } from './faults/fault-desk.ts';
import { ServiceFaults } from './faults/service-faults.ts';
import { configurePeer, holdsOnly, makeNetns, netnsPath, removeLink, removeNetns } from './iproute2.ts';
import { mainOf, requireBuilt } from './load-layer.ts';
import { markOf, stopAll } from './process-mark.ts';
import type { RunFolder } from './run-folder.ts';
import {
  inheritedEnv,
  infoOf,
  InprocSpawner,
  NoSpawner,
  ProcessSpawner,
  type ServiceInfo,
  type Spawner,
} from './spawners.ts';
import { layerEnv, type StackPlan } from './stack-env.ts';
import { keepTap } from './tap-support.ts';
import { HealthWatch } from './health-watch.ts';
import { RollCall } from './roll-call.ts';
import { TraceViewers } from './trace-viewers.ts';

export type StackState = 'starting' | 'booting' | 'running' | 'failed' | 'stopping' | 'stopped';

/** Why a stack does not come up: one sentence. */
export class StackError extends Error {
  override name = 'StackError';
}

/** A trace point of the boot, kept for whoever asks later. */
export interface BootTracePoint {
  ms: number;
  point: string;
  detail: Record<string, string | number | boolean> | undefined;
}

export interface StackOptions {
  config: OrchestratorConfig;
  plan: StackPlan;
  broker: Broker;
  run: RunFolder;
  appsDir: string;
  version: string;
  /** The first stack of a pair on one wire, for the second. */
  partOf: string;
  apiUrl: () => string;
  /** For the CLI on this machine, '' where the API asks for no token or has no TLS. */
  apiTokenFile: string;
  apiCaFile: string;
  load?: ((layer: Layer) => Promise<LayerDefinition>) | undefined;
}

const HELLO_WITHIN_MS = 30_000;
/** A service that ends this often before its first hello will not come up by waiting. */
const HOPELESS_RESTARTS = 4;
const DEMO_WITHIN_MS = 5_000;
const RETIRE_WITHIN_MS = 3_000;

/** One stack: its services, its boot, its peer. */
export class Stack {
  state: StackState = 'starting';
  readonly log = new KernelLog(monotonicMs());
  readonly bootTrace: BootTracePoint[] = [];
  readonly opts: StackOptions;
  readonly startedAt = Date.now();
  bus!: Bus;
  boot!: BootRunner;
  trace!: TraceViewers;
  faults!: FaultDesk;
  private spawner!: Spawner;
  private health: HealthWatch | undefined = undefined;
  private demo: SupervisedChild | undefined = undefined;
  /** Settles when the replacement of a layer that is under way is done. */
  upgrading: Promise<void> | undefined = undefined;
  private readonly hellos = new Map<Layer, { pid: number; epoch: number }>();
  private rollCall: RollCall | undefined = undefined;
  /** Layers that have died and are not back, with the epoch of the process that did the work. */
  private readonly absent = new Map<Layer, number | undefined>();
  private helloWaiters: (() => void)[] = [];
  private bootWaiters: (() => void)[] = [];
  private originMs = monotonicMs();
  private madeNetns = false;
  private wasSpawned = false;
  private tapFd: number | undefined = undefined;

  constructor(opts: StackOptions) {
    this.opts = opts;
  }

  get netns(): string {
    return this.opts.plan.stack;
  }

  /** The other end of the TAP is ours to set up: not so where each service has a container of its own. */
  private get hasPeer(): boolean {
    return this.opts.plan.backend === 'tap' && this.opts.config.spawn !== 'none';
  }

  /** Everything up to and including the boot. Throws StackError, or what the parts throw; then call stop(). */
  async start(): Promise<void> {
    const { broker, plan, config } = this.opts;
    this.bus = await broker.connect({ service: 'orchestrator', stack: this.netns, run: this.opts.run }, (e) =>
      this.say(`skbus: bus: ${errorText(e)}`),
    );
    this.trace = new TraceViewers(this.bus, this.netns);
    this.faults = this.makeFaults();
    await this.faults.start(config.spawn !== 'none');
    this.bus.respond(subjects.ctl(this.netns, 'orchestrator', 'hello'), (data) => this.onHello(data));
    this.bus.subscribe(`log.v1.${this.netns}.>`, (data) => this.onPrintk(data));
    this.boot = this.makeBoot();
    this.writeStackFile();
    if (this.hasPeer && plan.peerNetns !== '') {
      // One that holds nothing but our own device is what an earlier run has left.
      this.madeNetns = (await makeNetns(plan.peerNetns)) || (await holdsOnly(plan.peerNetns, plan.kernelIfname));
      this.writeStackFile();
    }
    if (this.hasPeer && config.spawn === 'processes')
      this.tapFd = keepTap(plan.peerNetns === '' ? undefined : netnsPath(plan.peerNetns));
    this.spawner = this.makeSpawner();
    this.wasSpawned = true;
    await this.spawner.start();
    this.writeStackFile();
    await this.waitForHellos();
    this.state = 'booting';
    await this.playBoot();
    this.state = 'running';
    this.markRunning();
    this.watchHealth();
    if (config.demo && config.spawn !== 'none') await this.startDemo();
  }

  services(): ServiceInfo[] {
    if (!this.wasSpawned) return [];
    const list = this.spawner.services().map((s) => {
      const replaying = this.boot.machine.isReplaying(s.name as BootLayer);
      if (s.state === 'running' && this.health?.isHung(s.name as Layer)) return { ...s, state: 'hung' };
      return replaying && s.state === 'running' ? { ...s, state: 'starting' } : s;
    });
    if (this.demo) list.push(infoOf(this.demo));
    const { child } = this.opts.broker;
    if (child) list.push(infoOf(child));
    return list;
  }

  /** Ends everything, last started first. */
  async stop(): Promise<void> {
    if (this.state === 'stopping' || this.state === 'stopped') return;
    this.state = 'stopping';
    this.boot?.stop();
    this.health?.stop();
    this.rollCall?.stop();
    this.trace?.close();
    this.faults?.close();
    await this.demo?.stop();
    if (this.wasSpawned) await this.spawner.stop();
    if (this.tapFd !== undefined) closeSync(this.tapFd);
    this.tapFd = undefined;
    if (this.hasPeer) await this.removePeer();
    await this.bus?.close();
    this.opts.run.unlock();
    this.state = 'stopped';
  }

  /** A line for dmesg that no service said. */
  say(text: string): void {
    this.log.print('orchestrator', text, monotonicMs());
  }

  /**
   * Replaces a layer by a process of the build as it is now, one at a time. Resolves when the new one does the work, with the
   * time from the moment the old one was asked to stop.
   */
  async upgrade(layer: Layer): Promise<{ layer: Layer; from: number; to: number; blackoutMs: number }> {
    if (this.state !== 'running') throw new StackError(`the stack is ${this.state}`);
    if (this.upgrading !== undefined) throw new StackError('another layer is being replaced');
    const work = this.replace(layer);
    this.upgrading = work.then(
      () => {},
      () => {},
    );
    try {
      return await work;
    } finally {
      this.upgrading = undefined;
    }
  }

  private async replace(layer: Layer): Promise<{ layer: Layer; from: number; to: number; blackoutMs: number }> {
    const retire = (): Promise<Uint8Array> =>
      this.bus.request(subjects.ctl(this.netns, layer, 'retire'), new Uint8Array(0), RETIRE_WITHIN_MS);
    const { from, to, atMs } = await this.spawner.upgrade(layer, retire);
    const works = (): boolean => this.hellos.get(layer)?.pid === to && !this.boot.machine.isReplaying(layer);
    for (const deadline = monotonicMs() + HELLO_WITHIN_MS; !works();) {
      if (monotonicMs() > deadline) throw new StackError(`${layer}: the new process ${to} does not come up`);
      await Promise.race([new Promise<void>((step) => this.bootWaiters.push(step)), sleep(50)]);
    }
    const blackoutMs = monotonicMs() - atMs;
    this.say(`skbus: ${layer}: process ${from} replaced by ${to} in ${blackoutMs.toFixed(0)} ms`);
    return { layer, from, to, blackoutMs };
  }

  private async playBoot(): Promise<void> {
    const done = new Promise<void>((resolve) => this.bootWaiters.push(resolve));
    this.originMs = monotonicMs();
    this.log.startClock(this.originMs);
    this.boot.start();
    await done;
    const { failure } = this.boot.machine;
    if (!failure) {
      this.say(`skbus: stack ${this.netns} is up`);
      return;
    }
    this.state = 'failed';
    const complaint = failure.owner === 'orchestrator' ? '' : this.spawner.complaint(failure.owner as Layer);
    const where = this.opts.config.spawn === 'processes' ? `; its log is ${this.opts.run.log(failure.owner)}` : '';
    throw new StackError(`boot stopped: ${failure.message}${complaint === '' ? where : `; ${complaint}`}`);
  }

  private makeBoot(): BootRunner {
    const env = new LayerEnv({ layer: 'orchestrator', rng: systemRng(), out: { pass: () => {} } });
    env.setTraceSink(({ point, detail }) => this.bootTrace.push({ ms: monotonicMs() - this.originMs, point, detail }));
    const { config, version } = this.opts;
    return new BootRunner(this.bus, this.netns, env, {
      cmdline: config.cmdline,
      banner: `Linux version 6.12.0-skbus-${version} (node ${process.version}) stack ${this.netns}`,
      log: (text, now) => this.log.print('orchestrator', text, now),
      afterwards: (r) => this.afterInitcall(r),
      onStep: () => this.onBootStep(),
    });
  }

  private onBootStep(): void {
    const { state } = this.boot.machine;
    if (state === 'up' || state === 'failed') {
      for (const w of this.bootWaiters.splice(0)) w();
      if (this.state === 'running') this.markRunning();
    }
  }

  private markRunning(): void {
    for (const [l, { pid, epoch }] of this.hellos) {
      if (this.boot.machine.isReplaying(l)) continue;
      this.spawner.running(l, pid);
      if (this.absent.get(l) !== epoch) this.isBack(l);
    }
  }

  private isBack(layer: Layer): void {
    if (this.absent.delete(layer)) this.tellState(layer, true);
  }

  /** What is for it waits with who sends it. */
  private onDied(layer: Layer): void {
    if (this.state !== 'running') return;
    this.absent.set(layer, this.hellos.get(layer)?.epoch);
    this.tellState(layer, false);
  }

  private tellState(layer: Layer, here: boolean): void {
    this.bus.publish(subjects.all(this.netns, 'layer_state'), pb.LayerState.encode({ layer, here }).finish());
  }

  private watchHealth(): void {
    const { config } = this.opts;
    if (config.spawn === 'inproc') return;
    this.health = new HealthWatch({
      bus: this.bus,
      netns: this.netns,
      killAfterMs: config.hangKillMs,
      processOf: (layer) => this.spawner.processOf(layer),
      kill: (layer) => this.spawner.kill(layer),
      say: (line) => this.say(line),
    });
    this.health.start();
    if (config.spawn !== 'none') return;
    this.rollCall = new RollCall(this.bus, this.netns, {
      onGone: (layer) => this.onDied(layer),
      isAbsent: (layer) => this.absent.has(layer),
    });
    this.rollCall.start();
  }

  /** The device is there once tun_init has returned; its other end is the kernel's, and ours to set up. */
  private async afterInitcall(r: BootRequest): Promise<void> {
    const { plan } = this.opts;
    if (r.name === 'tun_init' && this.hasPeer) {
      await configurePeer(plan.peerNetns, plan.kernelIfname, plan.addressing?.peerCidr);
    }
  }

  private onHello(data: Uint8Array): Uint8Array {
    const { layer, epoch, pid } = pb.Hello.decode(data);
    const known = LAYERS.find((l) => l === layer);
    if (!known) return pb.HelloReply.encode({ welcome: false }).finish();
    const before = this.hellos.get(known);
    this.hellos.set(known, { epoch, pid });
    if (before !== undefined && before.epoch !== epoch) this.boot.restarted(known);
    // The same process had lost its connection only.
    else if (this.rollCall !== undefined) this.isBack(known);
    for (const w of this.helloWaiters.splice(0)) w();
    return pb.HelloReply.encode({ welcome: true }).finish();
  }

  private onPrintk(data: Uint8Array): void {
    const { layer, lines } = pb.Printk.decode(data);
    for (const text of lines) this.log.print(layer, text, monotonicMs());
  }

  private async waitForHellos(): Promise<void> {
    const forever = this.opts.config.spawn === 'none';
    const deadline = monotonicMs() + HELLO_WITHIN_MS;
    for (;;) {
      const missing = LAYERS.filter((l) => !this.hellos.has(l));
      if (missing.length === 0) return;
      const hopeless = this.spawner
        .services()
        .find((s) => s.restarts >= HOPELESS_RESTARTS && missing.includes(s.name as Layer));
      if (hopeless)
        throw new StackError(
          `the ${hopeless.name} service does not start: ${this.spawner.complaint(hopeless.name as Layer)}`,
        );
      if (!forever && monotonicMs() > deadline) {
        throw new StackError(
          `no sign of ${missing.join(', ')} within ${HELLO_WITHIN_MS / 1000} s; look into ${this.opts.run.dir}/*.log`,
        );
      }
      if (this.state !== 'starting') throw new StackError('stopped while starting');
      // They have been welcomed by an orchestrator before us, if we alone were restarted.
      if (forever) this.bus.publish(subjects.all(this.netns, 'who'), new Uint8Array());
      await Promise.race([new Promise<void>((resolve) => this.helloWaiters.push(resolve)), sleep(200)]);
    }
  }

  private makeFaults(): FaultDesk {
    const pidOf = (service: string): number | undefined => {
      if (service === 'broker') return this.opts.broker.child?.pid;
      const pid = this.services().find((s) => s.name === service)?.pid;
      return pid === process.pid ? undefined : pid;
    };
    const own = { pidOf, say: (line: string) => this.say(line), outside: this.opts.config.spawn === 'none' };
    return new FaultDesk(this.bus, this.netns, new ServiceFaults(this.bus, this.netns, own));
  }

  private makeSpawner(): Spawner {
    const { config, plan, appsDir, run, broker } = this.opts;
    const ctx = {
      appsDir,
      stack: plan.stack,
      natsUrl: plan.natsUrl,
      spare: config.spare,
      tapFd: this.tapFd,
      run,
      envOf: (layer: Layer) => layerEnv(config, plan, layer),
      onChange: () => this.writeStackFile(),
      onDied: (layer: Layer) => this.onDied(layer),
      say: (line: string) => this.say(line),
      load: this.opts.load,
    };
    if (config.spawn === 'inproc') return new InprocSpawner(ctx, broker, this.netns);
    return config.spawn === 'none' ? new NoSpawner() : new ProcessSpawner(ctx);
  }

  private async startDemo(): Promise<void> {
    const { config, plan, appsDir, run } = this.opts;
    const main = mainOf(appsDir, 'demo');
    requireBuilt(main);
    this.demo = new SupervisedChild({
      name: 'demo',
      command: process.execPath,
      args: ['--enable-source-maps', main],
      cwd: run.dir,
      logFile: run.log('demo'),
      env: { ...inheritedEnv(), ...layerEnv(config, plan, 'demo') },
      onChange: () => this.writeStackFile(),
      provenAfterMs: DEMO_WITHIN_MS,
      onDied: (c, how) => this.say(`skbus: demo: ${how}, restart ${c.restarts}`),
    });
    this.demo.start();
    const deadline = monotonicMs() + DEMO_WITHIN_MS;
    while (monotonicMs() < deadline && this.state === 'running') {
      if (await this.listens(80)) {
        this.demo.running();
        return;
      }
      await sleep(50);
    }
    if (this.state === 'running')
      this.say(`skbus: demo: nothing listens on port 80 yet; its log is ${run.log('demo')}`);
  }

  private async listens(port: number): Promise<boolean> {
    try {
      const reply = await this.bus.request(subjects.ctl(this.netns, 'tcp', 'sock_diag'), new Uint8Array(0), 1_000);
      const rows = JSON.parse(pb.SockDiagReply.decode(reply).json || '[]') as Record<string, unknown>[];
      return rows.some((r) => Object.values(r).includes(port));
    } catch {
      return false;
    }
  }

  private async removePeer(): Promise<void> {
    const { plan } = this.opts;
    const attempt = async (what: Promise<void>): Promise<void> => {
      await what.catch((e: unknown) => process.stderr.write(`skbus: ${errorText(e)}\n`));
    };
    await attempt(removeLink(plan.peerNetns, plan.kernelIfname));
    if (this.madeNetns) {
      const end = (pids: number[]): Promise<void> =>
        stopAll(
          pids.map(markOf).filter((m) => m !== undefined),
          500,
        );
      await attempt(removeNetns(plan.peerNetns, end));
    }
  }

  /** What a clean-up after our own violent end would need to know. */
  writeStackFile(): void {
    if (this.state === 'stopping' || this.state === 'stopped') return;
    const { plan, run, broker, apiUrl, apiTokenFile, apiCaFile, partOf } = this.opts;
    const processes = this.wasSpawned ? this.spawner.marks() : {};
    if (this.demo?.mark) processes.demo = this.demo.mark;
    if (broker.child?.mark && partOf === '') processes.nats = broker.child.mark;
    run.write({
      stack: plan.stack,
      orchestrator: markOf(process.pid) ?? { pid: process.pid, startTicks: '' },
      api: apiUrl(),
      apiTokenFile,
      apiCaFile,
      nats: plan.natsUrl,
      backend: plan.backend,
      peerNetns: plan.peerNetns,
      madeNetns: this.madeNetns,
      kernelIfname: plan.backend === 'tap' ? plan.kernelIfname : '',
      address: plan.addressing?.address ?? '',
      socksPort: plan.socksPort,
      partOf,
      processes,
    });
  }
}

const errorText = (e: unknown): string => (e instanceof Error ? e.message : String(e));
