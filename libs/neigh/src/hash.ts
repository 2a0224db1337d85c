import {
  NUD_FAILED,
  NUD_NOARP,
  NUD_PERMANENT,
  SECOND,
  below,
  FaultCases,
  type Ipv4Addr,
  type LayerEnv,
  type Millis,
  type NetDevice,
} from '@skbus/skb';
import { newNeighbour, NeighStats, type Neighbour } from './neighbour.ts';
import { NUD_IN_TIMER } from './nud.ts';
import type { NeighSysctl } from './sysctl.ts';

/** Two forced collections are at least this far apart while the table is below gc_thresh3; entries younger are spared. */
const FORCED_GC_MS = 5 * SECOND;
/** A new random reachable time this often (neigh_periodic_work). */
const RAND_MS = 300 * SECOND;

/** The table itself and its garbage collection (neigh_table.nht, neigh_alloc, neigh_forced_gc, neigh_periodic_work). */
export class NeighHash {
  readonly stats = new NeighStats();
  /** A fault rule: every entry that there can be is taken (gc_thresh3), and none can go. */
  readonly full = new FaultCases();
  reachableTimeMs: Millis;
  nextWorkMs: Millis = 0;
  private readonly map = new Map<number, Neighbour>();
  private readonly env: LayerEnv;
  private readonly sysctl: NeighSysctl;
  private readonly destroyed: (n: Neighbour, now: Millis) => void;
  private gcEntries = 0;
  private lastFlushMs: Millis = Number.NEGATIVE_INFINITY;
  private lastRandMs: Millis = 0;
  private lastOverflowMs: Millis = Number.NEGATIVE_INFINITY;

  constructor(env: LayerEnv, sysctl: NeighSysctl, destroyed: (n: Neighbour, now: Millis) => void) {
    this.env = env;
    this.sysctl = sysctl;
    this.destroyed = destroyed;
    this.reachableTimeMs = this.randReachTime();
  }

  values(): IterableIterator<Neighbour> {
    return this.map.values();
  }

  get(ifindex: number, addr: Ipv4Addr): Neighbour | undefined {
    this.stats.lookups++;
    const n = this.map.get(keyOf(ifindex, addr));
    if (n !== undefined) this.stats.hits++;
    return n;
  }

  /** neigh_alloc(): `undefined` when the table is full and nothing can go. */
  create(dev: NetDevice, addr: Ipv4Addr, now: Millis): Neighbour | undefined {
    const { gcThresh2, gcThresh3 } = this.sysctl;
    const n = this.gcEntries;
    if (this.full.on !== undefined) return this.tableFull(now);
    if (n >= gcThresh3 || (n >= gcThresh2 && now > this.lastFlushMs + FORCED_GC_MS)) {
      if (this.forcedGc(now) === 0 && n >= gcThresh3) return this.tableFull(now);
    }
    const made = newNeighbour(dev, addr, now);
    this.map.set(keyOf(dev.ifindex, addr), made);
    this.gcEntries++;
    this.stats.allocs++;
    this.stats.entries++;
    return made;
  }

  remove(n: Neighbour, now: Millis): void {
    if (!this.map.delete(keyOf(n.dev.ifindex, n.addr))) return;
    if (!(n.state & NUD_PERMANENT)) this.gcEntries--;
    this.stats.destroys++;
    this.stats.entries--;
    this.destroyed(n, now);
  }

  /** Permanent entries do not count against the thresholds (neigh_update_gc_list). */
  gcExempt(exempt: boolean): void {
    this.gcEntries += exempt ? -1 : 1;
  }

  /** neigh_periodic_work(): true when it ran. */
  periodicWork(now: Millis): boolean {
    if (now < this.nextWorkMs) return false;
    this.env.trace('neigh_periodic_work');
    this.nextWorkMs = now + this.sysctl.baseReachableTimeMs / 2;
    this.stats.periodic_gc_runs++;
    if (now > this.lastRandMs + RAND_MS) {
      this.lastRandMs = now;
      this.reachableTimeMs = this.randReachTime();
    }
    if (this.stats.entries < this.sysctl.gcThresh1) return true;
    for (const n of this.map.values()) {
      if (n.state & (NUD_PERMANENT | NUD_IN_TIMER)) continue;
      if (n.usedMs < n.confirmedMs && n.confirmedMs <= now) n.usedMs = n.confirmedMs;
      if (n.state === NUD_FAILED || now >= n.usedMs + this.sysctl.gcStaletimeMs) this.remove(n, now);
    }
    return true;
  }

  private forcedGc(now: Millis): number {
    this.env.trace('neigh_forced_gc');
    this.stats.forced_gc_runs++;
    this.lastFlushMs = now;
    const maxClean = Math.max(1, this.gcEntries - this.sysctl.gcThresh2);
    let shrunk = 0;
    for (const n of this.map.values()) {
      if (shrunk >= maxClean) break;
      // A running timer holds a reference in the kernel: such entries stay.
      if (n.state & (NUD_PERMANENT | NUD_IN_TIMER)) continue;
      const old = now - n.updatedMs > FORCED_GC_MS;
      if (n.state !== NUD_FAILED && n.state !== NUD_NOARP && !old) continue;
      this.remove(n, now);
      shrunk++;
    }
    return shrunk;
  }

  private tableFull(now: Millis): undefined {
    this.stats.table_fulls++;
    if (now - this.lastOverflowMs < FORCED_GC_MS) return;
    this.lastOverflowMs = now;
    this.env.printk('neighbour: arp_cache: neighbor table overflow!');
  }

  /** neigh_rand_reach_time() */
  private randReachTime(): Millis {
    const base = this.sysctl.baseReachableTimeMs;
    return below(this.env.rng, Math.max(1, base)) + base / 2;
  }
}

/** 16 bits are enough for an ifindex here; the sum stays an exact integer. */
const keyOf = (ifindex: number, addr: Ipv4Addr): number => ifindex * 0x1_0000_0000 + addr;
