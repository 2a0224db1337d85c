import { TCP_LISTEN, TCP_SYN_RECV } from '@skbus/skb';
import { accEcnChild } from './accecn.ts';
import { updateRttMin } from './clean-rtx.ts';
import type { TcpContext } from './context.ts';
import { ECN_OK } from './ecn.ts';
import { takePort } from './port-select.ts';
import type { RequestSock } from './request.ts';
import type { Segment } from './segment.ts';
import { inheritRtoStats } from './rto-stats.ts';
import type { TcpSock } from './sock.ts';
import { storeState } from './state.ts';
import { initRcvMss } from './transfer.ts';
import { syncMss } from './transmit.ts';
import { emitView } from './views.ts';

/** tcp_create_openreq_child(): a copy of the listener with what the handshake agreed. */
export function makeChild(cx: TcpContext, req: RequestSock, seg: Segment): TcpSock {
  cx.env.trace('tcp_create_openreq_child', seg.skb);
  const sk = cx.newSock(req.id || cx.nextChildId());
  cx.socks.add(sk);
  inheritOptions(sk, req.listener);
  sk.listener = req.listener;
  sk.owner = req.listener.owner;
  sk.detached = req.listener.detached;
  sk.savedSyn = req.savedSyn;
  sk.recordSeq = 1;
  sk.haveChild = false;
  sk.accepted = false;
  sk.laddr = req.laddr;
  sk.boundAddr = req.laddr;
  sk.raddr = req.raddr;
  sk.rport = req.rport;
  takePort(cx, sk, req.lport);
  sk.iss = req.iss32;
  sk.irs = req.irs32;
  sk.sndUna = sk.sndNxt = sk.sndSml = 1;
  sk.rcvNxt = sk.rcvAck = sk.rcvWup = sk.rcvRead = 1;
  sk.rcvAdv = 1 + req.rcvWnd;
  sk.rcvSsthresh = req.rcvWnd;
  sk.rcvWscale = req.rcvWscale;
  sk.sndWscale = req.sndWscale;
  sk.wscaleOk = req.wscaleOk;
  sk.sackOk = req.sackOk;
  if (req.ecnOk) sk.ecnFlags = ECN_OK;
  if (req.accecn !== undefined) accEcnChild(cx, sk, req.accecn, seg);
  sk.tsOk = req.tsOk;
  sk.tsOffset = req.tsOffset;
  sk.tsRecent = req.tsRecent;
  sk.tsRecentMs = req.tsOk ? cx.now : sk.tsRecentMs;
  sk.advMss = req.advMss - (req.tsOk ? 12 : 0);
  sk.mssClamp = req.peerMss;
  syncMss(cx, sk, req.mtu);
  initRcvMss(sk);
  sk.totalRetrans = req.retrans;
  inheritRtoStats(sk, req.timeouts, cx.now - Math.max(0, req.synAckMs));
  // tcp_synack_rtt_meas(), by Karn's rule
  if (req.retrans === 0 && req.synAckMs >= 0) {
    const rttMs = cx.now - req.synAckMs;
    updateRttMin(cx, sk, rttMs, 0);
    sk.rtt.sample(rttMs, sk.sndUna, sk.sndNxt, cx.sysctl.tcpRtoMinUs / 1000);
  }
  sk.state = TCP_LISTEN; // as cloned; inet_csk_clone_lock() changes it
  storeState(cx, sk, TCP_SYN_RECV);
  cx.env.mib.inc('TcpPassiveOpens');
  return sk;
}

/**
 * The new connection is announced, before any of its data, until the socket layer has it in an accept queue
 * (parent->sk_data_ready).
 */
export function childEstablished(cx: TcpContext, sk: TcpSock): void {
  emitView(cx, sk);
}

/** sk_clone_lock() copies these. */
function inheritOptions(sk: TcpSock, from: TcpSock): void {
  sk.reuseAddr = from.reuseAddr;
  sk.reusePort = from.reusePort;
  sk.nodelay = from.nodelay;
  sk.cork = from.cork;
  sk.keepalive = from.keepalive;
  sk.keepIdleMs = from.keepIdleMs;
  sk.keepIntvlMs = from.keepIntvlMs;
  sk.keepCnt = from.keepCnt;
  sk.userTimeoutMs = from.userTimeoutMs;
  sk.linger2Ms = from.linger2Ms;
  sk.userMss = from.userMss;
  sk.notsentLowat = from.notsentLowat;
  sk.maxPacingRate = from.maxPacingRate;
  sk.pacing = from.maxPacingRate !== Number.POSITIVE_INFINITY;
  sk.windowClamp = from.windowClamp;
  sk.tos = from.tos;
  sk.pmtuDisc = from.pmtuDisc;
  sk.recvErr = from.recvErr;
  sk.priority = from.priority;
  sk.mark = from.mark;
  sk.thinLto = from.thinLto;
  sk.rcvLowat = from.rcvLowat;
  sk.ttl = from.ttl;
  sk.rcvbuf = from.rcvbuf;
  sk.sndbuf = from.sndbuf;
  sk.rcvbufLocked = from.rcvbufLocked;
  sk.sndbufLocked = from.sndbufLocked;
  sk.ccChosen = from.ccChosen;
  if (from.ccChosen) sk.cc = from.cc;
}
