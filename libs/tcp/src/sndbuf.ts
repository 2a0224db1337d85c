import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { TCP_INIT_CWND } from './sysctl.ts';

/** What headers and bookkeeping of a segment take beside its bytes (MAX_TCP_HEADER, struct skb_shared_info, struct sk_buff). */
const PER_SEGMENT = 640;
const SK_BUFF = 256;

/**
 * tcp_sndbuf_expand(): room for twice the congestion window (what is in flight, and as much to come), as if each segment took
 * a buffer of a power of two. It never shrinks, and ends at tcp_wmem[2].
 */
export function sndbufExpand(cx: TcpContext, sk: TcpSock): void {
  if (sk.sndbufLocked) return;
  const perMss = 2 ** Math.ceil(Math.log2(Math.max(sk.mssClamp, sk.mssCache) + PER_SEGMENT)) + SK_BUFF;
  const segs = Math.max(TCP_INIT_CWND, sk.cwnd, sk.reordering + 1);
  const mem = Math.min((sk.cc.sndbufExpand?.(sk) ?? 2) * segs * perMss, cx.sysctl.tcpWmem[2]);
  if (mem > sk.sndbuf) sk.sndbuf = mem;
}

/** tcp_new_space(): an ACK made room; the buffer grows unless there is more in flight than the window allows. */
export function newSpace(cx: TcpContext, sk: TcpSock): void {
  if (sk.inFlight < sk.cwnd) sndbufExpand(cx, sk);
}

/** tcp_notsent_lowat() as far as TCP keeps it: the sysctl. TCP_NOTSENT_LOWAT of a socket is the socket layer's own. */
export const notsentLowat = (cx: TcpContext, sk: TcpSock): number =>
  sk.notsentLowat > 0 ? Number.POSITIVE_INFINITY : cx.sysctl.tcpNotsentLowat;
