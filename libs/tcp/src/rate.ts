import type { Millis } from '@skbus/skb';
import { FLAG_ACK_MAYBE_DELAYED, FLAG_SACK_RENEGING, type AckState } from './ack-state.ts';
import type { TcpContext } from './context.ts';
import type { TxRec } from './rtx-queue.ts';
import type { TcpSock } from './sock.ts';

/**
 * Delivery rate samples (net/ipv4/tcp_rate.c, draft-cheng-iccrg-delivery-rate-estimation): each segment remembers how much
 * had been delivered, and when, as it left; its ACK says how much more there was, and how long that took.
 */

/** A sample, one per ACK (struct rate_sample). Segments and ms. */
export interface RateSample {
  /** Of the newest segment acknowledged: what was delivered when it left, and when that was. -1: no segment, no sample. */
  priorMs: Millis;
  priorDelivered: number;
  priorDeliveredCe: number;
  /** Delivered since, and in which time: the longer of the sending and the receiving one. -1: not valid. */
  delivered: number;
  deliveredCe: number;
  intervalMs: Millis;
  sndIntervalMs: Millis;
  rcvIntervalMs: Millis;
  /** -1: none. */
  rttMs: Millis;
  /** Segments newly found lost, newly delivered, and in flight before this ACK. */
  losses: number;
  /** What was in flight when that segment left, and how many segments have been found lost since. */
  txInFlight: number;
  priorLost: number;
  lost: number;
  ackedSacked: number;
  priorInFlight: number;
  isAppLimited: boolean;
  isRetrans: boolean;
  isAckDelayed: boolean;
}

/** What a connection that sends keeps for it. Made with its first segment. */
export interface RateState {
  /** When the newest segment that was acknowledged had been sent. */
  firstTxMs: Millis;
  /** When `delivered` last grew. */
  deliveredMs: Millis;
  /** Samples are limited by the application until this much is delivered, 0: they are not. */
  appLimited: number;
  /** The best sample of late, for tcp_info. */
  delivered: number;
  intervalMs: Millis;
  isAppLimited: boolean;
}

/** The sample of the ACK being processed. */
export const rs: RateSample = {
  priorMs: -1,
  priorDelivered: 0,
  priorDeliveredCe: 0,
  delivered: -1,
  deliveredCe: 0,
  intervalMs: -1,
  sndIntervalMs: 0,
  rcvIntervalMs: 0,
  rttMs: -1,
  losses: 0,
  txInFlight: 0,
  priorLost: 0,
  lost: 0,
  ackedSacked: 0,
  priorInFlight: 0,
  isAppLimited: false,
  isRetrans: false,
  isAckDelayed: false,
};

/** An ACK arrived. */
export function rateBegin(): void {
  rs.priorMs = -1;
  rs.txInFlight = 0;
}

/** tcp_rate_skb_sent(): it leaves now; a snapshot of the connection goes with it. */
export function rateSkbSent(cx: TcpContext, sk: TcpSock, r: TxRec): void {
  sk.rate ??= { firstTxMs: 0, deliveredMs: 0, appLimited: 0, delivered: 0, intervalMs: 0, isAppLimited: true };
  const { rate } = sk;
  // the pipe was empty: the time until now says nothing about the path
  if (sk.packetsOut === 0) rate.firstTxMs = rate.deliveredMs = cx.now;
  r.firstTxMs = rate.firstTxMs;
  r.deliveredMs = rate.deliveredMs;
  r.delivered = sk.delivered;
  r.deliveredCe = sk.deliveredCe;
  r.isAppLimited = rate.appLimited > 0;
  r.txInFlight = sk.inFlight + r.segs;
  r.txLost = sk.everLost;
}

/** tcp_rate_skb_delivered(): it arrived up to `end`; the newest of an ACK makes the sample. */
export function rateSkbDelivered(sk: TcpSock, a: AckState, r: TxRec, end: number): void {
  // what was SACKed before has been counted
  if (r.sacked || sk.rate === undefined || !a.isNewest(r.sentMs, end, r.delivered)) return;
  rs.priorMs = r.deliveredMs;
  rs.priorDelivered = r.delivered;
  rs.priorDeliveredCe = r.deliveredCe;
  rs.isAppLimited = r.isAppLimited;
  rs.isRetrans = r.everRetrans;
  rs.txInFlight = r.txInFlight;
  rs.priorLost = r.txLost;
  rs.sndIntervalMs = r.sentMs - r.firstTxMs;
  sk.rate.firstTxMs = r.sentMs;
}

/** tcp_rate_gen(): the sample is complete. */
export function rateGen(cx: TcpContext, sk: TcpSock, a: AckState, delivered: number, lost: number): void {
  rs.ackedSacked = delivered;
  rs.losses = lost;
  rs.rttMs = a.caRttMs;
  rs.priorInFlight = a.priorInFlight;
  rs.isAckDelayed = (a.flag & FLAG_ACK_MAYBE_DELAYED) !== 0;
  rs.delivered = -1;
  rs.lost = 0;
  rs.intervalMs = -1;
  const { rate } = sk;
  if (rate === undefined) return;
  if (rate.appLimited > 0 && sk.delivered > rate.appLimited) rate.appLimited = 0;
  if (delivered > 0) rate.deliveredMs = cx.now;
  if (rs.priorMs < 0 || (a.flag & FLAG_SACK_RENEGING) !== 0) return;
  rs.delivered = sk.delivered - rs.priorDelivered;
  rs.lost = sk.everLost - rs.priorLost;
  rs.deliveredCe = sk.deliveredCe - rs.priorDeliveredCe;
  rs.rcvIntervalMs = cx.now - rs.priorMs;
  const intervalMs = Math.max(rs.sndIntervalMs, rs.rcvIntervalMs);
  // shorter than a round trip: spurious, for instance after an ACK of an old transmission
  if (intervalMs < sk.rtt.minMs) return;
  rs.intervalMs = intervalMs;
  if (!rs.isAppLimited || rs.delivered * rate.intervalMs >= rate.delivered * intervalMs) {
    rate.delivered = rs.delivered;
    rate.intervalMs = intervalMs;
    rate.isAppLimited = rs.isAppLimited;
  }
}

/** tcp_rate_check_app_limited(): before more is written, is there a bubble in the pipe because the application was slow? */
export function rateCheckAppLimited(sk: TcpSock): void {
  if (sk.rate === undefined) return;
  if (sk.sndTail - sk.sndNxt < sk.mssCache && sk.inFlight < sk.cwnd && sk.lostOut <= sk.retransOut) {
    sk.rate.appLimited = Math.max(sk.delivered + sk.inFlight, 1);
  }
}

/** tcp_compute_delivery_rate(): bytes per second. */
export function deliveryRate(sk: TcpSock): number {
  const { rate } = sk;
  if (rate === undefined || rate.intervalMs <= 0) return 0;
  return Math.floor((rate.delivered * sk.mssCache * 1000) / rate.intervalMs);
}
