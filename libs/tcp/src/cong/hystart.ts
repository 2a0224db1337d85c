import type { MibName, Millis } from '@skbus/skb';
import { GSO_MAX_SIZE } from '../sysctl.ts';
import type { CongestionContext, CongestionState } from './cong.ts';

/** tcp_cubic.hystart: Linux's hybrid slow start. */
export const HYSTART_LINUX = 1;
/** tcp_cubic.hystart_detect */
const ACK_TRAIN = 1;
const DELAY = 2;
const MIN_SAMPLES = 8;
const DELAY_MIN_MS = 4;
const DELAY_MAX_MS = 16;

/** The variables of HyStart in struct bictcp. */
export class HyStart {
  /** The exit point was found; slow start is over, or soon will be. */
  found = false;
  samples = 0;
  roundStartMs: Millis = 0;
  lastAckMs: Millis = 0;
  /** Position at which the round ends. */
  endSeq = 0;
  currRttMs = Number.POSITIVE_INFINITY;

  /** bictcp_hystart_reset(): a round begins. */
  reset(cx: CongestionContext, sk: CongestionState): void {
    this.roundStartMs = this.lastAckMs = cx.now;
    this.endSeq = sk.sndNxt;
    this.currRttMs = Number.POSITIVE_INFINITY;
    this.samples = 0;
  }
}

/**
 * hystart_update(): slow start ends before it overflows the bottleneck when a train of ACKs lasts as long as the path, or
 * when the first ACKs of a round come late (Ha and Rhee, "Hybrid slow start for high-bandwidth and long-distance networks").
 */
export function hyStartUpdate(
  cx: CongestionContext,
  sk: CongestionState,
  h: HyStart,
  delayMs: Millis,
  delayMinMs: Millis,
): void {
  const { cubicHystartDetect, cubicHystartLowWindow, cubicHystartAckDeltaUs } = cx.sysctl;
  if (sk.cwnd < cubicHystartLowWindow) return;
  if (sk.sndUna > h.endSeq) h.reset(cx, sk);
  if ((cubicHystartDetect & ACK_TRAIN) !== 0 && cx.now - h.lastAckMs <= cubicHystartAckDeltaUs / 1000) {
    h.lastAckMs = cx.now;
    let thresholdMs = delayMinMs + ackDelayMs(sk);
    // without pacing the whole window leaves at once, and half a round trip of ACKs is the mark
    if (!sk.pacing) thresholdMs /= 2;
    if (cx.now - h.roundStartMs > thresholdMs)
      exit(cx, sk, h, 'TcpExtTCPHystartTrainDetect', 'TcpExtTCPHystartTrainCwnd');
  }
  if ((cubicHystartDetect & DELAY) === 0) return;
  if (delayMs < h.currRttMs) h.currRttMs = delayMs;
  if (h.samples < MIN_SAMPLES) {
    h.samples++;
  } else if (h.currRttMs > delayMinMs + Math.min(Math.max(delayMinMs / 8, DELAY_MIN_MS), DELAY_MAX_MS)) {
    exit(cx, sk, h, 'TcpExtTCPHystartDelayDetect', 'TcpExtTCPHystartDelayCwnd');
  }
}

function exit(cx: CongestionContext, sk: CongestionState, h: HyStart, detect: MibName, cwnd: MibName): void {
  h.found = true;
  cx.env.mib.inc(detect);
  cx.env.mib.inc(cwnd, sk.cwnd);
  sk.ssthresh = sk.cwnd;
}

/** hystart_ack_delay(): what aggregation into GSO skbs may add, 1 ms at most. */
function ackDelayMs(sk: CongestionState): Millis {
  return sk.pacingRate === 0 ? 0 : Math.min(1, (GSO_MAX_SIZE * 4 * 1000) / sk.pacingRate);
}
