/** The sysctls UDP heeds, under camelCase names, with Linux 6.12's defaults. */
export interface UdpSysctl {
  /** net.ipv4.ip_local_port_range, both ends included. */
  ipLocalPortRange: readonly [number, number];
  /** net.core.rmem_default: bytes of truesize. */
  rmemDefault: number;
  /** net.core.wmem_default. */
  wmemDefault: number;
}

export const UDP_SYSCTL_DEFAULTS: UdpSysctl = {
  ipLocalPortRange: [32_768, 60_999],
  rmemDefault: 212_992,
  wmemDefault: 212_992,
};

/** include/net/sock.h:SOCK_MIN_RCVBUF: what SO_RCVBUF cannot go below. */
export const SOCK_MIN_RCVBUF = 2304;
export const SOCK_MIN_SNDBUF = 4608;
