import { NEVER, TCP_LISTEN, type Millis } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { FastOpenKeys } from './fastopen.ts';
import { forgetRecord } from './loose-records.ts';
import type { RequestSock } from './request.ts';
import type { TcpSock } from './sock.ts';
import { rtxSynAck } from './synack.ts';
import { TCP_RTO_MAX_MS, TCP_TIMEOUT_INIT_MS } from './sysctl.ts';

/** What only a listener has besides its two queues (struct request_sock_queue, icsk_accept_queue). Made when first needed. */
export class ReqskQueue {
  /** Requests whose SYN-ACK was not repeated yet. */
  young = 0;
  /** TCP_DEFER_ACCEPT as a number of SYN-ACK timeouts, 0: off. */
  deferAccept = 0;
  /** When a SYN cookie was last sent (synq_overflow_ts). */
  overflowMs: Millis = Number.NEGATIVE_INFINITY;
  /** The log has the warning. */
  floodWarned = false;
  /** TCP_SAVE_SYN: 0 no, 1 from the IP header on, 2 with the link layer's. */
  saveSyn = 0;
  /** TCP_FASTOPEN: how many children may wait for the end of their handshake, how many do, and keys of its own. */
  fastopenMax = 0;
  fastopenLen = 0;
  fastopenKeys: FastOpenKeys | undefined = undefined;
  /** When those that were reset give up their place. */
  fastopenResets: Millis[] = [];
}

export const reqskQueue = (sk: TcpSock): ReqskQueue => (sk.reqskQueue ??= new ReqskQueue());

/** sk_acceptq_is_full() */
export const acceptQueueFull = (sk: TcpSock): boolean => sk.ackBacklog > sk.backlog;

/** inet_csk_reqsk_queue_is_full() */
export const reqskQueueFull = (sk: TcpSock): boolean => sk.reqCount > sk.backlog;

/** inet_csk_reqsk_queue_hash_add(): from now on the four-tuple leads to it, and its timer runs. */
export function hashRequest(cx: TcpContext, req: RequestSock): void {
  const { listener } = req;
  cx.ehash.add(req);
  listener.reqCount++;
  reqskQueue(listener).young++;
  listener.requests?.add(req);
  req.dueMs = cx.now + TCP_TIMEOUT_INIT_MS;
  cx.timers.touch(req);
}

/** inet_csk_reqsk_queue_drop(); false: it was not in the queue. */
export function dropRequest(cx: TcpContext, req: RequestSock): boolean {
  req.dueMs = NEVER;
  cx.timers.remove(req);
  cx.ehash.remove(req);
  const { listener } = req;
  if (listener.requests?.delete(req) !== true) return false;
  listener.reqCount--;
  if (req.timeouts === 0) reqskQueue(listener).young--;
  return true;
}

/** tcp_reqsk_timeout() */
export const requestTimeoutMs = (req: RequestSock): Millis =>
  Math.min(TCP_TIMEOUT_INIT_MS * 2 ** req.timeouts, TCP_RTO_MAX_MS);

/** reqsk_timer_handler(): the SYN-ACK again, twice as long each time, until tcp_synack_retries. */
export function requestTimer(cx: TcpContext, req: RequestSock): void {
  cx.env.trace('reqsk_timer_handler');
  const { listener } = req;
  if (listener.state !== TCP_LISTEN) {
    dropRequest(cx, req);
    return;
  }
  const { expire, resend } = synAckRecalc(req, maxRetries(cx, listener), reqskQueue(listener).deferAccept);
  cx.env.mib.inc('TcpExtTCPTimeouts');
  if (expire) {
    dropRequest(cx, req);
    forgetRecord(cx, req.id);
    return;
  }
  if (resend) rtxSynAck(cx, req);
  if (req.timeouts++ === 0) reqskQueue(listener).young--;
  req.dueMs = cx.now + requestTimeoutMs(req);
  cx.timers.touch(req);
}

/**
 * Half of the queue is for young requests: when it fills with old ones, those get fewer tries, so that a flood or a
 * crowd of slow peers leaves room for new ones.
 */
function maxRetries(cx: TcpContext, listener: TcpSock): number {
  let most = listener.synCnt || cx.sysctl.tcpSynackRetries;
  const qlen = listener.reqCount;
  if (qlen * 2 <= Math.max(8, listener.backlog)) return most;
  let young = reqskQueue(listener).young * 2;
  while (most > 2 && qlen >= young) {
    most--;
    young *= 2;
  }
  return most;
}

/** syn_ack_recalc(): with TCP_DEFER_ACCEPT an acknowledged request waits for data, and is asked again only at the end. */
function synAckRecalc(req: RequestSock, most: number, defer: number): { expire: boolean; resend: boolean } {
  const over = req.timeouts >= most;
  if (defer === 0) return { expire: over, resend: true };
  return {
    expire: over && (!req.acked || req.timeouts >= defer),
    resend: !req.acked || req.timeouts >= defer - 1,
  };
}

/**
 * reqsk_fastopen_remove(): the handshake of a child that was opened by data is over. `holdUntil`: it was reset, and
 * keeps its place until then, or who floods us with spoofed SYNs would get it back at once (RFC 7413 5.1).
 */
export function fastOpenRemove(sk: TcpSock, holdUntil?: Millis): void {
  const req = sk.fastopen?.req;
  if (req === undefined) return;
  const q = reqskQueue(req.listener);
  sk.fastopen!.req = undefined;
  if (holdUntil === undefined) q.fastopenLen--;
  else q.fastopenResets.push(holdUntil);
}
