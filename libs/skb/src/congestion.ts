/**
 * The congestion controls that there are (net.ipv4.tcp_available_congestion_control): TCP has them, and the socket layer
 * answers TCP_CONGESTION with ENOENT for any other. Reno is first, it is what there is when all else fails.
 */
export const CONGESTION_CONTROLS = ['reno', 'cubic', 'dctcp', 'bbr'] as const;
/** sizeof of such a name with its NUL (include/net/tcp.h). */
export const TCP_CA_NAME_MAX = 16;
export type CongestionControlName = (typeof CONGESTION_CONTROLS)[number];
