import {
  SHUT_RD,
  SHUT_WR,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LISTEN,
  TCP_SYN_RECV,
} from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { confirmForOrphan } from './data-queue.ts';
import { confirmFin } from './fin.ts';
import { armKeepalive, finTimeMs } from './keepalive.ts';
import type { RequestSock } from './request.ts';
import { dropRequest } from './reqsk-queue.ts';
import type { TcpSock } from './sock.ts';
import { NO_UNCONFIRMED } from './unconfirmed.ts';
import { destroySock, setState, tcpDone } from './state.ts';
import { TCP_TIMEWAIT_LEN_MS } from './sysctl.ts';
import { stopTimer, Timer } from './timers.ts';
import { timeWait } from './timewait.ts';
import { CLOSE_STATE } from './transitions.ts';
import { sendActiveReset } from './transmit.ts';

/** tcp_shutdown(): the FIN goes after byte `sndTo`, which may still be on its way to us. Results are errnos. */
export function shutdown(cx: TcpContext, sk: TcpSock, how: number, sndTo: number): void {
  if (how !== SHUT_WR) sk.rcvShutdown = true;
  if (how === SHUT_RD) return;
  sk.sndShutdown = true;
  closeSend(cx, sk, sndTo);
}

/** __tcp_close(): the application is gone; what is left goes on without it. */
export function close(cx: TcpContext, sk: TcpSock, abort: boolean, sndTo: number): void {
  cx.env.trace('__tcp_close');
  sk.rcvShutdown = true;
  sk.sndShutdown = true;
  if (sk.state === TCP_LISTEN) {
    listenStop(cx, sk);
  } else if (abort || sk.unconfirmed.length > 0) {
    // RFC 2525 2.17, RFC 9293 3.6.1: the peer must know that data was lost
    abortConnection(cx, sk);
  } else {
    closeSend(cx, sk, sndTo);
  }
  orphan(cx, sk);
}

/** Its program is gone, and perhaps bytes with it: a reset, because a FIN would say that this was all. */
export function abandon(cx: TcpContext, sk: TcpSock): void {
  if (!sk.orphan) close(cx, sk, true, sk.sendQueue.end);
  else if (sk.finAt > sk.sndTail) abortConnection(cx, sk);
}

/** tcp_close_state() and tcp_send_fin(): the state changes now, the FIN goes when flush() may send it. */
function closeSend(cx: TcpContext, sk: TcpSock, sndTo: number): void {
  const next = CLOSE_STATE[sk.state];
  if (next === undefined || sk.finAt >= 0) return;
  if (!next.fin) {
    tcpDone(cx, sk);
    return;
  }
  sk.finAt = Math.max(1 + sndTo, sk.sndTail);
  // In SYN_RECV the FIN waits for the ACK of our SYN (input-steps.ts:synAcked).
  if (sk.state !== TCP_SYN_RECV || sk.fastopen?.req !== undefined) setState(cx, sk, next.to);
  cx.env.trace('tcp_send_fin');
  cx.touch(sk);
}

function abortConnection(cx: TcpContext, sk: TcpSock): void {
  const reset =
    sk.state === TCP_ESTABLISHED ||
    sk.state === TCP_CLOSE_WAIT ||
    sk.state === TCP_FIN_WAIT1 ||
    sk.state === TCP_FIN_WAIT2 ||
    sk.state === TCP_SYN_RECV;
  if (sk.state === TCP_CLOSE) return;
  cx.env.mib.inc('TcpExtTCPAbortOnClose');
  if (reset) sendActiveReset(cx, sk);
  tcpDone(cx, sk);
}

/** sock_orphan(), and what __tcp_close() does after it. */
export function orphan(cx: TcpContext, sk: TcpSock): void {
  sk.orphan = true;
  cx.orphans++;
  sk.unconfirmed = NO_UNCONFIRMED;
  sk.unread = undefined;
  sk.haveChild = true;
  stopTimer(sk, Timer.Seam);
  stopTimer(sk, Timer.Keepalive);
  sk.viewRepeats = 0;
  if (sk.state === TCP_CLOSE) {
    destroySock(cx, sk);
    return;
  }
  if (cx.orphans > cx.sysctl.tcpMaxOrphans) {
    // tcp_check_oom(): nobody will miss it
    sendActiveReset(cx, sk);
    cx.env.mib.inc('TcpExtTCPAbortOnMemory');
    tcpDone(cx, sk);
    return;
  }
  confirmForOrphan(cx, sk);
  confirmFin(cx, sk);
  if (sk.state === TCP_FIN_WAIT2) orphanFinWait2(cx, sk);
}

function orphanFinWait2(cx: TcpContext, sk: TcpSock): void {
  if (sk.linger2Ms < 0) {
    sendActiveReset(cx, sk);
    tcpDone(cx, sk);
    cx.env.mib.inc('TcpExtTCPAbortOnLinger');
    return;
  }
  const tmo = finTimeMs(cx, sk);
  if (tmo > TCP_TIMEWAIT_LEN_MS) armKeepalive(cx, sk, cx.now + tmo - TCP_TIMEWAIT_LEN_MS);
  else timeWait(cx, sk, TCP_FIN_WAIT2, tmo);
}

/**
 * inet_csk_listen_stop(), its half of the requests. The children are the socket layer's: it alone knows which of them a
 * program has accepted, and closes the others; of those that it has never heard it says that there is no such listener.
 */
function listenStop(cx: TcpContext, sk: TcpSock): void {
  cx.listeners.remove(sk);
  for (const req of sk.requests ?? []) dropRequest(cx, req as RequestSock);
  sk.children = undefined;
  sk.requests = undefined;
  setState(cx, sk, TCP_CLOSE);
}
