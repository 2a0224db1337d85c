import type { Millis } from '@skbus/skb';
import { MinRtt } from './min-rtt.ts';
import { TCP_RTO_MAX_MS, TCP_RTO_MIN_MS, TCP_TIMEOUT_FALLBACK_MS, TCP_TIMEOUT_INIT_MS } from './sysctl.ts';

/**
 * Round-trip time and retransmission timeout (RFC 6298) as Linux computes them (net/ipv4/tcp_input.c:tcp_rtt_estimator):
 * the variance has a floor of the least RTO, falls once per round trip, and barely follows when the RTT itself drops.
 * All values in ms.
 */
export class RttEstimator {
  srttMs = 0;
  private mdevMs = 0;
  private mdevMaxMs = TCP_RTO_MIN_MS;
  rttvarMs = 0;
  /** What the Retrans timer is set to, doubled by each timeout (icsk_rto). */
  rtoMs = TCP_TIMEOUT_INIT_MS;
  readonly min = new MinRtt();
  /** Position after which the current round trip is over. */
  private roundEnd = 0;

  /** The least RTT of the last minutes, NEVER: none known (tcp_min_rtt). */
  get minMs(): Millis {
    return this.min.ms;
  }

  /**
   * tcp_rtt_estimator() and tcp_set_rto(). `sndUna`, `sndNxt`: the variance is judged once per window of data; `rtoMinMs`
   * is its floor (tcp_rto_min).
   */
  sample(rttMs: Millis, sndUna: number, sndNxt: number, rtoMinMs: Millis): void {
    const m = Math.max(rttMs, 0.001);
    if (this.srttMs === 0) {
      this.srttMs = m;
      this.mdevMs = m / 2;
      this.rttvarMs = Math.max(2 * m, rtoMinMs);
      this.mdevMaxMs = this.rttvarMs;
      this.roundEnd = sndNxt;
    } else {
      this.update(m, sndUna, sndNxt, rtoMinMs);
    }
    this.rtoMs = this.unbackedMs;
  }

  /** __tcp_set_rto(): the RTO without back-off. */
  get unbackedMs(): Millis {
    return Math.min(this.srttMs + this.rttvarMs, TCP_RTO_MAX_MS);
  }

  /** RFC 6298 5.5 */
  backOff(): void {
    this.rtoMs = Math.min(2 * this.rtoMs, TCP_RTO_MAX_MS);
  }

  /** RFC 6298 5.7: the SYN was sent more than once, so it says nothing of the path (tcp_init_metrics). */
  noSample(): void {
    this.rttvarMs = this.mdevMs = this.mdevMaxMs = TCP_TIMEOUT_FALLBACK_MS;
    this.rtoMs = TCP_TIMEOUT_FALLBACK_MS;
  }

  /** The mean deviation, as tcp_info and ss show it. */
  get mdev(): number {
    return this.mdevMs;
  }

  private update(m: Millis, sndUna: number, sndNxt: number, rtoMinMs: Millis): void {
    // RFC 6298 2.3: SRTT and RTTVAR with gains 1/8 and 1/4; mdev here is Linux's unscaled mean deviation
    const err = m - this.srttMs;
    this.srttMs += err / 8;
    let dev = Math.abs(err) - this.mdevMs;
    // an RTT that falls fast says little about the variance (Eifel)
    if (err < 0 && dev > 0) dev /= 8;
    this.mdevMs += dev / 4;
    if (4 * this.mdevMs > this.mdevMaxMs) {
      this.mdevMaxMs = 4 * this.mdevMs;
      if (this.mdevMaxMs > this.rttvarMs) this.rttvarMs = this.mdevMaxMs;
    }
    if (sndUna > this.roundEnd) {
      if (this.mdevMaxMs < this.rttvarMs) this.rttvarMs -= (this.rttvarMs - this.mdevMaxMs) / 4;
      this.roundEnd = sndNxt;
      this.mdevMaxMs = rtoMinMs;
    }
  }
}
