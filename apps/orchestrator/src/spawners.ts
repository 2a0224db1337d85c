import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bus } from '@skbus/bus';
import { LAYERS, type Layer } from '@skbus/contracts';
import { readConfig, startLayer, type LayerDefinition, type RunningLayer } from '@skbus/nest-kit';
import type { Broker } from './broker.ts';
import { SupervisedChild } from './child.ts';
import { loadLayer, mainOf, requireBuilt } from './load-layer.ts';
import type { ProcessMark } from './process-mark.ts';
import type { RunFolder } from './run-folder.ts';
import { SpareProcess, TAP_FD } from './spare-process.ts';

export interface ServiceInfo {
  name: string;
  pid: number | undefined;
  /** stopped, starting, running, restarting */
  state: string;
  restarts: number;
  uptimeMs: number;
  lastExit: string | undefined;
}

/** How the layers of a stack come to life. */
export interface Spawner {
  start(): Promise<void>;
  /** The service works: it has said hello and knows what the boot told it. */
  running(layer: Layer, pid: number): void;
  services(): ServiceInfo[];
  /** Processes, for the clean-up after an orchestrator that was killed. */
  marks(): Record<string, ProcessMark>;
  /** Why a service is not there, or ''. */
  complaint(layer: Layer): string;
  stop(): Promise<void>;
}

export interface SpawnContext {
  appsDir: string;
  stack: string;
  /** A warm process in reserve. */
  spare: boolean;
  /** Of /dev/net/tun, for the nic. */
  tapFd: number | undefined;
  run: RunFolder;
  /** Environment of one layer. */
  envOf: (layer: Layer) => Record<string, string>;
  onChange: () => void;
  say: (line: string) => void;
  /** Other layers than those of the build, for tests. */
  load?: ((layer: Layer) => Promise<LayerDefinition>) | undefined;
}

/** One process per layer, and a spare one. */
export class ProcessSpawner implements Spawner {
  private readonly children = new Map<Layer, SupervisedChild>();
  private readonly spare: SpareProcess | undefined;
  private readonly ctx: SpawnContext;

  constructor(ctx: SpawnContext) {
    this.ctx = ctx;
    for (const layer of LAYERS) this.children.set(layer, this.makeChild(layer));
    if (!ctx.spare) return;
    this.spare = new SpareProcess({
      main: join(import.meta.dirname, 'spare.js'),
      appsDir: ctx.appsDir,
      stack: ctx.stack,
      cwd: ctx.run.dir,
      logFile: ctx.run.log('spare'),
      env: inheritedEnv(),
      tapFd: ctx.tapFd,
      onChange: ctx.onChange,
      say: ctx.say,
    });
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
    if (c.pid === pid) c.running();
    // The next one, once the work of this restart is done.
    if ([...this.children.values()].every((x) => x.state === 'running')) this.spare?.start();
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

  private makeChild(layer: Layer): SupervisedChild {
    const { ctx } = this;
    const logFile = ctx.run.log(layer);
    const env = (): Record<string, string> => {
      const kept = layer === 'nic' && ctx.tapFd !== undefined ? { SKBUS_NIC_TAP_FD: String(TAP_FD) } : {};
      return { ...inheritedEnv(), ...ctx.envOf(layer), ...kept };
    };
    return new SupervisedChild({
      name: layer,
      command: process.execPath,
      args: ['--enable-source-maps', mainOf(ctx.appsDir, layer)],
      cwd: ctx.run.dir,
      logFile,
      env: env(),
      fds: layer === 'nic' && ctx.tapFd !== undefined ? [ctx.tapFd] : [],
      takeOver: () => this.spare?.take({ layer, env: env(), logFile }),
      onChange: () => ctx.onChange(),
      onDied: (c, how) => ctx.say(`skbus: ${layer}: ${how}, restart ${c.restarts}`),
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
    for (const layer of LAYERS) {
      const definition = await (this.ctx.load ?? ((l) => loadLayer(this.ctx.appsDir, l)))(layer);
      const bus = await this.broker.connect(`${layer}.${this.netns}`, (e) =>
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
