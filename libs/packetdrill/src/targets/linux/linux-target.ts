import { fork, type ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import type { Duplex } from 'node:stream';
import type { Micros, Sniffed, SysCalls, SysResult, SysTicket, Target, TargetOptions } from '../../target.ts';
import { Arrivals } from '../arrivals.ts';
import { Ticket } from '../ticket.ts';
import { WallClock } from '../wall-clock.ts';
import { DRAINED, PACKET_FD, RECORD_BYTES, type Method, type Methods, type Response } from './protocol.ts';

/** Blocking calls that may sleep at the same time. */
const POOL_THREADS = 64;

/** What a busy machine may add; the kernel's own timers tick every 4 ms. */
const LATENCY_US = 21_000;

/** A test runs this file from source and the agent from the build. */
const agentUrl = import.meta.url.endsWith('.ts')
  ? new URL('../../../dist/targets/linux/agent.js', import.meta.url)
  : new URL('./agent.js', import.meta.url);

/** Why no script can run against this machine's kernel; `undefined`: it can. */
export function whyNoLinux(): string | undefined {
  if (process.platform !== 'linux') return 'the linux target needs Linux';
  if (process.getuid?.() !== 0) return 'the linux target needs root, for a network namespace of its own';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return 'the linux target needs /dev/net/tun (modprobe tun)';
  }
  return undefined;
}

interface Waiting {
  resolve: (r: Response) => void;
  reject: (e: Error) => void;
}

const CALL_NAMES: readonly (keyof SysCalls)[] = [
  'socket',
  'bind',
  'listen',
  'accept',
  'connect',
  'send',
  'recv',
  'shutdown',
  'close',
  'getsockname',
  'getpeername',
  'getsockopt',
  'setsockopt',
  'fcntl',
  'ioctl',
  'poll',
  'recvmsg',
  'epollCreate',
  'epollCtl',
  'epollWait',
];

/**
 * The kernel of this machine, in a network namespace that is fresh for every script: the oracle. Packets go in and out by
 * a TUN device; the calls are the kernel's own, made in a child process, a thread for each that blocks. The namespace
 * has no name and ends with that process, however it ends.
 *
 * Sysctls are set to the defaults of Linux 6.12 (sysctl-defaults.ts) except tcp_no_metrics_save=1. What no sysctl undoes on
 * a later kernel: receive-buffer auto-tuning was reworked in 6.15 and 6.16, AccECN is known to 6.18.
 */
export class LinuxTarget implements Target {
  readonly name = 'linux';
  readonly virtualTime = false;
  readonly latencyUs = LATENCY_US;
  readonly sys: SysCalls;
  private readonly clock = new WallClock();
  private readonly arrivals = new Arrivals(this.clock, () => this.drain());
  private readonly waiting = new Map<number, Waiting>();
  private readonly drains: (() => void)[] = [];
  private child: ChildProcess | undefined = undefined;
  private pipe: Duplex | undefined = undefined;
  private partial: Buffer = Buffer.alloc(0);
  private script = 0;
  private nextId = 0;
  private failure: Error | undefined = undefined;
  private baseline: ReadonlyMap<string, number> = new Map();
  private readonly onExit = (): void => void this.child?.kill('SIGKILL');

  constructor() {
    const make =
      (name: keyof SysCalls) =>
      (...args: readonly unknown[]): SysTicket =>
        this.call(name, args);
    this.sys = Object.fromEntries(CALL_NAMES.map((name) => [name, make(name)])) as unknown as SysCalls;
  }

  async open(options: TargetOptions): Promise<void> {
    if (this.child === undefined) this.start();
    this.failure = undefined;
    this.arrivals.clear();
    await this.ask('open', options, ++this.script);
    this.baseline = await this.ask('counters');
    this.clock.restart();
  }

  async close(): Promise<void> {
    if (this.child !== undefined) await this.ask('close');
    this.arrivals.clear();
  }

  /** Ends the child process, and with it the last namespace. */
  async dispose(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    process.off('exit', this.onExit);
    if (child === undefined) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  now(): Micros {
    return this.clock.now();
  }

  sleepUntil(at: Micros): Promise<void> {
    return this.clock.sleepUntil(at);
  }

  inject(packet: Uint8Array): void {
    this.ask('inject', packet).catch((e: Error) => (this.failure ??= e));
  }

  async nextPacket(deadline: Micros): Promise<Sniffed | undefined> {
    const packet = await this.arrivals.next(deadline);
    if (this.failure !== undefined) throw this.failure;
    return packet;
  }

  async wait(ticket: SysTicket, deadline: Micros): Promise<void> {
    if (ticket.result === undefined && !(await this.clock.within(deadline, ticket.settled))) await this.ask('ping');
  }

  sysctl(name: string, value: string): Promise<void> {
    return this.ask('sysctl', name, value);
  }

  async command(line: string): Promise<void> {
    const { status, output } = await this.ask('shell', line);
    if (status !== 0) throw new Error(`\`${line}\` ended with ${status}${output === '' ? '' : `: ${output.trim()}`}`);
  }

  async counters(): Promise<ReadonlyMap<string, number>> {
    const now = await this.ask('counters');
    return new Map([...now].map(([name, n]) => [name, n - (this.baseline.get(name) ?? 0)]));
  }

  private start(): void {
    const why = whyNoLinux();
    if (why !== undefined) throw new Error(why);
    const child = fork(agentUrl, {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', 'ipc'],
      env: { ...process.env, UV_THREADPOOL_SIZE: String(POOL_THREADS) },
      execArgv: [],
    });
    this.child = child;
    child.on('message', (m: Response) => {
      const w = this.waiting.get(m.id);
      this.waiting.delete(m.id);
      w?.resolve(m);
    });
    child.once('exit', () => this.lost(child));
    child.once('error', () => this.lost(child));
    this.pipe = child.stdio[PACKET_FD] as Duplex;
    this.pipe.on('data', (d: Buffer) => this.take(d));
    this.pipe.on('error', () => {});
    process.on('exit', this.onExit);
  }

  private lost(child: ChildProcess): void {
    if (this.child === child) this.child = undefined;
    process.off('exit', this.onExit);
    for (const w of this.waiting.values()) w.reject(new Error('the process in the network namespace ended'));
    this.waiting.clear();
    for (const done of this.drains.splice(0)) done();
  }

  private call(name: keyof SysCalls, args: readonly unknown[]): Ticket {
    const ticket = new Ticket();
    this.request('call', [name, args]).then(
      (r) => ticket.settle(r.result as SysResult, this.clock.at(r.ns)),
      (e: Error) => (this.failure ??= e),
    );
    return ticket;
  }

  private async ask<M extends Method>(method: M, ...args: Methods[M]['args']): Promise<Methods[M]['result']> {
    return (await this.request(method, args)).result as Methods[M]['result'];
  }

  private async request<M extends Method>(method: M, args: Methods[M]['args']): Promise<Response> {
    const { child } = this;
    if (child === undefined) throw new Error('the process in the network namespace ended');
    const id = ++this.nextId;
    const reply = await new Promise<Response>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      child.send({ id, method, args });
    });
    if (reply.error !== undefined) throw new Error(reply.error);
    return reply;
  }

  /** Asks the reading thread for a mark behind what it has read. */
  private drain(): Promise<void> {
    if (this.child === undefined || this.pipe === undefined) return Promise.resolve();
    this.pipe.write(Buffer.of(1));
    return new Promise((resolve) => this.drains.push(resolve));
  }

  private take(data: Buffer): void {
    let b = this.partial.length === 0 ? data : Buffer.concat([this.partial, data]);
    while (b.length >= RECORD_BYTES) {
      const kind = b.readUInt32LE(0);
      const n = kind === DRAINED ? 0 : kind;
      if (b.length < RECORD_BYTES + n) break;
      if (kind === DRAINED) this.drains.shift()?.();
      else if (b.readUInt32LE(4) === this.script) {
        const atUs = this.clock.at(b.readBigUInt64LE(8));
        this.arrivals.push({ atUs, bytes: Uint8Array.from(b.subarray(RECORD_BYTES, RECORD_BYTES + n)) });
      }
      b = b.subarray(RECORD_BYTES + n);
    }
    this.partial = b;
  }
}
