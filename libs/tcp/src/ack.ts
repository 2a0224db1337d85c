import type { DropReason } from '@skbus/skb';
import { TCP_SYN } from '@skbus/wire';
import { CA_CWR, CA_OPEN, CA_RECOVERY, type AckSample } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { ecnRcvEcho } from './ecn.ts';
import { prrAck } from './prr.ts';
import { ackProbe } from './probe0.ts';
import { sendChallengeAck } from './rate-limit.ts';
import { fastRetransAlert } from './recovery.ts';
import { recountParts, retransmitLost } from './retransmit.ts';
import { armRto } from './rto-arm.ts';
import { segsOf, type TxRec } from './rtx-queue.ts';
import { sackTag } from './sack-in.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { replaceTsRecent } from './timestamps.ts';
import { syncMss } from './transmit.ts';
import { viewChanged } from './views.ts';

/** `ok`: it acknowledges something we may have sent; `old`: it is behind, which is fine; else why it is refused. */
export type AckVerdict = 'ok' | 'old' | Extract<DropReason, 'TCP_TOO_OLD_ACK' | 'TCP_ACK_UNSENT_DATA'>;

/** tcp_ack() flags */
export const ACK_UPDATE_TS = 1;
export const ACK_NO_CHALLENGE = 2;
/** FLAG_SLOWPATH: header prediction has not settled the window. */
export const ACK_SLOWPATH = 4;

/** What one ACK acknowledged (struct tcp_sacktag_state, tcp_clean_rtx_queue's flags). */
const cleaned = { segs: 0, any: false, syn: false, rttMs: -1, lastRttMs: -1 };
const ackSample: AckSample = { pktsAcked: 0, rttMs: -1, inFlight: 0 };

/** tcp_ack(): step 5 of RFC 9293 3.10.7.4, with RFC 5961 5 and all of loss recovery behind it. */
export function tcpAck(cx: TcpContext, sk: TcpSock, seg: Segment, flags: number): AckVerdict {
  cx.env.trace('tcp_ack', seg.skb);
  const { ack } = seg;
  const priorUna = sk.sndUna;
  if (ack < priorUna) return oldAck(cx, sk, seg, flags);
  if (ack > sk.sndNxt) return 'TCP_ACK_UNSENT_DATA';
  const advanced = ack > priorUna;
  if (advanced) sk.retransmits = 0;
  if (seg.endSeq === seg.seq) cx.env.mib.inc('TcpExtTCPPureAcks');
  const priorPackets = sk.packetsOut;
  const priorDelivered = sk.delivered;
  const priorLost = sk.lostOut;
  if ((flags & ACK_UPDATE_TS) !== 0) replaceTsRecent(cx, sk, seg);
  if ((flags & ACK_SLOWPATH) !== 0) cx.env.trace('tcp_ack_update_window', seg.skb);
  const windowMoved = updateWindow(cx, sk, seg);
  if (advanced) {
    sk.sndUna = ack;
    freeAcked(cx, sk, priorUna);
  }
  sk.softErr = 0;
  sk.probesOut = 0;
  sk.lastAckMs = cx.now;
  const sacked = seg.sack.length > 0 && sk.sackOk ? sackTag(cx, sk, seg, priorUna) : 0;
  if (priorPackets === 0) {
    ackProbe(cx, sk);
    if (sk.hasUnsent) cx.touch(sk);
    return 'ok';
  }
  cleanRtxQueue(cx, sk, seg);
  const ece = sk.ecnFlags !== 0 && ecnRcvEcho(sk, seg);
  const dup = !advanced && !windowMoved && seg.len === 0 && !seg.syn && !seg.fin;
  if (dup || sacked > 0 || ece || sk.caState !== CA_OPEN) {
    const dups = dup && seg.sack.length === 0 ? Math.max(1, seg.skb.gsoSegs) : 0;
    fastRetransAlert(cx, sk, advanced, dups, ece);
  }
  if (advanced || sacked > 0) sk.confirmNeigh = true;
  if (ece) countCe(cx, sk, sk.delivered - priorDelivered);
  congControl(cx, sk, sk.delivered - priorDelivered, sk.lostOut - priorLost, advanced);
  if (sk.lostOut > sk.retransOut) {
    cx.env.trace('tcp_xmit_recovery');
    retransmitLost(cx, sk);
  }
  if (advanced || windowMoved || sk.hasUnsent) cx.touch(sk);
  return 'ok';
}

/** An ACK from before sndUna: far behind it is an attack's mark (RFC 5961 5.2), else only its SACK blocks matter. */
function oldAck(cx: TcpContext, sk: TcpSock, seg: Segment, flags: number): AckVerdict {
  if (seg.ack < sk.sndUna - sk.maxWindow) {
    if ((flags & ACK_NO_CHALLENGE) === 0) sendChallengeAck(cx, sk);
    return 'TCP_TOO_OLD_ACK';
  }
  if (seg.sack.length > 0 && sk.sackOk && sk.packetsOut > 0) {
    if (sackTag(cx, sk, seg, sk.sndUna) > 0) fastRetransAlert(cx, sk, false, 0);
    if (sk.lostOut > sk.retransOut) retransmitLost(cx, sk);
  }
  return 'old';
}

/** tcp_ack_update_window(): only from the newest segment (RFC 9293 3.10.7.4, SND.WL1 and SND.WL2). */
function updateWindow(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  const wnd = seg.syn ? seg.window : seg.window * 2 ** sk.sndWscale;
  const newer = seg.ack > sk.sndUna || seg.seq > sk.sndWl1 || (seg.seq === sk.sndWl1 && (wnd > sk.sndWnd || wnd === 0));
  if (!newer) return false;
  sk.sndWl1 = seg.seq;
  if (sk.sndWnd === wnd) return false;
  sk.sndWnd = wnd;
  sk.predWindow = seg.window;
  if (wnd > sk.maxWindow) {
    sk.maxWindow = wnd;
    syncMss(cx, sk, sk.mtu);
  }
  return true;
}

/** The socket layer may free what the peer has. */
function freeAcked(cx: TcpContext, sk: TcpSock, priorUna: number): void {
  const upTo = Math.min(sk.sndUna - 1, sk.sendQueue.end);
  sk.bytesAcked += sk.sndUna - Math.max(priorUna, 1);
  sk.sendQueue.dropTo(upTo);
  if (sk.finAt >= 0 && sk.sndUna > sk.finAt) sk.finAcked = true;
  viewChanged(cx, sk);
}

/** tcp_clean_rtx_queue(): what is acknowledged leaves the queue; it also gives the RTT sample (Karn, RFC 7323 4). */
function cleanRtxQueue(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  cx.env.trace('tcp_clean_rtx_queue');
  const c = cleaned;
  c.segs = 0;
  c.any = false;
  c.syn = false;
  c.rttMs = -1;
  c.lastRttMs = -1;
  let clean = true;
  for (let r = sk.rtx.first; r !== undefined && r.seq < sk.sndUna; r = sk.rtx.first) {
    if (r.everRetrans) clean = false;
    else if (!r.sacked) {
      c.lastRttMs = cx.now - r.sentMs;
      if (c.rttMs < 0) c.rttMs = c.lastRttMs;
    }
    c.any = true;
    if (r.end > sk.sndUna) {
      c.segs += ackHead(sk, r);
      break;
    }
    c.segs += r.segs;
    if ((r.flags & TCP_SYN) !== 0) {
      c.syn = true;
      sk.retransStampMs = 0;
    }
    leave(sk, r);
    sk.rtx.shift();
  }
  if (!c.any) return;
  if (!sk.sackOk && c.segs > 0) removeRenoSacks(sk, c.segs);
  updateRtt(cx, sk, seg, clean ? c.rttMs : -1);
  if (sk.cc.pktsAcked !== undefined) {
    ackSample.pktsAcked = c.segs;
    ackSample.rttMs = c.lastRttMs;
    ackSample.inFlight = sk.inFlight;
    sk.cc.pktsAcked(cx, sk, ackSample);
  }
  armRto(cx, sk);
}

/** tcp_tso_acked(): the ACK ends inside a GSO record. Returns the segments of it that are done. */
function ackHead(sk: TcpSock, r: TxRec): number {
  const was = r.segs;
  r.seq = sk.sndUna;
  r.segs = segsOf(r);
  recountParts(sk, r, was, r.segs);
  if (!r.sacked) sk.delivered += was - r.segs;
  return was - r.segs;
}

/** tcp_remove_reno_sacks(): segments that duplicate ACKs had counted as arrived are not delivered twice. */
function removeRenoSacks(sk: TcpSock, acked: number): void {
  const had = sk.sackedOut;
  sk.delivered += Math.max(acked - had, 1) - acked;
  sk.sackedOut = Math.min(Math.max(0, had - (acked - 1)), sk.packetsOut);
}

function leave(sk: TcpSock, r: TxRec): void {
  sk.packetsOut -= r.segs;
  if (r.lost) sk.lostOut -= r.segs;
  if (r.retrans) sk.retransOut -= r.segs;
  if (r.sacked) sk.sackedOut -= r.segs;
  else sk.delivered += r.segs;
}

/** tcp_ack_update_rtt(): the segment's own age is best; with retransmissions only the echoed timestamp is unambiguous. */
function updateRtt(cx: TcpContext, sk: TcpSock, seg: Segment, ownMs: number): void {
  let rtt = ownMs;
  if (rtt < 0 && seg.hasTs && sk.tsOk && seg.tsEcr !== 0) {
    rtt = (cx.tsNow(sk.tsOffset) - seg.tsEcr) | 0;
    if (rtt === 0) rtt = 1;
  }
  if (rtt < 0) return;
  sk.rtt.sample(rtt, sk.sndUna, sk.sndNxt);
  sk.backoff = 0;
}

/** tcp_count_delivered_ce() */
function countCe(cx: TcpContext, sk: TcpSock, delivered: number): void {
  if (delivered <= 0) return;
  sk.deliveredCe += delivered;
  cx.env.mib.inc('TcpExtTCPDeliveredCE', delivered);
}

/** tcp_cong_control(): in recovery the window shrinks as PRR says, else the algorithm grows it while it limits us. */
function congControl(cx: TcpContext, sk: TcpSock, delivered: number, newlyLost: number, advanced: boolean): void {
  cx.env.trace('tcp_cong_control');
  if (delivered > 0) cx.env.mib.inc('TcpExtTCPDelivered', delivered);
  if (sk.caState === CA_CWR || sk.caState === CA_RECOVERY) {
    prrAck(sk, delivered, Math.max(0, newlyLost), advanced);
    return;
  }
  if (delivered <= 0 || !advanced) return;
  sk.cc.congAvoid?.(cx, sk, delivered);
}
