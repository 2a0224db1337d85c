import { below } from '@skbus/skb';
import type { RateSample } from '../rate.ts';
import { AckPhase, BETA, isInflightTooHigh, MIN_PIPE_CWND, Phase, type Bbr } from './bbr-model.ts';
import { CA_RECOVERY, type CongestionContext, type CongestionState } from './cong.ts';

/**
 * What BBR does when (draft-ietf-ccwg-bbr 5.3):
 *
 * ```
 * STARTUP ──▶ DRAIN ──▶ PROBE_BW: DOWN ──▶ CRUISE ──▶ REFILL ──▶ UP ──▶ DOWN …
 *                       any of them ──▶ PROBE_RTT ──▶ where it came from
 * ```
 */

/** Losses in one round that end STARTUP (StartupFullLossCnt). */
const STARTUP_LOSSES = 6;
/** A probe for bandwidth comes after two to three seconds, or as often as Reno would probe, up to this many round trips. */
const PROBE_WAIT_MS = 2_000;
const PROBE_WAIT_RAND_MS = 1_000;
const PROBE_ROUNDS_MAX = 63;
const PROBE_ROUNDS_RAND = 2;
const PROBE_UP_ROUNDS_MAX = 30;
const PROBE_RTT_MS = 200;
const PROBE_RTT_CWND_GAIN = 0.5;

interface Gains {
  readonly pacing: number;
  readonly cwnd: number;
}

/** 4 ln 2 lets the rate double in each round trip; the rest is what that queues, or keeps it out. */
const GAINS: Readonly<Record<Phase, Gains>> = {
  [Phase.Startup]: { pacing: 2.77, cwnd: 2 },
  [Phase.Drain]: { pacing: 0.35, cwnd: 2 },
  [Phase.Down]: { pacing: 0.9, cwnd: 2 },
  [Phase.Cruise]: { pacing: 1, cwnd: 2 },
  [Phase.Refill]: { pacing: 1, cwnd: 2 },
  [Phase.Up]: { pacing: 1.25, cwnd: 2.25 },
  [Phase.ProbeRtt]: { pacing: 1, cwnd: PROBE_RTT_CWND_GAIN },
};

export const gainsOf = (b: Bbr): Gains => GAINS[b.phase];

export const isProbeBw = (b: Bbr): boolean => b.phase >= Phase.Down && b.phase <= Phase.Up;

/** The states one after the other, on each ACK. */
export function updatePhase(cx: CongestionContext, sk: CongestionState, b: Bbr, rs: RateSample, bw: number): void {
  checkStartupDone(b, rs);
  if (b.phase === Phase.Drain && sk.inFlight <= b.bdp(b.maxBw)) startDown(cx, sk, b);
  if (b.fullBwReached) {
    adaptLongterm(cx, sk, b, rs);
    if (isProbeBw(b)) cyclePhase(cx, sk, b, bw);
  }
  b.updateMinRtt(cx, rs);
  checkProbeRtt(cx, sk, b, rs);
}

/** BBRCheckStartupDone(), BBRCheckStartupHighLoss() */
function checkStartupDone(b: Bbr, rs: RateSample): void {
  if (b.phase !== Phase.Startup) return;
  if (b.lossRoundStart && b.lossEvents >= STARTUP_LOSSES && isInflightTooHigh(rs.lost, rs.txInFlight)) {
    b.fullBwReached = true;
    b.inflightLongterm = Math.max(b.bdp(b.maxBw), b.inflightLatest);
  }
  if (b.fullBwReached) b.phase = Phase.Drain;
}

/** BBRUpdateProbeBWCyclePhase() */
function cyclePhase(cx: CongestionContext, sk: CongestionState, b: Bbr, bw: number): void {
  switch (b.phase) {
    case Phase.Down:
      if (checkTimeToProbe(cx, sk, b)) return;
      if (sk.inFlight <= b.inflightWithHeadroom && sk.inFlight <= b.bdp(b.maxBw)) b.phase = Phase.Cruise;
      return;
    case Phase.Cruise:
      checkTimeToProbe(cx, sk, b);
      return;
    case Phase.Refill:
      if (b.roundStart) {
        b.probeSamples = true;
        startUp(cx, sk, b, bw);
      }
      return;
    case Phase.Up:
      if (sk.cwndLimited && sk.cwnd >= b.inflightLongterm) b.resetFullBw(bw);
      else if (b.fullBwNow) startDown(cx, sk, b);
      return;
    default:
  }
}

/** BBRCheckTimeToProbeBW() */
function checkTimeToProbe(cx: CongestionContext, sk: CongestionState, b: Bbr): boolean {
  const rounds = Math.min(targetInflight(sk, b), PROBE_ROUNDS_MAX);
  if (cx.now <= b.cycleStamp + b.probeWaitMs && b.roundsSinceProbe < rounds) return false;
  b.resetShortterm();
  b.probeUpRounds = 0;
  b.probeUpAcks = 0;
  b.ackPhase = AckPhase.Refilling;
  b.startRound(sk);
  b.phase = Phase.Refill;
  return true;
}

const targetInflight = (sk: CongestionState, b: Bbr): number => Math.min(b.bdp(b.bw), sk.cwnd);

/** BBRStartProbeBW_DOWN() */
export function startDown(cx: CongestionContext, sk: CongestionState, b: Bbr): void {
  b.resetCongestionSignals();
  b.probeUpCnt = Number.POSITIVE_INFINITY;
  b.roundsSinceProbe = below(cx.env.rng, PROBE_ROUNDS_RAND);
  b.probeWaitMs = PROBE_WAIT_MS + below(cx.env.rng, PROBE_WAIT_RAND_MS);
  b.cycleStamp = cx.now;
  b.ackPhase = AckPhase.ProbeStopping;
  b.startRound(sk);
  b.phase = Phase.Down;
}

/** BBRStartProbeBW_UP() */
function startUp(cx: CongestionContext, sk: CongestionState, b: Bbr, bw: number): void {
  b.ackPhase = AckPhase.ProbeStarting;
  b.startRound(sk);
  b.resetFullBw(bw);
  b.cycleStamp = cx.now;
  b.phase = Phase.Up;
  raiseSlope(sk, b);
}

/** BBRAdaptLongTermModel(): the volume grows as far as a probe shows that it does no harm. */
function adaptLongterm(cx: CongestionContext, sk: CongestionState, b: Bbr, rs: RateSample): void {
  if (b.roundStart) {
    if (b.ackPhase === AckPhase.ProbeStarting) b.ackPhase = AckPhase.ProbeFeedback;
    else if (b.ackPhase === AckPhase.ProbeStopping) {
      b.probeSamples = false;
      b.ackPhase = AckPhase.Init;
      if (isProbeBw(b) && !rs.isAppLimited) b.advanceMaxBw();
    }
  }
  if (isInflightTooHigh(rs.lost, rs.txInFlight)) {
    if (b.probeSamples) inflightTooHigh(cx, sk, b, rs.txInFlight, rs.isAppLimited);
    return;
  }
  if (b.inflightLongterm === Number.POSITIVE_INFINITY) return;
  if (rs.txInFlight > b.inflightLongterm) b.inflightLongterm = rs.txInFlight;
  if (b.phase === Phase.Up) probeUpward(sk, b, rs);
}

/** BBRHandleInflightTooHigh(): the probe went too far. */
export function inflightTooHigh(
  cx: CongestionContext,
  sk: CongestionState,
  b: Bbr,
  txInFlight: number,
  isAppLimited: boolean,
): void {
  b.probeSamples = false;
  if (!isAppLimited) b.inflightLongterm = Math.max(txInFlight, Math.floor(BETA * targetInflight(sk, b)));
  if (b.phase === Phase.Up) startDown(cx, sk, b);
}

/** BBRProbeInflightLongtermUpward(): slowly first, twice as fast in each round trip. */
function probeUpward(sk: CongestionState, b: Bbr, rs: RateSample): void {
  if (!sk.cwndLimited || sk.cwnd < b.inflightLongterm) return;
  b.probeUpAcks += rs.ackedSacked;
  if (b.probeUpAcks >= b.probeUpCnt) {
    const delta = Math.floor(b.probeUpAcks / b.probeUpCnt);
    b.probeUpAcks -= delta * b.probeUpCnt;
    b.inflightLongterm += delta;
  }
  if (b.roundStart) raiseSlope(sk, b);
}

/** BBRRaiseInflightLongtermSlope() */
function raiseSlope(sk: CongestionState, b: Bbr): void {
  const growth = 2 ** b.probeUpRounds;
  b.probeUpRounds = Math.min(b.probeUpRounds + 1, PROBE_UP_ROUNDS_MAX);
  b.probeUpCnt = Math.max(Math.floor(sk.cwnd / growth), 1);
}

/** BBRCheckProbeRTT(): the queue is let run empty now and then, or nobody would know how long the path is. */
function checkProbeRtt(cx: CongestionContext, sk: CongestionState, b: Bbr, rs: RateSample): void {
  if (b.phase !== Phase.ProbeRtt && b.probeRttExpired && !b.idleRestart) {
    saveCwnd(sk, b);
    b.phase = Phase.ProbeRtt;
    b.probeRttDoneMs = 0;
    b.ackPhase = AckPhase.ProbeStopping;
    b.startRound(sk);
  }
  if (b.phase === Phase.ProbeRtt) handleProbeRtt(cx, sk, b);
  if (rs.delivered > 0) b.idleRestart = false;
}

/** BBRHandleProbeRTT() */
function handleProbeRtt(cx: CongestionContext, sk: CongestionState, b: Bbr): void {
  // so little is in flight on purpose: the samples say nothing of the bandwidth
  if (sk.rate !== undefined) sk.rate.appLimited = Math.max(sk.delivered + sk.inFlight, 1);
  if (b.probeRttDoneMs === 0) {
    if (sk.inFlight > probeRttCwnd(b)) return;
    b.probeRttDoneMs = cx.now + PROBE_RTT_MS;
    b.probeRttRoundDone = false;
    b.startRound(sk);
    return;
  }
  if (b.roundStart) b.probeRttRoundDone = true;
  if (b.probeRttRoundDone) checkProbeRttDone(cx, sk, b);
}

/** BBRCheckProbeRTTDone(), BBRExitProbeRTT() */
export function checkProbeRttDone(cx: CongestionContext, sk: CongestionState, b: Bbr): void {
  if (b.probeRttDoneMs === 0 || cx.now <= b.probeRttDoneMs) return;
  b.probeRttMinStamp = cx.now;
  sk.cwnd = Math.max(sk.cwnd, b.priorCwnd);
  b.resetShortterm();
  if (!b.fullBwReached) {
    b.phase = Phase.Startup;
    return;
  }
  startDown(cx, sk, b);
  b.phase = Phase.Cruise;
}

/** BBRProbeRTTCwnd() */
export const probeRttCwnd = (b: Bbr): number => Math.max(b.bdp(b.bw, PROBE_RTT_CWND_GAIN), MIN_PIPE_CWND);

/** BBRSaveCwnd(): the last window that was not cut by a recovery or by PROBE_RTT. */
export function saveCwnd(sk: CongestionState, b: Bbr): void {
  const cut = sk.caState >= CA_RECOVERY || b.phase === Phase.ProbeRtt;
  b.priorCwnd = cut ? Math.max(b.priorCwnd, sk.cwnd) : sk.cwnd;
}
