import { NEVER } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { isArmed, setTimer, Timer } from './timers.ts';

/** The first segments of a connection go out at once, like sch_fq has it. */
const UNPACED_SEGS = 10;

/**
 * tcp_update_pacing_rate(): twice the window per round trip while slow start is far from its end, else 1.2 times. It sets
 * the size of GSO skbs and the small queue's limit; segments are spaced by it only when something asks for that
 * (`sk.pacing`: a congestion control, or SO_MAX_PACING_RATE), as on a Linux without sch_fq.
 */
export function updatePacingRate(cx: TcpContext, sk: TcpSock): void {
  const { tcpPacingSsRatio, tcpPacingCaRatio } = cx.sysctl;
  const percent = sk.cwnd < sk.ssthresh / 2 ? tcpPacingSsRatio : tcpPacingCaRatio;
  const { srttMs } = sk.rtt;
  if (srttMs === 0) return;
  const window = Math.max(sk.cwnd, sk.packetsOut) * sk.mssCache;
  sk.pacingRate = Math.min(Math.floor((window * percent * 10) / srttMs), sk.maxPacingRate);
}

/** SO_MAX_PACING_RATE; Infinity: none, but what was paced once stays so. */
export function setMaxPacingRate(sk: TcpSock, rate: number): void {
  sk.maxPacingRate = rate;
  if (rate !== Number.POSITIVE_INFINITY) sk.pacing = true;
  sk.pacingRate = sk.pacingRate === 0 && Number.isFinite(rate) ? rate : Math.min(sk.pacingRate, rate);
}

/** tcp_pacing_check(): is it too early for the next segment? Then the timer will call. */
export function pacingCheck(cx: TcpContext, sk: TcpSock): boolean {
  if (!sk.pacing || sk.wstampMs <= cx.now) return false;
  if (!isArmed(sk, Timer.Pacing)) {
    setTimer(sk, Timer.Pacing, sk.wstampMs);
    cx.timers.touch(sk);
  }
  return true;
}

/** tcp_update_skb_after_send(): `len` bytes left; when may the next ones? */
export function pacingAfterSend(cx: TcpContext, sk: TcpSock, len: number): void {
  const prior = sk.wstampMs;
  sk.wstampMs = Math.max(prior, cx.now);
  if (!sk.pacing || sk.pacingRate === 0 || sk.dataSegsOut < UNPACED_SEGS) return;
  const gapMs = (len * 1000) / sk.pacingRate;
  // a timer that came late is made good, up to half of the gap
  sk.wstampMs += gapMs - Math.min(gapMs / 2, sk.wstampMs - prior);
}

/** tcp_pace_kick() */
export function pacingTimer(cx: TcpContext, sk: TcpSock): void {
  setTimer(sk, Timer.Pacing, NEVER);
  cx.touch(sk);
}
