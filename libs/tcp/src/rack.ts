import { NEVER, type Millis } from '@skbus/skb';
import { CA_RECOVERY } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { sentAfter, type AckState } from './ack-state.ts';
import { armXmit, Pending } from './rto-arm.ts';
import type { TxRec } from './rtx-queue.ts';
import { markLost } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';
import { RACK_NO_DUPTHRESH, RACK_STATIC_REO_WND, TCP_TIMEOUT_MIN_MS } from './sysctl.ts';

/**
 * RACK (RFC 8985): a segment is lost when one sent later was delivered, and so long ago that reordering does not explain
 * it. It serves retransmissions as well as first transmissions.
 */

/** For how many recoveries a larger reordering window stays (TCP_RACK_RECOVERY_THRESH). */
export const RACK_RECOVERY_THRESH = 16;
const REO_WND_STEPS_MAX = 255;

/** tcp_rack_advance() (RFC 8985 6.2 step 2): a segment sent at `sentMs` was delivered. */
export function rackAdvance(cx: TcpContext, sk: TcpSock, r: TxRec, end: number): void {
  const { loss } = sk;
  const rtt = cx.now - r.sentMs;
  // Sooner than any RTT after its retransmission: it is the original that arrived.
  if (r.everRetrans && rtt < sk.rtt.minMs) return;
  loss.rackAdvanced = true;
  loss.rackRttMs = rtt;
  if (sentAfter(r.sentMs, end, loss.rackMs, loss.rackEnd)) {
    loss.rackMs = r.sentMs;
    loss.rackEnd = end;
  }
}

/** tcp_rack_mark_lost(): after an ACK. True when the reordering timer was set. */
export function rackMarkLost(cx: TcpContext, sk: TcpSock): boolean {
  const { loss } = sk;
  if (!loss.rackAdvanced) return false;
  loss.rackAdvanced = false;
  const waitMs = rackDetectLoss(cx, sk);
  if (waitMs <= 0) return false;
  armXmit(cx, sk, Pending.ReoTimeout, Math.min(waitMs + TCP_TIMEOUT_MIN_MS, sk.rtt.rtoMs));
  return true;
}

/**
 * tcp_rack_update_reo_wnd() (RFC 8985 6.2 step 4): DSACKs say that the window was too small, so it grows by a quarter of
 * the least RTT, at most once per round trip; after 16 recoveries without a DSACK it starts again.
 */
export function rackUpdateReoWnd(cx: TcpContext, sk: TcpSock, a: AckState): void {
  const { loss } = sk;
  if ((cx.sysctl.tcpRecovery & RACK_STATIC_REO_WND) !== 0 || a.priorTxDelivered < 0) return;
  if (a.priorTxDelivered < loss.reoWndDelivered) loss.rackDsackSeen = false;
  if (loss.rackDsackSeen) {
    loss.reoWndSteps = Math.min(REO_WND_STEPS_MAX, loss.reoWndSteps + 1);
    loss.rackDsackSeen = false;
    loss.reoWndDelivered = sk.delivered;
    loss.reoWndPersist = RACK_RECOVERY_THRESH;
  } else if (loss.reoWndPersist === 0) {
    loss.reoWndSteps = 1;
  }
}

/** tcp_rack_skb_timeout(): how much longer a record may take to arrive; 0 or less: it is late. */
export const rackTimeoutMs = (cx: TcpContext, sk: TcpSock, r: TxRec, reoWndMs: Millis): Millis =>
  sk.loss.rackRttMs + reoWndMs - (cx.now - r.sentMs);

/**
 * tcp_rack_detect_loss() (RFC 8985 6.2 step 5). Goes through what was sent before the newest delivered segment, oldest
 * first. Returns how long until the last of those that are not late yet will be, 0: there is none.
 */
export function rackDetectLoss(cx: TcpContext, sk: TcpSock): Millis {
  const { loss, rtx } = sk;
  const reoWndMs = reoWnd(cx, sk);
  let waitMs = 0;
  for (let r = rtx.oldest, next: TxRec | undefined; r !== undefined; r = next) {
    next = r.newer;
    if (r.lost && !r.retrans) continue;
    if (!sentAfter(loss.rackMs, loss.rackEnd, r.sentMs, r.end)) break;
    const left = rackTimeoutMs(cx, sk, r, reoWndMs);
    if (left <= 0) {
      markLost(cx, sk, r);
      rtx.forget(r);
    } else if (left > waitMs) {
      waitMs = left;
    }
  }
  return waitMs;
}

/** tcp_rack_reo_wnd() (RFC 8985 6.2 step 4): none while reordering was never seen and enough duplicates came. */
function reoWnd(cx: TcpContext, sk: TcpSock): Millis {
  const { loss } = sk;
  if (loss.reordSeen === 0) {
    if (sk.caState >= CA_RECOVERY) return 0;
    if (sk.sackedOut >= sk.reordering && (cx.sysctl.tcpRecovery & RACK_NO_DUPTHRESH) === 0) return 0;
  }
  const min = sk.rtt.minMs === NEVER ? 0 : sk.rtt.minMs;
  return Math.min((min / 4) * loss.reoWndSteps, sk.rtt.srttMs);
}
