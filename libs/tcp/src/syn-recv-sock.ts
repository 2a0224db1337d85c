import { makeChild } from './child.ts';
import type { TcpContext } from './context.ts';
import { acceptQueueFull } from './reqsk-queue.ts';
import type { RequestSock } from './request.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';

/** tcp_v4_syn_recv_sock(): room in the accept queue? Then the request becomes a sock. */
export function synRecvSock(cx: TcpContext, req: RequestSock, seg: Segment): TcpSock | undefined {
  const { env } = cx;
  const noMem = env.fails('tcp_v4_syn_recv_sock', seg.skb);
  const full = acceptQueueFull(req.listener);
  if (!full && !noMem) return makeChild(cx, req, seg);
  if (full) env.mib.inc('TcpExtListenOverflows');
  env.mib.inc('TcpExtListenDrops');
  return undefined;
}

/** inet_csk_reqsk_queue_add(): the child waits for accept(). */
export function reqskQueueAdd(cx: TcpContext, listener: TcpSock, child: TcpSock, seg: Segment): void {
  cx.ehash.add(child);
  acceptQueueAdd(listener, child);
  cx.env.trace('inet_csk_reqsk_queue_add', seg.skb);
}

/** It counts in the backlog until it is accepted. */
export function acceptQueueAdd(listener: TcpSock, child: TcpSock): void {
  listener.ackBacklog++;
  listener.children?.add(child);
}
