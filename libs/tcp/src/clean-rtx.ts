import type { Millis } from '@skbus/skb';
import { TCP_SYN } from '@skbus/wire';
import {
  FLAG_ACK_MAYBE_DELAYED,
  FLAG_ACKED,
  FLAG_CA_ALERT,
  FLAG_DATA_ACKED,
  FLAG_ORIG_SACK_ACKED,
  FLAG_RETRANS_DATA_ACKED,
  FLAG_SACK_RENEGING,
  FLAG_SET_XMIT_TIMER,
  FLAG_SYN_ACKED,
  type AckState,
} from './ack-state.ts';
import type { AckSample } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { mtuProbeAcked } from './mtu-probe.ts';
import { removeRenoSacks } from './newreno.ts';
import { rackAdvance } from './rack.ts';
import { rateSkbDelivered } from './rate.ts';
import { checkSackReordering } from './reordering.ts';
import { NO_RTX, type TxRec } from './rtx-queue.ts';
import { trimHead } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';
import { isSpuriousRetrans } from './undo.ts';

/** What left the queue: when the first and the last of it that was sent only once had been sent, -1: none was. */
const gone = { firstMs: -1, lastMs: -1, reord: 0, whole: true };

const ackSample: AckSample = { pktsAcked: 0, rttMs: -1, inFlight: 0 };

/** tcp_clean_rtx_queue(): what is acknowledged leaves the queue; it also gives the RTT samples (Karn, RFC 7323 4). */
export function cleanRtxQueue(cx: TcpContext, sk: TcpSock, a: AckState): void {
  cx.env.trace('tcp_clean_rtx_queue');
  const { rtx } = sk;
  const priorSacked = sk.sackedOut;
  gone.firstMs = gone.lastMs = -1;
  gone.reord = sk.sndNxt;
  gone.whole = true;
  for (let r = rtx.first; r !== undefined; r = rtx.first) {
    if (r.end > sk.sndUna) {
      if (r.segs === 1 || sk.sndUna <= r.seq) break;
      takeHead(cx, sk, a, r);
      break;
    }
    leave(cx, sk, a, r, r.seq, r.segs);
    rtx.shift();
  }
  if (rtx.length === 0) sk.rtx = NO_RTX;
  const head = rtx.first;
  if (head?.sacked === true) a.flag |= FLAG_SACK_RENEGING;
  const sampled = ackUpdateRtt(cx, sk, a, priorSacked);
  if ((a.flag & FLAG_ACKED) !== 0) {
    a.flag |= FLAG_SET_XMIT_TIMER;
    const { mtup } = sk;
    if (mtup !== undefined && mtup.probeSize !== 0 && mtup.seqEnd <= sk.sndUna) mtuProbeAcked(cx, sk, mtup);
    if (!sk.sackOk) {
      removeRenoSacks(cx, sk, a.acked);
      // without SACK nobody knows whether it was the original
      if ((a.flag & FLAG_RETRANS_DATA_ACKED) !== 0) a.flag &= ~FLAG_ORIG_SACK_ACKED;
    } else if (gone.reord < a.priorFack) {
      checkSackReordering(cx, sk, gone.reord, false);
    }
  } else if (head !== undefined && sampled && a.firstSackMs >= 0 && a.firstSackMs < head.sentMs) {
    // The SACK is of something older than the last try of the first segment: its timeout runs anew.
    a.flag |= FLAG_SET_XMIT_TIMER;
  }
  if (sk.cc.pktsAcked !== undefined) {
    ackSample.pktsAcked = a.acked;
    ackSample.rttMs = a.caRttMs;
    ackSample.inFlight = sk.delivered - Math.max(a.priorTxDelivered, 0);
    sk.cc.pktsAcked(cx, sk, ackSample);
  }
}

/** tcp_tso_acked(): the ACK ends inside a record of several segments. */
function takeHead(cx: TcpContext, sk: TcpSock, a: AckState, r: TxRec): void {
  const { seq } = r;
  const segs = trimHead(sk, r);
  if (segs === 0) return;
  gone.whole = false;
  leave(cx, sk, a, r, seq, segs);
}

/** The first `segs` segments of a record, from position `seq`, are acknowledged. */
function leave(cx: TcpContext, sk: TcpSock, a: AckState, r: TxRec, seq: number, segs: number): void {
  const syn = (r.flags & TCP_SYN) !== 0;
  if (r.everRetrans) {
    if (r.retrans) sk.retransOut -= segs;
    a.flag |= FLAG_RETRANS_DATA_ACKED;
  } else if (!r.sacked) {
    gone.lastMs = r.sentMs;
    if (gone.firstMs < 0) gone.firstMs = r.sentMs;
    if (seq < gone.reord) gone.reord = seq;
    if (r.end <= sk.highSeq) a.flag |= FLAG_ORIG_SACK_ACKED;
  }
  if (r.sacked) {
    sk.sackedOut -= segs;
  } else if (!syn) {
    a.deliveredBytes += (r.seq > seq ? r.seq : r.end) - seq;
  }
  if (!r.sacked && sk.sackOk) {
    sk.delivered += segs;
    if (!syn && !isSpuriousRetrans(cx, sk, a, r)) rackAdvance(cx, sk, r, r.end);
  }
  if (r.lost) sk.lostOut -= segs;
  sk.packetsOut -= segs;
  a.acked += segs;
  if (!syn) {
    rateSkbDelivered(sk, a, r, r.end);
    a.flag |= FLAG_DATA_ACKED;
  } else {
    a.flag |= FLAG_SYN_ACKED;
    sk.retransStampMs = 0;
  }
}

/**
 * tcp_ack_update_rtt(): the segment's own age is best; with retransmissions only the echoed timestamp is unambiguous. A
 * SACKed segment serves as well.
 */
function ackUpdateRtt(cx: TcpContext, sk: TcpSock, a: AckState, priorSacked: number): boolean {
  const { now } = cx;
  let rttMs: Millis = -1;
  if (gone.firstMs >= 0 && (a.flag & FLAG_RETRANS_DATA_ACKED) === 0) {
    rttMs = now - gone.firstMs;
    a.caRttMs = now - gone.lastMs;
    if (isMaybeDelayed(sk, a, priorSacked)) a.flag |= FLAG_ACK_MAYBE_DELAYED;
  }
  if (a.firstSackMs >= 0) {
    if (rttMs < 0) rttMs = now - a.firstSackMs;
    a.caRttMs = now - a.lastSackMs;
  }
  if (rttMs < 0 && a.tsEcr !== 0 && (a.flag & FLAG_ACKED) !== 0) {
    const ticks = (cx.tsNow(sk.tsOffset) - a.tsEcr) | 0;
    if (ticks >= 0) rttMs = a.caRttMs = Math.max(ticks, 1);
  }
  if (rttMs < 0) return false;
  updateRttMin(cx, sk, a.caRttMs, a.flag);
  sk.rtt.sample(rttMs, sk.sndUna, sk.sndNxt, cx.sysctl.tcpRtoMinUs / 1000);
  sk.backoff = 0; // RFC 6298 5.7: only a valid sample says that the timeout may be shorter again
  return true;
}

/** One small segment alone on the path: its ACK may have been delayed. */
const isMaybeDelayed = (sk: TcpSock, a: AckState, priorSacked: number): boolean =>
  a.acked === 1 &&
  gone.whole &&
  priorSacked === 0 &&
  sk.sndUna - a.priorUna < sk.mssCache &&
  a.priorTxDelivered + 1 === sk.delivered &&
  (a.flag & (FLAG_CA_ALERT | FLAG_SYN_ACKED)) === 0;

/** tcp_update_rtt_min(): not from what may be a delayed ACK. */
export function updateRttMin(cx: TcpContext, sk: TcpSock, rttMs: Millis, flag: number): void {
  const { min } = sk.rtt;
  if ((flag & FLAG_ACK_MAYBE_DELAYED) !== 0 && rttMs > min.ms) return;
  min.update(Math.max(rttMs, 0.001), cx.now, cx.sysctl.tcpMinRttWlen * 1000);
}
