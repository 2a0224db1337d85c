import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus } from '@skbus/bus';
import { LAYERS, type Layer } from '@skbus/contracts';
import { monotonicMs, readConfig, startLayer, tuneV8, type LayerDefinition, type RunningLayer } from '@skbus/nest-kit';
import type { Broker } from './broker.ts';
import { SupervisedChild } from './child.ts';
import { loadLayer, mainOf, requireBuilt, SpawnError } from './load-layer.ts';
import { canRenice, renice } from './priority.ts';
import { stopAll, type ProcessMark } from './process-mark.ts';
import type { RunFolder } from './run-folder.ts';
import { SpareProcess, TAP_FD, WARM_UP_AS, type Become, type Go } from './spare-process.ts';

export interface ServiceInfo {
  name: string;
  pid: number | undefined;
  /** stopped, starting, running, restarting */
  state: string;
  restarts: number;
  uptimeMs: number;
  lastExit: string | undefined;
}

/** One process in the place of another. */
export interface Replaced {
  from: number;
  to: number;
  /** monotonicMs() when the old one was asked to end. */
  atMs: number;
}

/** How the layers of a stack come to life. */
export interface Spawner {
  start(): Promise<void>;
  /** The service works: it has said hello and knows what the boot told it. */
  running(layer: Layer, pid: number): void;
  services(): ServiceInfo[];
  /** Processes, for the clean-up after an orchestrator that was killed. */
  marks(): Record<string, ProcessMark>;
  /** The process of a layer that can be killed, `undefined` where it is none of ours. */
  processOf(layer: Layer): { uptimeMs: number; running: boolean } | undefined;
  kill(layer: Layer): void;
  /**
   * Puts a process of the build as it is now in the place of one that runs. `retire` asks that one to stop and end, when the
   * new one is ready. Rejects with SpawnError; then all is as it was.
   */
  upgrade(layer: Layer, retire: () => Promise<Uint8Array>): Promise<Replaced>;
  /** Why a service is not there, or ''. */
  complaint(layer: Layer): string;
  stop(): Promise<void>;
}

export interface SpawnContext {
  appsDir: string;
  stack: string;
  natsUrl: string;
  /** A warm process in reserve. */
  spare: boolean;
  /** Of /dev/net/tun, for the nic. */
  tapFd: number | undefined;
  run: RunFolder;
  /** Environment of one layer. */
  envOf: (layer: Layer) => Record<string, string>;
  onChange: () => void;
  /** The process of a layer has ended, and not because we stopped it. */
  onDied: (layer: Layer) => void;
  say: (line: string) => void;
  /** Other layers than those of the build, for tests. */
  load?: ((layer: Layer) => Promise<LayerDefinition>) | undefined;
}

/** How long a new process may take until it waits beside the old one, and the old one until it is gone. */
const UPGRADE_WITHIN_MS = 30_000;
const RETIRE_WITHIN_MS = 2_000;

/** One process per layer, and a spare one. */
export class ProcessSpawner implements Spawner {
  private readonly children = new Map<Layer, SupervisedChild>();
  private readonly spare: SpareProcess | undefined;
  private readonly ctx: SpawnContext;

  constructor(ctx: SpawnContext) {
    this.ctx = ctx;
    for (const layer of LAYERS) this.children.set(layer, this.makeChild(layer));
    if (ctx.spare) this.spare = this.makeSpare();
  }

  start(): Promise<void> {
    for (const layer of LAYERS) {
      requireBuilt(mainOf(this.ctx.appsDir, layer));
      rmSync(this.ctx.run.log(layer), { force: true });
    }
    rmSync(this.ctx.run.log('spare'), { force: true });
    for (const c of this.children.values()) c.start();
    return Promise.resolve();
  }

  running(layer: Layer, pid: number): void {
    const c = this.children.get(layer)!;
    // The hello of one that has died since says nothing of the one that is starting.
    if (c.pid === pid && c.state !== 'running') {
      c.running();
      // It had the right of way while it was a spare that becomes a layer.
      if (this.spare !== undefined && canRenice()) renice(pid, 0);
    }
    // The next one, once the work of this restart is done.
    if ([...this.children.values()].every((x) => x.state === 'running')) this.spare?.start();
  }

  processOf(layer: Layer): { uptimeMs: number; running: boolean } | undefined {
    const c = this.children.get(layer)!;
    return c.pid === undefined ? undefined : { uptimeMs: c.uptimeMs, running: c.state === 'running' };
  }

  kill(layer: Layer): void {
    this.children.get(layer)!.kill();
  }

  services(): ServiceInfo[] {
    const list = LAYERS.map((layer) => infoOf(this.children.get(layer)!));
    if (this.spare !== undefined && this.spare.state !== 'none') list.push(spareInfo(this.spare));
    return list;
  }

  marks(): Record<string, ProcessMark> {
    const marks: Record<string, ProcessMark> = {};
    for (const [layer, c] of this.children) if (c.mark) marks[layer] = c.mark;
    if (this.spare?.mark) marks.spare = this.spare.mark;
    return marks;
  }

  complaint(layer: Layer): string {
    const c = this.children.get(layer)!;
    if (c.restarts === 0) return '';
    return `${layer} ended ${c.restarts} times (${c.lastExit}); its log ends with: ${c.lastWords()}`;
  }

  async stop(): Promise<void> {
    await this.spare?.stop();
    for (const layer of LAYERS.toReversed()) await this.children.get(layer)!.stop();
  }

  async upgrade(layer: Layer, retire: () => Promise<Uint8Array>): Promise<Replaced> {
    const child = this.children.get(layer)!;
    const { mark } = child;
    if (mark === undefined) throw new SpawnError(`${layer} does not run`);
    // Not the spare: that one has loaded the build as it was.
    const fresh = this.makeSpare();
    fresh.start();
    let next: ChildProcess;
    try {
      next = await fresh.standBy(this.roleOf(layer), UPGRADE_WITHIN_MS);
    } catch (e) {
      throw new SpawnError(`${layer}: ${(e as Error).message}`);
    }
    if (child.mark?.pid !== mark.pid) {
      next.kill('SIGKILL');
      throw new SpawnError(`${layer} has died meanwhile and is restarted`);
    }
    const atMs = monotonicMs();
    child.replaceBy(next);
    let retired: Uint8Array = new Uint8Array(0);
    try {
      retired = await retire();
    } catch {
      // It does not answer: its successor comes as after a crash.
      this.ctx.say(`skbus: ${layer}: pid ${mark.pid} does not retire, killing it`);
      await stopAll([mark], 0);
    }
    next.send({ retired: Buffer.from(retired).toString('base64') } satisfies Go, () => {});
    await stopAll([mark], RETIRE_WITHIN_MS);
    return { from: mark.pid, to: next.pid!, atMs };
  }

  private makeSpare(): SpareProcess {
    const { ctx } = this;
    return new SpareProcess({
      main: join(import.meta.dirname, 'spare.js'),
      appsDir: ctx.appsDir,
      stack: ctx.stack,
      natsUrl: ctx.natsUrl,
      cwd: ctx.run.dir,
      logFile: ctx.run.log('spare'),
      env: { ...inheritedEnv(), ...ctx.envOf(WARM_UP_AS) },
      tapFd: ctx.tapFd,
      onChange: ctx.onChange,
      say: ctx.say,
    });
  }

  /** What a spare is told to become this layer. */
  private roleOf(layer: Layer): Become {
    const { ctx } = this;
    const kept = layer === 'nic' && ctx.tapFd !== undefined ? { SKBUS_NIC_TAP_FD: String(TAP_FD) } : {};
    const env = { ...inheritedEnv(), ...ctx.envOf(layer), ...kept };
    return { layer, env, logFile: ctx.run.log(layer), beside: false };
  }

  private makeChild(layer: Layer): SupervisedChild {
    const { ctx } = this;
    const { env, logFile } = this.roleOf(layer);
    return new SupervisedChild({
      name: layer,
      command: process.execPath,
      args: ['--enable-source-maps', mainOf(ctx.appsDir, layer)],
      cwd: ctx.run.dir,
      logFile,
      env,
      fds: layer === 'nic' && ctx.tapFd !== undefined ? [ctx.tapFd] : [],
      takeOver: () => this.spare?.take(this.roleOf(layer)),
      onChange: () => ctx.onChange(),
      onDied: (c, how) => {
        ctx.onDied(layer);
        ctx.say(`skbus: ${layer}: ${how}, restart ${c.restarts}`);
      },
    });
  }
}

/** All layers in this process (`up --inproc`). */
export class InprocSpawner implements Spawner {
  private readonly ctx: SpawnContext;
  private readonly broker: Broker;
  private readonly netns: string;
  private readonly up = new Map<Layer, { running: RunningLayer; bus: Bus; state: string }>();
  private readonly startedAt = Date.now();

  constructor(ctx: SpawnContext, broker: Broker, netns: string) {
    this.ctx = ctx;
    this.broker = broker;
    this.netns = netns;
  }

  async start(): Promise<void> {
    tuneV8();
    for (const layer of LAYERS) {
      const definition = await (this.ctx.load ?? ((l) => loadLayer(this.ctx.appsDir, l)))(layer);
      const bus = await this.broker.connect({ service: layer, stack: this.netns, run: this.ctx.run }, (e) =>
        this.ctx.say(`skbus: ${layer}: ${String(e)}`),
      );
      const config = readConfig({ ...inheritedEnv(), ...this.ctx.envOf(layer) });
      this.up.set(layer, { running: await startLayer(definition, bus, config), bus, state: 'starting' });
    }
  }

  running(layer: Layer): void {
    const l = this.up.get(layer);
    if (l) l.state = 'running';
  }

  services(): ServiceInfo[] {
    return LAYERS.map((layer) => ({
      name: layer,
      pid: process.pid,
      state: this.up.get(layer)?.state ?? 'starting',
      restarts: 0,
      uptimeMs: Date.now() - this.startedAt,
      lastExit: undefined,
    }));
  }

  processOf(): undefined {}

  kill(): void {}

  upgrade(layer: Layer): Promise<Replaced> {
    return Promise.reject(new SpawnError(`${layer} is no process of its own here`));
  }

  marks(): Record<string, ProcessMark> {
    return {};
  }

  complaint(): string {
    return '';
  }

  async stop(): Promise<void> {
    for (const layer of LAYERS.toReversed()) {
      const l = this.up.get(layer);
      if (!l) continue;
      this.up.delete(layer);
      await l.running.close();
      await l.bus.close();
    }
  }
}

/** Somebody else starts the services: one container each. They are as alive as they say. */
export class NoSpawner implements Spawner {
  private readonly known = new Set<Layer>();

  start(): Promise<void> {
    return Promise.resolve();
  }

  running(layer: Layer): void {
    this.known.add(layer);
  }

  /** Its age is not known; what says hello can be asked. */
  processOf(layer: Layer): { uptimeMs: number; running: boolean } | undefined {
    return this.known.has(layer) ? { uptimeMs: 0, running: true } : undefined;
  }

  /** Whoever has started it has a health check of its own. */
  kill(): void {}

  upgrade(layer: Layer): Promise<Replaced> {
    return Promise.reject(new SpawnError(`${layer} is started by somebody else: replace its container`));
  }

  services(): ServiceInfo[] {
    return LAYERS.map((layer) => ({
      name: layer,
      pid: undefined,
      state: this.known.has(layer) ? 'running' : 'starting',
      restarts: 0,
      uptimeMs: 0,
      lastExit: undefined,
    }));
  }

  marks(): Record<string, ProcessMark> {
    return {};
  }

  complaint(): string {
    return '';
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

export const infoOf = (c: SupervisedChild): ServiceInfo => ({
  name: c.name,
  pid: c.pid,
  state: c.state,
  restarts: c.restarts,
  uptimeMs: c.uptimeMs,
  lastExit: c.lastExit,
});

const spareInfo = (s: SpareProcess): ServiceInfo => ({
  name: 'spare',
  pid: s.pid,
  state: s.state === 'ready' ? 'ready' : 'starting',
  restarts: s.restarts,
  uptimeMs: s.uptimeMs,
  lastExit: s.lastExit,
});

/** What a child needs of our own environment; our own settings go to each one by name. */
export function inheritedEnv(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [k, v] of Object.entries(process.env)) {
    if (
      v !== undefined &&
      !k.startsWith('SKBUS_') &&
      k !== 'NODE_CHANNEL_FD' &&
      k !== 'NODE_CHANNEL_SERIALIZATION_MODE'
    )
      env[k] = v;
  }
  return env;
}
