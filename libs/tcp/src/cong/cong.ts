import type { Mib, Millis, Rng } from '@skbus/skb';
import type { RateSample } from '../rate.ts';
import type { TcpSysctl } from '../sysctl.ts';

/** Congestion avoidance states (include/uapi/linux/tcp.h:tcp_ca_state). */
export const CA_OPEN = 0;
export const CA_DISORDER = 1;
export const CA_CWR = 2;
export const CA_RECOVERY = 3;
export const CA_LOSS = 4;

/** What happens to a connection besides ACKs (include/net/tcp.h:tcp_ca_event). */
export const CaEvent = {
  /** The first transmit with nothing in flight. */
  TxStart: 0,
  /** The window was reduced after an idle time. */
  CwndRestart: 1,
  /** The end of a window reduction. */
  CompleteCwr: 2,
  /** A loss timeout. */
  Loss: 3,
  /** A segment arrived without, or with, a congestion mark while ECN is on. */
  EcnNoCe: 4,
  EcnIsCe: 5,
} as const;
export type CaEvent = (typeof CaEvent)[keyof typeof CaEvent];

/** `snd_ssthresh` before anything was lost (include/net/tcp.h:TCP_INFINITE_SSTHRESH). */
export const SSTHRESH_INFINITE = 0x7fffffff;

/** What an algorithm sees and sets of a connection: a part of TcpSock. Windows in segments, like Linux. */
export interface CongestionState {
  cwnd: number;
  ssthresh: number;
  /** Credit towards the next whole segment (snd_cwnd_cnt). */
  cwndCnt: number;
  cwndClamp: number;
  /** The window before the reduction that is going on (prior_cwnd). */
  priorCwnd: number;
  caState: number;
  /** The algorithm's own variables (icsk_ca_priv). */
  caPriv: unknown;
  /** The window is what limited us (is_cwnd_limited), and the most that was in flight (max_packets_out). */
  readonly cwndLimited: boolean;
  readonly maxPacketsOut: number;
  readonly sndUna: number;
  readonly sndNxt: number;
  /** Segments delivered so far, and those of them with a congestion mark. */
  readonly delivered: number;
  readonly deliveredCe: number;
  readonly lastSndMs: Millis;
  /** Segments on their way, and ever found lost. */
  readonly inFlight: number;
  readonly everLost: number;
  readonly mssCache: number;
  readonly rtt: { readonly srttMs: Millis };
  /** Made with the first data. Until `appLimited` is delivered, samples are limited by the application; 0: they are not. */
  readonly rate: { appLimited: number } | undefined;
  /** Bytes per second; 0: unknown. `pacing`: segments really are spaced by it. */
  pacingRate: number;
  pacing: boolean;
  readonly maxPacingRate: number;
  readonly ecnOk: boolean;
}

/** What an algorithm may use of the surroundings: a part of TcpContext. */
export interface CongestionContext {
  readonly now: Millis;
  readonly sysctl: TcpSysctl;
  readonly env: { readonly mib: Mib; readonly rng: Rng };
}

/** A record that was just found lost: how it was when it was sent. A part of TxRec. */
export interface LostSkb {
  readonly segs: number;
  /** Segments in flight then, itself among them, and ever found lost. */
  readonly txInFlight: number;
  readonly txLost: number;
  readonly isAppLimited: boolean;
}

/** What one ACK told of the path (struct ack_sample). */
export interface AckSample {
  /** Segments that left the network with it. */
  pktsAcked: number;
  /** The age of the newest segment acknowledged that was sent only once; negative: there is none. */
  rttMs: number;
  /** Segments in flight when it was sent. */
  inFlight: number;
}

/**
 * A congestion control algorithm (struct tcp_congestion_ops). One object serves all connections and keeps what belongs
 * to one in `sk.caPriv`. It has `congAvoid`, and the engine does the rest (recovery, idle restart), or `congControl`, and
 * then does everything itself.
 */
export interface CongestionControl {
  readonly name: string;
  /** Any program may choose it (TCP_CONG_NON_RESTRICTED). */
  readonly unrestricted?: boolean;
  /** It only works with congestion marks, so ECN is asked for (TCP_CONG_NEEDS_ECN). */
  readonly needsEcn?: boolean;
  /** As a receiver it tells the peer of each change of the marks (RFC 8257 3.2) in place of RFC 3168's echo until CWR. */
  readonly echoesChanges?: boolean;
  /** Called when the connection is established, or when it is chosen later. */
  init?(cx: CongestionContext, sk: CongestionState): void;
  release?(cx: CongestionContext, sk: CongestionState): void;
  /** The slow start threshold after a loss. */
  ssthresh(cx: CongestionContext, sk: CongestionState): number;
  /** What the window goes back to when a reduction turns out to have been for nothing. */
  undoCwnd(sk: CongestionState): number;
  /** `acked` segments were newly delivered in a state in which the window may grow. */
  congAvoid?(cx: CongestionContext, sk: CongestionState, acked: number): void;
  /** In place of congAvoid and of the window reduction: sets cwnd and pacing rate on each ACK. */
  congControl?(cx: CongestionContext, sk: CongestionState, rs: RateSample): void;
  /** A record, or its retransmission, was found lost. */
  skbMarkedLost?(cx: CongestionContext, sk: CongestionState, skb: LostSkb): void;
  pktsAcked?(cx: CongestionContext, sk: CongestionState, sample: AckSample): void;
  /** What an ACK says is known, but nothing has been done about it; `ece`: it echoes congestion (in_ack_event). */
  inAckEvent?(cx: CongestionContext, sk: CongestionState, ece: boolean): void;
  /** The state machine moves (CA_*); `sk.caState` is still the old one. */
  setState?(cx: CongestionContext, sk: CongestionState, state: number): void;
  cwndEvent?(cx: CongestionContext, sk: CongestionState, event: CaEvent): void;
  /** The least segments of a GSO skb in place of tcp_min_tso_segs. */
  minTsoSegs?(sk: CongestionState): number;
  /** How many congestion windows the send buffer holds in place of 2. */
  sndbufExpand?(sk: CongestionState): number;
}

/** tcp_in_slow_start() */
export const inSlowStart = (sk: CongestionState): boolean => sk.cwnd < sk.ssthresh;

/** tcp_is_cwnd_limited(): in slow start the window may grow to twice what was really used (RFC 7661 has the idea). */
export function isCwndLimited(sk: CongestionState): boolean {
  return sk.cwndLimited || (inSlowStart(sk) && sk.cwnd < 2 * sk.maxPacketsOut);
}

/** tcp_slow_start() (RFC 5681 3.1): one segment per segment acknowledged; returns what is left at the threshold. */
export function slowStart(sk: CongestionState, acked: number): number {
  const cwnd = Math.min(sk.cwnd + acked, sk.ssthresh);
  const left = acked - (cwnd - sk.cwnd);
  sk.cwnd = Math.min(cwnd, sk.cwndClamp);
  return left;
}

/** tcp_cong_avoid_ai(): additive increase by one segment per `w` acknowledged. */
export function congAvoidAi(sk: CongestionState, w: number, acked: number): void {
  if (sk.cwndCnt >= w) {
    sk.cwndCnt = 0;
    sk.cwnd++;
  }
  sk.cwndCnt += acked;
  if (sk.cwndCnt >= w) {
    const delta = Math.floor(sk.cwndCnt / w);
    sk.cwndCnt -= delta * w;
    sk.cwnd += delta;
  }
  sk.cwnd = Math.min(sk.cwnd, sk.cwndClamp);
}
