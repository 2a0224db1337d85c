import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '@skbus/wire';
import { makeChild } from './child.ts';
import type { TcpContext } from './context.ts';
import { acceptQueueFull, dropRequest, rtxSynAck } from './listen.ts';
import { oowRateLimited } from './rate-limit.ts';
import { replyAck, sendReset } from './reply.ts';
import type { RequestSock } from './request.ts';
import type { Segment } from './segment.ts';
import { after } from './sequence.ts';
import type { TcpSock } from './sock.ts';
import { inWindow } from './timewait.ts';

/**
 * tcp_check_req(): a segment for a request in NEW_SYN_RECV (RFC 9293 3.10.7.4 for SYN-RECEIVED). Returns the new
 * connection when it completes the handshake; the segment then goes on to it. Else the skb has ended here.
 */
export function checkReq(cx: TcpContext, req: RequestSock, seg: Segment): TcpSock | undefined {
  const { env } = cx;
  env.trace('tcp_check_req', seg.skb);
  let flags = seg.flags & (TCP_RST | TCP_SYN | TCP_ACK | TCP_FIN);
  const paws = seg.hasTs && req.tsOk && ((req.tsRecent - seg.tsVal) | 0) > 0;
  if (seg.seq32 === req.irs32 && flags === TCP_SYN && !paws) {
    // the SYN again: our SYN-ACK was lost
    if (!oowRateLimited(cx, seg, req, 'TcpExtTCPACKSkippedSynRecv')) rtxSynAck(cx, req);
    env.consume(seg.skb);
    return undefined;
  }
  if ((flags & TCP_ACK) !== 0 && seg.ack32 !== (req.iss32 + 1) >>> 0) {
    // RFC 9293 3.10.7.4, fifth: an ACK of something else is answered with a reset, the request stays
    sendReset(cx, seg);
    env.drop(seg.skb, 'TCP_INVALID_ACK_SEQUENCE');
    return undefined;
  }
  const rcvNxt = (req.irs32 + 1) >>> 0;
  const end = (seg.seq32 + seg.len + (seg.syn ? 1 : 0) + (seg.fin ? 1 : 0)) >>> 0;
  if (paws || !inWindow(seg.seq32, end, rcvNxt, (rcvNxt + req.rcvWnd) >>> 0)) {
    outOfWindow(cx, req, seg, paws);
    return undefined;
  }
  if (seg.hasTs && req.tsOk && !after(seg.seq32, rcvNxt)) req.tsRecent = seg.tsVal;
  if (seg.seq32 === req.irs32) flags &= ~TCP_SYN; // the SYN is before the window
  if ((flags & (TCP_RST | TCP_SYN)) !== 0) {
    embryonicReset(cx, req, seg, flags);
    return undefined;
  }
  if ((flags & TCP_ACK) === 0) {
    env.drop(seg.skb, 'TCP_FLAGS');
    return undefined;
  }
  return synRecvSock(cx, req, seg);
}

/** tcp_v4_syn_recv_sock(): room in the accept queue? Then the request becomes a sock. */
function synRecvSock(cx: TcpContext, req: RequestSock, seg: Segment): TcpSock | undefined {
  const { env } = cx;
  env.trace('tcp_v4_syn_recv_sock', seg.skb);
  if (acceptQueueFull(req.listener)) {
    env.mib.inc('TcpExtListenOverflows');
    env.mib.inc('TcpExtListenDrops');
    if (cx.sysctl.tcpAbortOnOverflow) {
      embryonicReset(cx, req, seg, 0);
      return undefined;
    }
    // As if the ACK had been lost: the peer's data or our SYN-ACK will bring it again.
    req.acked = true;
    env.drop(seg.skb, 'SOCKET_BACKLOG');
    return undefined;
  }
  const child = makeChild(cx, req, seg);
  dropRequest(cx, req);
  cx.ehash.add(child);
  env.trace('inet_csk_complete_hashdance', seg.skb);
  const { listener } = req;
  listener.ackBacklog++;
  listener.children?.add(child);
  env.trace('inet_csk_reqsk_queue_add', seg.skb);
  return child;
}

function outOfWindow(cx: TcpContext, req: RequestSock, seg: Segment, paws: boolean): void {
  const { env } = cx;
  if ((seg.flags & TCP_RST) === 0 && !oowRateLimited(cx, seg, req, 'TcpExtTCPACKSkippedSynRecv')) {
    replyAck(cx, seg, {
      seq32: (req.iss32 + 1) >>> 0,
      ack32: (req.irs32 + 1) >>> 0,
      window: Math.min(req.rcvWnd >>> req.rcvWscale, 65_535),
      ts: req.tsOk ? { val: cx.tsNow(req.tsOffset), ecr: req.tsRecent } : undefined,
      tos: req.listener.tos,
      ttl: req.listener.ttl,
    });
  }
  if (paws) env.mib.inc('TcpExtPAWSEstab');
  env.drop(seg.skb, paws ? 'TCP_RFC7323_PAWS' : 'TCP_OVERWINDOW');
}

function embryonicReset(cx: TcpContext, req: RequestSock, seg: Segment, flags: number): void {
  const { env } = cx;
  env.mib.inc('TcpAttemptFails');
  env.mib.inc('TcpExtEmbryonicRsts');
  if ((flags & TCP_RST) === 0) sendReset(cx, seg);
  dropRequest(cx, req);
  env.drop(seg.skb, (flags & TCP_RST) !== 0 ? 'TCP_RESET' : 'TCP_INVALID_SYN');
}
