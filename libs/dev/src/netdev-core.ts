import {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  ERRNO,
  IFF_LOOPBACK,
  IFF_LOWER_UP,
  IFF_RUNNING,
  IFF_UP,
  PACKET_LOOPBACK,
  PACKET_MULTICAST,
  SKB_GSO_TCPV4,
  type HandOver,
  type LayerEnv,
  type LayerFaults,
  type Millis,
  type NetDevice,
  type SkBuff,
} from '@skbus/skb';
import { ETHERNET_HLEN } from '@skbus/wire';
import { DeviceFaults } from './device-faults.ts';
import { buildSkb, ethTypeTrans } from './eth.ts';
import { TxRing } from './tx-ring.ts';
import { Gro } from './gro.ts';
import { checksumHelp, gsoSegment } from './gso.ts';
import {
  newLinkStats,
  type Features,
  type LinkStats,
  type NetdevDriver,
  type PacketType,
  type RxMeta,
} from './netdevice.ts';

/** net.core.netdev_max_backlog */
const BACKLOG_MAX = 1000;
/** ETH_MIN_MTU, and what the IP total length field allows. */
const MTU_MIN = 68;
const MTU_MAX = 65_535;
const SUMS_ONLY: Features = { csum: true, tso: false };

interface Port {
  dev: NetDevice;
  features: Features;
  driver: NetdevDriver | undefined;
  stats: LinkStats;
  ring: TxRing;
  /** Something is plugged in (netif_carrier_ok). */
  carrier: boolean;
}

/**
 * Devices, the packet_type table, and the way of an skb between them (net/core/dev.c).
 *
 * Towards the stack: `receive` for every frame, `flush` at the end of a batch; the frame's bytes must not change before
 * flush() has returned and what it passed on is encoded. Away from it: `xmit` (the hand-over dev_queue_xmit).
 */
export class NetdevCore {
  private readonly env: LayerEnv;
  private readonly ports = new Map<number, Port>();
  private readonly ptypes = new Map<number, PacketType>();
  private readonly gro: Gro;
  private readonly backlogMax: number;
  /** softnet_data.input_pkt_queue: what the loopback device sent. */
  private backlog: SkBuff[] = [];
  /** netdev_state_change(): a carrier came or went. The shell tells who has to know. */
  onLinkChange: ((dev: NetDevice) => void) | undefined = undefined;
  private readonly deviceFaults: DeviceFaults;

  constructor(env: LayerEnv, opts: { backlogMax?: number } = {}) {
    this.env = env;
    this.backlogMax = opts.backlogMax ?? BACKLOG_MAX;
    this.gro = new Gro(env, (skb) => this.netifReceiveSkb(skb));
    env.ledger.addQueue(() => this.backlog.length);
    this.deviceFaults = new DeviceFaults(() => this.carriersChanged());
  }

  get faults(): LayerFaults {
    return this.deviceFaults.faults;
  }

  /** register_netdevice(). Without a driver the device is a loopback: what is sent comes back in. */
  registerNetdevice(dev: NetDevice & { features: Features }, driver?: NetdevDriver): number {
    if (this.ports.has(dev.ifindex)) return ERRNO.EEXIST;
    for (const p of this.ports.values()) if (p.dev.name === dev.name) return ERRNO.EEXIST;
    if (dev.ifindex < 1 || !isMtu(dev.mtu, dev.flags)) return ERRNO.EINVAL;
    const { features, ...plain } = dev;
    this.env.trace('register_netdevice');
    const port = { dev: plain, features, driver, stats: newLinkStats(), ring: new TxRing(this.env), carrier: true };
    this.ports.set(dev.ifindex, port);
    this.carriersChanged();
    return 0;
  }

  /** The device has a new cable (a driver that was started again); flags, MTU and counters stay. */
  replaceDriver(ifindex: number, features: Features, driver: NetdevDriver): number {
    const p = this.ports.get(ifindex);
    if (p === undefined) return ERRNO.ENODEV;
    p.features = features;
    p.driver = driver;
    p.ring.clear();
    return 0;
  }

  unregisterNetdevice(ifindex: number): number {
    return this.ports.delete(ifindex) ? 0 : ERRNO.ENODEV;
  }

  devices(): NetDevice[] {
    return Array.from(this.ports.values(), (p) => ({ ...p.dev }));
  }

  /** Sockets wait to hear when frames leave a driver's ring. */
  get awaitsRing(): boolean {
    for (const p of this.ports.values()) if (p.ring.waiting) return true;
    return false;
  }

  stats(ifindex: number): LinkStats | undefined {
    return this.ports.get(ifindex)?.stats;
  }

  /** dev_change_flags() for IFF_UP. The new device, or an errno. */
  setUp(ifindex: number, up: boolean): NetDevice | number {
    const p = this.ports.get(ifindex);
    if (p === undefined) return ERRNO.ENODEV;
    if (up) p.dev.flags |= IFF_UP | (p.carrier ? IFF_RUNNING | IFF_LOWER_UP : 0);
    else p.dev.flags &= ~(IFF_UP | IFF_RUNNING);
    return { ...p.dev };
  }

  /** Fault rules took carriers away, or gave them back (netif_carrier_off, linkwatch). */
  private carriersChanged(): void {
    for (const port of this.ports.values()) {
      const { dev } = port;
      const up = port.driver === undefined || !this.deviceFaults.carrierOff(dev.name);
      if (up === port.carrier) continue;
      port.carrier = up;
      if (up) dev.flags |= IFF_LOWER_UP | (dev.flags & IFF_UP ? IFF_RUNNING : 0);
      else dev.flags &= ~(IFF_LOWER_UP | IFF_RUNNING);
      this.env.printk(`${dev.name}: Link is ${up ? 'Up' : 'Down'}`);
      this.onLinkChange?.({ ...dev });
    }
  }

  /** dev_set_mtu() */
  setMtu(ifindex: number, mtu: number): NetDevice | number {
    const p = this.ports.get(ifindex);
    if (p === undefined) return ERRNO.ENODEV;
    if (!isMtu(mtu, p.dev.flags)) return ERRNO.EINVAL;
    p.dev.mtu = mtu;
    return { ...p.dev };
  }

  /** dev_add_pack(): one handler per EtherType; the newest wins, as a restarted layer registers again. */
  devAddPack(ethertype: number, handler: HandOver, instance = 0): void {
    this.env.trace('dev_add_pack');
    this.ptypes.set(ethertype, { handler, instance });
  }

  devRemovePack(ethertype: number): void {
    this.ptypes.delete(ethertype);
  }

  /** ETH_P_* → who gets it. */
  packetTypes(): ReadonlyMap<number, PacketType> {
    return this.ptypes;
  }

  /** A frame from the driver; becomes an skb of this layer. */
  receive(frame: Uint8Array, ifindex: number, meta: RxMeta, now: Millis): void {
    const port = this.ports.get(ifindex);
    // nothing comes over a cable that is not there
    if (port?.carrier === false) return;
    const skb = this.env.adopt(buildSkb(frame), now);
    skb.ifindex = ifindex;
    if (port?.driver) this.env.trace('tun_get_user', skb);
    if (port === undefined || !(port.dev.flags & IFF_UP)) {
      if (port !== undefined) port.stats.rx.dropped++;
      this.env.drop(skb, 'DEV_READY');
      return;
    }
    if (!applyMeta(skb, meta)) {
      port.stats.rx.errors++;
      this.env.drop(skb, 'SKB_BAD_GSO');
      return;
    }
    const gate = this.env.wireRxGate;
    if (gate === undefined) this.netifRx(port, skb);
    else gate(skb, now, (s) => this.netifRx(port, s));
  }

  private netifRx(port: Port, skb: SkBuff): void {
    const { rx } = port.stats;
    const { len } = skb;
    this.env.trace('eth_type_trans', skb);
    if (!ethTypeTrans(skb, port.dev.mac)) {
      rx.errors++;
      this.env.drop(skb, 'HDR_TRUNC');
      return;
    }
    rx.packets++;
    rx.bytes += len;
    if (skb.pktType === PACKET_MULTICAST) rx.multicast++;
    this.gro.receive(skb);
  }

  /** dev_queue_xmit: data at the Ethernet header, ifindex set. Takes the skb over. */
  xmit(skb: SkBuff, now: Millis): void {
    if (this.env.fails('dev_queue_xmit', skb)) return;
    const port = this.ports.get(skb.ifindex);
    if (port === undefined || !(port.dev.flags & IFF_UP)) {
      if (port !== undefined) port.stats.tx.dropped++;
      this.env.drop(skb, 'DEV_READY');
      return;
    }
    // dev_deactivate(): net/sched/sch_generic.c:noop_enqueue
    if (!port.carrier) {
      this.env.drop(skb, 'QDISC_DROP');
      return;
    }
    skb.macHeader = skb.data;
    if (!skb.mayPull(ETHERNET_HLEN)) {
      port.stats.tx.errors++;
      this.env.drop(skb, 'HDR_TRUNC');
      return;
    }
    if (skb.networkHeader < 0) skb.networkHeader = skb.data + ETHERNET_HLEN;
    this.env.trace('net_dev_queue', skb);
    this.validateXmitSkb(port, skb, now);
  }

  /** The end of a batch, in either direction. May pass on what was held back. */
  flush(now: Millis): void {
    this.gro.flush();
    this.processBacklog(now);
    for (const p of this.ports.values()) {
      if (p.driver === undefined) continue;
      p.driver.flush();
      p.ring.sent(p.driver.inRing);
    }
  }

  /** validate_xmit_skb(): what the device cannot do is done here. */
  private validateXmitSkb(port: Port, skb: SkBuff, now: Millis): void {
    this.env.trace('validate_xmit_skb', skb);
    const { dev, stats } = port;
    // a device whose checksums a rule leaves unfinished says that it can do them, and no more
    const { unfinished } = this.deviceFaults;
    const features = unfinished.on === undefined || port.driver === undefined ? port.features : SUMS_ONLY;
    // also one that the device could carry whole: the path may be narrower (netif_needs_gso)
    if (skb.gsoSize > 0 && !(features.tso && skb.gsoType === SKB_GSO_TCPV4)) {
      this.xmitSegments(port, skb, features.csum, now);
      return;
    }
    if (skb.gsoSize === 0 && skb.len - ETHERNET_HLEN > dev.mtu) {
      stats.tx.errors++;
      this.env.drop(skb, 'PKT_TOO_BIG');
      return;
    }
    if (skb.ipSummed === CHECKSUM_PARTIAL && !features.csum && !checksumHelp(skb)) {
      stats.tx.errors++;
      this.env.drop(skb, 'SKB_CSUM');
      return;
    }
    this.toDevice(port, skb, now);
  }

  private xmitSegments(port: Port, skb: SkBuff, csum: boolean, now: Millis): void {
    const segs = gsoSegment(this.env, skb, csum, now);
    if (segs === undefined) {
      port.stats.tx.errors++;
      this.env.drop(skb, 'SKB_GSO_SEG');
      return;
    }
    // skb_segment(): the socket waits for the last of them
    const last = segs.at(-1)!;
    last.sk = skb.sk;
    last.wmem = skb.wmem;
    skb.sk = 0;
    this.env.consume(skb);
    for (const seg of segs) this.toDevice(port, seg, now);
  }

  /** The cable begins behind this; lo has none. */
  private toDevice(port: Port, skb: SkBuff, now: Millis): void {
    const gate = this.env.wireTxGate;
    if (port.driver !== undefined) this.deviceFaults.leaveUnfinished(skb, now);
    if (gate === undefined || port.driver === undefined) this.devHardStartXmit(port, skb);
    else gate(skb, now, (s) => this.devHardStartXmit(port, s));
  }

  /** dev_hard_start_xmit() → ndo_start_xmit() */
  private devHardStartXmit(port: Port, skb: SkBuff): void {
    const { len } = skb;
    const { tx } = port.stats;
    if (this.env.fails('dev_hard_start_xmit', skb)) return;
    this.env.trace('net_dev_start_xmit', skb);
    this.env.trace('ndo_start_xmit', skb);
    if (port.driver === undefined) {
      this.loopbackXmit(port, skb);
      return;
    }
    this.env.trace(port.driver.ndoStartXmit, skb);
    const taken = port.driver.xmit(skb);
    this.env.trace('net_dev_xmit', skb, this.env.tracing ? { rc: taken ? 0 : 16, dev: port.dev.name } : undefined);
    if (!taken) {
      tx.dropped++;
      this.env.drop(skb, 'FULL_RING');
      return;
    }
    tx.packets++;
    tx.bytes += len;
    this.env.ledger.passed++;
    port.ring.took(skb, port.driver.inRing);
  }

  /** drivers/net/loopback.c:loopback_xmit → netif_rx → enqueue_to_backlog. */
  private loopbackXmit(port: Port, skb: SkBuff): void {
    const { len } = skb;
    this.env.trace('loopback_xmit', skb);
    this.env.orphan(skb);
    this.env.trace('eth_type_trans', skb);
    ethTypeTrans(skb, port.dev.mac);
    if (skb.ipSummed === CHECKSUM_PARTIAL) skb.ipSummed = CHECKSUM_UNNECESSARY;
    skb.transportHeader = -1;
    skb.flow = undefined;
    this.env.trace('netif_rx', skb);
    if (this.backlog.length >= this.backlogMax) {
      port.stats.rx.dropped++;
      this.env.drop(skb, 'CPU_BACKLOG');
      return;
    }
    port.stats.tx.packets++;
    port.stats.tx.bytes += len;
    port.stats.rx.packets++;
    port.stats.rx.bytes += len;
    this.backlog.push(skb);
    this.env.trace('net_dev_xmit', skb, this.env.tracing ? { rc: 0, dev: port.dev.name } : undefined);
  }

  /** process_backlog() */
  private processBacklog(now: Millis): void {
    const waiting = this.backlog;
    this.backlog = [];
    for (const skb of waiting) {
      skb.tstampMs = now;
      this.netifReceiveSkb(skb);
    }
  }

  /** netif_receive_skb() → __netif_receive_skb_core(): to the registered protocol. Data is at the network header. */
  private netifReceiveSkb(skb: SkBuff): void {
    if (this.env.fails('netif_receive_skb', skb)) return;
    this.env.trace('__netif_receive_skb_core', skb);
    const to = this.ptypes.get(skb.protocol);
    if (to !== undefined && skb.pktType !== PACKET_LOOPBACK) {
      this.env.pass(to.handler, skb, to.instance);
      return;
    }
    const stats = this.ports.get(skb.ifindex)?.stats;
    if (stats !== undefined) stats.rx.dropped++;
    this.env.drop(skb, 'UNHANDLED_PROTO');
  }
}

/** What the device said about the frame, whose first byte is at `data`; false: it contradicts itself (virtio_net_hdr_to_skb fails). */
function applyMeta(skb: SkBuff, meta: RxMeta): boolean {
  if (meta.csum !== 'none') skb.ipSummed = CHECKSUM_UNNECESSARY;
  if (meta.csum === 'partial') {
    const start = meta.csumStart ?? 0;
    const offset = meta.csumOffset ?? 0;
    if (start < ETHERNET_HLEN || start + offset + 2 > skb.len) return false;
    skb.csumStart = skb.data + start;
    skb.csumOffset = offset;
  }
  const size = meta.gsoSize ?? 0;
  if (size === 0) return true;
  if (meta.gsoType !== SKB_GSO_TCPV4) return false;
  skb.gsoSize = size;
  skb.gsoType = SKB_GSO_TCPV4;
  skb.gsoSegs = Math.max(1, Math.ceil(skb.dataLen / size));
  return true;
}

const isMtu = (mtu: number, flags: number): boolean =>
  Number.isInteger(mtu) && mtu >= MTU_MIN && mtu <= (flags & IFF_LOOPBACK ? 65_536 : MTU_MAX);
