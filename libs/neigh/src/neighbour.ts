import {
  NEVER,
  NUD_NONE,
  formatIpv4,
  formatMac,
  type Ipv4Addr,
  type MacAddr,
  type Millis,
  type NeighEntry,
  type NetDevice,
  type SkBuff,
  type TraceDetail,
} from '@skbus/skb';
import { NUD_VALID, nudName } from './nud.ts';

/** include/net/neighbour.h:struct neighbour. */
export interface Neighbour {
  dev: NetDevice;
  readonly addr: Ipv4Addr;
  ha: MacAddr;
  state: number;
  usedMs: Millis;
  confirmedMs: Millis;
  updatedMs: Millis;
  /** NEVER: no timer. */
  timerMs: Millis;
  probes: number;
  dead: boolean;
  /** Packets that wait for the answer. */
  readonly arpQueue: SkBuff[];
  arpQueueBytes: number;
  /** What the IP layer was last told: it writes the header itself until this time (0: it does not). */
  hhUntilMs: Millis;
  hhToldMs: Millis;
}

export function newNeighbour(dev: NetDevice, addr: Ipv4Addr, now: Millis): Neighbour {
  return {
    dev,
    addr,
    ha: 0,
    state: NUD_NONE,
    usedMs: now,
    confirmedMs: now,
    updatedMs: now,
    timerMs: NEVER,
    probes: 0,
    dead: false,
    arpQueue: [],
    arpQueueBytes: 0,
    hhUntilMs: 0,
    hhToldMs: Number.NEGATIVE_INFINITY,
  };
}

export const toEntry = (n: Neighbour): NeighEntry => ({
  ifindex: n.dev.ifindex,
  addr: n.addr,
  lladdr: n.state & NUD_VALID ? n.ha : undefined,
  state: n.state,
  usedMs: n.usedMs,
  confirmedMs: n.confirmedMs,
  updatedMs: n.updatedMs,
  probes: n.probes,
});

/** The fields of the kernel's neigh:* trace events. */
export const neighDetail = (n: Neighbour): TraceDetail => ({
  dev: n.dev.name,
  ip: formatIpv4(n.addr),
  lladdr: formatMac(n.ha),
  nud_state: nudName(n.state),
});

/** SKB_TRUESIZE with a 6.12 kernel's sizes: sk_buff, skb_shared_info, the buffer rounded to cache lines, the pages. */
export const truesize = (skb: SkBuff): number => 256 + 320 + ((skb.buf.length + 63) & ~63) + skb.dataLen;

/** The counters of /proc/net/stat/arp_cache, under its names. */
export class NeighStats {
  entries = 0;
  allocs = 0;
  destroys = 0;
  hash_grows = 0;
  lookups = 0;
  hits = 0;
  res_failed = 0;
  rcv_probes_mcast = 0;
  rcv_probes_ucast = 0;
  periodic_gc_runs = 0;
  forced_gc_runs = 0;
  unresolved_discards = 0;
  table_fulls = 0;
}
