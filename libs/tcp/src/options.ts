import { TCP_CLOSE, TCP_LISTEN, type SkOptions } from '@skbus/skb';
import { setQuickAck } from './ack-output.ts';
import type { TcpContext } from './context.ts';
import { INET_ECN_MASK } from './ecn-field.ts';
import { FastOpenKeys } from './fastopen.ts';
import { armKeepalive, startKeepalive } from './keepalive.ts';
import { reqskQueue } from './reqsk-queue.ts';
import { setMaxPacingRate } from './pacing.ts';
import type { TcpSock } from './sock.ts';
import { stopTimer, Timer } from './timers.ts';
import { setCongestionControl } from './transfer.ts';
import { setWindowClamp, spaceFromWindow } from './window.ts';

/** setsockopt() as it reaches the protocol: values are checked in the socket layer; absent ones stay as they are. */
export function applyOptions(cx: TcpContext, sk: TcpSock, o: SkOptions): void {
  if (o.nodelay === true || (o.cork === false && sk.nodelay)) sk.nonaglePush = true;
  if (o.nodelay === true || o.cork === false) sk.more = false;
  copyPlain(sk, o);
  if (o.rcvbuf !== undefined) {
    sk.rcvbuf = Math.max(o.rcvbuf, 2304);
    sk.rcvbufLocked = true;
  }
  if (o.sndbuf !== undefined) {
    sk.sndbuf = Math.max(o.sndbuf, 4608);
    sk.sndbufLocked = true;
  }
  if (o.rcvLowat !== undefined) setRcvLowat(sk, o.rcvLowat);
  if (o.maxPacingRate !== undefined) setMaxPacingRate(sk, o.maxPacingRate || Number.POSITIVE_INFINITY);
  if (o.congestion !== undefined) setCongestionControl(cx, sk, o.congestion);
  if (o.quickack !== undefined) setQuickAck(cx, sk, Number(o.quickack));
  if (o.windowClamp !== undefined) setWindowClamp(sk, o.windowClamp);
  if (o.deferAccept !== undefined) reqskQueue(sk).deferAccept = o.deferAccept;
  if (o.fastopen !== undefined) reqskQueue(sk).fastopenMax = Math.min(o.fastopen, cx.sysctl.somaxconn);
  if (o.fastopenKey !== undefined) reqskQueue(sk).fastopenKeys = new FastOpenKeys(o.fastopenKey);
  if (o.fastopenNoCookie !== undefined) sk.fastopenNoCookie = o.fastopenNoCookie;
  if (o.saveSyn !== undefined) reqskQueue(sk).saveSyn = o.saveSyn;
  if (o.keepalive !== undefined || o.keepIdleMs !== undefined) applyKeepalive(cx, sk);
  cx.touch(sk); // less Nagle or cork may let something go
}

function copyPlain(sk: TcpSock, o: SkOptions): void {
  if (o.nodelay !== undefined) sk.nodelay = o.nodelay;
  if (o.cork !== undefined) sk.cork = o.cork;
  if (o.keepalive !== undefined) sk.keepalive = o.keepalive;
  if (o.keepIdleMs !== undefined) sk.keepIdleMs = o.keepIdleMs;
  if (o.keepIntvlMs !== undefined) sk.keepIntvlMs = o.keepIntvlMs;
  if (o.keepCnt !== undefined) sk.keepCnt = o.keepCnt;
  if (o.maxSeg !== undefined) sk.userMss = o.maxSeg;
  if (o.synCnt !== undefined) sk.synCnt = o.synCnt;
  if (o.userTimeoutMs !== undefined) sk.userTimeoutMs = o.userTimeoutMs;
  if (o.linger2Ms !== undefined) sk.linger2Ms = o.linger2Ms;
  if (o.tos !== undefined) sk.tos = o.tos & ~INET_ECN_MASK;
  if (o.notsentLowat !== undefined) sk.notsentLowat = o.notsentLowat;
  if (o.ttl !== undefined) sk.ttl = o.ttl;
  if (o.reuseAddr !== undefined) sk.reuseAddr = o.reuseAddr;
  if (o.reusePort !== undefined) sk.reusePort = o.reusePort;
  if (o.bindNoPort !== undefined) sk.bindNoPort = o.bindNoPort;
  if (o.pmtuDisc !== undefined) sk.pmtuDisc = o.pmtuDisc;
  if (o.recvErr !== undefined) sk.recvErr = o.recvErr;
  if (o.priority !== undefined) sk.priority = o.priority;
  if (o.mark !== undefined) sk.mark = o.mark;
  if (o.thinLto !== undefined) sk.thinLto = o.thinLto;
}

/** tcp_set_rcvlowat(): there must be room for what the application waits for. */
function setRcvLowat(sk: TcpSock, lowat: number): void {
  sk.rcvLowat = lowat;
  if (sk.rcvbufLocked || spaceFromWindow(lowat) <= sk.rcvbuf) return;
  sk.rcvbuf = spaceFromWindow(lowat);
  sk.windowClamp = lowat;
}

/** tcp_set_keepalive() */
function applyKeepalive(cx: TcpContext, sk: TcpSock): void {
  if (sk.state === TCP_CLOSE || sk.state === TCP_LISTEN || sk.orphan) return;
  if (!sk.keepalive) {
    stopTimer(sk, Timer.Keepalive);
    return;
  }
  if (sk.keepIdleMs > 0) {
    const elapsed = cx.now - Math.max(sk.lastRcvMs, sk.lastAckMs);
    armKeepalive(cx, sk, cx.now + Math.max(0, sk.keepIdleMs - elapsed));
  } else {
    startKeepalive(cx, sk);
  }
}
