import { type DropReason, formatIpv4 } from '@skbus/skb';
import { TCP_FIN, TCP_RST } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import { ecnCreateRequest } from './ecn.ts';
import { tryFastOpen } from './fastopen-server.ts';
import { requestRecord } from './loose-records.ts';
import { sendReset } from './reply.ts';
import { rcvWindow, RequestSock } from './request.ts';
import { acceptQueueFull, hashRequest, reqskQueue, reqskQueueFull } from './reqsk-queue.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { reqskQueueAdd, synRecvSock } from './syn-recv-sock.ts';
import { sendSynAck } from './synack.ts';
import { cookieCheck, cookieInitSequence, cookieTimestamp } from './syncookies.ts';
import { TCP_MAX_WSCALE, TCP_MSS_DEFAULT } from './sysctl.ts';

/**
 * A segment for a listener (RFC 9293 3.10.7.2). Ends the skb, or returns the child that it made and is to go on to.
 * `isn` ≠ 0: what a TIME-WAIT wants the new connection to start with.
 */
export function rcvListen(cx: TcpContext, sk: TcpSock, seg: Segment, isn: number): TcpSock | undefined {
  const { env } = cx;
  if (!seg.syn && seg.hasAck && (seg.flags & TCP_RST) === 0) {
    const req = cookieCheck(cx, sk, seg);
    if (req !== undefined) return cookieSock(cx, req, seg);
  }
  env.trace('tcp_rcv_state_process', seg.skb);
  if (seg.hasAck) {
    sendReset(cx, seg);
    env.drop(seg.skb, 'TCP_FLAGS');
  } else if ((seg.flags & TCP_RST) !== 0) {
    env.drop(seg.skb, 'TCP_RESET');
  } else if (!seg.syn || (seg.flags & TCP_FIN) !== 0) {
    env.drop(seg.skb, 'TCP_FLAGS');
  } else {
    env.trace('tcp_v4_conn_request', seg.skb);
    connRequest(cx, sk, seg, isn);
  }
  return undefined;
}

/** tcp_get_cookie_sock(): the ACK of a SYN cookie is all there ever was of the request. */
function cookieSock(cx: TcpContext, req: RequestSock, seg: Segment): TcpSock | undefined {
  const child = synRecvSock(cx, req, seg);
  if (child === undefined) cx.env.drop(seg.skb, 'NO_SOCKET');
  else reqskQueueAdd(cx, req.listener, child, seg);
  return child;
}

/** tcp_conn_request(): a SYN becomes a request and is answered; when there are too many, only answered. */
function connRequest(cx: TcpContext, sk: TcpSock, seg: Segment, isn: number): void {
  const { env, sysctl } = cx;
  env.trace('tcp_conn_request', seg.skb);
  // What a TIME-WAIT lets in is an evidently real peer, so it needs no cookie.
  const wantCookie = isn === 0 && (sysctl.tcpSyncookies === 2 || reqskQueueFull(sk));
  if (wantCookie && !synFloodAction(cx, sk)) {
    listenDrop(cx, seg);
    return;
  }
  if (acceptQueueFull(sk)) {
    env.mib.inc('TcpExtListenOverflows');
    listenDrop(cx, seg);
    return;
  }
  if (env.fails('inet_reqsk_alloc', seg.skb)) {
    listenDrop(cx, seg, 'NOMEM');
    return;
  }
  const req = openRequest(cx, sk, seg, wantCookie);
  if (!wantCookie && isn === 0 && lastQuarter(cx, sk)) {
    listenDrop(cx, seg);
    return;
  }
  ecnCreateRequest(cx, req, seg);
  if (wantCookie) {
    if (!req.tsOk) {
      req.ecnOk = false;
      req.accecn = undefined;
    }
    req.iss32 = cookieInitSequence(cx, req, seg);
    sendSynAck(cx, req, cookieTimestamp(cx, req));
    env.consume(seg.skb);
    return;
  }
  req.iss32 = isn !== 0 ? isn : cx.secrets.isn(req.laddr, req.raddr, req.lport, req.rport, cx.now);
  recordSyn(req, seg);
  if (tryFastOpen(cx, req, seg) !== undefined) return;
  env.trace('inet_csk_reqsk_queue_hash_add', seg.skb);
  hashRequest(cx, req);
  requestRecord(cx, req);
  req.synAckMs = cx.now;
  sendSynAck(cx, req);
  env.consume(seg.skb);
}

/** tcp_syn_flood_action(): whether a full queue is met with cookies, and a warning, once. */
function synFloodAction(cx: TcpContext, sk: TcpSock): boolean {
  const { env, sysctl } = cx;
  const q = reqskQueue(sk);
  const cookies = sysctl.tcpSyncookies !== 0;
  env.trace('tcp_syn_flood_action');
  env.mib.inc(cookies ? 'TcpExtTCPReqQFullDoCookies' : 'TcpExtTCPReqQFullDrop');
  if (!q.floodWarned && sysctl.tcpSyncookies !== 2) {
    q.floodWarned = true;
    const what = cookies ? 'Sending cookies' : 'Dropping request';
    env.printk(`TCP: request_sock_TCP: Possible SYN flooding on port ${formatIpv4(sk.laddr)}:${sk.lport}. ${what}.`);
  }
  return cookies;
}

/** Without cookies, the last quarter of tcp_max_syn_backlog is kept for peers known from before; we remember none. */
function lastQuarter(cx: TcpContext, sk: TcpSock): boolean {
  const { tcpMaxSynBacklog, tcpSyncookies } = cx.sysctl;
  return tcpSyncookies === 0 && tcpMaxSynBacklog - sk.reqCount < tcpMaxSynBacklog >> 2;
}

/** tcp_listendrop() */
function listenDrop(cx: TcpContext, seg: Segment, reason: DropReason = 'SOCKET_BACKLOG'): void {
  cx.env.mib.inc('TcpExtListenDrops');
  cx.env.drop(seg.skb, reason);
}

/** tcp_openreq_init(). A cookie without timestamps cannot hold any option but the MSS. */
function openRequest(cx: TcpContext, sk: TcpSock, seg: Segment, wantCookie: boolean): RequestSock {
  const { sysctl } = cx;
  const req = new RequestSock(sk);
  req.take(cx, seg);
  req.irs32 = seg.seq32;
  req.ack32 = (seg.seq32 + 1) >>> 0;
  req.peerMss = seg.mss > 0 ? seg.mss : TCP_MSS_DEFAULT;
  if (sk.userMss > 0) req.peerMss = Math.min(req.peerMss, sk.userMss);
  req.tsOk = seg.hasTs && sysctl.tcpTimestamps;
  req.tsRecent = req.tsOk ? seg.tsVal : 0;
  const options = !wantCookie || req.tsOk;
  req.sackOk = options && seg.sackPermitted && sysctl.tcpSack;
  req.wscaleOk = options && seg.wscale >= 0 && sysctl.tcpWindowScaling;
  req.sndWscale = req.wscaleOk ? Math.min(seg.wscale, TCP_MAX_WSCALE) : 0;
  rcvWindow(cx, req, req.advMss - (req.tsOk ? 12 : 0));
  return req;
}

/** tcp_reqsk_record_syn() */
function recordSyn(req: RequestSock, seg: Segment): void {
  const save = req.listener.reqskQueue?.saveSyn ?? 0;
  if (save === 0) return;
  const { skb } = seg;
  const from = save === 2 && skb.macHeader >= 0 ? skb.macHeader : skb.networkHeader;
  req.savedSyn = skb.buf.slice(from, skb.data + seg.hlen);
}
