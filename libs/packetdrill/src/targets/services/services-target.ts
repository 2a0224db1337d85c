import { setTimeout as delay } from 'node:timers/promises';
import { connectDoor, type UnixDoor } from '@skbus/net';
import { parseIpv4 } from '@skbus/skb';
import type { Micros, ScriptAddresses, Sniffed, SysCalls, SysTicket, Target, TargetOptions } from '../../target.ts';
import { Arrivals } from '../arrivals.ts';
import { WallClock } from '../wall-clock.ts';
import { Cable, type HostPort } from './cable.ts';
import { ControlApi } from './control-api.ts';
import { doorCalls, type DoorCalls } from './door-calls.ts';
import { startStack, type RunningStack } from './own-stack.ts';

const DEVICE = 'skb0';
/** A packet that left in time may still be on its way through the services. */
const GRACE_MS = 3;

/** How long a call waits for a packet before it that no transport counts. */
const DIGEST_US = 30_000;
/** From the cable to the socket and back, on a machine that has other things to do as well. */
const LATENCY_US = 50_000;

const RECEIVED = ['TcpInSegs', 'IcmpInMsgs', 'UdpInDatagrams', 'UdpNoPorts', 'UdpInErrors'];
const received = (counters: Readonly<Record<string, number>>): number =>
  RECEIVED.reduce((sum, name) => sum + (counters[name] ?? 0), 0);

export interface ServicesTargetOptions {
  /** A stack that runs already with `--nic udp`; without it one is started for as long as the target lives. */
  stack?: Omit<RunningStack, 'stop'> & {
    /** Where that NIC's cable leads to. */
    cable: HostPort;
  };
}

/**
 * The running services: real processes, the bus between them, their NIC's cable in our hand. The stack stays up from
 * script to script; each script has addresses of its own, so that no TIME-WAIT, metric or cookie of another meets it, a
 * door of its own, whose end closes its sockets, and gets its sysctls undone.
 */
export class ServicesTarget implements Target {
  readonly name = 'services';
  readonly virtualTime = false;
  readonly latencyUs = LATENCY_US;
  readonly sys: SysCalls;
  private readonly made: DoorCalls;
  private readonly options: ServicesTargetOptions;
  private readonly clock = new WallClock();
  private readonly arrivals = new Arrivals(this.clock, () => delay(GRACE_MS));
  private readonly cable = new Cable();
  private readonly restore = new Map<string, string>();
  private readonly onExit = (): void => this.stack?.stop();
  private starting: Promise<RunningStack> | undefined = undefined;
  private stack: RunningStack | undefined = undefined;
  private api!: ControlApi;
  private door: UnixDoor | undefined = undefined;
  private opened: TargetOptions | undefined = undefined;
  private scripts = 0;
  /** Packets put on the cable, those that calls have waited for, and what the counters said at the beginning. */
  private injected = 0;
  private seen = 0;
  private received = 0;
  private baseline: Readonly<Record<string, number>> = {};

  constructor(options: ServicesTargetOptions = {}) {
    this.options = options;
    this.made = doorCalls(
      () => this.door!,
      this.clock,
      () => this.digested(),
    );
    this.sys = this.made.calls;
    this.cable.onPacket = (bytes, ns) => this.arrivals.push({ atUs: this.clock.at(ns), bytes });
  }

  /** 10.100.0.0/14 by /24s for the stack and its gateway, 198.18.0.0/15 (RFC 2544) for what is behind it. */
  addresses(): ScriptAddresses {
    const n = ++this.scripts;
    const net = `10.${100 + ((n >>> 8) & 3)}.${n & 0xff}`;
    return {
      localIp: `${net}.2`,
      gatewayIp: `${net}.1`,
      prefixLen: 24,
      remoteIp: `198.${18 + ((n >>> 15) & 1)}.${(n >>> 7) & 0xff}.${1 + (n & 0x7f)}`,
    };
  }

  async open(o: TargetOptions): Promise<void> {
    this.starting ??= this.start();
    const { sock } = await this.starting;
    await this.api.send('PATCH', `/link/${DEVICE}`, { mtu: o.mtu });
    await this.api.send('POST', '/addr', { address: `${o.localIp}/${o.prefixLen}`, dev: DEVICE, replace: true });
    this.opened = o;
    await this.api.send('POST', '/route', { ...this.route(o), op: 'replace' });
    await this.cable.introduce(parseIpv4(o.localIp)!, parseIpv4(o.gatewayIp)!);
    this.door = await connectDoor(sock);
    this.arrivals.clear();
    this.baseline = await this.api.get('/nstat');
    this.received = received(this.baseline);
    this.injected = this.seen = 0;
    this.clock.restart();
  }

  async close(): Promise<void> {
    const o = this.opened;
    this.opened = undefined;
    if (o === undefined) return;
    await this.made.abort();
    this.door?.close();
    for (const [name, value] of this.restore) await this.api.send('PUT', '/sysctl', { name, value });
    this.restore.clear();
    await this.api.send('DELETE', '/route', this.route(o));
    await this.api.send('DELETE', '/addr', { address: `${o.localIp}/${o.prefixLen}`, dev: DEVICE });
    this.arrivals.clear();
  }

  async dispose(): Promise<void> {
    await this.starting?.catch(() => {});
    process.off('exit', this.onExit);
    this.stack?.stop();
    this.stack = undefined;
    this.cable.close();
  }

  now(): Micros {
    return this.clock.now();
  }

  sleepUntil(at: Micros): Promise<void> {
    return this.clock.sleepUntil(at);
  }

  inject(packet: Uint8Array): void {
    this.injected++;
    this.cable.send(packet);
  }

  nextPacket(deadline: Micros): Promise<Sniffed | undefined> {
    return this.arrivals.next(deadline);
  }

  async wait(ticket: SysTicket, deadline: Micros): Promise<void> {
    if (ticket.result === undefined) await this.clock.within(deadline, ticket.settled);
  }

  async sysctl(name: string, value: string): Promise<void> {
    const old = await this.api.get<Record<string, string>>(`/sysctl?name=${encodeURIComponent(name)}`);
    if (!this.restore.has(name)) this.restore.set(name, old[name] ?? '');
    await this.api.send('PUT', '/sysctl', { name, value });
  }

  async counters(): Promise<ReadonlyMap<string, number>> {
    await this.digested();
    const now = await this.api.get<Record<string, number>>('/nstat');
    return new Map(Object.entries(now).map(([name, n]) => [name, n - (this.baseline[name] ?? 0)]));
  }

  /**
   * A kernel has dealt with a packet when the write to its device returns; here it passes from service to service, and a
   * call made meanwhile would overtake it. Waits until the transport has counted what was injected, and once more for
   * what it told the socket layer of it.
   */
  private async digested(): Promise<void> {
    if (this.seen === this.injected) return;
    const wanted = this.injected;
    const deadline = this.clock.now() + DIGEST_US;
    while (this.clock.now() < deadline) if (received(await this.api.get('/nstat')) - this.received >= wanted) break;
    await this.api.get('/nstat');
    this.seen = wanted;
  }

  private async start(): Promise<RunningStack> {
    const given = this.options.stack;
    const peer = await this.cable.listen(given?.cable ?? { host: '127.0.0.1', port: 0 });
    const stack = given === undefined ? await startStack(peer) : { ...given, stop: () => {} };
    this.stack = stack;
    process.on('exit', this.onExit);
    this.cable.plug(stack.nic);
    this.api = new ControlApi(stack.api);
    return stack;
  }

  /** The way to the remote host alone: the routes of another script, or of the stack's owner, stay as they are. */
  private route(o: TargetOptions): { dst: string; via: string; dev: string } {
    return { dst: `${o.remoteIp}/32`, via: o.gatewayIp, dev: DEVICE };
  }
}
