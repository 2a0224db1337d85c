import type { HandOver } from '@skbus/skb';
import type { Layer, Service } from './layers.ts';

/**
 * Every subject of the bus. The token that names the receiver of an skb is the receiving kernel function, so
 * `nats sub 'skb.>'` reads like a call graph. Sections 4 of the design and 6 of the conventions.
 */
export const subjects = {
  /** Data plane: lists of skbs. `instance`: the shard of a transport, the ifindex of a device; 0 where there is one. */
  skb: (netns: string, to: HandOver, instance = 0): string =>
    INSTANCED.has(to) ? `skb.v1.${netns}.${to}.${instance}` : `skb.v1.${netns}.${to}`,
  /** Socket layer → transport shard. */
  skCmd: (netns: string, transport: 'tcp' | 'udp', shard = 0): string => `sk.v1.${netns}.${transport}.${shard}`,
  /** Transport → socket gateway. */
  skEvt: (netns: string, transport: 'tcp' | 'udp', gateway = 0): string => `sk.v1.${netns}.evt.${transport}.${gateway}`,
  /** Any layer below TCP → TCP shard: what has left or was dropped. */
  tcpWfree: (netns: string, shard = 0): string => `sk.v1.${netns}.tcp_wfree.${shard}`,
  /** Request/reply to one service: `ctl.v1.a.ip.route`. */
  ctl: (netns: string, service: Service, verb: string): string => `ctl.v1.${netns}.${service}.${verb}`,
  /** Told to everybody: `ctl.v1.a.all.trace_set`, `…all.rt_cache_flush`. */
  all: (netns: string, verb: string): string => `ctl.v1.${netns}.all.${verb}`,
  /** IP ⇄ neighbour: what the kernel does by pointers between `dst`, `neighbour` and `hh_cache`. */
  neighUpdate: (netns: string): string => `ctl.v1.${netns}.ip.neigh_update`,
  neighHint: (netns: string): string => `ctl.v1.${netns}.neigh.hint`,
  trace: (netns: string, layer: Service): string => `trace.v1.${netns}.${layer}`,
  /** What fault rules did in a layer: FaultDecisionList. */
  fault: (netns: string, layer: Service): string => `fault.v1.${netns}.${layer}`,
  log: (netns: string, layer: Service): string => `log.v1.${netns}.${layer}`,
  /** Who is there, and what has it done: the NATS services protocol (nats-architecture-and-design ADR-32). */
  srv: (verb: SrvVerb, name?: string, id?: string): string => ['$SRV', verb, name, id].filter(Boolean).join('.'),
  /** One port of a cable; every port listens to all of them. */
  wire: (cable: string, port: string): string => `wire.v1.${cable}.${port}`,
} as const;

export const SRV_VERBS = ['PING', 'INFO', 'STATS'] as const;
export type SrvVerb = (typeof SRV_VERBS)[number];

/** The same in each stack; `metadata.stack` of a service says which one it belongs to. */
export const srvName = (service: Service): string => `skbus-${service}`;

const INSTANCED: ReadonlySet<HandOver> = new Set(['tcp_v4_rcv', 'udp_rcv', 'tcp_v4_err', 'udp_err', 'dev_queue_xmit']);

/** Which service takes over an skb of each kind. */
export const HAND_OVER_OWNER: Record<HandOver, Layer> = {
  ip_rcv: 'ip',
  arp_rcv: 'neigh',
  tcp_v4_rcv: 'tcp',
  udp_rcv: 'udp',
  tcp_v4_err: 'tcp',
  udp_err: 'udp',
  ip_queue_xmit: 'ip',
  ip_send_skb: 'ip',
  icmp_send: 'ip',
  ipv4_link_failure: 'ip',
  neigh_output: 'neigh',
  dev_queue_xmit: 'nic',
};

/** Who hands what on: the data plane's half of the permission table. */
export const HAND_OVER_SENDERS: Record<HandOver, readonly Layer[]> = {
  ip_rcv: ['nic'],
  arp_rcv: ['nic'],
  tcp_v4_rcv: ['ip'],
  udp_rcv: ['ip'],
  tcp_v4_err: ['ip'],
  udp_err: ['ip'],
  ip_queue_xmit: ['tcp'],
  ip_send_skb: ['udp'],
  icmp_send: ['udp'],
  ipv4_link_failure: ['neigh'],
  neigh_output: ['ip'],
  dev_queue_xmit: ['ip', 'neigh'],
};

/** Data-plane subjects travel on a connection of their own, so that a stalled data path never blocks control. */
export const isDataSubject = (subject: string): boolean =>
  subject.startsWith('skb.') || subject.startsWith('sk.') || subject.startsWith('wire.');

/** Key-value buckets (JetStream KV); one set per stack. Values are the protobuf messages named. */
export const buckets = {
  /** ifindex → NetDevice, written by nic. */
  netdev: (netns: string): string => `skbus_${netns}_netdev`,
  /** EtherType → RegisterRequest, written and read by nic: what dev_add_pack() put there survives its restart. */
  ptype: (netns: string): string => `skbus_${netns}_ptype`,
  /** `<ifindex>.<addr>.<prefixLen>` → IfAddr, written by ip. */
  addr: (netns: string): string => `skbus_${netns}_addr`,
  /** `<table>.<dst>.<len>.<metric>.<tos>.<type>.<gateway>.<oif>` → Route, written by ip; only what a person added. */
  route: (netns: string): string => `skbus_${netns}_route`,
  /** IP protocol → RegisterRequest, written and read by ip: what inet_add_protocol() put there survives its restart. */
  protocol: (netns: string): string => `skbus_${netns}_protocol`,
  /** `<ifindex>.<addr>` → NeighEntry, permanent ones, written by neigh. */
  neigh: (netns: string): string => `skbus_${netns}_neigh`,
  /** port → `host:port`, written by socket: what `skbus expose` asked for survives its restart. */
  expose: (netns: string): string => `skbus_${netns}_expose`,
  /** `tcp` → what its sequence numbers are made from, written and read by tcp. */
  secret: (netns: string): string => `skbus_${netns}_secret`,
  /** `rule.<id>` → FaultRule, written by the orchestrator, watched by all; `count.<layer>.<id>` → FaultCounters, the layer's own. */
  fault: (netns: string): string => `skbus_${netns}_fault`,
  /** dotted sysctl name → text. */
  sysctl: (netns: string): string => `skbus_${netns}_sysctl`,
} as const;

/** Whether a subject fits a pattern of NATS. */
export function subjectMatches(pattern: readonly string[], subject: readonly string[]): boolean {
  for (let i = 0; i < pattern.length; i++) {
    const p = pattern[i];
    if (p === '>') return subject.length > i;
    if (i >= subject.length || (p !== '*' && p !== subject[i])) return false;
  }
  return pattern.length === subject.length;
}
