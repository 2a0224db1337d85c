import {
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  type SkRestore,
  type SkView,
} from '@skbus/skb';
import { TCP_ACK, TCP_SYN } from '@skbus/wire';
import { orphan } from './close.ts';
import { findCongestionControl } from './cong/registry.ts';
import { connectInit } from './connect.ts';
import type { TcpContext } from './context.ts';
import { ECN_OK, ecnSendSyn, ecnSendSynAck } from './ecn.ts';
import { FastOpen } from './fastopen.ts';
import { takePort } from './port-select.ts';
import type { ConnRecord } from './record.ts';
import { requestOf, restoredAccEcn } from './restore-loose.ts';
import { acceptQueueAdd } from './syn-recv-sock.ts';
import { rtxQueueAdd } from './new-data.ts';
import { rearmRto } from './rto-arm.ts';
import { makeRec } from './rtx-queue.ts';
import type { TcpSock } from './sock.ts';
import { rtxSynAck } from './synack.ts';
import { TCP_MSS_DEFAULT, TCP_TIMEOUT_INIT_MS } from './sysctl.ts';
import { setTimer, Timer } from './timers.ts';
import { initRcvMss, initTransfer } from './transfer.ts';
import { syncMss, transmit } from './transmit.ts';
import { windowFromSpace } from './window.ts';

const RCV_SHUTDOWN = 1;
const SEND_SHUTDOWN = 2;
const U16_MAX = 65_535;

/** A child that the socket layer has not handed to accept() yet counts in its listener's backlog. */
export function acceptLater(cx: TcpContext, sk: TcpSock, r: SkRestore, accepted: boolean): void {
  const listener = accepted ? undefined : cx.socks.get(r.listener ?? 0);
  if (listener === undefined) return;
  sk.listener = listener;
  sk.accepted = false;
  acceptQueueAdd(listener, sk);
}

/**
 * A connection goes on where the socket layer knows it to be: it has confirmed all that the peer was told to be received, and
 * what it has not heard to be acknowledged it sends again. How far a TCP before us had sent is not known; an ACK may tell
 * (sent-before.ts). The peer is asked at once, as a kernel does when TCP_REPAIR ends (tcp_send_window_probe).
 */
export function restoreConn(cx: TcpContext, sk: TcpSock, r: SkRestore, c: ConnRecord, view: SkView | undefined): void {
  agreed(cx, sk, c);
  if (c.state === TCP_SYN_SENT) {
    restoreSynSent(cx, sk, r, c);
    return;
  }
  sendSpace(sk, r, view);
  receiveSpace(cx, sk, c, view);
  if (c.state === TCP_SYN_RECV) restoreSynRecv(cx, sk, c);
  else restoreSynchronized(cx, sk, r, c);
  if (r.closed) orphan(cx, sk);
}

function restoreSynchronized(cx: TcpContext, sk: TcpSock, r: SkRestore, c: ConnRecord): void {
  syncMss(cx, sk, c.mtu);
  initRcvMss(sk);
  if (c.srttMs > 0) sk.rtt.sample(c.srttMs, sk.sndUna, sk.sndNxt, cx.sysctl.tcpRtoMinUs / 1000);
  const { rcvSsthresh } = sk;
  initTransfer(cx, sk);
  if (sk.windowClamp < rcvSsthresh) sk.windowClamp = rcvSsthresh;
  sk.rcvSsthresh = rcvSsthresh;
  sk.lastRcvMs = sk.lastAckMs = cx.now;
  // one segment may go before the window is known
  sk.sndWnd = sk.mssCache;
  enterState(cx, sk, r);
  // what is left to be sent asks, too; a second answer would come when all is over
  if (sk.state !== TCP_LAST_ACK && sk.state !== TCP_CLOSING) askPeer(cx, sk);
  cx.touch(sk);
}

/**
 * What the socket layer had confirmed and the dead process not yet acknowledged makes a peer that backs off send at once, if this
 * is the number it expects. Then a segment from before its window: it answers with its own ACK and window.
 */
function askPeer(cx: TcpContext, sk: TcpSock): void {
  transmit(cx, sk, sk.sndUna, 0, TCP_ACK);
  transmit(cx, sk, sk.sndUna - 1, 0, TCP_ACK);
}

/** What both sides agreed on, and its place in the tables. */
function agreed(cx: TcpContext, sk: TcpSock, c: ConnRecord): void {
  sk.laddr = c.laddr;
  sk.raddr = c.raddr;
  sk.rport = c.rport;
  sk.boundAddr = c.boundAddr ? c.laddr : 0;
  sk.explicitPort = c.explicitPort;
  takePort(cx, sk, c.lport);
  cx.ehash.add(sk);
  sk.iss = c.iss;
  sk.irs = c.irs;
  sk.tsOk = c.tsOk;
  sk.tsOffset = c.tsOffset;
  sk.sackOk = c.sackOk;
  sk.wscaleOk = c.wscaleOk;
  sk.sndWscale = c.sndWscale;
  sk.rcvWscale = c.rcvWscale;
  sk.mssClamp = c.mssClamp;
  sk.advMss = c.advMss;
  sk.mtu = c.mtu;
  if (!sk.ccChosen) sk.cc = findCongestionControl(c.congestion) ?? sk.cc;
  if (c.ecnOk) sk.ecnFlags = ECN_OK;
  if (c.accEcn) sk.accecn = restoredAccEcn(cx, c);
}

function sendSpace(sk: TcpSock, r: SkRestore, view: SkView | undefined): void {
  sk.skipTo(r.sndUna);
  sk.sndTo = view?.sndTo ?? r.sndMax;
  sk.sndUna = sk.sndNxt = sk.sndSml = sk.sndTail;
  sk.pushedSeq = sk.sndUna;
  sk.bytesAcked = sk.sndTail - 1;
  sk.maxWindow = U16_MAX;
  sk.sentBefore = 1 + Math.max(r.sndMax, r.sndUna);
  if ((r.shutdown & SEND_SHUTDOWN) !== 0 || r.closed) {
    sk.sndShutdown = true;
    sk.finAt = 1 + sk.sndTo;
    sk.sentBefore = sk.finAt + 1;
    if (r.finAcked) {
      sk.skipTo(sk.sndTo);
      sk.finAcked = true;
      sk.sndUna = sk.sndNxt = sk.sentBefore;
    }
  }
  if (!sk.sndbufLocked) sk.sndbuf = Math.max(sk.sndbuf, r.sndbuf);
}

/** The peer may have been promised all of the buffer, and what was promised is kept. */
function receiveSpace(cx: TcpContext, sk: TcpSock, c: ConnRecord, view: SkView | undefined): void {
  const got = view?.rcvGot ?? 0;
  sk.rcvNxt = 1 + got;
  sk.rcvRead = 1 + Math.min(view?.rcvRead ?? 0, got);
  if (view?.finGot === true) {
    sk.finRcvdAt = sk.rcvNxt++;
    sk.finConfirmed = true;
    sk.rcvShutdown = true;
  }
  sk.rcvAck = sk.rcvWup = sk.rcvNxt;
  sk.bytesReceived = got;
  if (!sk.rcvbufLocked) sk.rcvbuf = Math.max(sk.rcvbuf, Math.min(c.rcvbuf, cx.sysctl.tcpRmem[2]));
  const most = windowFromSpace(sk.rcvbuf);
  sk.rcvSsthresh = sk.windowClamp > 0 ? Math.min(sk.windowClamp, most) : most;
  sk.rcvAdv = Math.max(sk.rcvNxt, sk.rcvRead + Math.min(sk.rcvSsthresh, U16_MAX * 2 ** sk.rcvWscale));
}

/** Which of the synchronized states it is in follows from the two FINs; of two that crossed, from what was told of it. */
function enterState(cx: TcpContext, sk: TcpSock, r: SkRestore): void {
  const peerFirst = r.state === TCP_CLOSE_WAIT || r.state === TCP_LAST_ACK;
  const peerClosed = sk.finRcvdAt >= 0;
  if (sk.finAt < 0) {
    sk.state = peerClosed ? TCP_CLOSE_WAIT : TCP_ESTABLISHED;
    cx.currEstab++;
    cx.env.mib.set('TcpCurrEstab', cx.currEstab);
  } else if (peerClosed) {
    sk.state = peerFirst ? TCP_LAST_ACK : TCP_CLOSING;
  } else {
    sk.state = sk.finAcked ? TCP_FIN_WAIT2 : TCP_FIN_WAIT1;
  }
  sk.rcvShutdown ||= (r.shutdown & RCV_SHUTDOWN) !== 0 || r.closed;
  if (r.urgAt !== undefined && r.urgAt > 0 && r.urgAt >= sk.rcvRead) {
    sk.urgent = { at: r.urgAt, byte: (r.urgByte ?? 0) - 1 };
  }
}

/** The SYN again, the same one: the peer answers with what it has answered before. */
function restoreSynSent(cx: TcpContext, sk: TcpSock, r: SkRestore, c: ConnRecord): void {
  connectInit(cx, sk, c.mtu);
  sk.state = TCP_SYN_SENT;
  sk.retransStampMs = c.synMs;
  sk.sentBefore = 1 + r.sndMax;
  const flags = TCP_SYN | ecnSendSyn(cx, sk);
  sendSyn(cx, sk, flags);
  sk.sndNxt = sk.sndSml = sk.sndTail;
}

function restoreSynRecv(cx: TcpContext, sk: TcpSock, c: ConnRecord): void {
  sk.state = TCP_SYN_RECV;
  syncMss(cx, sk, c.mtu);
  initRcvMss(sk);
  if (c.fastOpen) {
    restoreFastOpen(cx, sk, c);
    return;
  }
  // both sides called
  sk.sndUna = sk.sndNxt = 0;
  sendSyn(cx, sk, TCP_SYN | TCP_ACK | ecnSendSynAck(sk));
  sk.sndNxt = sk.sndSml = 1;
}

function sendSyn(cx: TcpContext, sk: TcpSock, flags: number): void {
  const syn = makeRec(0, 1, flags, TCP_MSS_DEFAULT);
  syn.sentMs = cx.now;
  syn.everRetrans = true;
  rtxQueueAdd(sk, syn);
  sk.packetsOut = 1;
  transmit(cx, sk, 0, 0, flags);
  rearmRto(cx, sk);
}

/** A child that is there before its handshake is done: its SYN-ACK goes again, with what the program has. */
function restoreFastOpen(cx: TcpContext, sk: TcpSock, c: ConnRecord): void {
  initTransfer(cx, sk);
  const req = requestOf(cx, sk.listener ?? sk, c);
  req.ack32 = (c.irs + sk.rcvAck) >>> 0;
  req.rcvWnd = Math.min(sk.rcvAdv - sk.rcvAck, U16_MAX);
  sk.sndWnd = sk.mssCache;
  sk.fastopen = new FastOpen();
  sk.fastopen.req = req;
  sk.fastopen.synAckSent = true;
  rtxSynAck(cx, req);
  setTimer(sk, Timer.Retrans, cx.now + TCP_TIMEOUT_INIT_MS);
  cx.timers.touch(sk);
}
