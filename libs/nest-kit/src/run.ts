import 'reflect-metadata';
import { createServer, type Server as HttpServer } from 'node:http';
import { Module, type DynamicModule, type INestMicroservice, type Provider, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  announce,
  BusError,
  BusTransport,
  CredentialsError,
  credentialsFor,
  GatedBus,
  NatsBus,
  type Bus,
  type MicroService,
} from '@skbus/bus';
import { pb, srvName, subjects, type Layer } from '@skbus/contracts';
import { ConfigError, readConfig, type ServiceConfig } from './config.ts';
import { ControlController } from './control.controller.ts';
import { BUS, CONFIG, LAYER_KIT, LayerKit } from './layer-kit.ts';
import { serviceLogger } from './logger.ts';
import { tuneV8 } from './v8.ts';

/** What an app exports: its name and what Nest builds for it. */
export interface LayerDefinition {
  layer: Layer;
  /** Providers; the shell among them injects LAYER_KIT and calls kit.bind() in onModuleInit. */
  providers: Provider[];
  controllers?: Type[];
}

export interface RunningLayer {
  kit: LayerKit;
  app: INestMicroservice;
  /** A standby goes on from where the one before has stopped: `retired` is its RetireReply. */
  activate(retired: Uint8Array): void;
  close(): Promise<void>;
}

/** A successor that waits beside the process of its layer (`skbus upgrade`). */
export interface Standby {
  /** It is built and listens behind its gate. */
  ready(): void;
  /** The RetireReply of the one before, which is gone. */
  go: Promise<Uint8Array>;
}

/** Of the build; what it speaks. */
const VERSION = '0.1.0';
/** A successor whose initcalls do not all come (initcall_blacklist=) opens its gate after this. */
const OPEN_ANYWAY_MS = 1_000;

@Module({})
class LayerModule {}

export function layerModule(def: LayerDefinition, kit: LayerKit): DynamicModule {
  return {
    module: LayerModule,
    providers: [
      { provide: LAYER_KIT, useValue: kit },
      { provide: BUS, useValue: kit.bus },
      { provide: CONFIG, useValue: kit.config },
      ...def.providers,
    ],
    controllers: [ControlController, ...(def.controllers ?? [])],
  };
}

/** Starts a layer on a bus; in a process of its own or beside others (`up --inproc`). The bus stays the caller's. */
export async function startLayer(
  def: LayerDefinition,
  bus: Bus,
  config: ServiceConfig,
  how: { standby?: boolean; onRetired?: () => void } = {},
): Promise<RunningLayer> {
  const gate = new GatedBus(bus, how.standby !== true);
  const kit = new LayerKit(def.layer, gate, config);
  const strategy = new BusTransport(kit.bus, (verb) => subjects.ctl(config.netns, def.layer, verb));
  const app = await NestFactory.createMicroservice(layerModule(def, kit), {
    strategy,
    logger: serviceLogger(def.layer, config.logLevel),
  });
  gate.subscribe(subjects.all(config.netns, 'trace_set'), (data) => {
    const t = pb.TraceSet.decode(data);
    kit.trace(t.on, t.follow, t.forMs);
  });
  kit.bus.subscribe(subjects.all(config.netns, 'layer_state'), (data) => {
    const { layer, here } = pb.LayerState.decode(data);
    kit.onLayerState(layer as Layer, here);
  });
  let stopHello = (): void => {};
  const health = config.healthPort > 0 ? await serveHealth(kit) : undefined;
  const end = async (): Promise<void> => {
    stopHello();
    health?.close();
    kit.close();
    await app.close();
  };
  gate.respond(subjects.ctl(config.netns, def.layer, 'retire'), async () => {
    gate.shut();
    const reply = kit.retire();
    await kit.faults.save();
    // What it holds (a device, ports) is free when the answer is there.
    await end();
    await bus.flush();
    how.onRetired?.();
    return reply;
  });
  announce(gate, microService(kit, strategy), new Date());
  // A standby asks for the rules when it takes over: until then others count.
  await Promise.all([app.listen(), how.standby === true ? undefined : kit.faults.watch()]);
  if (how.standby !== true) stopHello = sayHello(kit);
  return {
    kit,
    app,
    activate: (retired) => {
      kit.takeUp(retired);
      gate.answer();
      const rules = kit.faults.watch();
      const open = (): void => {
        clearTimeout(anyway);
        kit.onReady = undefined;
        void rules.then(() => gate.open((data, subject) => kit.wasHandled(data, subject)));
      };
      const anyway = setTimeout(open, OPEN_ANYWAY_MS);
      // Not before it knows its devices and tables.
      kit.onReady = open;
      stopHello = sayHello(kit);
    },
    close: end,
  };
}

/** For `nats micro`. */
function microService(kit: LayerKit, { endpoints }: BusTransport): MicroService {
  const { layer, netns, epoch } = kit;
  return {
    name: srvName(layer),
    id: `${netns}-${layer}-${epoch.toString(16)}`,
    version: VERSION,
    description: `the ${layer} layer of skbus stack ${netns}`,
    metadata: { stack: netns, layer, pid: String(process.pid) },
    endpoints: () => endpoints.map((e) => (e.name === 'stats' ? { ...e, data: kit.stats() } : e)),
  };
}

/** main() of every layer: environment → bus → service, until SIGTERM. */
export async function runLayer(
  def: LayerDefinition,
  env: Record<string, string | undefined> = process.env,
  standby?: Standby,
): Promise<void> {
  process.title = `skbus-${def.layer}`;
  tuneV8();
  try {
    const config = readConfig(env);
    process.title = `skbus-${def.layer}[${config.netns}]`;
    const log = serviceLogger(def.layer, config.logLevel);
    const { natsCreds, netns } = config;
    const credentials = natsCreds === undefined ? undefined : credentialsFor(natsCreds, netns, def.layer);
    const bus = await NatsBus.connect({
      url: config.natsUrl,
      credentials,
      caFile: config.natsCa,
      name: `${def.layer}.${config.netns}`,
      onError: (e) => log.error(e instanceof Error ? (e.stack ?? e.message) : String(e)),
    });
    const exit = (): void => void bus.close().then(() => process.exit(0));
    // After the answer, which leaves in this turn of the event loop.
    const onRetired = (): void => void setImmediate(() => void bus.flush().then(exit, exit));
    const running = await startLayer(def, bus, config, { standby: standby !== undefined, onRetired });
    const stop = (): void => void running.close().then(exit);
    process.once('SIGTERM', stop);
    // Ctrl-C reaches the whole process group; the orchestrator decides the order of shutdown and sends SIGTERM.
    process.on('SIGINT', () => {});
    process.on('uncaughtException', (e) => log.error(`uncaught: ${e.stack ?? e.message}`));
    process.on('unhandledRejection', (e) => log.error(`unhandled: ${e instanceof Error ? e.stack : String(e)}`));
    if (standby !== undefined) {
      await bus.flush();
      standby.ready();
      running.activate(await standby.go);
    }
  } catch (e) {
    const why =
      e instanceof ConfigError || e instanceof BusError || e instanceof CredentialsError
        ? e.message
        : e instanceof Error
          ? e.stack
          : String(e);
    process.stderr.write(`skbus-${def.layer}: cannot start: ${why}\n`);
    process.exit(1);
  }
}

/** Until the orchestrator has welcomed us; after that it knows our epoch and replays the initcalls we own. */
function sayHello(kit: LayerKit): () => void {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const hello = pb.Hello.encode({ layer: kit.layer, pid: process.pid, epoch: kit.epoch, version: VERSION }).finish();
  const again = async (): Promise<void> => {
    try {
      const answer = await kit.bus.request(subjects.ctl(kit.netns, 'orchestrator', 'hello'), hello, 1_000);
      if (pb.HelloReply.decode(answer).welcome) return;
    } catch (e) {
      if (!(e instanceof BusError)) throw e;
    }
    if (!stopped) timer = setTimeout(() => void again(), 100);
  };
  // After a broken connection the orchestrator may be a new one.
  kit.bus.onStatus((s) => {
    if (s === 'connected' && !stopped) void again();
  });
  // An orchestrator that was restarted by itself asks who is there.
  const deaf = kit.bus.subscribe(subjects.all(kit.netns, 'who'), () => {
    clearTimeout(timer);
    void again();
  });
  void again();
  return () => {
    stopped = true;
    deaf();
    clearTimeout(timer);
  };
}

/** For container health checks: 200 when the layer is up and the boot has reached it, 503 before. */
function serveHealth(kit: LayerKit): Promise<HttpServer> {
  const server = createServer((req, res) => {
    const live = req.url === '/health/live';
    const ok = live || kit.ready;
    res.writeHead(ok ? 200 : 503, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ layer: kit.layer, ready: kit.ready }));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(kit.config.healthPort, kit.config.healthHost, () => resolve(server));
  });
}
