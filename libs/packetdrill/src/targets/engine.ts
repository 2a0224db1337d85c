import { Net, type Host } from '@skbus/sim';
import { ipSysctlNames, parseIpSysctl } from '@skbus/ip';
import { parseTcpSysctl, SysctlRefusal, type TcpStack, tcpSysctlNames } from '@skbus/tcp';
import type { Micros, Sniffed, SysCalls, SysTicket, Target, TargetOptions } from '../target.ts';
import { EngineSys } from './engine-sys.ts';
import { ipRoute } from './ip-route.ts';
import { ScriptWire } from './script-wire.ts';

/** What Linux caches, and how much memory and which queues it uses: not seen in the segments of this stack. */
const WITHOUT_EFFECT = /^net\.ipv4\.(?:tcp_(?:fack|no_metrics_save|mem|early_demux)|conf\.\w+\.forwarding)$/;

interface Machine {
  net: Net;
  host: Host;
  wire: ScriptWire;
  sys: SysCalls;
}

/** Every layer's engine in this process, in virtual time: exact, fast, and the same each time. */
export class EngineTarget implements Target {
  readonly name = 'engine';
  readonly virtualTime = true;
  readonly canPinIss = true;
  private machine: Machine | undefined = undefined;
  private readonly seed: number;

  constructor(seed = 1) {
    this.seed = seed;
  }

  open(opts: TargetOptions): Promise<void> {
    const net = new Net(this.seed);
    const host = net.host('stack', { codec: false });
    const wire = new ScriptWire(net, host, opts);
    if (opts.iss !== undefined) pinIsn(host.tcp, opts.iss);
    this.machine = { net, host, wire, sys: new EngineSys(host, () => this.now()) };
    this.settle();
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.machine = undefined;
    return Promise.resolve();
  }

  get sys(): SysCalls {
    return this.open_.sys;
  }

  now(): Micros {
    return Math.round(this.open_.net.clock.now * 1000);
  }

  sleepUntil(at: Micros): Promise<void> {
    const { clock } = this.open_.net;
    const until = Math.max(at / 1000, clock.now);
    while (clock.step(until));
    return Promise.resolve();
  }

  inject(packet: Uint8Array): void {
    this.open_.wire.inject(packet);
    this.settle();
  }

  nextPacket(deadline: Micros): Promise<Sniffed | undefined> {
    const { wire, net } = this.open_;
    const until = Math.max(deadline / 1000, net.clock.now);
    while (wire.sent.length === 0) if (!net.clock.step(until)) return Promise.resolve(undefined);
    const { atMs, bytes } = wire.sent.shift()!;
    return Promise.resolve({ atUs: Math.round(atMs * 1000), bytes });
  }

  wait(ticket: SysTicket, deadline: Micros): Promise<void> {
    const { clock } = this.open_.net;
    const until = Math.max(deadline / 1000, clock.now);
    while (ticket.result === undefined) if (!clock.step(until)) break;
    this.settle();
    return Promise.resolve();
  }

  sysctl(name: string, value: string): Promise<void> {
    const { host } = this.open_;
    const ofAll = name.replace(/^(net\.ipv4\.conf)\.(?:default|tun0|\*)\./, '$1.all.');
    const tcp = tcpSysctlNames().includes(name) ? parseTcpSysctl(name, value) : undefined;
    const ip = ipSysctlNames().includes(ofAll) ? parseIpSysctl(ofAll, value) : undefined;
    if (tcp instanceof SysctlRefusal) return Promise.reject(new Error(tcp.message));
    if (typeof ip === 'string') return Promise.reject(new Error(ip));
    if (tcp === undefined && ip === undefined && !WITHOUT_EFFECT.test(name))
      return Promise.reject(new Error(`the engine target has no sysctl ${name}`));
    if (tcp !== undefined) host.tcp.setSysctl(tcp);
    if (ip !== undefined) host.ip.applySysctl(ip);
    return Promise.resolve();
  }

  ipRoute(words: readonly string[]): void {
    ipRoute(this.open_.host, words);
    this.settle();
  }

  counters(): Promise<ReadonlyMap<string, number>> {
    const sum = new Map<string, number>();
    for (const { env } of Object.values(this.open_.host.shells))
      for (const [name, n] of env.mib.entries()) sum.set(name, (sum.get(name) ?? 0) + n);
    return Promise.resolve(sum);
  }

  private get open_(): Machine {
    if (this.machine === undefined) throw new Error('the engine target is not open');
    return this.machine;
  }

  /** Everything that happens without time passing. */
  private settle(): void {
    const { clock } = this.open_.net;
    while (clock.step(clock.now));
  }
}

/** Every connection of the stack starts at `isn`. */
function pinIsn(tcp: TcpStack, isn: number): void {
  const inner = tcp as unknown as { cx: { secrets: { isn: () => number } } };
  inner.cx.secrets.isn = () => isn >>> 0;
}
