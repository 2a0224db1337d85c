import {
  ERRNO,
  IFF_LOWER_UP,
  IFF_NOARP,
  IFF_UP,
  NUD_FAILED,
  NUD_INCOMPLETE,
  NUD_NOARP,
  NUD_PERMANENT,
  type IfAddr,
  type Ipv4Addr,
  type LayerEnv,
  type LayerFaults,
  type MacAddr,
  type Millis,
  type NeighEntry,
  type NeighHint,
  type NeighUpdate,
  type NetDevice,
  type SkBuff,
} from '@skbus/skb';
import { Arp, type ConflictHandler } from './arp.ts';
import { NEIGH_UPDATE_F_ADMIN, NEIGH_UPDATE_F_OVERRIDE, NeighCore } from './core.ts';
import { InetAddrs, isLoopbackDev } from './inetdev.ts';
import { toEntry, type Neighbour, type NeighStats } from './neighbour.ts';
import { LEGAL_NUD, NUD_VALID } from './nud.ts';
import { NEIGH_DEFAULTS, type NeighSysctl } from './sysctl.ts';

/**
 * The neighbour layer: ARP and the table `arp_tbl` (net/core/neighbour.c, net/ipv4/arp.c).
 *
 * IP hands over packets whose next hop it cannot write a header for (`output`); the device layer hands over ARP
 * (`arpRcv`). While a neighbour is connected, `update` lets IP write the header itself (what `neigh->hh` does in a kernel),
 * and IP's `hint`s keep `used` and `confirmed` honest.
 */
export class NeighTable {
  readonly sysctl: NeighSysctl;
  readonly faults: LayerFaults;
  private readonly env: LayerEnv;
  private readonly core: NeighCore;
  private readonly arp: Arp;
  private readonly addrs = new InetAddrs();
  private readonly devices = new Map<number, NetDevice>();

  constructor(
    env: LayerEnv,
    opts: {
      /** Random per start of the service: voids what IP cached from an earlier one. */
      epoch: number;
      /** → IP: n->output or the header changed. */
      update: (u: NeighUpdate) => void;
      conflict?: ConflictHandler;
      sysctl?: Partial<NeighSysctl>;
    },
  ) {
    this.env = env;
    this.sysctl = { ...NEIGH_DEFAULTS, ...opts.sysctl };
    this.arp = new Arp(env, this.sysctl, this.addrs, opts.conflict ?? (() => {}));
    this.core = new NeighCore(env, this.sysctl, this.arp, opts);
    this.faults = { ...this.arp.faults, 'table-full': { begin: this.core.hash.full.begin } };
  }

  get stats(): NeighStats {
    return this.core.hash.stats;
  }

  /** Also for a change of a known device (arp_netdev_event): another MAC or NOARP flag, or down, empties its entries. */
  addDevice(dev: NetDevice, now: Millis): void {
    const before = this.devices.get(dev.ifindex);
    const d = { ...dev };
    this.devices.set(d.ifindex, d);
    if (before === undefined) return;
    const readdressed = before.mac !== d.mac || ((before.flags ^ d.flags) & IFF_NOARP) !== 0;
    if (readdressed || !(d.flags & IFF_UP)) this.flushDevice(d.ifindex, now);
    else if (before.flags & ~d.flags & IFF_LOWER_UP && this.sysctl.arpEvictNocarrier) this.carrierDown(d.ifindex, now);
    if (!readdressed) for (const n of this.core.hash.values()) if (n.dev === before) n.dev = d;
  }

  removeDevice(ifindex: number, now: Millis): void {
    this.flushDevice(ifindex, now);
    this.devices.delete(ifindex);
  }

  /** The local addresses, whole: ARP answers for these. New ones are announced where arp_notify says so. */
  setLocalAddrs(addrs: readonly IfAddr[], now: Millis): void {
    const added = this.addrs.replace(addrs);
    // arp_invalidate(): what has become a broadcast address or our own needs another kind of entry.
    for (const n of this.core.hash.values()) if (this.kindChanged(n)) this.core.hash.remove(n, now);
    if (!this.sysctl.arpNotify) return;
    for (const a of added) {
      const dev = this.devices.get(a.ifindex);
      if (dev !== undefined && dev.flags & IFF_UP && !isLoopbackDev(dev)) this.arp.announce(dev, a.local, now);
    }
  }

  private kindChanged(n: Neighbour): boolean {
    if (n.state & NUD_PERMANENT || isLoopbackDev(n.dev)) return false;
    const fresh = { ...n, state: 0, ha: 0 };
    this.arp.construct(fresh);
    const noarp = (n.state & NUD_NOARP) !== 0;
    return fresh.state === NUD_NOARP ? !noarp || fresh.ha !== n.ha : noarp;
  }

  /** `neigh_output`: data at the IP header, nextHop and ifindex set. Takes the skb over. */
  output(skb: SkBuff, now: Millis): void {
    const dev = this.devices.get(skb.ifindex);
    const n = dev && this.core.lookup(dev, this.keyFor(dev, skb.nextHop), true, now);
    if (n === undefined) {
      this.env.drop(skb, 'NEIGH_CREATEFAIL');
      return;
    }
    if (skb.confirm) n.confirmedMs = now; // sock_confirm_neigh()
    this.env.trace('neigh_output', skb);
    this.core.resolveOutput(n, skb, now);
  }

  /** `arp_rcv`: data at the ARP header. Takes the skb over. */
  arpRcv(skb: SkBuff, now: Millis): void {
    this.arp.rcv(this.core, this.devices.get(skb.ifindex), skb, now);
  }

  /** IP used a cached header, or a transport heard from the host. */
  hint(h: NeighHint, now: Millis): void {
    const dev = this.devices.get(h.ifindex);
    if (dev === undefined) return;
    const key = this.keyFor(dev, h.addr);
    let n = this.core.lookup(dev, key, false, now);
    if (n === undefined) {
      // IP uses a header that we know nothing of: this table was started anew. Resolve it before IP's copy runs out.
      n = this.core.lookup(dev, key, true, now);
      if (n !== undefined) this.core.touch(n, now);
      return;
    }
    n.usedMs = now;
    if (h.confirm) n.confirmedMs = now;
  }

  /** neigh_add() of rtnetlink: `ip neigh replace`. */
  set(ifindex: number, addr: Ipv4Addr, mac: MacAddr | undefined, state: number, now: Millis): number {
    const dev = this.devices.get(ifindex);
    if (dev === undefined) return ERRNO.ENODEV;
    if (!LEGAL_NUD.has(state) || state === NUD_INCOMPLETE) return ERRNO.EINVAL;
    const key = this.keyFor(dev, addr);
    const known = this.core.lookup(dev, key, false, now);
    if (mac === undefined && state & NUD_VALID && !(known !== undefined && known.state & NUD_VALID))
      return ERRNO.EINVAL;
    const n = known ?? this.core.lookup(dev, key, true, now);
    if (n === undefined) return ERRNO.ENOBUFS;
    this.core.update(n, mac, state, NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_ADMIN, now);
    return 0;
  }

  /** neigh_delete(): ENOENT where there is none. */
  del(ifindex: number, addr: Ipv4Addr, now: Millis): number {
    const dev = this.devices.get(ifindex);
    if (dev === undefined) return ERRNO.ENODEV;
    const n = this.core.lookup(dev, this.keyFor(dev, addr), false, now);
    if (n === undefined) return ERRNO.ENOENT;
    this.core.update(n, undefined, NUD_FAILED, NEIGH_UPDATE_F_OVERRIDE | NEIGH_UPDATE_F_ADMIN, now);
    this.core.hash.remove(n, now);
    return 0;
  }

  /** `ip neigh flush`: everything but permanent and NOARP entries, of one device or (0) of all. */
  flushEntries(ifindex: number, now: Millis): number {
    let flushed = 0;
    for (const n of this.core.hash.values()) {
      if ((ifindex !== 0 && n.dev.ifindex !== ifindex) || n.state & (NUD_PERMANENT | NUD_NOARP)) continue;
      this.del(n.dev.ifindex, n.addr, now);
      flushed++;
    }
    return flushed;
  }

  entries(): NeighEntry[] {
    return Array.from(this.core.hash.values(), toEntry);
  }

  handleTimeout(now: Millis): void {
    this.core.handleTimeout(now);
  }

  /** May change after every other call; a timeout that comes early does nothing. */
  pollTimeout(): Millis {
    return this.core.pollTimeout();
  }

  /** neigh_carrier_down(): what was learnt over this cable may not hold on the next one. */
  private carrierDown(ifindex: number, now: Millis): void {
    for (const n of this.core.hash.values())
      if (n.dev.ifindex === ifindex && !(n.state & NUD_PERMANENT)) this.core.hash.remove(n, now);
  }

  private flushDevice(ifindex: number, now: Millis): void {
    for (const n of this.core.hash.values()) if (n.dev.ifindex === ifindex) this.core.hash.remove(n, now);
  }

  /** A loopback device has one neighbour for everything (arp_constructor: INADDR_ANY). */
  private keyFor(dev: NetDevice, addr: Ipv4Addr): Ipv4Addr {
    return isLoopbackDev(dev) ? 0 : addr;
  }
}
