import { CA_LOSS, CaEvent, congAvoidAi, inSlowStart, isCwndLimited, slowStart } from './cong.ts';
import type { AckSample, CongestionContext, CongestionControl, CongestionState } from './cong.ts';
import { HyStart, HYSTART_LINUX, hyStartUpdate } from './hystart.ts';
import { HyStartPp, HYSTART_PP } from './hystart-pp.ts';
import { renoUndoCwnd } from './reno.ts';

/**
 * CUBIC (RFC 9438) as net/ipv4/tcp_cubic.c computes it: integers, a clock of 1 ms, the window as the number of ACKs per
 * segment of growth (`cnt`). The constants below are tcp_cubic's parameters and can be set like them (`tcp_cubic.beta` …).
 *
 * One thing is not Linux's default: slow start ends by HyStart++ (RFC 9406, `tcp_cubic.hystart` 2, hystart-pp.ts). 1 is
 * Linux's own HyStart (hystart.ts), 0 neither.
 */
const BETA_SCALE = 1024;
/** BICTCP_HZ: the cubic's time is in 1/1024 s. */
const TIME_SHIFT = 1024;
/** C is 0.4: bic_scale 41 of 1024, over a nominal RTT of 100 ms. */
const BIC_SCALE = 41;
const CUBE_RTT_SCALE = BIC_SCALE * 10;
const CUBE_FACTOR = 2 ** 40 / CUBE_RTT_SCALE;
const HZ = 1000;

/** struct bictcp. Times in whole ms, 0: unset. */
class Cubic {
  cnt = 0;
  lastMaxCwnd = 0;
  private lastCwnd = 0;
  private lastMs = 0;
  private originPoint = 0;
  private k = 0;
  delayMinMs = 0;
  epochMs = 0;
  private ackCnt = 0;
  private tcpCwnd = 0;
  readonly hystart = new HyStart();
  hystartPp: HyStartPp | undefined = undefined;

  /** bictcp_reset() */
  reset(): void {
    this.cnt = this.lastMaxCwnd = this.lastCwnd = this.lastMs = this.originPoint = this.k = 0;
    this.delayMinMs = this.epochMs = this.ackCnt = this.tcpCwnd = 0;
    this.hystart.found = false;
  }

  /** bictcp_update(): how many ACKed segments the next segment of window costs now. */
  update(cx: CongestionContext, cwnd: number, acked: number): void {
    const nowMs = Math.floor(cx.now);
    this.ackCnt += acked;
    if (this.lastCwnd === cwnd && nowMs - this.lastMs <= HZ >> 5) return;
    // Within one tick the cubic says nothing new, only the Reno estimate may.
    if (this.epochMs === 0 || nowMs !== this.lastMs) {
      this.lastCwnd = cwnd;
      this.lastMs = nowMs;
      if (this.epochMs === 0) this.startEpoch(nowMs, cwnd, acked);
      const target = this.target(nowMs);
      this.cnt = target > cwnd ? Math.floor(cwnd / (target - cwnd)) : 100 * cwnd;
      // no loss yet: 5 % of the window per round trip, whatever the curve says
      if (this.lastMaxCwnd === 0 && this.cnt > 20) this.cnt = 20;
    }
    if (cx.sysctl.cubicTcpFriendliness) this.renoFriendly(cx.sysctl.cubicBeta, cwnd);
    this.cnt = Math.max(this.cnt, 2);
  }

  /** RFC 9438 4.2: K is the time in which the curve climbs back to the window before the loss. */
  private startEpoch(nowMs: number, cwnd: number, acked: number): void {
    this.epochMs = nowMs;
    this.ackCnt = acked;
    this.tcpCwnd = cwnd;
    if (this.lastMaxCwnd <= cwnd) {
      this.k = 0;
      this.originPoint = cwnd;
    } else {
      this.k = Math.floor(Math.cbrt(CUBE_FACTOR * (this.lastMaxCwnd - cwnd)));
      this.originPoint = this.lastMaxCwnd;
    }
  }

  /** RFC 9438 4.4, W_cubic(t + RTT) = C (t - K)³ + W_max. */
  private target(nowMs: number): number {
    const elapsed = nowMs - this.epochMs + Math.ceil(this.delayMinMs);
    const t = Math.floor((elapsed * TIME_SHIFT) / HZ);
    const offs = Math.abs(t - this.k);
    const delta = Math.floor((CUBE_RTT_SCALE * offs * offs * offs) / 2 ** 40);
    return t < this.k ? this.originPoint - delta : this.originPoint + delta;
  }

  /** RFC 9438 4.3: never slower than a Reno with this beta would be. */
  private renoFriendly(beta: number, cwnd: number): void {
    const scale = Math.floor(Math.floor((8 * (BETA_SCALE + beta)) / 3) / (BETA_SCALE - beta));
    const perSegment = Math.max((cwnd * scale) >> 3, 1);
    if (this.ackCnt > perSegment) {
      const grown = Math.ceil(this.ackCnt / perSegment) - 1;
      this.ackCnt -= grown * perSegment;
      this.tcpCwnd += grown;
    }
    if (this.tcpCwnd > cwnd) this.cnt = Math.min(this.cnt, Math.floor(cwnd / (this.tcpCwnd - cwnd)));
  }
}

/** Its variables are made with the first ACK, so that an idle connection has none. */
function priv(cx: CongestionContext, sk: CongestionState): Cubic {
  if (sk.caPriv instanceof Cubic) return sk.caPriv;
  const ca = new Cubic();
  ca.hystart.reset(cx, sk);
  if (cx.sysctl.cubicHystart === HYSTART_PP) ca.hystartPp = new HyStartPp(sk.sndNxt);
  sk.caPriv = ca;
  return ca;
}

function init(cx: CongestionContext, sk: CongestionState): void {
  sk.caPriv = undefined;
  const { cubicHystart, cubicInitialSsthresh } = cx.sysctl;
  if (cubicHystart === 0 && cubicInitialSsthresh > 0) sk.ssthresh = cubicInitialSsthresh;
}

/** cubictcp_cong_avoid() */
function congAvoid(cx: CongestionContext, sk: CongestionState, acked: number): void {
  if (!isCwndLimited(sk)) return;
  const ca = priv(cx, sk);
  let left = acked;
  if (inSlowStart(sk)) {
    left = ca.hystartPp === undefined ? slowStart(sk, acked) : ca.hystartPp.slowStart(cx, sk, acked);
    if (left === 0) return;
  }
  ca.update(cx, sk.cwnd, left);
  congAvoidAi(sk, ca.cnt, left);
}

/** cubictcp_acked() */
function pktsAcked(cx: CongestionContext, sk: CongestionState, sample: AckSample): void {
  if (sample.rttMs < 0) return;
  const ca = priv(cx, sk);
  // right after a fast recovery the queue it built still drains
  if (ca.epochMs > 0 && cx.now - ca.epochMs < HZ) return;
  const delayMs = Math.max(sample.rttMs, 0.001);
  if (ca.delayMinMs === 0 || ca.delayMinMs > delayMs) ca.delayMinMs = delayMs;
  if (!inSlowStart(sk)) return;
  if (ca.hystartPp !== undefined) ca.hystartPp.sample(delayMs);
  else if (cx.sysctl.cubicHystart === HYSTART_LINUX && !ca.hystart.found) {
    hyStartUpdate(cx, sk, ca.hystart, delayMs, ca.delayMinMs);
  }
}

/** cubictcp_recalc_ssthresh() (RFC 9438 4.6, fast convergence 4.7). */
function recalcSsthresh(cx: CongestionContext, sk: CongestionState): number {
  const { cubicBeta, cubicFastConvergence } = cx.sysctl;
  const ca = priv(cx, sk);
  ca.epochMs = 0;
  const shrinking = cubicFastConvergence && sk.cwnd < ca.lastMaxCwnd;
  ca.lastMaxCwnd = shrinking ? Math.floor((sk.cwnd * (BETA_SCALE + cubicBeta)) / (2 * BETA_SCALE)) : sk.cwnd;
  ca.hystartPp = undefined; // RFC 9406 4.3: only in the first slow start
  return Math.max(Math.floor((sk.cwnd * cubicBeta) / BETA_SCALE), 2);
}

/** cubictcp_state() */
function setState(cx: CongestionContext, sk: CongestionState, state: number): void {
  if (state !== CA_LOSS) return;
  const ca = priv(cx, sk);
  ca.reset();
  ca.hystart.reset(cx, sk);
}

/** cubictcp_cwnd_event(): an idle time is no time of growth (RFC 9438 4.2, 5.8). */
function cwndEvent(cx: CongestionContext, sk: CongestionState, event: CaEvent): void {
  if (event !== CaEvent.TxStart || !(sk.caPriv instanceof Cubic)) return;
  const nowMs = Math.floor(cx.now);
  const idleMs = nowMs - Math.floor(sk.lastSndMs);
  const ca = sk.caPriv;
  if (ca.epochMs > 0 && idleMs > 0) ca.epochMs = Math.min(ca.epochMs + idleMs, nowMs);
}

export const cubic: CongestionControl = {
  name: 'cubic',
  unrestricted: true,
  init,
  ssthresh: recalcSsthresh,
  undoCwnd: renoUndoCwnd,
  congAvoid,
  pktsAcked,
  setState,
  cwndEvent,
};
