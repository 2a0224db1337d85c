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
import { IPPROTO_UDP, type Millis, type SkBuff } from '@skbus/skb';
import { UDP_SYSCTL_DEFAULTS, UdpStack, type UdpSockInfo } from '@skbus/udp';

/** UDP's shell: the engine between the bus and the clock. */
@Injectable()
export class UdpService implements OnModuleInit {
  private readonly shell: TransportShell;
  private readonly engine: UdpStack;

  constructor(@Inject(LAYER_KIT) private readonly kit: LayerKit) {
    this.shell = new TransportShell(kit, 'udp');
    this.engine = new UdpStack(kit.env, { emit: this.shell.emit, ask: this.shell.ask });
  }

  onModuleInit(): void {
    this.kit.bind(this, this.engine);
    this.kit.addStats(() => ({ sockets: this.engine.sockets().length }));
    this.shell.bind(this.engine);
  }

  @HandOverTo('udp_rcv', 0)
  udpRcv(skb: SkBuff, now: Millis): void {
    this.engine.onDatagram(skb, now);
  }

  @HandOverTo('udp_err', 0)
  udpErr(skb: SkBuff, now: Millis): void {
    this.engine.onIcmpError(skb, now);
  }

  /** Nothing to set up: the tables live in the engine. In the kernel this makes the slab of struct udp_sock. */
  @Initcall('proto_register(&udp_prot)')
  protoRegister(_call: InitcallContext): void {}

  @Initcall('inet_add_protocol(&udp_protocol)')
  inetAddProtocol(_call: InitcallContext): Promise<InitcallResult> {
    return this.shell.addProtocol(IPPROTO_UDP, 'udp_rcv', 'udp_err');
  }

  @Initcall('udp_init')
  udpInit(call: InitcallContext): void {
    const {
      ipLocalPortRange: [low, high],
      rmemDefault,
    } = UDP_SYSCTL_DEFAULTS;
    call.printk(`UDP: local ports ${low}-${high}, receive buffer ${rmemDefault} bytes`);
    this.shell.hello();
  }

  /** For `ss`; 0: all sockets. */
  sockets(sk: number): UdpSockInfo[] {
    const all = this.engine.sockets();
    return sk === 0 ? all : all.filter((s) => s.sk === sk);
  }
}
