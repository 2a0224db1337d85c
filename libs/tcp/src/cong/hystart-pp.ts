import type { Millis } from '@skbus/skb';
import { inSlowStart, type CongestionContext, type CongestionState } from './cong.ts';

/** tcp_cubic.hystart: HyStart++. */
export const HYSTART_PP = 2;
// RFC 9406 4.3
const MIN_RTT_THRESH_MS = 4;
const MAX_RTT_THRESH_MS = 16;
const MIN_RTT_DIVISOR = 8;
const N_RTT_SAMPLE = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;
const INFINITE = Number.POSITIVE_INFINITY;

/**
 * HyStart++ (RFC 9406): when the RTT of a round rises, slow start goes on at a quarter of its pace for five rounds
 * (Conservative Slow Start, CSS); then it ends, unless the RTT fell again, which means that the rise was a false alarm.
 *
 * L, the most segments by which one ACK counts while nothing is paced, is `tcp_cubic.hystart_limit`; its default 0 means no
 * limit where the RFC recommends 8: receivers that merge segments (GRO) acknowledge 44 of them at once, and Linux grows
 * by all of these. It counts ends in Linux's counters of the delay detection.
 */
export class HyStartPp {
  /** The round ends when this position is acknowledged. */
  private windowEnd: number;
  private lastRoundMinRttMs = INFINITE;
  private currentRoundMinRttMs = INFINITE;
  private samples = 0;
  /** In CSS; 0: in slow start. Counts the rounds begun. */
  private cssRounds = 0;
  private cssBaselineMinRttMs = INFINITE;
  /** Quarters of a segment, in CSS. */
  private credit = 0;

  constructor(sndNxt: number) {
    this.windowEnd = sndNxt;
  }

  get inCss(): boolean {
    return this.cssRounds > 0;
  }

  /** An RTT sample (RFC 9406 4.2). */
  sample(rttMs: Millis): void {
    this.currentRoundMinRttMs = Math.min(this.currentRoundMinRttMs, rttMs);
    this.samples++;
  }

  /** Grows the window for `acked` segments; returns those beyond the threshold. */
  slowStart(cx: CongestionContext, sk: CongestionState, acked: number): number {
    this.judge();
    const limit = sk.pacing ? 0 : cx.sysctl.cubicHystartLimit;
    let n = limit > 0 ? Math.min(acked, limit) : acked;
    if (this.cssRounds > 0) {
      this.credit += n;
      n = Math.floor(this.credit / CSS_GROWTH_DIVISOR);
      this.credit -= n * CSS_GROWTH_DIVISOR;
    }
    const cwnd = Math.min(sk.cwnd + n, sk.ssthresh);
    const left = n - (cwnd - sk.cwnd);
    sk.cwnd = Math.min(cwnd, sk.cwndClamp);
    if (sk.sndUna >= this.windowEnd) this.endRound(cx, sk);
    return inSlowStart(sk) ? 0 : left;
  }

  /** Has the RTT of this round risen, or in CSS fallen again? */
  private judge(): void {
    if (this.samples < N_RTT_SAMPLE) return;
    const rtt = this.currentRoundMinRttMs;
    if (this.cssRounds > 0) {
      if (rtt < this.cssBaselineMinRttMs) {
        this.cssBaselineMinRttMs = INFINITE;
        this.cssRounds = 0;
      }
      return;
    }
    const last = this.lastRoundMinRttMs;
    if (rtt === INFINITE || last === INFINITE) return;
    const threshold = Math.max(MIN_RTT_THRESH_MS, Math.min(last / MIN_RTT_DIVISOR, MAX_RTT_THRESH_MS));
    if (rtt < last + threshold) return;
    this.cssBaselineMinRttMs = rtt;
    this.cssRounds = 1;
    this.credit = 0;
  }

  private endRound(cx: CongestionContext, sk: CongestionState): void {
    this.windowEnd = sk.sndNxt;
    this.lastRoundMinRttMs = this.currentRoundMinRttMs;
    this.currentRoundMinRttMs = INFINITE;
    this.samples = 0;
    if (this.cssRounds === 0) return;
    // the round in which CSS began counts as its first, even if only part of it was in CSS
    if (this.cssRounds++ < CSS_ROUNDS) return;
    sk.ssthresh = sk.cwnd;
    cx.env.mib.inc('TcpExtTCPHystartDelayDetect');
    cx.env.mib.inc('TcpExtTCPHystartDelayCwnd', sk.cwnd);
  }
}
