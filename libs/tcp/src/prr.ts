import { CA_CWR, CA_RECOVERY, CaEvent, SSTHRESH_INFINITE, type CongestionState } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { ecnQueueCwr } from './ecn.ts';
import type { TcpSock } from './sock.ts';

/** Proportional rate reduction (RFC 6937): in recovery the window goes down to ssthresh evenly, one ACK at a time. */

/** tcp_in_cwnd_reduction() */
export const inCwndReduction = (sk: CongestionState): boolean => sk.caState === CA_CWR || sk.caState === CA_RECOVERY;

/** tcp_init_cwnd_reduction() */
export function prrStart(cx: TcpContext, sk: TcpSock): void {
  sk.highSeq = sk.sndNxt;
  sk.loss.tlpHighSeq = 0;
  sk.cwndCnt = 0;
  sk.priorCwnd = sk.cwnd;
  sk.prrDelivered = 0;
  sk.prrOut = 0;
  sk.ssthresh = sk.cc.ssthresh(cx, sk);
  ecnQueueCwr(sk);
}

/**
 * tcp_cwnd_reduction(): called per ACK with what it newly delivered and what was newly found lost, in segments. Above
 * ssthresh the window falls in proportion; below it packet conservation, and slow start while nothing more is lost (the
 * reduction bounds CRB and SSRB of RFC 6937 3.1).
 */
export function prrAck(sk: TcpSock, delivered: number, newlyLost: number, unaAdvanced: boolean): void {
  if (delivered <= 0 || sk.priorCwnd === 0) return;
  const { inFlight } = sk;
  const room = sk.ssthresh - inFlight;
  sk.prrDelivered += delivered;
  let send = 0;
  if (room < 0) {
    send = Math.floor((sk.ssthresh * sk.prrDelivered + sk.priorCwnd - 1) / sk.priorCwnd) - sk.prrOut;
  } else {
    send = Math.max(sk.prrDelivered - sk.prrOut, delivered);
    if (unaAdvanced && newlyLost === 0) send++;
    send = Math.min(room, send);
  }
  // the fast retransmit itself always goes
  sk.cwnd = inFlight + Math.max(send, sk.prrOut > 0 ? 0 : 1);
}

/** tcp_end_cwnd_reduction(): to ssthresh, unless the reduction was undone. */
export function prrEnd(cx: TcpContext, sk: TcpSock): void {
  if (sk.cc.congControl !== undefined) return;
  if (sk.ssthresh < SSTHRESH_INFINITE && (sk.caState === CA_CWR || sk.loss.undoMarker >= 0)) sk.cwnd = sk.ssthresh;
  sk.cc.cwndEvent?.(cx, sk, CaEvent.CompleteCwr);
}

/** tcp_current_ssthresh(): what slow start may go to when a loss turns out to be none. */
export function currentSsthresh(sk: TcpSock): number {
  return inCwndReduction(sk) ? sk.ssthresh : Math.max(sk.ssthresh, (sk.cwnd >> 1) + (sk.cwnd >> 2));
}
