import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '@skbus/wire';
import { accEcnRequest } from './accecn.ts';
import type { TcpContext } from './context.ts';
import { forgetRecord } from './loose-records.ts';
import { mayChallenge, oowRateLimited } from './rate-limit.ts';
import { replyAck, sendReset } from './reply.ts';
import type { RequestSock } from './request.ts';
import { tcpReset } from './reset.ts';
import { dropRequest, fastOpenRemove, requestTimeoutMs } from './reqsk-queue.ts';
import type { Segment } from './segment.ts';
import { after, toWire } from './sequence.ts';
import type { TcpSock } from './sock.ts';
import { reqskQueueAdd, synRecvSock } from './syn-recv-sock.ts';
import { rtxSynAck } from './synack.ts';
import { inWindow } from './timewait.ts';

/** A child that was reset during its handshake keeps its place in the Fast Open queue for so long. */
const RST_HOLD_MS = 60_000;

/**
 * tcp_check_req(): a segment for a request in NEW_SYN_RECV (RFC 9293 3.10.7.4 for SYN-RECEIVED). Returns the new
 * connection when it completes the handshake, which the segment then goes on to, or the listener when it is none of
 * the request's business. Else the skb has ended here. `child`: it was opened by Fast Open and is there already.
 */
export function checkReq(cx: TcpContext, req: RequestSock, seg: Segment, child?: TcpSock): TcpSock | undefined {
  const { env } = cx;
  env.trace('tcp_check_req', seg.skb);
  if (req.accecn !== undefined) accEcnRequest(req.accecn, seg);
  let flags = seg.flags & (TCP_RST | TCP_SYN | TCP_ACK | TCP_FIN);
  const paws = seg.hasTs && req.tsRecent !== 0 && ((req.tsRecent - seg.tsVal) | 0) > 0;
  if (seg.seq32 === req.irs32 && flags === TCP_SYN && !paws) {
    synAgain(cx, req, seg);
    return undefined;
  }
  const rcvNxt = child === undefined ? (req.irs32 + 1) >>> 0 : toWire(child.irs, child.rcvNxt);
  const end = (seg.seq32 + seg.len + (seg.syn ? 1 : 0) + (seg.fin ? 1 : 0)) >>> 0;
  const inside = inWindow(seg.seq32, end, rcvNxt, (rcvNxt + req.rcvWnd) >>> 0);
  if ((flags & TCP_RST) !== 0 && inside && !paws) {
    rcvReset(cx, req, seg, flags, seg.seq32 === rcvNxt, child);
    return undefined;
  }
  // RFC 9293 3.10.7.4, fifth: an ACK of something else is answered with a reset, the request stays
  if ((flags & TCP_ACK) !== 0 && child === undefined && seg.ack32 !== (req.iss32 + 1) >>> 0) return req.listener;
  if (paws || !inside) {
    outOfWindow(cx, req, seg, paws, child);
    return undefined;
  }
  if (seg.hasTs && req.tsOk && !after(seg.seq32, rcvNxt)) req.tsRecent = seg.tsVal;
  if (seg.seq32 === req.irs32) flags &= ~TCP_SYN; // the SYN is before the window
  if ((flags & TCP_SYN) !== 0) {
    attemptFails(cx, req, seg, flags, child);
    return undefined;
  }
  if ((flags & TCP_ACK) === 0) {
    env.drop(seg.skb, 'TCP_FLAGS');
    return undefined;
  }
  if (child !== undefined) return child;
  if (req.timeouts < (req.listener.reqskQueue?.deferAccept ?? 0) && end === rcvNxt) {
    // TCP_DEFER_ACCEPT: not before there is something to read
    req.acked = true;
    env.mib.inc('TcpExtTCPDeferAcceptDrop');
    env.drop(seg.skb, 'NOT_SPECIFIED');
    return undefined;
  }
  return complete(cx, req, seg, flags);
}

/** The SYN again: our SYN-ACK was lost. The timer need not repeat it so soon. */
function synAgain(cx: TcpContext, req: RequestSock, seg: Segment): void {
  if (!oowRateLimited(cx, seg, req, 'TcpExtTCPACKSkippedSynRecv')) {
    rtxSynAck(cx, req);
    if (req.listener.requests?.has(req) === true) req.dueMs = cx.now + requestTimeoutMs(req);
  }
  cx.env.consume(seg.skb);
}

function complete(cx: TcpContext, req: RequestSock, seg: Segment, flags: number): TcpSock | undefined {
  const child = synRecvSock(cx, req, seg);
  if (child !== undefined) {
    cx.env.trace('inet_csk_complete_hashdance', seg.skb);
    dropRequest(cx, req);
    reqskQueueAdd(cx, req.listener, child, seg);
    return child;
  }
  if (cx.sysctl.tcpAbortOnOverflow) {
    embryonicReset(cx, req, seg, flags);
    return undefined;
  }
  // As if the ACK had been lost: the peer's data or our SYN-ACK will bring it again.
  req.acked = true;
  cx.env.drop(seg.skb, 'SOCKET_BACKLOG');
  return undefined;
}

function outOfWindow(cx: TcpContext, req: RequestSock, seg: Segment, paws: boolean, child: TcpSock | undefined): void {
  const { env } = cx;
  if ((seg.flags & TCP_RST) === 0 && !oowRateLimited(cx, seg, req, 'TcpExtTCPACKSkippedSynRecv')) {
    requestAck(cx, req, seg, child);
  }
  if (paws) env.mib.inc('TcpExtPAWSEstab');
  env.drop(seg.skb, paws ? 'TCP_RFC7323_PAWS' : 'TCP_OVERWINDOW');
}

/** Second, check the RST bit: before the ACK, and by the number alone, which may be a guess (RFC 5961 3.2). */
function rcvReset(
  cx: TcpContext,
  req: RequestSock,
  seg: Segment,
  flags: number,
  exact: boolean,
  child: TcpSock | undefined,
): void {
  if (exact) {
    attemptFails(cx, req, seg, flags, child);
    return;
  }
  if (mayChallenge(cx, req)) requestAck(cx, req, seg, child);
  cx.env.drop(seg.skb, 'TCP_RESET');
}

function attemptFails(cx: TcpContext, req: RequestSock, seg: Segment, flags: number, child: TcpSock | undefined): void {
  cx.env.mib.inc('TcpAttemptFails');
  if (child === undefined) embryonicReset(cx, req, seg, flags);
  else childReset(cx, child, seg, flags);
}

/** tcp_v4_reqsk_send_ack() */
function requestAck(cx: TcpContext, req: RequestSock, seg: Segment, child: TcpSock | undefined): void {
  replyAck(cx, seg, {
    seq32: child === undefined ? (req.iss32 + 1) >>> 0 : toWire(child.iss, child.sndNxt),
    ack32: child === undefined ? (req.irs32 + 1) >>> 0 : toWire(child.irs, child.rcvAck),
    window: Math.min(req.rcvWnd >>> req.rcvWscale, 65_535),
    ts: req.tsOk ? { val: cx.tsNow(req.tsOffset), ecr: req.tsRecent } : undefined,
    tos: req.listener.tos,
    ttl: req.listener.ttl,
  });
}

/** A reset for a child that the program may have already. A bad SYN gets one, but the child stays (RFC 7413 4.2.2). */
function childReset(cx: TcpContext, child: TcpSock, seg: Segment, flags: number): void {
  if ((flags & TCP_RST) === 0) {
    sendReset(cx, seg);
  } else {
    fastOpenRemove(child, cx.now + RST_HOLD_MS);
    tcpReset(cx, child, seg);
  }
  cx.env.drop(seg.skb, 'TCP_FASTOPEN');
}

function embryonicReset(cx: TcpContext, req: RequestSock, seg: Segment, flags: number): void {
  const { env } = cx;
  if ((flags & TCP_RST) === 0) sendReset(cx, seg);
  if (dropRequest(cx, req)) env.mib.inc('TcpExtEmbryonicRsts');
  forgetRecord(cx, req.id);
  env.drop(seg.skb, (flags & TCP_RST) !== 0 ? 'TCP_RESET' : 'TCP_INVALID_SYN');
}
