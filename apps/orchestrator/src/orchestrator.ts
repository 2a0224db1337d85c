import { dirname, join } from 'node:path';
import type { Layer } from '@skbus/contracts';
import { ConfigError, type LayerDefinition } from '@skbus/nest-kit';
import { accessOf } from './api/access.ts';
import { serveApi, type Api } from './api/api.ts';
import {
  externalBroker,
  freePort,
  listenProblem,
  memoryBroker,
  portIsFree,
  sharedBroker,
  startNats,
  type Broker,
} from './broker.ts';
import { addressingOf, cmdlineOf, type Backend, type OrchestratorConfig } from './config.ts';
import { RunFolder } from './run-folder.ts';
import { kernelIfnameFor } from './stack-env.ts';
import { Stack, StackError } from './stack.ts';
import { sweep } from './sweeper.ts';
import { tapProblem } from './tap-support.ts';

export interface OrchestratorOptions {
  config: OrchestratorConfig;
  appsDir: string;
  version: string;
  /** Something a person should know. */
  note: (text: string) => void;
  /** A stack exists now; its log can be followed. */
  onStack: (stack: Stack) => void;
  /** Asked to end, by the API. */
  shutdown: () => void;
  /** `--inproc` with other layers than those of the build. */
  load?: (layer: Layer) => Promise<LayerDefinition>;
}

/** What runs under one `skbus up`: a broker, and one stack or a pair of them, each with its API. */
export class Orchestrator {
  readonly stacks: Stack[] = [];
  private readonly opts: OrchestratorOptions;
  private readonly runs: RunFolder[] = [];
  private readonly apis: Api[] = [];
  private broker: Broker | undefined = undefined;
  private stopped: Promise<void> | undefined = undefined;

  constructor(opts: OrchestratorOptions) {
    this.opts = opts;
  }

  /** Rejects with one sentence; then call stop(). */
  async start(): Promise<void> {
    const { config } = this.opts;
    const configs = this.choose(config);
    for (const c of configs) await this.take(c);
    await checkPorts(configs[0]!.config);
    const named = configs.map((c, i) => ({ name: c.config.stack, run: this.runs[i]! }));
    this.broker = await this.makeBroker(config, named);
    for (const c of configs) this.stacks.push(await this.makeStack(c.config, c.backend, configs[0]!.config));
    // Side by side: two stacks come up in the time of one.
    await Promise.all(this.stacks.map((s) => s.start()));
  }

  /** Ends everything that was started; harmless to repeat. */
  stop(): Promise<void> {
    this.stopped ??= this.end();
    return this.stopped;
  }

  private async end(): Promise<void> {
    await Promise.all(this.stacks.map((s) => s.stop()));
    await Promise.all(this.apis.map((a) => a.close()));
    await this.broker?.stop();
    for (const r of this.runs) r.unlock();
  }

  /** Which stacks on which back end: the TAP where it can be had, else a pair on a cable. */
  private choose(config: OrchestratorConfig): { config: OrchestratorConfig; backend: Backend }[] {
    const { backend } = config;
    if (config.spawn === 'none') return [{ config, backend: backend === 'auto' ? 'wire' : backend }];
    if (backend === 'udp') return [{ config, backend }];
    if (backend === 'tap' || backend === 'auto') {
      const problem = tapProblem(config.peerNetns);
      if (!problem) return [{ config, backend: 'tap' }];
      if (backend === 'tap') throw new ConfigError(`${problem}; run as root, or use --nic wire`);
      this.opts.note(
        `${problem}: instead of one stack opposite this machine's kernel there are two on one wire, a and b`,
      );
    }
    if (config.stack !== 'a' || config.natsUrl !== undefined) return [{ config, backend: 'wire' }];
    return [
      { config, backend: 'wire' },
      { config: partnerOf(config), backend: 'wire' },
    ];
  }

  /** The run folder is ours from here on; what a killed predecessor left is removed. */
  private async take({ config }: { config: OrchestratorConfig }): Promise<void> {
    const run = new RunFolder(config.runDir);
    run.create();
    run.lock(config.stack);
    const left = run.read();
    if (left && !left.running) {
      const found = await sweep(run, left.file);
      if (found.length > 0) this.opts.note(`removed what an earlier run left: ${found.join(', ')}`);
      run.lock(config.stack);
    }
    this.runs.push(run);
  }

  private async makeBroker(
    config: OrchestratorConfig,
    stacks: readonly { name: string; run: RunFolder }[],
  ): Promise<Broker> {
    const home = config.natsHome;
    if (home !== undefined) return sharedBroker(config.natsUrl ?? '', new RunFolder(home), config.stack, this.runs[0]!);
    if (config.natsUrl !== undefined) return externalBroker({ ...config, natsUrl: config.natsUrl });
    const say = (text: string): void => {
      for (const s of this.stacks) s.say(text);
    };
    if (config.spawn === 'inproc')
      return memoryBroker((e) => say(`skbus: bus: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}`));
    return startNats(stacks, config, {
      died: (how) => say(`skbus: nats-server: ${how}, starting it again`),
      change: () => {
        for (const s of this.stacks) s.writeStackFile();
      },
    });
  }

  private async makeStack(config: OrchestratorConfig, backend: Backend, first: OrchestratorConfig): Promise<Stack> {
    const partner = config !== first;
    const run = this.runs[partner ? 1 : 0]!;
    const socksPort = partner && config.socksPort !== 0 ? await portNear(config.socksPort) : config.socksPort;
    const access = accessOf(config, run);
    let url = '';
    const stack = new Stack({
      config,
      broker: this.broker!,
      run,
      appsDir: this.opts.appsDir,
      version: this.opts.version,
      load: this.opts.load,
      partOf: partner ? first.stack : '',
      apiUrl: () => url,
      apiTokenFile: access.tokenFile,
      apiCaFile: access.caFile,
      plan: {
        stack: config.stack,
        backend,
        addressing: addressingOf(config.cmdline),
        // With a container for each service the other end is a cable, and no namespace of ours.
        peerNetns: backend === 'tap' && config.peerNetns !== 'host' && config.spawn !== 'none' ? config.peerNetns : '',
        kernelIfname: kernelIfnameFor(config.stack),
        apiPort: config.apiPort,
        socksPort,
        httpProxyPort: config.httpProxyPort,
        runDir: run.dir,
        sock: run.sock,
        natsUrl: this.broker!.url,
        natsKeys: this.broker!.keysOf(run),
        natsCa: this.broker!.caFile,
      },
    });
    const apiPort = partner && config.apiPort !== 0 ? await portNear(config.apiPort) : config.apiPort;
    const api = await serveApi(stack, {
      access,
      port: apiPort,
      ratePerS: config.apiRatePerS,
      shutdown: this.opts.shutdown,
    });
    url = api.url;
    this.apis.push(api);
    this.opts.onStack(stack);
    return stack;
  }
}

/** The second stack of a pair. */
function partnerOf(config: OrchestratorConfig): OrchestratorConfig {
  const append = config.cmdline.words
    .filter((w) => w.name !== 'ip')
    .map((w) => w.text)
    .join(' ');
  return {
    ...config,
    stack: 'b',
    runDir: join(dirname(config.runDir), 'b'),
    cmdline: cmdlineOf(append, '10.77.0.3'),
    apiPort: config.apiPort && config.apiPort + 1,
    socksPort: config.socksPort && config.socksPort + 1,
    httpProxyPort: 0,
  };
}

async function checkPorts(c: OrchestratorConfig): Promise<void> {
  const wanted: [number, string, string][] = [[c.apiPort, c.apiHost, '--api-port']];
  if (c.spawn !== 'none')
    wanted.push([c.socksPort, '127.0.0.1', '--socks-port'], [c.httpProxyPort, '127.0.0.1', '--http-proxy-port']);
  for (const [port, host, option] of wanted) {
    const problem = port === 0 && host === '127.0.0.1' ? undefined : await listenProblem(port, host);
    if (problem === 'EADDRINUSE')
      throw new StackError(`port ${port} on ${host} is in use; choose another one with ${option}`);
    if (problem !== undefined) throw new StackError(`nobody can listen on ${host} here (${problem}); see "ip addr"`);
  }
}

/** This port, or one that is free. */
const portNear = async (port: number): Promise<number> => ((await portIsFree(port)) ? port : freePort());
