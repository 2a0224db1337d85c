import { NEVER, type Millis } from '@skbus/skb';
import type { RateSample } from '../rate.ts';
import type { CongestionContext, CongestionState } from './cong.ts';

/**
 * The model of the path that BBR sends by (draft-ietf-ccwg-bbr 5.2 to 5.5): the bandwidth of the bottleneck, the round-trip
 * time without a queue, and how much may be in flight before too much of it is lost. Bandwidth is in segments per ms,
 * volumes in segments.
 */

/** A loss rate up to this is not taken for a sign of congestion (LossThresh). */
const LOSS_THRESH = 0.02;
/** What is left after a loss (Beta). */
export const BETA = 0.7;
/** How much of the volume is left to others while cruising (Headroom). */
const HEADROOM = 0.15;
export const MIN_PIPE_CWND = 4;
/** Growth below this, so often in a row, means that the pipe is full. */
const FULL_BW_THRESH = 1.25;
const FULL_BW_CNT = 3;
const EXTRA_ACKED_ROUNDS = 5;
const MIN_RTT_FILTER_MS = 10_000;
const PROBE_RTT_INTERVAL_MS = 5_000;

export const Phase = { Startup: 0, Drain: 1, Down: 2, Cruise: 3, Refill: 4, Up: 5, ProbeRtt: 6 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** What the ACKs that come now tell about (BBR.ack_phase): data of the last probe for bandwidth, or of before or after it. */
export const AckPhase = { Init: 0, Refilling: 1, ProbeStarting: 2, ProbeFeedback: 3, ProbeStopping: 4 } as const;
export type AckPhase = (typeof AckPhase)[keyof typeof AckPhase];

/** struct bbr, with the draft's names. */
export class Bbr {
  phase: Phase = Phase.Startup;
  ackPhase: AckPhase = AckPhase.Init;
  readonly initialCwnd: number;

  // ---- bandwidth
  /** The best of the last probe cycle, and of this one (MaxBwFilter). */
  private readonly bwHi: [number, number] = [0, 0];
  bwShortterm = Number.POSITIVE_INFINITY;
  bwLatest = 0;
  fullBw = 0;
  private fullBwCount = 0;
  fullBwNow = false;
  fullBwReached = false;

  // ---- volume in flight
  inflightLongterm = Number.POSITIVE_INFINITY;
  inflightShortterm = Number.POSITIVE_INFINITY;
  inflightLatest = 0;

  // ---- round trips, counted in deliveries
  private nextRoundDelivered = 0;
  private lossRoundDelivered = 0;
  roundStart = false;
  lossRoundStart = false;
  lossInRound = false;
  lossEvents = 0;

  // ---- round-trip time
  minRttMs: Millis = NEVER;
  private minRttStamp: Millis;
  /** The least since the last look (probe_rtt_min_delay): a new one is looked for every few seconds. */
  private probeRttMinMs: Millis = NEVER;
  probeRttMinStamp: Millis;
  probeRttExpired = false;

  // ---- ACKs that come in bursts
  private readonly extra: [number, number] = [0, 0];
  private extraRounds = 0;
  private ackEpochMs: Millis;
  private ackEpochAcked = 0;

  // ---- phases.ts
  cycleStamp: Millis = 0;
  probeWaitMs: Millis = 0;
  roundsSinceProbe = 0;
  probeSamples = false;
  probeUpCnt = Number.POSITIVE_INFINITY;
  probeUpAcks = 0;
  probeUpRounds = 0;
  /** End of PROBE_RTT, 0: not known yet; and a round of it is over. */
  probeRttDoneMs: Millis = 0;
  probeRttRoundDone = false;
  idleRestart = false;
  priorCwnd = 0;
  /** As they were before a loss that may turn out to be none. */
  undo = { bwShortterm: 0, inflightShortterm: 0, inflightLongterm: 0 };

  constructor(cx: CongestionContext, sk: CongestionState) {
    this.initialCwnd = sk.cwnd;
    this.minRttStamp = this.probeRttMinStamp = this.ackEpochMs = cx.now;
    if (sk.rtt.srttMs > 0) this.minRttMs = sk.rtt.srttMs;
  }

  get maxBw(): number {
    return Math.max(this.bwHi[0], this.bwHi[1]);
  }

  get bw(): number {
    return Math.min(this.maxBw, this.bwShortterm);
  }

  get extraAcked(): number {
    return Math.max(this.extra[0], this.extra[1]);
  }

  /** Bandwidth times delay. */
  bdp(bw: number, gain = 1): number {
    return this.minRttMs === NEVER ? this.initialCwnd : Math.ceil(gain * bw * this.minRttMs);
  }

  get inflightWithHeadroom(): number {
    const most = this.inflightLongterm;
    return most === Number.POSITIVE_INFINITY
      ? most
      : Math.max(most - Math.max(1, Math.floor(HEADROOM * most)), MIN_PIPE_CWND);
  }

  /** BBRStartRound() */
  startRound(sk: CongestionState): void {
    this.nextRoundDelivered = sk.delivered;
  }

  resetFullBw(bw = 0): void {
    this.fullBw = bw;
    this.fullBwCount = 0;
    this.fullBwNow = false;
  }

  resetShortterm(): void {
    this.bwShortterm = this.inflightShortterm = Number.POSITIVE_INFINITY;
  }

  resetCongestionSignals(): void {
    this.lossInRound = false;
    this.bwLatest = 0;
    this.inflightLatest = 0;
  }

  /** What was best two cycles ago counts no more. */
  advanceMaxBw(): void {
    if (this.bwHi[1] === 0) return;
    this.bwHi[0] = this.bwHi[1];
    this.bwHi[1] = 0;
  }

  /** Something sent in a round in which nothing was lost so far is lost. */
  noteLoss(sk: CongestionState): void {
    if (!this.lossInRound) this.lossRoundDelivered = sk.delivered;
    this.lossInRound = true;
  }

  /** BBRUpdateLatestDeliverySignals(), BBRUpdateRound(), BBRUpdateMaxBw() */
  takeSample(sk: CongestionState, rs: RateSample, bw: number): void {
    this.roundStart = this.lossRoundStart = false;
    if (bw > 0) {
      if (rs.priorDelivered >= this.nextRoundDelivered) {
        this.startRound(sk);
        this.roundStart = true;
        this.roundsSinceProbe++;
      }
      if (rs.priorDelivered >= this.lossRoundDelivered) {
        this.lossRoundDelivered = sk.delivered;
        this.lossRoundStart = true;
      }
      this.bwLatest = Math.max(this.bwLatest, bw);
      this.inflightLatest = Math.max(this.inflightLatest, rs.delivered);
      if (bw >= this.maxBw || !rs.isAppLimited) this.bwHi[1] = Math.max(this.bwHi[1], bw);
    }
    if (rs.losses > 0) {
      this.noteLoss(sk);
      this.lossEvents++;
    }
  }

  /** BBRAdvanceLatestDeliverySignals() */
  advanceLatest(rs: RateSample, bw: number): void {
    if (!this.lossRoundStart) return;
    this.lossInRound = false;
    this.lossEvents = 0;
    this.bwLatest = bw;
    this.inflightLatest = Math.max(rs.delivered, 0);
  }

  /** BBRAdaptLowerBoundsFromCongestion(): while not probing a round with loss shows what the path carries just now. */
  adaptLowerBounds(sk: CongestionState): void {
    if (!this.lossRoundStart || !this.lossInRound || this.isProbing) return;
    if (this.bwShortterm === Number.POSITIVE_INFINITY) this.bwShortterm = this.maxBw;
    if (this.inflightShortterm === Number.POSITIVE_INFINITY) this.inflightShortterm = sk.cwnd;
    this.bwShortterm = Math.max(this.bwLatest, BETA * this.bwShortterm);
    this.inflightShortterm = Math.max(this.inflightLatest, Math.floor(BETA * this.inflightShortterm));
  }

  /** BBRIsProbingBW() */
  get isProbing(): boolean {
    return this.phase === Phase.Startup || this.phase === Phase.Refill || this.phase === Phase.Up;
  }

  /** BBRUpdateACKAggregation(): ACKs that come in bursts need more in flight than bandwidth times delay. */
  updateAckAggregation(cx: CongestionContext, sk: CongestionState, rs: RateSample): void {
    if (this.roundStart && ++this.extraRounds >= (this.fullBwReached ? EXTRA_ACKED_ROUNDS : 1)) {
      this.extraRounds = 0;
      this.extra[0] = this.extra[1];
      this.extra[1] = 0;
    }
    let expected = this.bw * (cx.now - this.ackEpochMs);
    if (this.ackEpochAcked <= expected) {
      this.restartAckEpoch(cx);
      expected = 0;
    }
    this.ackEpochAcked += rs.ackedSacked;
    this.extra[1] = Math.max(this.extra[1], Math.min(Math.floor(this.ackEpochAcked - expected), sk.cwnd));
  }

  restartAckEpoch(cx: CongestionContext): void {
    this.ackEpochMs = cx.now;
    this.ackEpochAcked = 0;
  }

  /** BBRCheckFullBWReached(): three rounds in which the bandwidth has hardly grown. */
  checkFullBw(rs: RateSample, bw: number): void {
    if (this.fullBwNow || rs.isAppLimited || !this.roundStart) return;
    if (bw >= this.fullBw * FULL_BW_THRESH) {
      this.resetFullBw(bw);
      return;
    }
    this.fullBwNow = ++this.fullBwCount >= FULL_BW_CNT;
    if (this.fullBwNow) this.fullBwReached = true;
  }

  /** BBRUpdateMinRTT() */
  updateMinRtt(cx: CongestionContext, rs: RateSample): void {
    const { now } = cx;
    this.probeRttExpired = now > this.probeRttMinStamp + PROBE_RTT_INTERVAL_MS;
    if (rs.rttMs >= 0 && (rs.rttMs < this.probeRttMinMs || (this.probeRttExpired && !rs.isAckDelayed))) {
      this.probeRttMinMs = rs.rttMs;
      this.probeRttMinStamp = now;
    }
    if (this.probeRttMinMs < this.minRttMs || now > this.minRttStamp + MIN_RTT_FILTER_MS) {
      this.minRttMs = this.probeRttMinMs;
      this.minRttStamp = this.probeRttMinStamp;
    }
  }
}

/** IsInflightTooHigh(): of what was in flight when it was sent, too much was lost since. */
export const isInflightTooHigh = (lost: number, txInFlight: number): boolean =>
  lost > 0 && lost > txInFlight * LOSS_THRESH;

/**
 * BBRInflightAtLoss(): a record of `segs` segments takes the losses over the threshold; how much was in flight at the
 * segment with which it was reached? `lost` includes the record.
 */
export function inflightAtLoss(txInFlight: number, lost: number, segs: number): number {
  const inflightBefore = txInFlight - segs;
  const lostBefore = lost - segs;
  const within = Math.max(0, (LOSS_THRESH * inflightBefore - lostBefore) / (1 - LOSS_THRESH));
  return Math.floor(inflightBefore + within);
}
