import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Bus } from '@skbus/bus';
import { LAYERS, type Layer } from '@skbus/contracts';
import { readConfig, startLayer, type LayerDefinition, type RunningLayer } from '@skbus/nest-kit';
import type { Broker } from './broker.ts';
import { SupervisedChild } from './child.ts';
import type { ProcessMark } from './process-mark.ts';
import type { RunFolder } from './run-folder.ts';

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

export class SpawnError extends Error {
  override name = 'SpawnError';
}

export interface SpawnContext {
  appsDir: string;
  run: RunFolder;
  /** Environment of one layer. */
  envOf: (layer: Layer) => Record<string, string>;
  onChange: () => void;
  say: (line: string) => void;
  /** Other layers than those of the build, for tests. */
  load?: ((layer: Layer) => Promise<LayerDefinition>) | undefined;
}

/** One process per layer. */
export class ProcessSpawner implements Spawner {
  private readonly children = new Map<Layer, SupervisedChild>();
  private readonly ctx: SpawnContext;

  constructor(ctx: SpawnContext) {
    this.ctx = ctx;
    for (const layer of LAYERS) {
      const logFile = ctx.run.log(layer);
      this.children.set(
        layer,
        new SupervisedChild({
          name: layer,
          command: process.execPath,
          args: ['--enable-source-maps', mainOf(ctx.appsDir, layer)],
          cwd: ctx.run.dir,
          logFile,
          env: { ...inheritedEnv(), ...ctx.envOf(layer) },
          onChange: () => ctx.onChange(),
          onDied: (c, how) => ctx.say(`skbus: ${layer}: ${how}, restart ${c.restarts}`),
        }),
      );
    }
  }

  start(): Promise<void> {
    for (const layer of LAYERS) {
      requireBuilt(mainOf(this.ctx.appsDir, layer));
      rmSync(this.ctx.run.log(layer), { force: true });
    }
    for (const c of this.children.values()) c.start();
    return Promise.resolve();
  }

  running(layer: Layer, pid: number): void {
    const c = this.children.get(layer)!;
    // The hello of one that has died since says nothing of the one that is starting.
    if (c.pid === pid) c.running();
  }

  services(): ServiceInfo[] {
    return LAYERS.map((layer) => infoOf(this.children.get(layer)!));
  }

  marks(): Record<string, ProcessMark> {
    const marks: Record<string, ProcessMark> = {};
    for (const [layer, c] of this.children) if (c.mark) marks[layer] = c.mark;
    return marks;
  }

  complaint(layer: Layer): string {
    const c = this.children.get(layer)!;
    if (c.restarts === 0) return '';
    return `${layer} ended ${c.restarts} times (${c.lastExit}); its log ends with: ${c.lastWords()}`;
  }

  async stop(): Promise<void> {
    for (const layer of LAYERS.toReversed()) await this.children.get(layer)!.stop();
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

async function loadLayer(appsDir: string, layer: Layer): Promise<LayerDefinition> {
  const file = join(appsDir, layer, 'dist/index.js');
  requireBuilt(file);
  return ((await import(pathToFileURL(file).href)) as { definition: LayerDefinition }).definition;
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

export const mainOf = (appsDir: string, app: string): string => join(appsDir, app, 'dist/main.js');

export function requireBuilt(file: string): void {
  if (!existsSync(file)) throw new SpawnError(`${file} is missing; build it with "npm run build"`);
}

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
