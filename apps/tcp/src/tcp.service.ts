import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import {
  HandOverTo,
  Initcall,
  LAYER_KIT,
  TransportShell,
  type InitcallContext,
  type InitcallResult,
  type LayerKit,
} from '@skbus/nest-kit';
import { buckets, decodeWfree, subjects } from '@skbus/contracts';
import { ERRNO, IPPROTO_TCP, type Millis, type SkBuff } from '@skbus/skb';
import {
  availableCongestionControls,
  parseTcpSysctl,
  SysctlRefusal,
  readTcpSysctl,
  TcpStack,
  tcpSysctlNames,
  type TcpSockInfo,
} from '@skbus/tcp';
import { loadSecret } from './tcp-secret.ts';

/**
 * An ACK on its way through busy processes; well below the RTO's minimum of 200 ms, so that a lost tail is still found early.
 * New data as the probe costs nothing when it was too early: as soon as in Linux, where two jiffies are the least.
 */
const PROBE_FLOOR_MS = { newData: 8, retrans: 100 };
/**
 * Small queues: the way down leads through processes, so they hold more than Linux 6.12's: what is sent in 32 ms (there 1 ms), up to
 * 4 MiB (as Linux since 6.18; there 1 MiB).
 */
const PACING_SHIFT = 5;
const LIMIT_OUTPUT_BYTES = 4 << 20;
/** TCP's shell: the engine between the bus and the clock. */
@Injectable()
export class TcpService implements OnModuleInit {
  private readonly shell: TransportShell;
  private readonly engine: TcpStack;

  constructor(@Inject(LAYER_KIT) private readonly kit: LayerKit) {
    this.shell = new TransportShell(kit, 'tcp');
    // Children of a service that came back must not meet those of the one before.
    const childIdBase = kit.epoch;
    const { emit, ask } = this.shell;
    this.engine = new TcpStack(kit.env, {
      emit,
      ask,
      childIdBase,
      probeFloorMs: PROBE_FLOOR_MS,
      pacingShift: PACING_SHIFT,
      sysctl: { tcpLimitOutputBytes: LIMIT_OUTPUT_BYTES },
    });
  }

  async onModuleInit(): Promise<void> {
    const { bus, netns, env } = this.kit;
    this.engine.setSecret(await loadSecret(bus, netns, () => env.rng.u32()));
    this.engine.startRestoring();
    this.kit.bind(this, this.engine);
    this.kit.addStats(() => ({ illegalTransitions: this.engine.illegalTransitions, ...this.restored() }));
    this.shell.bind(this.engine);
    this.kit.onFreed = (freed, now) => freed.forEach((wmem, sk) => this.engine.onWfree(sk, wmem, now));
    bus.subscribe(subjects.tcpWfree(netns), (message) => this.tcpWfree(message));
  }

  @HandOverTo('tcp_v4_rcv', 0)
  tcpV4Rcv(skb: SkBuff, now: Millis): void {
    this.engine.onSegment(skb, now);
  }

  @HandOverTo('tcp_v4_err', 0)
  tcpV4Err(skb: SkBuff, now: Millis): void {
    this.engine.onIcmpError(skb, now);
  }

  /** What has left in the layers below; a list that makes no sense is as good as lost. */
  private tcpWfree(message: Uint8Array): void {
    const list = decodeWfree(message);
    if (list === undefined) return;
    this.kit.run((now) => list.sk.forEach((sk, i) => this.engine.onWfree(sk, list.wmem[i]!, now)));
  }

  /** Nothing to set up: the tables live in the engine. In the kernel this makes the slab of struct tcp_sock. */
  @Initcall('proto_register(&tcp_prot)')
  protoRegister(): void {}

  @Initcall('inet_add_protocol(&tcp_protocol)')
  inetAddProtocol(): Promise<InitcallResult> {
    return this.shell.addProtocol(IPPROTO_TCP, 'tcp_v4_rcv', 'tcp_v4_err');
  }

  @Initcall('tcp_init')
  async tcpInit(call: InitcallContext): Promise<InitcallResult> {
    const { env } = this.kit;
    await this.loadSysctls();
    env.trace('tcp_v4_init');
    env.trace('tcp_register_congestion_control');
    const [low, high] = this.engine.sysctl.ipLocalPortRange;
    call.printk(`TCP: local ports ${low}-${high}, ${this.engine.sysctl.tcpMaxTwBuckets} time-wait buckets`);
    for (const name of availableCongestionControls()) call.printk(`TCP: ${name} registered`);
    this.shell.hello();
    this.kit.run((now) => this.engine.askForRestore(now));
  }

  @Initcall('tcp_congestion_default')
  tcpCongestionDefault(call: InitcallContext): void {
    call.printk(`TCP: default congestion control ${this.engine.sysctl.tcpCongestionControl}`);
  }

  /** Reads (no value; no name: all) or writes one sysctl. What was written outlives this process. */
  async sysctl(
    name: string,
    value: string,
  ): Promise<{ errno: number; message: string; values: Record<string, string>; foreign?: boolean }> {
    const read = (names: string[]): Record<string, string> =>
      Object.fromEntries(names.map((n) => [n, readTcpSysctl(this.engine.sysctl, n) ?? '']));
    if (name === '') return { errno: 0, message: '', values: read(tcpSysctlNames()) };
    if (!tcpSysctlNames().includes(name))
      return { errno: ERRNO.ENOENT, message: `no such key: ${name}`, values: {}, foreign: true };
    if (value !== '') {
      const change = parseTcpSysctl(name, value);
      if (change instanceof SysctlRefusal) return { errno: change.errno, message: change.message, values: {} };
      this.engine.setSysctl(change);
      const kv = await this.kit.bus.kv(buckets.sysctl(this.kit.netns));
      await kv.put(name, new TextEncoder().encode(value));
    }
    return { errno: 0, message: '', values: read([name]) };
  }

  /** For `ss`; 0: all sockets. */
  sockets(sk: number): TcpSockInfo[] {
    if (sk === 0) return this.engine.sockets();
    const one = this.engine.tcpInfo(sk);
    return one ? [one] : [];
  }

  private restored(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.engine.restored).map(([what, n]) => [`restored_${what}`, n]));
  }

  private async loadSysctls(): Promise<void> {
    const kv = await this.kit.bus.kv(buckets.sysctl(this.kit.netns));
    for (const [name, value] of await kv.entries()) {
      const change = parseTcpSysctl(name, new TextDecoder().decode(value));
      if (!(change instanceof SysctlRefusal)) this.engine.setSysctl(change);
    }
  }
}
