import { CA_RECOVERY, CaEvent } from './cong.ts';
import type { CongestionContext, CongestionControl, CongestionState } from './cong.ts';
import { renoCongAvoid, renoSsthresh, renoUndoCwnd } from './reno.ts';

/**
 * DCTCP (RFC 8257, net/ipv4/tcp_dctcp.c): the window shrinks by how many of the segments were marked, not by whether any
 * was. For data centres, where switches mark early. The receiver's part is in ce-echo.ts.
 */
const ALPHA_ONE = 1024;
/** g is 1/16 (RFC 8257 3.3). */
const SHIFT_G = 4;

/** struct dctcp */
interface Dctcp {
  /** The estimated part of marked segments, in 1/1024. */
  alpha: number;
  /** The window of data ends when this position is acknowledged. */
  nextSeq: number;
  oldDelivered: number;
  oldDeliveredCe: number;
  lossCwnd: number;
}

const fresh = (sk: CongestionState): Dctcp => ({
  alpha: ALPHA_ONE,
  nextSeq: sk.sndNxt,
  oldDelivered: sk.delivered,
  oldDeliveredCe: sk.deliveredCe,
  lossCwnd: 0,
});

/** Also during the handshake, before init(): a SYN may time out, and is acknowledged. */
const priv = (sk: CongestionState): Dctcp => (sk.caPriv ??= fresh(sk)) as Dctcp;

/** dctcp_init() */
function init(_cx: CongestionContext, sk: CongestionState): void {
  sk.caPriv = fresh(sk);
}

/** dctcp_ssthresh() (RFC 8257 3.3: cwnd = cwnd * (1 - DCTCP.Alpha / 2)). Without ECN it is Reno. */
function ssthresh(cx: CongestionContext, sk: CongestionState): number {
  if (!sk.ecnOk) return renoSsthresh(cx, sk);
  const ca = priv(sk);
  ca.lossCwnd = sk.cwnd;
  return Math.max(sk.cwnd - Math.floor((sk.cwnd * ca.alpha) / (2 * ALPHA_ONE)), 2);
}

/** dctcp_update_alpha(): once per window of data (RFC 8257 3.3, steps 1 to 7). */
function inAckEvent(_cx: CongestionContext, sk: CongestionState): void {
  const ca = priv(sk);
  if (sk.sndUna < ca.nextSeq) return;
  const delivered = sk.delivered - ca.oldDelivered;
  if (delivered > 0) {
    const deliveredCe = sk.deliveredCe - ca.oldDeliveredCe;
    // min_not_zero(): a small alpha decays to nothing, too
    ca.alpha -= ca.alpha >> SHIFT_G || ca.alpha;
    if (deliveredCe > 0) ca.alpha += Math.floor((deliveredCe * (ALPHA_ONE >> SHIFT_G)) / delivered);
    ca.alpha = Math.min(ca.alpha, ALPHA_ONE);
  }
  ca.nextSeq = sk.sndNxt;
  ca.oldDelivered = sk.delivered;
  ca.oldDeliveredCe = sk.deliveredCe;
}

/** dctcp_react_to_loss(): a loss is answered as Reno does (RFC 8257 3.5). */
function reactToLoss(cx: CongestionContext, sk: CongestionState): void {
  priv(sk).lossCwnd = sk.cwnd;
  sk.ssthresh = renoSsthresh(cx, sk);
}

export const dctcp: CongestionControl = {
  name: 'dctcp',
  needsEcn: true,
  echoesChanges: true,
  init,
  ssthresh,
  undoCwnd: (sk) => (sk.ecnOk ? Math.max(sk.cwnd, priv(sk).lossCwnd) : renoUndoCwnd(sk)),
  congAvoid: renoCongAvoid,
  inAckEvent,
  setState(cx, sk, state) {
    if (sk.ecnOk && state === CA_RECOVERY && state !== sk.caState) reactToLoss(cx, sk);
  },
  cwndEvent(cx, sk, event) {
    if (sk.ecnOk && event === CaEvent.Loss) reactToLoss(cx, sk);
  },
};
