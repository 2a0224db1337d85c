import type { Tracepoint } from '@skbus/skb';

/** Who can own a call of the boot; the layers are those of the bus contract. */
export const BOOT_OWNERS = ['socket', 'nic', 'neigh', 'ip', 'tcp', 'udp', 'orchestrator'] as const;
export type BootOwner = (typeof BOOT_OWNERS)[number];
/** A service of its own, started and restarted alone. */
export type BootLayer = Exclude<BootOwner, 'orchestrator'>;

/** init/main.c:initcall_level_names. */
export const INITCALL_LEVELS = ['pure', 'core', 'postcore', 'arch', 'subsys', 'fs', 'device', 'late'] as const;
export type InitcallLevel = (typeof INITCALL_LEVELS)[number];

/** One initcall, or one of the calls that inet_init makes. */
export interface BootEntry {
  /** Unique, as the kernel's source writes the call: `tcp_init`, `dev_add_pack(&ip_packet_type)`. */
  readonly name: string;
  readonly level: InitcallLevel;
  /** Where Linux 6.12 has the function. */
  readonly file: string;
  readonly point: Tracepoint;
  /** The service that is asked; 'orchestrator': part of the boot without a service of ours behind it. */
  readonly owner: BootOwner;
  /** Called by inet_init, not by do_initcalls. */
  readonly within?: 'inet_init';
  /** The call puts something into a table that this service holds, so it is repeated when that service restarts. */
  readonly registersWith?: BootLayer;
  /** Trace points of what happens inside the call, in the kernel's order; shown once it has succeeded. */
  readonly inside?: readonly Tracepoint[];
  /** The kernel makes the call this many times in a row; the service is asked once. */
  readonly times?: number;
}

const initcall = (
  level: InitcallLevel,
  name: Tracepoint,
  file: string,
  owner: BootOwner,
  inside: readonly Tracepoint[] = [],
): BootEntry => ({ name, level, file, point: name, owner, inside });

/** A call inside inet_init; its name shows the argument where the kernel makes it more than once. */
const step = (
  point: Tracepoint,
  arg: string,
  file: string,
  owner: BootOwner,
  more: Pick<BootEntry, 'registersWith' | 'inside' | 'times'> = {},
): BootEntry => ({
  name: arg === '' ? point : `${point}(${arg})`,
  level: 'fs',
  file,
  point,
  owner,
  within: 'inet_init',
  ...more,
});

/**
 * The network's part of the boot in the order of Linux 6.12: initcalls by level and, inside one, in link order
 * (net/Makefile); inet_init (net/ipv4/af_inet.c) call by call. IPv4 receive opens only at dev_add_pack(&ip_packet_type).
 */
// prettier-ignore
export const BOOT_TABLE: readonly BootEntry[] = [
  initcall('pure', 'inet_frag_wq_init', 'net/ipv4/inet_fragment.c', 'orchestrator'),
  initcall('core', 'sock_init', 'net/socket.c', 'socket'),
  initcall('core', 'netlink_proto_init', 'net/netlink/af_netlink.c', 'orchestrator', ['rtnetlink_init']),
  initcall('subsys', 'proto_init', 'net/core/sock.c', 'socket'),
  initcall('subsys', 'net_dev_init', 'net/core/dev.c', 'nic', ['loopback_net_init']),
  initcall('subsys', 'neigh_init', 'net/core/neighbour.c', 'neigh'),
  initcall('subsys', 'fib_rules_init', 'net/core/fib_rules.c', 'ip'),
  initcall('subsys', 'pktsched_init', 'net/sched/sch_api.c', 'orchestrator'),
  initcall('fs', 'sysctl_core_init', 'net/core/sysctl_net_core.c', 'orchestrator'),
  initcall('fs', 'ipv4_offload_init', 'net/ipv4/af_inet.c', 'nic'),
  initcall('fs', 'inet_init', 'net/ipv4/af_inet.c', 'orchestrator'),
  step('raw_hashinfo_init', '', 'net/ipv4/raw.c', 'orchestrator'),
  step('proto_register', '&tcp_prot', 'net/core/sock.c', 'tcp'),
  step('proto_register', '&udp_prot', 'net/core/sock.c', 'udp'),
  step('proto_register', '&raw_prot', 'net/core/sock.c', 'orchestrator'),
  step('proto_register', '&ping_prot', 'net/core/sock.c', 'orchestrator'),
  step('sock_register', '&inet_family_ops', 'net/socket.c', 'socket'),
  step('ip_static_sysctl_init', '', 'net/ipv4/route.c', 'ip'),
  step('inet_add_protocol', '&icmp_protocol', 'net/ipv4/protocol.c', 'ip'),
  step('inet_add_protocol', '&udp_protocol', 'net/ipv4/protocol.c', 'udp', { registersWith: 'ip' }),
  step('inet_add_protocol', '&tcp_protocol', 'net/ipv4/protocol.c', 'tcp', { registersWith: 'ip' }),
  step('inet_add_protocol', '&igmp_protocol', 'net/ipv4/protocol.c', 'orchestrator'),
  // inetsw_array: TCP, UDP, ping and raw.
  step('inet_register_protosw', '', 'net/ipv4/af_inet.c', 'socket', { times: 4 }),
  step('arp_init', '', 'net/ipv4/arp.c', 'neigh', {
    registersWith: 'nic',
    inside: ['neigh_table_init', 'dev_add_pack', 'register_netdevice_notifier'],
  }),
  step('ip_init', '', 'net/ipv4/ip_output.c', 'ip', {
    inside: ['ip_rt_init', 'devinet_init', 'register_netdevice_notifier', 'ip_fib_init', 'fib_trie_init', 'fib_net_init',
      'register_netdevice_notifier', 'inet_initpeers'],
  }),
  step('init_ipv4_mibs', '', 'net/ipv4/af_inet.c', 'ip'),
  step('tcp_init', '', 'net/ipv4/tcp.c', 'tcp', { inside: ['tcp_v4_init', 'tcp_register_congestion_control'] }),
  step('udp_init', '', 'net/ipv4/udp.c', 'udp'),
  step('udplite4_register', '', 'net/ipv4/udplite.c', 'orchestrator'),
  step('raw_init', '', 'net/ipv4/raw.c', 'orchestrator'),
  step('ping_init', '', 'net/ipv4/ping.c', 'orchestrator'),
  step('icmp_init', '', 'net/ipv4/icmp.c', 'ip'),
  step('ip_mr_init', '', 'net/ipv4/ipmr.c', 'orchestrator'),
  step('init_inet_pernet_ops', '', 'net/ipv4/af_inet.c', 'orchestrator'),
  step('ipv4_proc_init', '', 'net/ipv4/af_inet.c', 'orchestrator'),
  step('ipfrag_init', '', 'net/ipv4/ip_fragment.c', 'ip'),
  step('dev_add_pack', '&ip_packet_type', 'net/core/dev.c', 'ip', { registersWith: 'nic' }),
  step('ip_tunnel_core_init', '', 'net/ipv4/ip_tunnel_core.c', 'orchestrator'),
  initcall('fs', 'af_unix_init', 'net/unix/af_unix.c', 'orchestrator'),
  initcall('device', 'tun_init', 'drivers/net/tun.c', 'nic', ['register_netdevice']),
  initcall('late', 'tcp_congestion_default', 'net/ipv4/tcp_cong.c', 'tcp'),
  initcall('late', 'ip_auto_config', 'net/ipv4/ipconfig.c', 'ip'),
];

/** What to repeat when a service restarted: its own calls, and those by which others had put themselves into its tables. */
export const replayFor = (layer: BootLayer): BootEntry[] =>
  BOOT_TABLE.filter((e) => e.owner === layer || e.registersWith === layer);

/** The services in the order in which the boot first needs them. */
export function bootOrder(): BootLayer[] {
  const seen = new Set<BootLayer>();
  for (const { owner } of BOOT_TABLE) if (owner !== 'orchestrator') seen.add(owner);
  return [...seen];
}

/** In whose tables a layer puts itself: it cannot be booted without them. */
export function registersWith(layer: BootLayer): BootLayer[] {
  const found = new Set<BootLayer>();
  for (const e of BOOT_TABLE) if (e.owner === layer && e.registersWith) found.add(e.registersWith);
  return [...found];
}
