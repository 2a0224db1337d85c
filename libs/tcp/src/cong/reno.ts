import type { CongestionControl, CongestionState } from './cong.ts';

export const SSTHRESH_INFINITE = 0x7fffffff;

/** Slow start (RFC 5681 3.1): up to one segment per segment acknowledged; returns what is left at the threshold. */
export function slowStart(c: CongestionState, acked: number): number {
  const cwnd = Math.min(c.cwnd + acked, c.ssthresh);
  const left = acked - (cwnd - c.cwnd);
  c.cwnd = Math.min(cwnd, c.cwndClamp);
  return left;
}

/** Additive increase: one segment per `w` acknowledged (net/ipv4/tcp_cong.c:tcp_cong_avoid_ai). */
export function congAvoidAi(c: CongestionState, w: number, acked: number): void {
  if (c.cwndCnt >= w) {
    c.cwndCnt = 0;
    c.cwnd++;
  }
  c.cwndCnt += acked;
  if (c.cwndCnt >= w) {
    const delta = Math.floor(c.cwndCnt / w);
    c.cwndCnt -= delta * w;
    c.cwnd += delta;
  }
  c.cwnd = Math.min(c.cwnd, c.cwndClamp);
}

/** RFC 5681 with the loss response of RFC 6582 (net/ipv4/tcp_cong.c:tcp_reno). */
export const reno: CongestionControl = {
  name: 'reno',
  ssthresh: (c) => Math.max(c.cwnd >> 1, 2),
  congAvoid(c, acked) {
    let left = acked;
    if (c.cwnd < c.ssthresh) {
      left = slowStart(c, acked);
      if (left === 0) return;
    }
    congAvoidAi(c, c.cwnd, left);
  },
};
