import type { RateSample } from '../rate.ts';
import { Bbr, inflightAtLoss, isInflightTooHigh, MIN_PIPE_CWND, Phase } from './bbr-model.ts';
import {
  checkProbeRttDone,
  gainsOf,
  inflightTooHigh,
  isProbeBw,
  probeRttCwnd,
  saveCwnd,
  updatePhase,
} from './bbr-phases.ts';
import { CA_LOSS, CaEvent } from './cong.ts';
import type { CongestionContext, CongestionControl, CongestionState, LostSkb } from './cong.ts';

/**
 * BBR version 3 (draft-ietf-ccwg-bbr): sends at the rate at which data was delivered, not until something is lost. The
 * model of the path is in bbr-model.ts, what is done when in bbr-phases.ts; here the rate and the window follow from them.
 */

/** Paced a little slower than the path, so that a queue goes away. */
const PACING_MARGIN = 0.99;
/** Below this a GSO skb may be a single segment: 1.2 Mbit/s in bytes. */
const LOW_RATE = 150_000;
const MIN_TSO_SEGS = 2;

const priv = (cx: CongestionContext, sk: CongestionState): Bbr => (sk.caPriv ??= new Bbr(cx, sk)) as Bbr;

/** BBROnInit() */
function init(cx: CongestionContext, sk: CongestionState): void {
  sk.caPriv = new Bbr(cx, sk);
  sk.pacing = true;
  sk.pacingRate = 0;
  initPacingRate(sk);
}

/** BBRInitPacingRate(): the initial window per round trip; 1 ms while none is known. */
function initPacingRate(sk: CongestionState): void {
  setPacingRate(sk, sk.cwnd / (sk.rtt.srttMs || 1), STARTUP_PACING, true);
}
const STARTUP_PACING = 2.77;

/** BBRSetPacingRateWithGain(): before the pipe is full it only grows. */
function setPacingRate(sk: CongestionState, bw: number, gain: number, mayFall: boolean): void {
  const rate = Math.min(Math.floor(gain * bw * PACING_MARGIN * sk.mssCache * 1000), sk.maxPacingRate);
  if (rate > 0 && (mayFall || rate > sk.pacingRate)) sk.pacingRate = rate;
}

/** BBRUpdateOnACK() */
function congControl(cx: CongestionContext, sk: CongestionState, rs: RateSample): void {
  const b = priv(cx, sk);
  const bw = rs.delivered > 0 && rs.intervalMs > 0 ? rs.delivered / rs.intervalMs : 0;
  b.takeSample(sk, rs, bw);
  b.adaptLowerBounds(sk);
  b.updateAckAggregation(cx, sk, rs);
  b.checkFullBw(rs, bw);
  updatePhase(cx, sk, b, rs, bw);
  b.advanceLatest(rs, bw);
  setPacingRate(sk, b.bw, gainsOf(b).pacing, b.fullBwReached);
  setCwnd(sk, b, rs);
}

/** BBRSetCwnd() */
function setCwnd(sk: CongestionState, b: Bbr, rs: RateSample): void {
  const acked = rs.ackedSacked;
  const most = quantize(sk, b, b.bdp(b.bw, gainsOf(b).cwnd) + b.extraAcked);
  if (acked > 0) {
    if (b.fullBwReached) sk.cwnd = Math.min(sk.cwnd + acked, most);
    else if (sk.cwnd < most || sk.delivered < b.initialCwnd) sk.cwnd += acked;
  }
  if (b.phase === Phase.ProbeRtt) sk.cwnd = Math.min(sk.cwnd, probeRttCwnd(b));
  sk.cwnd = Math.min(Math.max(Math.min(sk.cwnd, modelBound(b)), MIN_PIPE_CWND), sk.cwndClamp);
}

/** BBRBoundCwndForModel() */
function modelBound(b: Bbr): number {
  let cap = Number.POSITIVE_INFINITY;
  if (b.phase === Phase.ProbeRtt || b.phase === Phase.Cruise) cap = b.inflightWithHeadroom;
  else if (isProbeBw(b)) cap = b.inflightLongterm;
  return Math.max(Math.min(cap, b.inflightShortterm), MIN_PIPE_CWND);
}

/** BBRQuantizationBudget(): room for the GSO skbs that are being made, sent and received. */
function quantize(sk: CongestionState, b: Bbr, inflight: number): number {
  const quantum = Math.max(Math.floor(sk.pacingRate / 1000 / sk.mssCache), minTsoSegs(sk));
  return Math.max(inflight, 3 * quantum, MIN_PIPE_CWND) + (b.phase === Phase.Up ? 2 : 0);
}

const minTsoSegs = (sk: CongestionState): number => (sk.pacingRate < LOW_RATE ? 1 : MIN_TSO_SEGS);

/** BBRHandleLostPacket(): a probe is ended by the segment that goes too far, not an ACK later. */
function skbMarkedLost(cx: CongestionContext, sk: CongestionState, skb: LostSkb): void {
  const b = priv(cx, sk);
  b.noteLoss(sk);
  if (!b.probeSamples) return;
  const lost = sk.everLost - skb.txLost;
  if (!isInflightTooHigh(lost, skb.txInFlight)) return;
  inflightTooHigh(cx, sk, b, inflightAtLoss(skb.txInFlight, lost, skb.segs), skb.isAppLimited);
}

/** bbr_ssthresh(): nothing is cut here; the window as it is may be wanted back. */
function ssthresh(cx: CongestionContext, sk: CongestionState): number {
  const b = priv(cx, sk);
  saveCwnd(sk, b);
  const { bwShortterm, inflightShortterm, inflightLongterm } = b;
  b.undo = { bwShortterm, inflightShortterm, inflightLongterm };
  return sk.ssthresh;
}

/** BBROnSpuriousLoss() */
function undoCwnd(sk: CongestionState): number {
  const b = sk.caPriv as Bbr;
  b.resetFullBw();
  b.lossInRound = false;
  b.bwShortterm = Math.max(b.bwShortterm, b.undo.bwShortterm);
  b.inflightShortterm = Math.max(b.inflightShortterm, b.undo.inflightShortterm);
  b.inflightLongterm = Math.max(b.inflightLongterm, b.undo.inflightLongterm);
  return Math.max(b.priorCwnd, sk.cwnd);
}

/** BBROnEnterRTO(), and what follows it */
function setState(cx: CongestionContext, sk: CongestionState, state: number): void {
  const b = priv(cx, sk);
  if (state === CA_LOSS) {
    b.resetFullBw();
    if (!b.isProbing && b.inflightShortterm === Number.POSITIVE_INFINITY) b.inflightShortterm = b.priorCwnd;
  } else if (sk.caState === CA_LOSS) {
    sk.cwnd = Math.max(sk.cwnd, b.priorCwnd);
  }
}

/** BBRHandleRestartFromIdle() */
function cwndEvent(cx: CongestionContext, sk: CongestionState, event: CaEvent): void {
  if (event !== CaEvent.TxStart || (sk.rate?.appLimited ?? 0) === 0) return;
  const b = priv(cx, sk);
  b.idleRestart = true;
  b.restartAckEpoch(cx);
  if (isProbeBw(b)) setPacingRate(sk, b.bw, 1, true);
  else if (b.phase === Phase.ProbeRtt) checkProbeRttDone(cx, sk, b);
}

export const bbr: CongestionControl = {
  name: 'bbr',
  unrestricted: true,
  init,
  ssthresh,
  undoCwnd,
  congControl,
  skbMarkedLost,
  setState,
  cwndEvent,
  minTsoSegs,
  sndbufExpand: () => 3,
};
