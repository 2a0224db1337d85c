import { TCP_SYN } from '@skbus/wire';
import { childEstablished } from './child.ts';
import type { TcpContext } from './context.ts';
import { queueInOrder } from './data-queue.ts';
import { enterLoss } from './enter-loss.ts';
import { FastOpen, type FastOpenKeys, TFO_SERVER_COOKIE_NOT_REQD, TFO_SERVER_ENABLE } from './fastopen.ts';
import type { RequestSock } from './request.ts';
import { fastOpenRemove, requestTimeoutMs, reqskQueue } from './reqsk-queue.ts';
import { clearXmit, rearmRto } from './rto-arm.ts';
import type { Segment } from './segment.ts';
import { toWire } from './sequence.ts';
import { updateRtoStats, updateRtoTime } from './rto-stats.ts';
import type { TcpSock } from './sock.ts';
import { reqskQueueAdd, synRecvSock } from './syn-recv-sock.ts';
import { rtxSynAck, sendSynAck } from './synack.ts';
import { setTimer, stopTimer, Timer } from './timers.ts';
import { initTransfer } from './transfer.ts';
import { recordChanged } from './views.ts';
import { writeErr } from './write-err.ts';

/**
 * The server's side of Fast Open (RFC 7413 4.2.2): a SYN with a cookie of ours makes the connection at once, and its data
 * goes up before the handshake is done.
 */

/** How long the SYN-ACK waits for the socket layer to confirm the data, so that it can acknowledge it. */
const CONFIRM_WAIT_MS = 10;

/** tcp_try_fastopen(): the child, if this SYN opens one; else what the SYN-ACK says is in `req`. */
export function tryFastOpen(cx: TcpContext, req: RequestSock, seg: Segment): TcpSock | undefined {
  const { mib } = cx.env;
  const { listener } = req;
  const { fastOpen } = seg;
  if (fastOpen?.length === 0) mib.inc('TcpExtTCPFastOpenCookieReqd');
  const bits = cx.sysctl.tcpFastopen;
  if ((bits & TFO_SERVER_ENABLE) === 0 || (seg.len === 0 && fastOpen === undefined)) return undefined;
  if (!queueCheck(cx, listener)) return undefined;
  const free = (bits & TFO_SERVER_COOKIE_NOT_REQD) !== 0 || listener.fastopenNoCookie;
  const keys: FastOpenKeys = listener.reqskQueue?.fastopenKeys ?? cx.fastopen.keys;
  let verdict = 1;
  if (!free) {
    if (fastOpen === undefined) return undefined;
    verdict = fastOpen.length === 0 ? 0 : keys.check(req.raddr, req.laddr, fastOpen);
  }
  if (verdict !== 0) {
    const child = createChild(cx, req, seg);
    if (child !== undefined) {
      mib.inc(verdict === 2 ? 'TcpExtTCPFastOpenPassiveAltKey' : 'TcpExtTCPFastOpenPassive');
      if (verdict === 2) {
        mib.inc('TcpExtTCPFastOpenPassive');
        offerCookie(req, keys, seg);
      }
      return child;
    }
  }
  if (verdict !== 0 || fastOpen!.length > 0) mib.inc('TcpExtTCPFastOpenPassiveFail');
  if (fastOpen !== undefined) offerCookie(req, keys, seg);
  return undefined;
}

function offerCookie(req: RequestSock, keys: FastOpenKeys, seg: Segment): void {
  req.fastOpen = { cookie: keys.cookie(req.raddr, req.laddr), exp: seg.fastOpenExp };
}

/** tcp_fastopen_queue_check(): the number of such connections whose handshake is not done is bounded (RFC 7413 5.1). */
function queueCheck(cx: TcpContext, listener: TcpSock): boolean {
  const q = listener.reqskQueue;
  if (q === undefined || q.fastopenMax === 0) return false;
  if (q.fastopenLen < q.fastopenMax) return true;
  const oldest = q.fastopenResets[0];
  if (oldest === undefined || oldest > cx.now) {
    cx.env.mib.inc('TcpExtTCPFastOpenListenOverflow');
    return false;
  }
  q.fastopenResets.shift();
  q.fastopenLen--;
  return true;
}

/** tcp_fastopen_create_child(). Ends the skb if there is a child. */
function createChild(cx: TcpContext, req: RequestSock, seg: Segment): TcpSock | undefined {
  cx.env.trace('tcp_fastopen_create_child', seg.skb);
  req.synAckMs = -1;
  const sk = synRecvSock(cx, req, seg);
  if (sk === undefined) return undefined;
  reqskQueue(req.listener).fastopenLen++;
  const fo = new FastOpen();
  sk.fastopen = fo;
  sk.sndWnd = sk.maxWindow = seg.window; // RFC 7323 2.2: not scaled in a SYN
  reqskQueueAdd(cx, req.listener, sk, seg);
  initTransfer(cx, sk);
  fo.req = req;
  fo.synDataAcked = seg.len > 0;
  childEstablished(cx, sk);
  seg.flags &= ~TCP_SYN;
  seg.seq = 1;
  seg.endSeq = 1 + seg.len;
  if (seg.len > 0) queueInOrder(cx, sk, seg);
  else cx.env.consume(seg.skb);
  stopTimer(sk, Timer.DelAck);
  sk.ackNow = false;
  setTimer(sk, Timer.Retrans, cx.now + CONFIRM_WAIT_MS);
  cx.timers.touch(sk);
  cx.touch(sk);
  return sk;
}

/** Whether everything waits for the SYN-ACK, which in turn waits for the data of the SYN to be confirmed. */
export function synAckPending(cx: TcpContext, sk: TcpSock): boolean {
  const fo = sk.fastopen;
  if (fo?.req === undefined || fo.synAckSent) return false;
  if (sk.rcvAck < sk.rcvNxt && !sk.orphan) return true;
  firstSynAck(cx, sk, fo, fo.req);
  return false;
}

function firstSynAck(cx: TcpContext, sk: TcpSock, fo: FastOpen, req: RequestSock): void {
  fo.synAckSent = true;
  req.ack32 = toWire(sk.irs, sk.rcvAck);
  req.synAckMs = cx.now;
  sendSynAck(cx, req);
  sk.rcvWup = sk.rcvAck;
  sk.ackPending = sk.rcvAck < sk.rcvNxt;
  sk.ackNow = false;
  stopTimer(sk, Timer.DelAck);
  setTimer(sk, Timer.Retrans, cx.now + requestTimeoutMs(req));
  cx.timers.touch(sk);
  cx.touch(sk);
}

/** tcp_fastopen_synack_timer(): until the handshake is done nothing but the SYN-ACK is retransmitted. */
export function fastOpenTimer(cx: TcpContext, sk: TcpSock, fo: FastOpen, req: RequestSock): void {
  if (!fo.synAckSent) {
    firstSynAck(cx, sk, fo, req);
    return;
  }
  cx.env.mib.inc('TcpExtTCPTimeouts');
  const most = sk.synCnt || cx.sysctl.tcpSynackRetries + 1;
  if (req.timeouts >= most) {
    writeErr(cx, sk);
    return;
  }
  if (sk.retransmits === 1) enterLoss(cx, sk);
  req.ack32 = toWire(sk.irs, sk.rcvAck);
  rtxSynAck(cx, req);
  sk.totalRetrans++;
  req.timeouts++;
  updateRtoStats(cx, sk);
  if (sk.retransStampMs === 0) sk.retransStampMs = cx.now;
  setTimer(sk, Timer.Retrans, cx.now + requestTimeoutMs(req));
  cx.timers.touch(sk);
}

/** tcp_rcv_synrecv_state_fastopen(): the ACK of our SYN-ACK is here. */
export function fastOpenAcked(cx: TcpContext, sk: TcpSock): void {
  const req = sk.fastopen?.req;
  if (req === undefined) return;
  if (sk.rtt.srttMs === 0 && req.retrans === 0 && req.synAckMs >= 0)
    sk.rtt.sample(cx.now - req.synAckMs, sk.sndUna, sk.sndNxt, cx.sysctl.tcpRtoMinUs / 1000);
  updateRtoTime(cx, sk);
  sk.retransmits = 0;
  sk.retransStampMs = 0;
  fastOpenRemove(sk);
  recordChanged(cx, sk);
  clearXmit(sk);
  rearmRto(cx, sk);
}
