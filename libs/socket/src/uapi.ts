/** Bounds and defaults of the socket layer; what programs see is in @skbus/skb. */

// include/net/sock.h: sk->sk_shutdown
export const RCV_SHUTDOWN = 1;
export const SEND_SHUTDOWN = 2;
export const SHUTDOWN_MASK = 3;

// include/net/sock.h, net/core/sock.c: what SO_RCVBUF and SO_SNDBUF may be (sysctl net.core.{r,w}mem_max)
export const SOCK_MIN_RCVBUF = 2304;
export const SOCK_MIN_SNDBUF = 4608;
export const MEM_MAX = 212_992;

/** net.ipv4.tcp_rmem[1]. */
export const TCP_RCVBUF = 131_072;
/** Where a stream's send buffer starts; it grows while TCP takes all there is (tcp_sndbuf_expand), unless SO_SNDBUF pins it. */
export const TCP_SNDBUF = 256 * 1024;
/** net.core.{r,w}mem_default. */
export const UDP_BUF = 212_992;
/** 65535 - 8 (UDP) - 20 (IP). */
export const UDP_MAX_DGRAM = 65_507;
