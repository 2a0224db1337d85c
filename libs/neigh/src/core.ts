import {
  NEVER,
  NUD_DELAY,
  NUD_FAILED,
  NUD_INCOMPLETE,
  NUD_PERMANENT,
  NUD_PROBE,
  NUD_REACHABLE,
  NUD_STALE,
  type Ipv4Addr,
  type LayerEnv,
  type MacAddr,
  type Millis,
  type NeighUpdate,
  type NetDevice,
  type SkBuff,
} from '@skbus/skb';
import { emitEthernet, ETHERNET_HLEN } from '@skbus/wire';
import { NeighHash } from './hash.ts';
import { neighDetail, truesize, type Neighbour } from './neighbour.ts';
import { isLegalNud, NUD_CONNECTED, NUD_IN_TIMER, NUD_VALID, nudName } from './nud.ts';
import type { NeighSysctl } from './sysctl.ts';

/** What a protocol adds to the generic table (include/net/neighbour.h:neigh_ops, neigh_table.constructor). */
export interface NeighOps {
  construct(n: Neighbour): void;
  /** Ask for the address; `skb`: the newest packet that waits for it. */
  solicit(n: Neighbour, skb: SkBuff | undefined, now: Millis): void;
  /** The packet cannot be delivered; takes it over. */
  errorReport(n: Neighbour, skb: SkBuff): void;
}

export const NEIGH_UPDATE_F_OVERRIDE = 1;
export const NEIGH_UPDATE_F_ADMIN = 2;

/** Never re-arm sooner than this (HZ / 100). */
const TIMER_MIN_MS = 10;
/** How much longer than our own timer IP may keep using a cached header: the next word may be late. */
const HH_GRACE_MS = 1000;
/**
 * States in which IP may write the header itself. A kernel calls neigh_resolve_output() in NUD_DELAY, which then does just
 * that; here it would be one more service on the way of every packet for five seconds.
 */
const HH_USABLE = NUD_CONNECTED | NUD_DELAY;
/** IP is told again about a neighbour it asks us for though it is connected, but not for every packet of a burst. */
const HH_REPEAT_MS = 100;

/** The protocol-independent half: NUD states, their timer, the queue, the update rules (net/core/neighbour.c). */
export class NeighCore {
  readonly hash: NeighHash;
  private readonly env: LayerEnv;
  private readonly sysctl: NeighSysctl;
  private readonly ops: NeighOps;
  private readonly epoch: number;
  private readonly publish: (u: NeighUpdate) => void;
  private nextTimerMs: Millis = NEVER;

  constructor(
    env: LayerEnv,
    sysctl: NeighSysctl,
    ops: NeighOps,
    tell: { epoch: number; update: (u: NeighUpdate) => void },
  ) {
    this.env = env;
    this.sysctl = sysctl;
    this.ops = ops;
    this.epoch = tell.epoch;
    this.publish = tell.update;
    this.hash = new NeighHash(env, sysctl, (n, now) => this.destroy(n, now));
    env.ledger.addQueue(() => this.queued());
  }

  /** __neigh_lookup(): finds, or with `create` makes, an entry. `undefined`: not there, or the table is full. */
  lookup(dev: NetDevice, addr: Ipv4Addr, create: boolean, now: Millis): Neighbour | undefined {
    const found = this.hash.get(dev.ifindex, addr);
    if (found !== undefined || !create) return found;
    if (this.env.fails('__neigh_create')) return undefined;
    const n = this.hash.create(dev, addr, now);
    if (n === undefined) return undefined;
    n.confirmedMs = now - 2 * this.sysctl.baseReachableTimeMs;
    this.ops.construct(n);
    return n;
  }

  /** neigh_resolve_output(): sends now, or queues until the address is known. Takes the skb over. */
  resolveOutput(n: Neighbour, skb: SkBuff, now: Millis): void {
    if (this.env.fails('neigh_resolve_output', skb)) return;
    if (n.state & HH_USABLE && now - n.hhToldMs >= HH_REPEAT_MS) this.tellHh(n, true, now);
    if (!this.eventSend(n, skb, now)) this.hardHeader(n, skb);
  }

  /** neigh_event_send(): true when the skb was taken (queued or dropped). */
  private eventSend(n: Neighbour, skb: SkBuff, now: Millis): boolean {
    this.env.trace('neigh_event_send', skb);
    n.usedMs = now;
    if (n.state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE)) return false;
    return this.slowEventSend(n, skb, now);
  }

  /** neigh_event_send(neigh, NULL): somebody is about to send; resolve what is not known yet. */
  touch(n: Neighbour, now: Millis): void {
    n.usedMs = now;
    if (n.state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE)) return;
    this.slowEventSend(n, undefined, now);
  }

  private slowEventSend(n: Neighbour, skb: SkBuff | undefined, now: Millis): boolean {
    this.env.trace('__neigh_event_send', skb);
    if (n.dead) {
      if (skb) this.env.drop(skb, 'NEIGH_DEAD');
      return true;
    }
    let probeNow = false;
    if (n.state === NUD_STALE) {
      this.setState(n, NUD_DELAY, now);
      this.setTimer(n, now + this.sysctl.delayProbeTimeMs);
      this.tellHh(n, true, now);
    } else if (n.state !== NUD_INCOMPLETE) {
      if (this.sysctl.mcastSolicit === 0) {
        this.setState(n, NUD_FAILED, now);
        if (skb) this.env.drop(skb, 'NEIGH_FAILED');
        return true;
      }
      n.probes = this.sysctl.ucastSolicit;
      this.setState(n, NUD_INCOMPLETE, now);
      this.setTimer(n, now + this.retransMs());
      probeNow = true;
    }
    if (n.state !== NUD_INCOMPLETE) return false;
    if (skb) this.enqueue(n, skb);
    if (probeNow) this.probe(n, now);
    return true;
  }

  private enqueue(n: Neighbour, skb: SkBuff): void {
    const size = truesize(skb);
    while (n.arpQueueBytes + size > this.sysctl.queueLenBytes) {
      const oldest = n.arpQueue.shift();
      if (oldest === undefined) break;
      n.arpQueueBytes -= truesize(oldest);
      this.env.drop(oldest, 'NEIGH_QUEUEFULL');
      this.hash.stats.unresolved_discards++;
    }
    n.arpQueue.push(skb);
    n.arpQueueBytes += size;
  }

  private probe(n: Neighbour, now: Millis): void {
    this.env.trace('neigh_probe');
    this.ops.solicit(n, n.arpQueue.at(-1), now);
    n.probes++;
  }

  /** dev_hard_header() with eth_header, then to the device. */
  private hardHeader(n: Neighbour, skb: SkBuff): void {
    this.env.trace('eth_header', skb);
    if (skb.networkHeader < 0) skb.networkHeader = skb.data;
    skb.macHeader = skb.push(ETHERNET_HLEN);
    emitEthernet({ dst: n.ha, src: n.dev.mac, type: skb.protocol }, skb.buf, skb.data);
    skb.ifindex = n.dev.ifindex;
    this.env.pass('dev_queue_xmit', skb, n.dev.ifindex);
  }

  /**
   * __neigh_update(): news about an address, from a peer (ARP) or an administrator. True when it was not refused.
   * `lladdr` undefined: none given, keep what is known.
   */
  update(n: Neighbour, lladdr: MacAddr | undefined, wanted: number, flags: number, now: Millis): boolean {
    this.env.trace(
      'neigh_update',
      undefined,
      this.env.tracing ? { ...neighDetail(n), new_state: nudName(wanted) } : undefined,
    );
    const old = n.state;
    const admin = (flags & NEIGH_UPDATE_F_ADMIN) !== 0;
    if (n.dead) return false;
    if (!admin && old & (NUD_CONNECTED & ~NUD_REACHABLE)) return false;
    if (!(wanted & NUD_VALID)) {
      this.invalidateTo(n, wanted, now);
      return true;
    }
    const known = (old & NUD_VALID) !== 0;
    if (lladdr === undefined && !known) return false;
    const ha = lladdr ?? n.ha;
    const moved = !known || ha !== n.ha;
    let state = wanted;
    if (state & NUD_CONNECTED) n.confirmedMs = now;
    if (known) {
      // A second answer within locktime does not take the address over.
      if (moved && !(flags & NEIGH_UPDATE_F_OVERRIDE)) return true;
      if (!moved && state === NUD_STALE && !admin) state = old;
    }
    if (state === old && !moved) return true;
    this.apply(n, ha, state, admin, now);
    return true;
  }

  private apply(n: Neighbour, ha: MacAddr, state: number, admin: boolean, now: Millis): void {
    const old = n.state;
    const moved = ha !== n.ha;
    n.updatedMs = now;
    if (state !== old) {
      this.setState(n, state, now, admin);
      if (state & NUD_PROBE) n.probes = 0;
      if (state & NUD_IN_TIMER) this.setTimer(n, state & NUD_REACHABLE ? now + this.hash.reachableTimeMs : now);
    }
    n.ha = ha;
    if (moved && !(state & NUD_CONNECTED)) n.confirmedMs = now - 2 * this.sysctl.baseReachableTimeMs;
    // neigh_update_hhs, neigh_connect, neigh_suspect
    if (state & NUD_CONNECTED) this.tellHh(n, true, now);
    else this.suspect(n, now);
    if (!(old & NUD_VALID)) this.drain(n, now);
  }

  /** The answer has come: what waited for it goes out, in order. */
  private drain(n: Neighbour, now: Millis): void {
    const waiting = n.arpQueue.splice(0);
    n.arpQueueBytes = 0;
    for (const skb of waiting) this.resolveOutput(n, skb, now);
  }

  private invalidateTo(n: Neighbour, state: number, now: Millis): void {
    const old = n.state;
    this.suspect(n, now);
    this.setState(n, state, now, true);
    if (old & (NUD_INCOMPLETE | NUD_PROBE) && state === NUD_FAILED) this.invalidate(n, now);
  }

  /** neigh_timer_handler() for one entry whose time has come. */
  private timerHandler(n: Neighbour, now: Millis): void {
    n.timerMs = NEVER;
    if (!(n.state & NUD_IN_TIMER)) return;
    const { delayProbeTimeMs } = this.sysctl;
    const reachableUntil = n.confirmedMs + this.hash.reachableTimeMs;
    let next = now + this.retransMs();
    if (n.state === NUD_REACHABLE) {
      if (now <= reachableUntil) {
        next = reachableUntil;
        this.setTimer(n, Math.max(next, now + TIMER_MIN_MS));
        if (n.hhUntilMs > now) this.tellHh(n, true, now);
      } else {
        const inUse = now <= n.usedMs + delayProbeTimeMs;
        this.setState(n, inUse ? NUD_DELAY : NUD_STALE, now);
        next = now + delayProbeTimeMs;
        if (inUse) {
          this.setTimer(n, next);
          this.tellHh(n, true, now);
        } else this.suspect(n, now);
      }
    } else if (n.state === NUD_DELAY) {
      if (now <= n.confirmedMs + delayProbeTimeMs) {
        this.setState(n, NUD_REACHABLE, now);
        next = reachableUntil;
        this.setTimer(n, Math.max(next, now + TIMER_MIN_MS));
        this.tellHh(n, true, now);
      } else {
        this.setState(n, NUD_PROBE, now);
        this.suspect(n, now);
        n.probes = 0;
      }
    }
    this.probeOrGiveUp(n, next, now);
    this.env.trace('neigh_timer_handler', undefined, this.env.tracing ? neighDetail(n) : undefined);
  }

  private probeOrGiveUp(n: Neighbour, next: Millis, now: Millis): void {
    const probing = (n.state & (NUD_INCOMPLETE | NUD_PROBE)) !== 0;
    if (probing && n.probes >= this.maxProbes(n)) {
      this.setState(n, NUD_FAILED, now);
      this.invalidate(n, now);
      return;
    }
    if (n.state & NUD_IN_TIMER) this.setTimer(n, Math.max(next, now + TIMER_MIN_MS));
    if (probing) this.probe(n, now);
  }

  private maxProbes(n: Neighbour): number {
    const { ucastSolicit, mcastSolicit, mcastResolicit } = this.sysctl;
    return ucastSolicit + (n.state & NUD_PROBE ? mcastResolicit : mcastSolicit);
  }

  /** neigh_invalidate(): nobody answered; every packet that waited is reported. */
  private invalidate(n: Neighbour, now: Millis): void {
    this.env.trace('neigh_invalidate', undefined, this.env.tracing ? neighDetail(n) : undefined);
    this.hash.stats.res_failed++;
    n.updatedMs = now;
    const waiting = n.arpQueue.splice(0);
    n.arpQueueBytes = 0;
    for (const skb of waiting) this.ops.errorReport(n, skb);
  }

  /** The entry leaves the table: its packets die with it and IP must forget its header. */
  destroy(n: Neighbour, now: Millis): void {
    n.dead = true;
    n.timerMs = NEVER;
    const waiting = n.arpQueue.splice(0);
    n.arpQueueBytes = 0;
    for (const skb of waiting) this.env.drop(skb, 'NEIGH_DEAD');
    this.suspect(n, now);
  }

  handleTimeout(now: Millis): void {
    if (this.nextTimerMs <= now) {
      this.nextTimerMs = NEVER;
      for (const n of this.hash.values()) {
        if (n.timerMs <= now) this.timerHandler(n, now);
        if (n.timerMs < this.nextTimerMs) this.nextTimerMs = n.timerMs;
      }
    }
    if (!this.hash.periodicWork(now)) return;
    // Entries without a timer: IP's copy would run out though nothing has changed.
    for (const n of this.hash.values()) {
      if (n.hhUntilMs > now && n.state & NUD_CONNECTED && n.state !== NUD_REACHABLE) this.tellHh(n, true, now);
    }
  }

  /** May change after every call that takes `now`. */
  pollTimeout(): Millis {
    return Math.min(this.nextTimerMs, this.hash.nextWorkMs);
  }

  /** neigh_suspect(): IP must come to us again, if it believes otherwise. */
  private suspect(n: Neighbour, now: Millis): void {
    if (n.hhUntilMs > now) this.tellHh(n, false, now);
  }

  /** Tells IP what n->output and n->hh are now. */
  private tellHh(n: Neighbour, connected: boolean, now: Millis): void {
    let validMs = 0;
    if (connected) validMs = n.timerMs === NEVER ? 2 * this.sysctl.baseReachableTimeMs : n.timerMs - now + HH_GRACE_MS;
    n.hhUntilMs = connected ? now + validMs : 0;
    n.hhToldMs = connected ? now : Number.NEGATIVE_INFINITY;
    this.publish({
      epoch: this.epoch,
      ifindex: n.dev.ifindex,
      addr: n.addr,
      lladdr: n.ha,
      devAddr: n.dev.mac,
      connected,
      validMs,
    });
  }

  /** The only place that changes a state; a transition that the table does not have is refused. */
  private setState(n: Neighbour, state: number, now: Millis, admin = false): void {
    if (!admin && !isLegalNud(n.state, state)) {
      this.env.printk(`neighbour: illegal transition ${nudName(n.state)} -> ${nudName(state)} refused`);
      return;
    }
    if ((n.state ^ state) & NUD_PERMANENT) this.hash.gcExempt((state & NUD_PERMANENT) !== 0);
    n.state = state;
    n.updatedMs = now;
    n.timerMs = NEVER;
  }

  private setTimer(n: Neighbour, at: Millis): void {
    n.timerMs = at;
    if (at < this.nextTimerMs) this.nextTimerMs = at;
  }

  private retransMs(): Millis {
    return Math.max(this.sysctl.retransTimeMs, TIMER_MIN_MS);
  }

  private queued(): number {
    let sum = 0;
    for (const n of this.hash.values()) sum += n.arpQueue.length;
    return sum;
  }
}
