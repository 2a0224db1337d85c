import type { Millis } from '@skbus/skb';

/** A sample of the delivery rate, one per ACK (struct rate_sample). Segments and ms. */
export interface RateSample {
  /** When, and with how much delivered, the newest segment acknowledged was sent; NEVER in `priorMs`: no sample. */
  priorMs: Millis;
  priorDelivered: number;
  priorDeliveredCe: number;
  /** Delivered since then, and how long that took; -1: not valid. */
  delivered: number;
  deliveredCe: number;
  intervalMs: Millis;
  sndIntervalMs: Millis;
  rcvIntervalMs: Millis;
  rttMs: Millis;
  /** Newly found lost, newly acknowledged, and in flight before this ACK. */
  losses: number;
  ackedSacked: number;
  priorInFlight: number;
  lastEndSeq: number;
  isAppLimited: boolean;
  isRetrans: boolean;
}
