import type { Ipv4Addr, MacAddr } from './addr.ts';
import type { Millis } from './time.ts';

/** A network device as its driver registers it (include/linux/netdevice.h:net_device); ifindex 1 is `lo`. */
export interface NetDevice {
  ifindex: number;
  name: string;
  mac: MacAddr;
  mtu: number;
  /** IFF_* */
  flags: number;
}

/** An address on a device (include/linux/inetdevice.h:in_ifaddr). */
export interface IfAddr {
  ifindex: number;
  local: Ipv4Addr;
  prefixLen: number;
  /** 0: none. */
  broadcast: Ipv4Addr;
  scope: number;
  label: string;
}

/** A route as rtnetlink sees it (fib_config). */
export interface Route {
  dst: Ipv4Addr;
  dstLen: number;
  /** 0: on-link. */
  gateway: Ipv4Addr;
  /** Output device; 0 for blackhole and the like. */
  oif: number;
  /** 0: chosen by inet_select_addr(). */
  prefsrc: Ipv4Addr;
  table: number;
  /** RTN_* */
  type: number;
  scope: number;
  protocol: number;
  metric: number;
  tos: number;
  /** 0: the device's. */
  mtu: number;
}

/** A row of the neighbour table as seen from outside. */
export interface NeighEntry {
  ifindex: number;
  addr: Ipv4Addr;
  /** Undefined while unresolved. */
  lladdr: MacAddr | undefined;
  /** NUD_* */
  state: number;
  usedMs: Millis;
  confirmedMs: Millis;
  updatedMs: Millis;
  probes: number;
}

/** "Where does this flow go?", asked by TCP and UDP before they build a segment (ip_route_output_flow). */
export interface RouteQuery {
  /** Chosen by the asker; comes back in the answer. */
  id: number;
  daddr: Ipv4Addr;
  /** 0: choose one. */
  saddr: Ipv4Addr;
  oif: number;
  tos: number;
}

export interface RouteReply {
  id: number;
  /** ERRNO.*, 0: found. */
  errno: number;
  daddr: Ipv4Addr;
  saddr: Ipv4Addr;
  oif: number;
  mtu: number;
  gateway: Ipv4Addr;
  /** RTN_* */
  type: number;
}

/**
 * Neighbour → IP: what `neigh->hh` would hold. While `connected`, IP writes the Ethernet header itself and goes straight to
 * the device (neigh_hh_output); else it hands the packet to the neighbour layer (neigh_resolve_output).
 */
export interface NeighUpdate {
  /** Changes when the neighbour service starts anew; an update with another epoch voids everything cached before. */
  epoch: number;
  /** 0: only tells the epoch. */
  ifindex: number;
  addr: Ipv4Addr;
  lladdr: MacAddr;
  /** The source address for the header: the device's. */
  devAddr: MacAddr;
  connected: boolean;
  /** How long IP may use it without news, ms: an update that got lost must not live for ever. */
  validMs: Millis;
}

/** IP → neighbour: a cached header was used (neigh->used), or a transport heard from the host (neigh->confirmed). */
export interface NeighHint {
  ifindex: number;
  addr: Ipv4Addr;
  confirm: boolean;
}
