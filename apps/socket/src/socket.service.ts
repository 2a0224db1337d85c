import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { FaultPoint } from '@skbus/fault';
import { decodeEvts, encodeCmds, PublisherWatch, RETIRED_MS, subjects } from '@skbus/contracts';
import { Initcall, LAYER_KIT, type InitcallContext, type InitcallResult, type LayerKit } from '@skbus/nest-kit';
import {
  AF_INET,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SOCK_DGRAM,
  SOCK_STREAM,
  type Millis,
  type SkCmd,
  type SkEvt,
} from '@skbus/skb';
import {
  SocketLayer,
  type CallHandle,
  type FileNews,
  type ProcId,
  type SocketInfo,
  type SysReply,
  type SysRequest,
} from '@skbus/socket';
import type { Gateway } from './door/gateway.ts';

const TRANSPORTS = ['tcp', 'udp'] as const;
type Transport = (typeof TRANSPORTS)[number];

/** A list is closed at this size: far below the broker's limit. */
const MESSAGE_BYTES_MAX = 512 * 1024;

/** What opens with sock_init and what comes back after a restart; the doors set it. */
export interface DoorHooks {
  open(): Promise<InitcallResult>;
  /** `keep`: the service was restarted in a running stack. */
  restore(keep: boolean): Promise<void>;
}

/** Clocks and messages in flight differ by less. */
const REMIND_AFTER_MS = 200;

/** The socket layer's shell: SocketLayer between the transports' subjects and the doors. */
@Injectable()
export class SocketService implements OnModuleInit, Gateway {
  readonly layer: SocketLayer;
  private readonly out: Record<Transport, { subject: string; cmds: SkCmd[]; bytes: number }>;
  doors: DoorHooks | undefined = undefined;
  leaving = false;
  private readonly publishers = { tcp: new PublisherWatch(), udp: new PublisherWatch() };
  private malformed = 0;
  private readonly reminders: Record<Transport, NodeJS.Timeout | undefined> = { tcp: undefined, udp: undefined };
  private readonly cmdPoint: FaultPoint;
  private readonly evtPoint: FaultPoint;

  constructor(@Inject(LAYER_KIT) private readonly kit: LayerKit) {
    const { injector } = kit.faults;
    this.out = {
      tcp: { subject: subjects.skCmd(kit.netns, 'tcp'), cmds: [], bytes: 0 },
      udp: { subject: subjects.skCmd(kit.netns, 'udp'), cmds: [], bytes: 0 },
    };
    this.cmdPoint = injector.point('tx', 'sk_cmd');
    this.evtPoint = injector.point('rx', 'sk_evt');
    this.layer = new SocketLayer(kit.env, {
      toTcp: (cmd) => this.command('tcp', cmd),
      toUdp: (cmd) => this.command('udp', cmd),
      // The transports may still know the ids of a service before this one.
      idBase: kit.env.rng.u32() & 0x7fff_fffe,
      booted: false,
    });
  }

  onModuleInit(): void {
    const { bus, netns } = this.kit;
    this.kit.bind(this, this.layer);
    this.kit.onBatchEnd(() => {
      this.publish('tcp');
      this.publish('udp');
    });
    this.kit.addStats(() => ({ ...this.layer.gauges, malformed_events: this.malformed }));
    for (const t of TRANSPORTS) bus.subscribe(subjects.skEvt(netns, t), (m) => this.onEvents(t, m));
  }

  /**
   * sock_init() mounts sockfs; here the doors open. After a restart they wait for inet_register_protosw: programs that knock
   * already are to find all as it was.
   */
  @Initcall('sock_init')
  sockInit(call: InitcallContext): InitcallResult | Promise<InitcallResult> {
    if (!call.replay) return this.doors?.open();
  }

  @Initcall('proto_init')
  protoInit(_call: InitcallContext): InitcallResult | Promise<InitcallResult> {}

  @Initcall('sock_register(&inet_family_ops)')
  sockRegister(call: InitcallContext): InitcallResult | Promise<InitcallResult> {
    this.kit.env.trace('sock_register');
    this.layer.sockRegister(AF_INET);
    if (!call.replay) call.printk('NET: Registered PF_INET protocol family');
  }

  @Initcall('inet_register_protosw')
  async inetRegisterProtosw(call: InitcallContext): Promise<InitcallResult> {
    const { kit } = this;
    kit.env.trace('inet_register_protosw');
    this.layer.inetRegisterProtosw(SOCK_STREAM, IPPROTO_TCP);
    this.layer.inetRegisterProtosw(SOCK_DGRAM, IPPROTO_UDP);
    // A list without commands: by its publisher the transports see that the service before this one is gone.
    for (const t of TRANSPORTS) kit.bus.publish(this.out[t].subject, encodeCmds(kit.epoch, []));
    const opened = call.replay ? await this.doors?.open() : undefined;
    if (opened && opened.errno !== 0) return opened;
    await this.doors?.restore(call.replay);
  }

  sockets(): SocketInfo[] {
    return this.layer.sockets();
  }

  // --- Gateway -------------------------------------------------------------------------------------------------------

  run<T>(step: (now: Millis) => T): T {
    return this.kit.run(step);
  }

  onBatchEnd(fn: () => void): void {
    this.kit.onBatchEnd(fn);
  }

  after(ms: Millis, fn: () => void): void {
    setTimeout(fn, ms).unref();
  }

  openProcess(): ProcId {
    return this.layer.openProcess();
  }

  closeProcess(p: ProcId, now: Millis): void {
    this.layer.closeProcess(p, now);
  }

  openSession(p: ProcId, owner: number, tell: (news: readonly FileNews[]) => void): void {
    this.layer.openSession(p, owner, tell);
  }

  call(p: ProcId, req: SysRequest, now: Millis, done: (reply: SysReply) => void): CallHandle {
    return this.layer.call(p, req, now, done);
  }

  cancel(handle: CallHandle): void {
    this.layer.cancel(handle);
  }

  // --- the seam ------------------------------------------------------------------------------------------------------

  private onEvents(from: Transport, message: Uint8Array): void {
    const list = decodeEvts(message);
    if (list === undefined) {
      this.malformed++;
      return;
    }
    this.kit.run((now) => {
      const who = this.publishers[from].hear(list.publisher, now);
      if (who === 'retired') return;
      if (who === 'new') this.layer.resync(from);
      // Meant for the service that was here before: what it says of sockets is for who adopts them to ask.
      if (list.to !== 0 && list.to !== this.kit.epoch) {
        this.displaced(from);
        return;
      }
      for (const evt of list.evts) {
        if (this.evtPoint.rules === undefined) this.onEvent(from, evt, now);
        else this.kit.faults.message(this.evtPoint, evt.sk, message.length, (at) => this.onEvent(from, evt, at));
      }
    });
  }

  /**
   * A transport takes somebody else for the socket layer. When it is a successor, this process is about to end; when it still
   * runs after the time that a transport ignores late messages, it was nobody, and the sockets are ours.
   */
  private displaced(by: Transport): void {
    this.reminders[by] ??= setTimeout(() => {
      this.reminders[by] = undefined;
      if (this.leaving) return;
      this.kit.bus.publish(this.out[by].subject, encodeCmds(this.kit.epoch, []));
      this.kit.run(() => this.layer.insist(by));
    }, RETIRED_MS + REMIND_AFTER_MS).unref();
  }

  private onEvent(from: Transport, evt: SkEvt, now: Millis): void {
    if (from === 'tcp') this.layer.onTcpEvent(evt, now);
    else this.layer.onUdpEvent(evt, now);
  }

  private command(to: Transport, cmd: SkCmd): void {
    const bytes = 64 + (cmd.data?.data.length ?? cmd.sendto?.data.length ?? 0);
    if (this.cmdPoint.rules === undefined) this.collect(to, cmd, bytes);
    else this.kit.faults.message(this.cmdPoint, cmd.sk, bytes, () => this.collect(to, cmd, bytes));
  }

  private collect(to: Transport, cmd: SkCmd, bytes: number): void {
    const o = this.out[to];
    o.cmds.push(cmd);
    o.bytes += bytes;
    if (o.bytes >= MESSAGE_BYTES_MAX) this.publish(to);
  }

  private publish(to: Transport): void {
    const o = this.out[to];
    if (o.cmds.length === 0) return;
    this.kit.bus.publish(o.subject, encodeCmds(this.kit.epoch, o.cmds));
    o.cmds = [];
    o.bytes = 0;
  }
}
