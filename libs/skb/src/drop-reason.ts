/**
 * Why an skb was freed without being consumed: the values of the kernel's `enum skb_drop_reason`
 * (include/net/dropreason-core.h, 6.12) without their prefix, plus ours at the end.
 */
// prettier-ignore
export const DROP_REASONS = [
  'NOT_SPECIFIED', 'NO_SOCKET', 'PKT_TOO_SMALL', 'TCP_CSUM', 'SOCKET_FILTER', 'UDP_CSUM', 'NETFILTER_DROP',
  'OTHERHOST', 'IP_CSUM', 'IP_INHDR', 'IP_RPFILTER', 'UNICAST_IN_L2_MULTICAST', 'XFRM_POLICY', 'IP_NOPROTO',
  'SOCKET_RCVBUFF', 'PROTO_MEM', 'TCP_AUTH_HDR', 'TCP_MD5NOTFOUND', 'TCP_MD5UNEXPECTED', 'TCP_MD5FAILURE',
  'TCP_AONOTFOUND', 'TCP_AOUNEXPECTED', 'TCP_AOKEYNOTFOUND', 'TCP_AOFAILURE', 'SOCKET_BACKLOG', 'TCP_FLAGS',
  'TCP_ABORT_ON_DATA', 'TCP_ZEROWINDOW', 'TCP_OLD_DATA', 'TCP_OVERWINDOW', 'TCP_OFOMERGE', 'TCP_RFC7323_PAWS',
  'TCP_OLD_SEQUENCE', 'TCP_INVALID_SEQUENCE', 'TCP_INVALID_ACK_SEQUENCE', 'TCP_RESET', 'TCP_INVALID_SYN',
  'TCP_CLOSE', 'TCP_FASTOPEN', 'TCP_OLD_ACK', 'TCP_TOO_OLD_ACK', 'TCP_ACK_UNSENT_DATA', 'TCP_OFO_QUEUE_PRUNE',
  'TCP_OFO_DROP', 'TCP_MINTTL', 'IP_OUTNOROUTES', 'BPF_CGROUP_EGRESS', 'NEIGH_CREATEFAIL', 'NEIGH_FAILED',
  'NEIGH_QUEUEFULL', 'NEIGH_DEAD', 'TC_EGRESS', 'QDISC_DROP', 'CPU_BACKLOG', 'XDP', 'TC_INGRESS',
  'UNHANDLED_PROTO', 'SKB_CSUM', 'SKB_GSO_SEG', 'SKB_UCOPY_FAULT', 'DEV_HDR', 'DEV_READY', 'FULL_RING', 'NOMEM',
  'HDR_TRUNC', 'TAP_FILTER', 'TAP_TXFILTER', 'ICMP_CSUM', 'INVALID_PROTO', 'IP_INADDRERRORS', 'IP_INNOROUTES',
  'PKT_TOO_BIG', 'DUP_FRAG', 'FRAG_REASM_TIMEOUT', 'FRAG_TOO_FAR', 'SKB_BAD_GSO',
  // ours: what no kernel has
  /** A fault rule said so. */
  'FAULT_INJECTED',
  /** A gap in the publisher's sequence: the broker lost the message that carried it. */
  'BUS_LOST',
  /** The bytes on the bus were no SkBuff. */
  'BUS_MALFORMED',
  /** It was in a queue of a layer whose process died. */
  'LAYER_DIED',
  /** TCP was started anew and does not know all of its connections yet. */
  'TCP_RESTORING',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];
