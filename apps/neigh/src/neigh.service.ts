import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { BusError, type KvStore } from '@skbus/bus';
import {
  addrFromPb,
  buckets,
  devFromPb,
  hintFromPb,
  neighFromPb,
  neighToPb,
  neighUpdateToPb,
  pb,
  subjects,
} from '@skbus/contracts';
import { NeighTable } from '@skbus/neigh';
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
  ETH_P_ARP,
  formatIpv4,
  formatMac,
  NUD_PERMANENT,
  type IfAddr,
  type Ipv4Addr,
  type MacAddr,
  type Millis,
  type NeighHint,
  type NeighUpdate,
  type SkBuff,
} from '@skbus/skb';
import { sysctlNames, writeSysctl } from './sysctl.ts';

const REQUEST_MS = 2_000;
/** One line about the same conflict per this time. */
const CONFLICT_LOG_MS = 10_000;

/** The neighbour layer's shell: NeighTable between the bus, the device and address tables, and IP's header cache. */
@Injectable()
export class NeighService implements OnModuleInit {
  readonly table: NeighTable;
  private readonly addrs = new Map<string, IfAddr>();
  private updates: NeighUpdate[] = [];
  private watching: Promise<void> | undefined = undefined;
  private conflicts = 0;
  private badHints = 0;
  private conflictLoggedMs = Number.NEGATIVE_INFINITY;

  constructor(@Inject(LAYER_KIT) private readonly kit: LayerKit) {
    this.table = new NeighTable(kit.env, {
      epoch: kit.epoch,
      update: (u) => this.collect(u),
      conflict: (ifindex, addr, mac) => this.onConflict(ifindex, addr, mac),
    });
  }

  onModuleInit(): void {
    const { bus, netns } = this.kit;
    this.kit.bind(this, this.table);
    this.kit.addStats(() => ({
      ...Object.fromEntries(Object.entries(this.table.stats)),
      address_conflicts: this.conflicts,
      bad_hints: this.badHints,
    }));
    bus.subscribe(subjects.neighHint(netns), (m) => this.onHint(m));
  }

  @HandOverTo('neigh_output')
  neighOutput(skb: SkBuff, now: Millis): void {
    this.table.output(skb, now);
  }

  @HandOverTo('arp_rcv')
  arpRcv(skb: SkBuff, now: Millis): void {
    this.table.arpRcv(skb, now);
  }

  @Initcall('neigh_init')
  async neighInit(): Promise<InitcallResult> {
    const kv = await this.kit.bus.kv(buckets.sysctl(this.kit.netns));
    for (const [name, value] of await kv.entries())
      writeSysctl(this.table.sysctl, name, new TextDecoder().decode(value));
  }

  /** Learns devices, addresses and permanent neighbours, then asks the device layer for ARP. */
  @Initcall('arp_init')
  async arpInit(call: InitcallContext): Promise<InitcallResult> {
    this.watching ??= this.watch();
    await this.watching;
    // Whatever IP cached from a service before this one is void.
    this.send([{ epoch: this.kit.epoch, ifindex: 0, addr: 0, lladdr: 0, devAddr: 0, connected: false, validMs: 0 }]);
    return this.register(call);
  }

  /** A permanent entry outlives this process; any other state is only ours. */
  async set(ifindex: number, addr: Ipv4Addr, mac: MacAddr | undefined, state: number): Promise<number> {
    const errno = this.kit.run((now) => this.table.set(ifindex, addr, mac, state, now));
    if (errno === 0) await this.keep(ifindex, addr);
    return errno;
  }

  async del(ifindex: number, addr: Ipv4Addr): Promise<number> {
    const errno = this.kit.run((now) => this.table.del(ifindex, addr, now));
    if (errno === 0) await (await this.permanent()).delete(keyOf(ifindex, addr));
    return errno;
  }

  flush(ifindex: number): number {
    return this.kit.run((now) => this.table.flushEntries(ifindex, now));
  }

  /** Reads (no value) or writes one sysctl; an unknown name or a bad value gives an errno. */
  async sysctl(name: string, value: string): Promise<{ errno: number; values: Record<string, string> }> {
    const all = sysctlNames(this.table.sysctl);
    if (name === '') return { errno: 0, values: all };
    if (!(name in all)) return { errno: ERRNO.ENOENT, values: {} };
    if (value !== '') {
      if (!writeSysctl(this.table.sysctl, name, value)) return { errno: ERRNO.EINVAL, values: {} };
      const kv = await this.kit.bus.kv(buckets.sysctl(this.kit.netns));
      await kv.put(name, new TextEncoder().encode(value));
    }
    return { errno: 0, values: { [name]: sysctlNames(this.table.sysctl)[name]! } };
  }

  private async register(call: InitcallContext): Promise<InitcallResult> {
    const request = { table: pb.RegisterRequest.Table.PACKET_TYPE, key: ETH_P_ARP, handler: 'arp_rcv' };
    const nic = subjects.ctl(this.kit.netns, 'nic', 'register');
    try {
      const answer = await this.kit.bus.request(nic, pb.RegisterRequest.encode(request).finish(), REQUEST_MS);
      const { errno, message } = pb.RegisterReply.decode(answer);
      if (errno !== 0) return { errno, message: `dev_add_pack(&arp_packet_type): ${message}` };
      this.kit.env.trace('neigh_table_init');
    } catch (e) {
      if (!(e instanceof BusError)) throw e;
      return {
        errno: ERRNO.ENODEV,
        message: `${call.name}: the nic service does not answer (${e.code}); is it running?`,
      };
    }
  }

  private async watch(): Promise<void> {
    const { bus, netns } = this.kit;
    const devs = await bus.kv(buckets.netdev(netns));
    await devs.watch((key, row) => this.kit.run((now) => this.onDevice(key, row, now)));
    const addrs = await bus.kv(buckets.addr(netns));
    await addrs.watch((key, row) => this.kit.run((now) => this.onAddr(key, row, now)));
    for (const row of (await (await this.permanent()).entries()).values()) {
      const n = neighFromPb(pb.NeighEntry.decode(row));
      this.kit.run((now) => this.table.set(n.ifindex, n.addr, n.lladdr, NUD_PERMANENT, now));
    }
  }

  private onDevice(key: string, row: Uint8Array | undefined, now: Millis): void {
    if (row === undefined) this.table.removeDevice(Number(key), now);
    else this.table.addDevice(devFromPb(pb.NetDevice.decode(row)), now);
  }

  private onAddr(key: string, row: Uint8Array | undefined, now: Millis): void {
    if (row === undefined) this.addrs.delete(key);
    else this.addrs.set(key, addrFromPb(pb.IfAddr.decode(row)));
    this.table.setLocalAddrs([...this.addrs.values()], now);
  }

  private async keep(ifindex: number, addr: Ipv4Addr): Promise<void> {
    const n = this.table.entries().find((e) => e.ifindex === ifindex && e.addr === addr);
    const kv = await this.permanent();
    if (n !== undefined && n.state === NUD_PERMANENT)
      await kv.put(keyOf(ifindex, addr), pb.NeighEntry.encode(neighToPb(n)).finish());
    else await kv.delete(keyOf(ifindex, addr));
  }

  private permanent(): Promise<KvStore> {
    return this.kit.bus.kv(buckets.neigh(this.kit.netns));
  }

  private onHint(message: Uint8Array): void {
    let hint: NeighHint;
    try {
      hint = hintFromPb(pb.NeighHint.decode(message));
    } catch {
      this.badHints++;
      return;
    }
    this.kit.run((now) => this.table.hint(hint, now));
  }

  /** Published after the packets that were waiting: IP must not overtake them with the header it learns. */
  private collect(u: NeighUpdate): void {
    if (this.updates.push(u) > 1) return;
    queueMicrotask(() => {
      const updates = this.updates;
      this.updates = [];
      this.send(updates);
    });
  }

  private send(updates: readonly NeighUpdate[]): void {
    const subject = subjects.neighUpdate(this.kit.netns);
    for (const u of updates) this.kit.bus.publish(subject, pb.NeighUpdate.encode(neighUpdateToPb(u)).finish());
  }

  private onConflict(ifindex: number, addr: Ipv4Addr, mac: MacAddr): void {
    this.conflicts++;
    const now = this.kit.now();
    if (now - this.conflictLoggedMs < CONFLICT_LOG_MS) return;
    this.conflictLoggedMs = now;
    this.kit.env.printk(
      `IPv4: duplicate address ${formatIpv4(addr)} on ifindex ${ifindex}: ${formatMac(mac)} claims it, too`,
    );
  }
}

const keyOf = (ifindex: number, addr: Ipv4Addr): string => `${ifindex}.${formatIpv4(addr)}`;
