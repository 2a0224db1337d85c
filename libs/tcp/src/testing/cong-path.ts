import { Mib, SeededRng, type Millis } from '@skbus/skb';
import { CA_LOSS, CA_OPEN, CA_RECOVERY, SSTHRESH_INFINITE } from '../cong/cong.ts';
import type { AckSample, CongestionControl, CongestionState } from '../cong/cong.ts';
import { TCP_SYSCTL_DEFAULTS, type TcpSysctl } from '../sysctl.ts';

/** What a test may change of the connection. */
type Sk = { -readonly [K in keyof CongestionState]: CongestionState[K] };

/** One algorithm on an ideal path, a round trip at a time: all that is sent is acknowledged after `rttMs`. Positions are segments. */
export class CongPath {
  now: Millis = 1000;
  readonly sysctl: TcpSysctl;
  readonly env = { mib: new Mib(), rng: new SeededRng(1) };
  readonly cc: CongestionControl;
  readonly sk: Sk = {
    cwnd: 10,
    ssthresh: SSTHRESH_INFINITE,
    cwndCnt: 0,
    cwndClamp: SSTHRESH_INFINITE,
    priorCwnd: 0,
    caState: CA_OPEN,
    caPriv: undefined,
    cwndLimited: true,
    maxPacketsOut: 0,
    sndUna: 0,
    sndNxt: 0,
    delivered: 0,
    deliveredCe: 0,
    lastSndMs: 0,
    inFlight: 10,
    everLost: 0,
    mssCache: 1448,
    rtt: { srttMs: 0 },
    rate: undefined,
    pacingRate: 0,
    pacing: false,
    maxPacingRate: Number.POSITIVE_INFINITY,
    ecnOk: true,
  };

  constructor(cc: CongestionControl, sysctl: Partial<TcpSysctl> = {}) {
    this.cc = cc;
    this.sysctl = { ...TCP_SYSCTL_DEFAULTS, ...sysctl };
    cc.init?.(this, this.sk);
  }

  /**
   * A window of data goes out at once and its ACKs come back, `perAck` segments each, evenly over `spreadMs` from `rttMs`
   * on; what they allow goes out as they come. `marked` of the segments carry a congestion mark.
   */
  round(rttMs: Millis, { perAck = 1, spreadMs = 0, marked = 0 } = {}): number {
    const { sk } = this;
    const start = this.now;
    let left = sk.cwnd;
    sk.sndNxt = Math.max(sk.sndNxt, sk.sndUna + left);
    sk.lastSndMs = start;
    const acks = Math.ceil(left / perAck);
    for (let i = 0; i < acks; i++) {
      this.now = start + rttMs + (spreadMs * i) / acks;
      const n = Math.min(perAck, left);
      left -= n;
      sk.deliveredCe += Math.min(marked, n);
      marked -= Math.min(marked, n);
      this.ack(n, rttMs);
    }
    return sk.cwnd;
  }

  ack(n: number, rttMs: Millis): void {
    const { sk, cc } = this;
    sk.sndUna += n;
    sk.delivered += n;
    sk.maxPacketsOut = sk.cwnd;
    cc.inAckEvent?.(this, sk, false);
    const sample: AckSample = { pktsAcked: n, rttMs, inFlight: sk.cwnd };
    cc.pktsAcked?.(this, sk, sample);
    cc.congAvoid?.(this, sk, n);
    sk.sndNxt = Math.max(sk.sndNxt, sk.sndUna + sk.cwnd);
  }

  /** A fast recovery, from beginning to end. */
  loss(): void {
    const { sk, cc } = this;
    sk.priorCwnd = sk.cwnd;
    sk.ssthresh = cc.ssthresh(this, sk);
    cc.setState?.(this, sk, CA_RECOVERY);
    sk.caState = CA_RECOVERY;
    sk.cwnd = sk.ssthresh;
    sk.cwndCnt = 0;
    cc.setState?.(this, sk, CA_OPEN);
    sk.caState = CA_OPEN;
  }

  timeout(): void {
    const { sk, cc } = this;
    sk.ssthresh = cc.ssthresh(this, sk);
    cc.setState?.(this, sk, CA_LOSS);
    sk.caState = CA_LOSS;
    sk.cwnd = 1;
    sk.cwndCnt = 0;
  }
}
