import {
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_SYN_RECV,
} from '@skbus/skb';
import { TCP_RST } from '@skbus/wire';
import { accEcnReceived, accEcnSpurious, reflectorFlags, sawOption } from './accecn.ts';
import { tcpAck } from './ack.ts';
import { FLAG_NO_CHALLENGE_ACK, FLAG_SLOWPATH, FLAG_UPDATE_TS_RECENT } from './ack-state.ts';
import { enterQuickAck } from './ack-output.ts';
import { childEstablished } from './child.ts';
import type { TcpContext } from './context.ts';
import { confirmForOrphan, dataQueue } from './data-queue.ts';
import { setDsack } from './dsack.ts';
import { checkReq } from './check-req.ts';
import { fastOpenAcked } from './fastopen-server.ts';
import { finAcked } from './fin.ts';
import { armKeepalive, finTimeMs } from './keepalive.ts';
import { updatePacingRate } from './pacing.ts';
import { oowRateLimited, sendChallengeAck } from './rate-limit.ts';
import { measureRcvRttTs } from './rcv-space.ts';
import { sendReset } from './reply.ts';
import { tcpReset } from './reset.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { setState, tcpDone } from './state.ts';
import { TCP_MAX_QUICKACKS, TCP_TIMEWAIT_LEN_MS } from './sysctl.ts';
import { settleOptions } from './synsent.ts';
import { timeWait } from './timewait.ts';
import { pawsDiscard } from './timestamps.ts';
import { sendAck } from './transmit.ts';
import { initTransfer } from './transfer.ts';
import { tcpUrg } from './urgent.ts';
import { recordChanged } from './views.ts';

/**
 * The eight steps of RFC 9293 3.10.7.4, one function each, for every synchronized state but ESTABLISHED
 * (tcp_rcv_state_process); that one takes the same steps by a shorter way (established.ts). Each answers whether the segment
 * goes on to the next; if not, it has ended the skb.
 *
 * | step | checks | function |
 * |---|---|---|
 * | 1 | sequence number (before it, PAWS) | step1Sequence |
 * | 2 | RST | step2Rst |
 * | 3 | security | step3Security |
 * | 4 | SYN | step4Syn |
 * | 5 | ACK | step5Ack → ack.ts |
 * | 6 | URG | step6Urg → urgent.ts |
 * | 7 | segment text | step7Text → data-queue.ts |
 * | 8 | FIN | step8Fin in fin.ts, which the text before it calls when it is complete |
 */
export function rcvStateProcess(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  cx.env.trace('tcp_rcv_state_process', seg.skb);
  const req = sk.fastopen?.req;
  if (req !== undefined && checkReq(cx, req, seg, sk) === undefined) return;
  if (!seg.hasAck && (seg.flags & TCP_RST) === 0 && !seg.syn) {
    cx.env.drop(seg.skb, 'TCP_FLAGS');
    return;
  }
  if (!validateIncoming(cx, sk, seg, false)) return;
  // a child has counted the segment that made it
  const { accecn } = sk;
  if (accecn !== undefined && (sk.state !== TCP_SYN_RECV || sk.listener === undefined)) accEcnReceived(sk, accecn, seg);
  if (!step5Ack(cx, sk, seg)) return;
  step6Urg(cx, sk, seg);
  if (!step7Text(cx, sk, seg)) return;
  if (sk.state !== TCP_CLOSE) {
    cx.env.trace('tcp_data_snd_check');
    confirmForOrphan(cx, sk);
  }
}

/** Steps 1 to 4 and PAWS before them (tcp_validate_incoming). A SYN here counts as an error in ESTABLISHED only. */
export function validateIncoming(cx: TcpContext, sk: TcpSock, seg: Segment, synIsError: boolean): boolean {
  cx.env.trace('tcp_validate_incoming', seg.skb);
  return (
    step0Paws(cx, sk, seg, synIsError) &&
    step1Sequence(cx, sk, seg, synIsError) &&
    step2Rst(cx, sk, seg) &&
    step3Security() &&
    step4Syn(cx, sk, seg, synIsError)
  );
}

/** R1 of RFC 7323 5.3: a segment older than the newest timestamp is a duplicate from long ago. */
function step0Paws(cx: TcpContext, sk: TcpSock, seg: Segment, synIsError: boolean): boolean {
  if (!seg.hasTs || !sk.tsOk || !pawsDiscard(cx, sk, seg)) return true;
  if ((seg.flags & TCP_RST) !== 0) return true; // a reset counts even so
  if (seg.syn) return synChallenge(cx, sk, seg, synIsError);
  cx.env.mib.inc('TcpExtPAWSEstab');
  if (!oowRateLimited(cx, seg, sk, 'TcpExtTCPACKSkippedPAWS')) sendDupAck(cx, sk, seg);
  cx.env.drop(seg.skb, 'TCP_RFC7323_PAWS');
  return false;
}

/** First, check sequence number (tcp_sequence): some of it must be in the window. */
function step1Sequence(cx: TcpContext, sk: TcpSock, seg: Segment, synIsError: boolean): boolean {
  const old = seg.endSeq < sk.rcvWup;
  if (!old && seg.seq <= sk.rcvNxt + sk.rcvWindow) return true;
  if ((seg.flags & TCP_RST) !== 0) {
    if (resetCheck(sk, seg)) tcpReset(cx, sk, seg);
  } else if (seg.syn) {
    return synChallenge(cx, sk, seg, synIsError);
  } else {
    // Both ends were started anew and are behind what they once sent: each hears only from such a segment how far it was.
    if (old && seg.hasAck && seg.ack > sk.sndNxt && seg.ack <= sk.sentBefore) tcpAck(cx, sk, seg, FLAG_SLOWPATH);
    if (!oowRateLimited(cx, seg, sk, 'TcpExtTCPACKSkippedSeq')) sendDupAck(cx, sk, seg);
  }
  cx.env.drop(seg.skb, old ? 'TCP_OLD_SEQUENCE' : 'TCP_INVALID_SEQUENCE');
  return false;
}

/** Second, check the RST bit (RFC 5961 3.2): only the exact sequence number resets, others in the window are asked back. */
function step2Rst(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  if ((seg.flags & TCP_RST) === 0) return true;
  if (seg.seq === sk.rcvNxt || resetCheck(sk, seg) || matchesSack(sk, seg)) tcpReset(cx, sk, seg);
  else sendChallengeAck(cx, sk);
  cx.env.drop(seg.skb, 'TCP_RESET');
  return false;
}

/** Third, check security: Linux has none of it (RFC 9293 appendix A.1). */
function step3Security(): boolean {
  return true;
}

/** Fourth, check the SYN bit (RFC 5961 4.2). The SYN-ACK of a simultaneous open may come again in SYN-RECEIVED. */
function step4Syn(cx: TcpContext, sk: TcpSock, seg: Segment, synIsError: boolean): boolean {
  if (!seg.syn) return true;
  const synAckAgain =
    sk.state === TCP_SYN_RECV &&
    seg.hasAck &&
    seg.seq + 1 === seg.endSeq &&
    seg.seq + 1 === sk.rcvNxt &&
    seg.ack === sk.sndNxt;
  return synAckAgain || synChallenge(cx, sk, seg, synIsError);
}

/** Fifth, check the ACK field, and what an acknowledged FIN means in each state. */
function step5Ack(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  if (!seg.hasAck) {
    cx.env.drop(seg.skb, 'TCP_FLAGS');
    return false;
  }
  const verdict = tcpAck(cx, sk, seg, FLAG_UPDATE_TS_RECENT | FLAG_SLOWPATH | FLAG_NO_CHALLENGE_ACK);
  if (sk.state === TCP_SYN_RECV) {
    if (verdict !== 'ok') {
      sendReset(cx, seg);
      cx.env.drop(seg.skb, verdict === 'old' ? 'TCP_OLD_ACK' : verdict);
      return false;
    }
    synAcked(cx, sk, seg);
  } else if (verdict !== 'ok' && verdict !== 'old') {
    sendChallengeAck(cx, sk);
    cx.env.drop(seg.skb, verdict);
    return false;
  }
  if (sk.state === TCP_FIN_WAIT1) fastOpenAcked(cx, sk);
  if (!sk.finAcked) return true;
  if (sk.state === TCP_FIN_WAIT1) return enterFinWait2(cx, sk, seg);
  if (sk.state === TCP_CLOSING || sk.state === TCP_LAST_ACK) {
    if (!finAcked(cx, sk)) return true;
    cx.env.consume(seg.skb);
    return false;
  }
  return true;
}

/** Sixth, check the URG bit. It counts even when the window is closed (RFC 9293 MUST-66). */
function step6Urg(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  if (seg.hasTs) measureRcvRttTs(cx, sk, seg);
  tcpUrg(cx, sk, seg);
}

/** Seventh, process the segment text. After the peer's FIN there is none; for an application that has gone it is too late. */
function step7Text(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  const { state } = sk;
  const peerClosed = state === TCP_CLOSE_WAIT || state === TCP_CLOSING || state === TCP_LAST_ACK;
  if (peerClosed && seg.seq >= sk.rcvNxt) {
    if (seg.endSeq > seg.seq) cx.env.drop(seg.skb, 'NOT_SPECIFIED');
    else cx.env.consume(seg.skb);
    return true;
  }
  if (sk.rcvShutdown && state !== TCP_ESTABLISHED && seg.endSeq !== seg.seq) {
    if (seg.endSeq - (seg.fin ? 1 : 0) > sk.rcvNxt) return abortOnData(cx, sk, seg);
  }
  dataQueue(cx, sk, seg);
  return true;
}

/** RFC 9293 3.6.1 (MUST-3 of RFC 1122 4.2.2.13): data that nobody will read is answered with a reset. */
function abortOnData(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  cx.env.mib.inc('TcpExtTCPAbortOnData');
  sendReset(cx, seg);
  tcpReset(cx, sk, seg);
  cx.env.drop(seg.skb, 'TCP_ABORT_ON_DATA');
  return false;
}

/** SYN-RECEIVED becomes ESTABLISHED. */
function synAcked(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  if (sk.fastopen?.req !== undefined) {
    fastOpenAcked(cx, sk);
  } else {
    sk.retransStampMs = 0;
    if (sk.listener === undefined) {
      settleOptions(sk); // both sides called
      recordChanged(cx, sk);
    }
    initTransfer(cx, sk);
  }
  setState(cx, sk, TCP_ESTABLISHED);
  cx.env.trace('sk_state_change');
  sk.delivered++; // the SYN-ACK, which no record stands for
  sk.sndUna = Math.max(sk.sndUna, seg.ack);
  sk.sndWnd = seg.window << sk.sndWscale;
  sk.maxWindow = Math.max(sk.maxWindow, sk.sndWnd);
  sk.predWindow = seg.window;
  sk.sndWl1 = seg.seq;
  sk.lastRcvMs = cx.now;
  if (sk.cc.congControl === undefined) updatePacingRate(cx, sk);
  if (sk.listener !== undefined) childEstablished(cx, sk);
  if (sk.finAt >= 0) setState(cx, sk, TCP_FIN_WAIT1);
}

/** Our FIN is acknowledged. Somebody may still be reading; an orphan only waits for the peer's FIN, and not for ever. */
function enterFinWait2(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  setState(cx, sk, TCP_FIN_WAIT2);
  sk.sndShutdown = true;
  if (!sk.orphan) return true;
  if (seg.len > 0 && seg.endSeq - (seg.fin ? 1 : 0) > sk.rcvNxt) return true; // step 7 resets
  if (sk.linger2Ms < 0) {
    cx.env.mib.inc('TcpExtTCPAbortOnData');
    sendReset(cx, seg);
    tcpDone(cx, sk);
    cx.env.drop(seg.skb, 'TCP_ABORT_ON_DATA');
    return false;
  }
  const tmo = finTimeMs(cx, sk);
  if (tmo > TCP_TIMEWAIT_LEN_MS) {
    armKeepalive(cx, sk, cx.now + tmo - TCP_TIMEWAIT_LEN_MS);
  } else if (seg.fin) {
    armKeepalive(cx, sk, cx.now + tmo);
  } else {
    timeWait(cx, sk, TCP_FIN_WAIT2, tmo);
    cx.env.consume(seg.skb);
    return false;
  }
  return true;
}

/** The SYN-ACK once more: the peer may have missed what we told of the first one (RFC 9768 3.2.2.1). */
function reflectSyn(sk: TcpSock, seg: Segment): number {
  const { accecn } = sk;
  if (accecn === undefined || !seg.hasAck) return 0;
  accecn.synRcv = seg.ipEcn;
  sawOption(accecn, seg.accecn);
  return reflectorFlags(seg.ipEcn);
}

function synChallenge(cx: TcpContext, sk: TcpSock, seg: Segment, synIsError: boolean): false {
  if (synIsError) cx.env.mib.inc('TcpInErrs');
  cx.env.mib.inc('TcpExtTCPSYNChallenge');
  sendChallengeAck(cx, sk, reflectSyn(sk, seg));
  cx.env.drop(seg.skb, 'TCP_INVALID_SYN');
  return false;
}

/** tcp_reset_check(): some stacks reset with the sequence number of their FIN. */
function resetCheck(sk: TcpSock, seg: Segment): boolean {
  return (
    seg.seq === sk.rcvNxt - 1 && (sk.state === TCP_CLOSE_WAIT || sk.state === TCP_LAST_ACK || sk.state === TCP_CLOSING)
  );
}

/** With data out of order the peer's next number may be the end of what we have SACKed. */
function matchesSack(sk: TcpSock, seg: Segment): boolean {
  if (!sk.sackOk || sk.sackBlocks.length === 0) return false;
  let most = 0;
  for (const b of sk.sackBlocks) most = Math.max(most, b[1]);
  return seg.seq === most;
}

/** tcp_send_dupack(): says what we expect; with SACK also what was duplicate (RFC 2883). */
function sendDupAck(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  cx.env.trace('tcp_send_dupack', seg.skb);
  if (seg.endSeq !== seg.seq && seg.seq < sk.rcvNxt) {
    cx.env.mib.inc('TcpExtDelayedACKLost');
    enterQuickAck(sk, TCP_MAX_QUICKACKS);
    if (sk.accecn !== undefined) accEcnSpurious(sk.accecn, seg.seq, Math.min(seg.endSeq, sk.rcvNxt));
    setDsack(cx, sk, seg.seq, Math.min(seg.endSeq, sk.rcvNxt));
  }
  sendAck(cx, sk);
}
