import type { TcpContext } from './context.ts';
import { ecnQueueCwr } from './ecn.ts';
import type { TcpSock } from './sock.ts';

/** Proportional rate reduction (RFC 6937): in recovery the window goes down to ssthresh evenly, one ACK at a time. */

/** tcp_init_cwnd_reduction() */
export function prrStart(cx: TcpContext, sk: TcpSock): void {
  sk.priorCwnd = sk.cwnd;
  sk.prrDelivered = 0;
  sk.prrOut = 0;
  sk.cwndCnt = 0;
  sk.ssthresh = sk.cc.ssthresh(cx, sk);
  ecnQueueCwr(sk);
}

/** tcp_cwnd_reduction(): called per ACK with what it newly delivered and what was newly found lost, in segments. */
export function prrAck(sk: TcpSock, delivered: number, newlyLost: number, unaAdvanced: boolean): void {
  if (delivered <= 0 || sk.priorCwnd === 0) return;
  const { inFlight } = sk;
  const delta = sk.ssthresh - inFlight;
  sk.prrDelivered += delivered;
  let send = 0;
  if (delta < 0) {
    send = Math.floor((sk.ssthresh * sk.prrDelivered + sk.priorCwnd - 1) / sk.priorCwnd) - sk.prrOut;
  } else {
    send = Math.max(sk.prrDelivered - sk.prrOut, delivered);
    if (unaAdvanced && newlyLost === 0) send++;
    send = Math.min(delta, send);
  }
  // the fast retransmit itself always goes
  sk.cwnd = inFlight + Math.max(send, sk.prrOut > 0 ? 0 : 1);
}

/** tcp_end_cwnd_reduction() */
export function prrEnd(sk: TcpSock): void {
  sk.cwnd = sk.ssthresh;
}
