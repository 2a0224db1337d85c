import { congAvoidAi, inSlowStart, isCwndLimited, slowStart } from './cong.ts';
import type { CongestionContext, CongestionControl, CongestionState } from './cong.ts';

/** tcp_reno_ssthresh() */
export const renoSsthresh = (_cx: CongestionContext, sk: CongestionState): number => Math.max(sk.cwnd >> 1, 2);

/** tcp_reno_undo_cwnd() */
export const renoUndoCwnd = (sk: CongestionState): number => Math.max(sk.cwnd, sk.priorCwnd);

/** tcp_reno_cong_avoid() (RFC 5681 3.1) */
export function renoCongAvoid(_cx: CongestionContext, sk: CongestionState, acked: number): void {
  if (!isCwndLimited(sk)) return;
  let left = acked;
  if (inSlowStart(sk)) {
    left = slowStart(sk, acked);
    if (left === 0) return;
  }
  congAvoidAi(sk, sk.cwnd, left);
}

/** RFC 5681 with the loss response of RFC 6582 (net/ipv4/tcp_cong.c:tcp_reno). */
export const reno: CongestionControl = {
  name: 'reno',
  unrestricted: true,
  ssthresh: renoSsthresh,
  undoCwnd: renoUndoCwnd,
  congAvoid: renoCongAvoid,
};
