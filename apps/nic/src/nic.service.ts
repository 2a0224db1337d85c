import { Inject, Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { buckets, devFromPb, devToPb, pb } from '@skbus/contracts';
import { flatStats, NetdevCore } from '@skbus/dev';
import {
  HandOverTo,
  Initcall,
  LAYER_KIT,
  type InitcallContext,
  type InitcallResult,
  type LayerKit,
} from '@skbus/nest-kit';
import {
  ERRNO,
  HAND_OVERS,
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_MULTICAST,
  IFF_RUNNING,
  IFF_UP,
  NEVER,
  type HandOver,
  type Millis,
  type NetDevice,
  type SkBuff,
} from '@skbus/skb';
import { readNicConfig } from './config.ts';
import { createDriver } from './drivers/create.ts';
import type { NicConfig, NicDriver, RxSink } from './drivers/driver.ts';
import { wireLink } from './wire-link.ts';

const LO = 1;
const SKB0 = 2;
const LO_MTU = 65_536;
const READY = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;
/** A driver that lost its device tries again after this, then twice as long, up to the second value. */
const RESTART_MS = 250;
const RESTART_MAX_MS = 8_000;

/** The device layer's shell: NetdevCore between the bus and a driver. */
@Injectable()
export class NicService implements OnModuleInit, OnModuleDestroy {
  readonly core: NetdevCore;
  private readonly config: NicConfig;
  private driver: NicDriver | undefined = undefined;
  private restart: NodeJS.Timeout | undefined = undefined;
  private restartMs = RESTART_MS;
  private stopped = false;
  private readonly sink: RxSink;

  constructor(@Inject(LAYER_KIT) private readonly kit: LayerKit) {
    this.config = readNicConfig(kit.config.env, kit.netns);
    this.core = new NetdevCore(kit.env);
    this.sink = {
      frame: (bytes, meta) => this.core.receive(bytes, SKB0, meta, this.kit.now()),
      // One batch: GRO's trains end, every list is encoded and published, and the driver may reuse the frames' memory.
      done: () => this.kit.run(() => {}),
      sent: () => {
        if (this.core.awaitsRing) this.kit.run(() => {});
      },
    };
  }

  onModuleInit(): void {
    this.core.onLinkChange = (dev) => void this.announce(dev.ifindex).catch(() => {});
    const { faults } = this.core;
    this.kit.bind(this, {
      flush: (now) => this.core.flush(now),
      pollTimeout: () => NEVER,
      handleTimeout: () => {},
      faults,
    });
    this.kit.addStats(() => this.counters());
  }

  async onModuleDestroy(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.restart);
    await this.driver?.stop();
  }

  @HandOverTo('dev_queue_xmit', '*')
  devQueueXmit(skb: SkBuff, now: Millis): void {
    this.core.xmit(skb, now);
  }

  /** Makes the loopback device and, after a restart, puts the protocols back that were registered. */
  @Initcall('net_dev_init')
  async netDevInit(call: InitcallContext): Promise<InitcallResult> {
    const ptypes = await this.kit.bus.kv(buckets.ptype(this.kit.netns));
    for (const [key, row] of await ptypes.entries()) {
      if (call.replay) this.addPack(pb.RegisterRequest.decode(row));
      else await ptypes.delete(key);
    }
    const lo: NetDevice = { ifindex: LO, name: 'lo', mac: 0, mtu: LO_MTU, flags: IFF_LOOPBACK | READY };
    return this.register({ ...lo, ...(await this.keptOf(LO, call)) }, undefined);
  }

  /** GSO and GRO for TCPv4 are part of the core. */
  @Initcall('ipv4_offload_init')
  ipv4OffloadInit(): InitcallResult {}

  /** Opens the cable and registers skb0. */
  @Initcall('tun_init')
  async tunInit(call: InitcallContext): Promise<InitcallResult> {
    call.printk('tun: Universal TUN/TAP device driver, 1.6');
    const { ifname: name, mac, mtu, backend } = this.config;
    // Before the cable is opened: what lies in its queue since the nic before is handed up in the next turn of the event loop,
    // and dropped where there is no device yet.
    const kept = await this.keptOf(SKB0, call);
    if (this.driver === undefined) {
      try {
        this.driver = await this.openDriver((line) => call.printk(line));
      } catch (e) {
        return { errno: ERRNO.ENODEV, message: `${name}: ${e instanceof Error ? e.message : String(e)}` };
      }
      const { csum, tso } = this.driver.features;
      call.printk(`${name}: ${backend}${this.where()}, checksum offload ${onOff(csum)}, TSO ${onOff(tso)}`);
    }
    const flags = IFF_BROADCAST | IFF_MULTICAST | READY;
    return this.register({ ifindex: SKB0, name, mac, mtu, flags, ...kept }, this.driver);
  }

  /** RegisterRequest for PACKET_TYPE: dev_add_pack() or, with `remove`, dev_remove_pack(). */
  async registerPack(data: Uint8Array): Promise<{ errno: number; message: string }> {
    const r = pb.RegisterRequest.decode(data);
    if (r.table !== pb.RegisterRequest.Table.PACKET_TYPE || r.key < 1 || r.key > 0xffff) {
      return { errno: ERRNO.EINVAL, message: `nic registers EtherTypes, not ${r.key} of table ${r.table}` };
    }
    const ptypes = await this.kit.bus.kv(buckets.ptype(this.kit.netns));
    if (r.remove) {
      this.core.devRemovePack(r.key);
      await ptypes.delete(String(r.key));
      return { errno: 0, message: '' };
    }
    if (!this.addPack(r)) return { errno: ERRNO.EINVAL, message: `"${r.handler}" is no hand-over of a packet type` };
    await ptypes.put(String(r.key), data);
    return { errno: 0, message: '' };
  }

  /** `ip link set`: MTU where it is not 0; up or down where any flag is given. */
  async setLink(want: NetDevice): Promise<number> {
    const dev = this.find(want);
    if (dev === undefined) return ERRNO.ENODEV;
    if (want.mtu !== 0 && want.mtu !== dev.mtu) {
      const r = this.core.setMtu(dev.ifindex, want.mtu);
      if (typeof r === 'number') return r;
    }
    if (want.flags !== 0) this.core.setUp(dev.ifindex, (want.flags & IFF_UP) !== 0);
    await this.announce(dev.ifindex);
    return 0;
  }

  find(want: { ifindex: number; name: string }): NetDevice | undefined {
    return this.core.devices().find((d) => (want.ifindex !== 0 ? d.ifindex === want.ifindex : d.name === want.name));
  }

  private addPack(r: { key: number; handler: string }): boolean {
    if (!(HAND_OVERS as readonly string[]).includes(r.handler)) return false;
    this.core.devAddPack(r.key, r.handler as HandOver);
    return true;
  }

  /** register_netdevice() and the news of it. */
  private async register(dev: NetDevice, driver: NicDriver | undefined): Promise<InitcallResult> {
    if (this.find(dev) === undefined) {
      const features = driver?.features ?? { csum: true, tso: true };
      const errno = this.core.registerNetdevice({ ...dev, features }, driver);
      if (errno !== 0) return { errno, message: `${dev.name}: cannot be registered (MTU ${dev.mtu})` };
    }
    await this.announce(dev.ifindex);
  }

  /** What a replay keeps, as a person may have changed it since: MTU, up or down. */
  private async keptOf(ifindex: number, call: InitcallContext): Promise<{ mtu: number; flags: number } | undefined> {
    if (!call.replay) return undefined;
    const row = await (await this.kit.bus.kv(buckets.netdev(this.kit.netns))).get(String(ifindex));
    if (row === undefined) return undefined;
    const { mtu, flags } = devFromPb(pb.NetDevice.decode(row));
    // whether there is a carrier, the device says now
    return { mtu, flags: flags | IFF_LOWER_UP | (flags & IFF_UP ? IFF_RUNNING : 0) };
  }

  /** Neighbour and IP watch this (the netdevice notifier chain). */
  private async announce(ifindex: number): Promise<void> {
    const dev = this.find({ ifindex, name: '' });
    if (dev === undefined) return;
    const kv = await this.kit.bus.kv(buckets.netdev(this.kit.netns));
    await kv.put(String(ifindex), pb.NetDevice.encode(devToPb(dev)).finish());
  }

  private async openDriver(printk: (line: string) => void): Promise<NicDriver> {
    const link = (cable: string): ReturnType<typeof wireLink> => wireLink(this.kit.bus, cable, this.kit.epoch);
    const driver = await createDriver(this.config, { printk, fatal: (why) => this.lost(why) }, link);
    try {
      await driver.start(this.sink);
    } catch (e) {
      await driver.stop();
      throw e;
    }
    return driver;
  }

  /** Somebody deleted the device under us. It may come back: then so do we. */
  private lost(why: string): void {
    if (this.stopped || this.restart !== undefined) return;
    this.kit.printk([`${this.config.ifname}: link is down: ${why}`]);
    this.restart = setTimeout(() => void this.tryAgain(), this.restartMs);
    this.restartMs = Math.min(this.restartMs * 2, RESTART_MAX_MS);
  }

  private async tryAgain(): Promise<void> {
    this.restart = undefined;
    try {
      await this.driver?.stop();
      const driver = await this.openDriver((line) => this.kit.printk([line]));
      this.driver = driver;
      this.restartMs = RESTART_MS;
      this.core.replaceDriver(SKB0, driver.features, driver);
      this.kit.printk([`${this.config.ifname}: link is up`]);
    } catch (e) {
      this.lost(e instanceof Error ? e.message : String(e));
    }
  }

  private where(): string {
    const c = this.config;
    if (c.backend === 'tap') return ` ${c.kernelIfname}${c.netnsPath ? ` in ${c.netnsPath}` : ''}`;
    return c.backend === 'udp' ? ` ${c.udpLocal} to ${c.udpPeer}` : ` ${c.cable}`;
  }

  private counters(): Record<string, number> {
    const all: Record<string, number> = {};
    for (const d of this.core.devices()) {
      const stats = this.core.stats(d.ifindex);
      if (stats === undefined) continue;
      for (const [name, value] of Object.entries(flatStats(stats))) all[`${d.name}.${name}`] = value;
    }
    for (const [name, value] of Object.entries(this.driver?.counters() ?? {}))
      all[`${this.config.ifname}.ring_${name}`] = value;
    return all;
  }
}

const onOff = (on: boolean): string => (on ? 'on' : 'off');
