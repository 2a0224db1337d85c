import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** What an skb costs besides its bytes (SKB_TRUESIZE). */
const SKB_OVERHEAD = 640;

/**
 * tcp_small_queue_check(): TCP small queues bound what one connection has below TCP: two skbs, or what the pacing rate
 * sends in a millisecond, at most tcp_limit_output_bytes. More is sent when the driver reports that some of it has left.
 */
export function smallQueueCheck(cx: TcpContext, sk: TcpSock, len: number): boolean {
  if (sk.wmemAlloc === 0) return false;
  let limit = Math.max(2 * (len + SKB_OVERHEAD), Math.floor(sk.pacingRate / 1024));
  if (!sk.pacing) limit = Math.min(limit, cx.sysctl.tcpLimitOutputBytes);
  if (sk.wmemAlloc <= limit || sk.rtx.length <= 1) return false;
  sk.throttled = true;
  return true;
}
