import { SECOND, type Millis } from '@skbus/skb';

/** The knobs of `net.ipv4.neigh.*`, `net.ipv4.neigh.default.gc_*` and `net.ipv4.conf.*.arp_*`, with the kernel's defaults. */
export interface NeighSysctl {
  /** base_reachable_time_ms; each table period draws a reachable time of 0.5 to 1.5 times this. */
  baseReachableTimeMs: Millis;
  /** delay_first_probe_time */
  delayProbeTimeMs: Millis;
  /** retrans_time_ms */
  retransTimeMs: Millis;
  ucastSolicit: number;
  mcastSolicit: number;
  /** mcast_resolicit: broadcasts after the unicast probes of NUD_PROBE went unanswered. */
  mcastResolicit: number;
  gcStaletimeMs: Millis;
  gcThresh1: number;
  gcThresh2: number;
  gcThresh3: number;
  /** unres_qlen_bytes: of packets waiting for one neighbour, counted as truesize. */
  queueLenBytes: number;
  /** Within this time after a change a second, different answer does not override the first. */
  locktimeMs: Millis;
  /** 0, 1, 2: which source address an ARP request shows. */
  arpAnnounce: number;
  /** 0, 1, 2, 3, 8: when not to answer. */
  arpIgnore: number;
  /** Create entries from unsolicited announcements. */
  arpAccept: boolean;
  /** Announce a new local address. */
  arpNotify: boolean;
  /** Forget a device's neighbours when its carrier goes (arp_evict_nocarrier). */
  arpEvictNocarrier: boolean;
}

/** net/ipv4/arp.c:arp_tbl and net/ipv4/devinet.c:ipv4_devconf. */
export const NEIGH_DEFAULTS: Readonly<NeighSysctl> = {
  baseReachableTimeMs: 30 * SECOND,
  delayProbeTimeMs: 5 * SECOND,
  retransTimeMs: 1 * SECOND,
  ucastSolicit: 3,
  mcastSolicit: 3,
  mcastResolicit: 0,
  gcStaletimeMs: 60 * SECOND,
  gcThresh1: 128,
  gcThresh2: 512,
  gcThresh3: 1024,
  queueLenBytes: 212_992,
  locktimeMs: 1 * SECOND,
  arpAnnounce: 0,
  arpIgnore: 0,
  arpAccept: false,
  arpNotify: false,
  arpEvictNocarrier: true,
};
