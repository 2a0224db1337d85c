import { NEVER, TCP_LISTEN } from '@skbus/skb';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, type TcpOptions } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import { ecnCreateRequest, ecnSynAckFlags } from './ecn.ts';
import { sendReset } from './reply.ts';
import { RequestSock } from './request.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { TCP_MAX_WSCALE, TCP_MSS_DEFAULT, TCP_TIMEOUT_INIT_MS } from './sysctl.ts';
import { selectInitialWindow } from './window.ts';

/** A segment for a listener (RFC 9293 3.10.7.2). Ends the skb. `isn` ≠ 0: what a TIME-WAIT wants the new one to start with. */
export function rcvListen(cx: TcpContext, sk: TcpSock, seg: Segment, isn: number): void {
  const { env } = cx;
  if ((seg.flags & TCP_RST) !== 0) {
    env.drop(seg.skb, 'TCP_RESET');
  } else if (seg.hasAck) {
    sendReset(cx, seg);
    env.drop(seg.skb, 'TCP_FLAGS');
  } else if (!seg.syn || (seg.flags & TCP_FIN) !== 0 || seg.auth) {
    env.drop(seg.skb, 'TCP_FLAGS');
  } else {
    env.trace('tcp_v4_conn_request', seg.skb);
    connRequest(cx, sk, seg, isn);
  }
}

/** sk_acceptq_is_full() */
export const acceptQueueFull = (sk: TcpSock): boolean => sk.ackBacklog > sk.backlog;

/** tcp_conn_request(): a SYN becomes a request and is answered. */
function connRequest(cx: TcpContext, sk: TcpSock, seg: Segment, isn: number): void {
  const { env, sysctl } = cx;
  env.trace('tcp_conn_request', seg.skb);
  const queueFull = sk.reqCount >= Math.max(sk.backlog, 1) || sk.reqCount >= sysctl.tcpMaxSynBacklog;
  if (queueFull || acceptQueueFull(sk)) {
    env.mib.inc(queueFull ? 'TcpExtTCPReqQFullDrop' : 'TcpExtListenOverflows');
    env.mib.inc('TcpExtListenDrops');
    env.drop(seg.skb, 'SOCKET_BACKLOG');
    return;
  }
  env.trace('inet_reqsk_alloc', seg.skb);
  const req = openRequest(cx, sk, seg);
  req.iss32 = isn !== 0 ? isn : cx.secrets.isn(req.laddr, req.raddr, req.lport, req.rport, cx.now);
  env.trace('inet_csk_reqsk_queue_hash_add', seg.skb);
  cx.ehash.add(req);
  sk.reqCount++;
  sk.requests?.add(req);
  req.dueMs = cx.now + TCP_TIMEOUT_INIT_MS;
  cx.timers.touch(req);
  req.synAckMs = cx.now;
  sendSynAck(cx, req);
  env.consume(seg.skb);
}

/** tcp_v4_send_synack() */
export function sendSynAck(cx: TcpContext, req: RequestSock): void {
  const { env, out } = cx;
  env.trace('tcp_v4_send_synack');
  env.trace('tcp_make_synack');
  out.saddr = req.laddr;
  out.daddr = req.raddr;
  out.sport = req.lport;
  out.dport = req.rport;
  out.seq32 = req.iss32;
  out.ack32 = (req.irs32 + 1) >>> 0;
  out.flags = TCP_SYN | TCP_ACK | ecnSynAckFlags(req.ecnOk);
  out.window = Math.min(req.rcvWnd, 65_535);
  out.tos = req.listener.tos;
  out.ttl = req.listener.ttl;
  out.oif = 0;
  out.mss = 0;
  out.hasTs = false;
  const o: TcpOptions = { mss: req.advMss };
  if (req.tsOk) {
    o.tsVal = cx.tsNow(req.tsOffset);
    o.tsEcr = req.tsRecent;
  }
  if (req.wscaleOk) o.wscale = req.rcvWscale;
  if (req.sackOk) o.sackPermitted = true;
  out.options = o;
  const skb = out.build(env, cx.now, 0);
  skb.confirm = false;
  env.mib.inc('TcpOutSegs');
  env.trace('ip_build_and_send_pkt', skb);
  env.pass('ip_queue_xmit', skb);
}

/** tcp_rtx_synack() */
export function rtxSynAck(cx: TcpContext, req: RequestSock): void {
  cx.env.trace('tcp_rtx_synack');
  sendSynAck(cx, req);
  req.retrans++;
  cx.env.mib.inc('TcpRetransSegs');
  cx.env.mib.inc('TcpExtTCPSynRetrans');
}

/** reqsk_timer_handler(): the SYN-ACK again, twice as long each time, until tcp_synack_retries. */
export function requestTimer(cx: TcpContext, req: RequestSock): void {
  cx.env.trace('reqsk_timer_handler');
  const most = req.listener.synCnt || cx.sysctl.tcpSynackRetries;
  if (req.listener.state !== TCP_LISTEN || req.timeouts >= most) {
    dropRequest(cx, req);
    return;
  }
  if (!req.acked || !acceptQueueFull(req.listener)) rtxSynAck(cx, req);
  req.timeouts++;
  req.dueMs = cx.now + Math.min(TCP_TIMEOUT_INIT_MS * 2 ** req.timeouts, 120_000);
  cx.timers.touch(req);
}

/** inet_csk_reqsk_queue_drop() */
export function dropRequest(cx: TcpContext, req: RequestSock): void {
  req.dueMs = NEVER;
  cx.timers.remove(req);
  cx.ehash.remove(req);
  if (req.listener.requests?.delete(req) === true) req.listener.reqCount--;
}

/** tcp_openreq_init(), tcp_v4_init_req() and tcp_openreq_init_rwin() */
function openRequest(cx: TcpContext, sk: TcpSock, seg: Segment): RequestSock {
  const { sysctl } = cx;
  const req = new RequestSock(sk);
  req.laddr = seg.daddr;
  req.lport = seg.dport;
  req.raddr = seg.saddr;
  req.rport = seg.sport;
  req.irs32 = seg.seq32;
  req.mtu = seg.skb.rtMtu > 0 ? seg.skb.rtMtu : (cx.routes.peek(seg.saddr, seg.daddr)?.mtu ?? 1500);
  req.peerMss = seg.mss > 0 ? seg.mss : TCP_MSS_DEFAULT;
  if (sk.userMss > 0) req.peerMss = Math.min(req.peerMss, sk.userMss);
  req.advMss = sk.userMss > 0 ? Math.min(req.mtu - 40, sk.userMss) : req.mtu - 40;
  req.tsOk = seg.hasTs && sysctl.tcpTimestamps;
  req.tsRecent = req.tsOk ? seg.tsVal : 0;
  req.tsOffset = cx.secrets.tsOffset(req.laddr, req.raddr);
  req.sackOk = seg.sackPermitted && sysctl.tcpSack;
  ecnCreateRequest(cx, req, seg);
  req.wscaleOk = seg.wscale >= 0 && sysctl.tcpWindowScaling;
  req.sndWscale = req.wscaleOk ? Math.min(seg.wscale, TCP_MAX_WSCALE) : 0;
  const mss = req.advMss - (req.tsOk ? 12 : 0);
  const w = selectInitialWindow(cx, sk.rcvbuf, sk.rcvbufLocked, sk.windowClamp, mss, req.wscaleOk);
  req.rcvWnd = w.wnd;
  req.rcvWscale = w.wscale;
  return req;
}
