import { TRACEPOINTS, type Tracepoint } from '@skbus/skb';

/**
 * What a rule can end at a trace point. `packet`: the function frees the packet for the reason that the rule gives, and returns.
 * `memory`: there the kernel allocates, and the function fails as it does when it gets nothing (NOMEM).
 */
export type TraceStop = 'packet' | 'memory';

/** The trace points where functions can fail, by layer; each asks `env.fails()` (a test holds the two together). */
export const TRACE_STOPS: Readonly<Record<string, Readonly<Partial<Record<Tracepoint, TraceStop>>>>> = {
  nic: {
    netif_receive_skb: 'packet',
    dev_queue_xmit: 'packet',
    dev_hard_start_xmit: 'packet',
  },
  neigh: {
    arp_rcv: 'packet',
    neigh_resolve_output: 'packet',
    __neigh_create: 'memory',
    arp_send_dst: 'memory',
  },
  ip: {
    ip_rcv: 'packet',
    ip_rcv_finish: 'packet',
    ip_local_deliver: 'packet',
    ip_forward: 'packet',
    ip_local_out: 'packet',
    ip_finish_output: 'packet',
    ip_finish_output2: 'packet',
    ip_do_fragment: 'memory',
    icmp_send: 'memory',
  },
  tcp: {
    tcp_v4_rcv: 'packet',
    tcp_v4_do_rcv: 'packet',
    tcp_rcv_established: 'packet',
    tcp_data_queue: 'packet',
    inet_reqsk_alloc: 'memory',
    tcp_v4_syn_recv_sock: 'memory',
    tcp_make_synack: 'memory',
    tcp_connect: 'memory',
    tcp_transmit_skb: 'packet',
  },
  udp: {
    udp_rcv: 'packet',
    udp_queue_rcv_skb: 'packet',
    ip_make_skb: 'memory',
  },
  socket: {
    inet_create: 'memory',
    udp_sendmsg: 'memory',
  },
};

/** In a place: `at tcp:tcp_v4_rcv` is the func `:tcp_v4_rcv`. */
export const isTraceFunc = (func: string): boolean => func.startsWith(':');

/** What the rules themselves leave is none of them. */
export const isTracepoint = (name: string): name is Tracepoint =>
  Object.hasOwn(TRACEPOINTS, name) && name !== 'fault_inject';

/** What a rule can end there; undefined: nothing. */
export const traceStop = (layer: string, func: string): TraceStop | undefined =>
  TRACE_STOPS[layer]?.[func.slice(1) as Tracepoint];
