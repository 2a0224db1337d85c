import { NEVER, TCP_ESTABLISHED, TCP_SYN_RECV } from '@skbus/skb';
import { TCP_ACK, TCP_RST, TCP_SYN } from '@skbus/wire';
import { tcpAck } from './ack.ts';
import { delayHandshakeAck, inPingpong } from './ack-output.ts';
import { reflectorFlags } from './accecn.ts';
import { FLAG_SLOWPATH } from './ack-state.ts';
import type { TcpContext } from './context.ts';
import { ecnRcvSyn, ecnRcvSynAck, ecnSendSynAck } from './ecn.ts';
import { rcvFastOpenSynAck, retransmitSynData } from './fastopen-client.ts';
import { sendReset } from './reply.ts';
import { armXmit, Pending } from './rto-arm.ts';
import { tcpReset } from './reset.ts';
import type { Segment } from './segment.ts';
import { wasSentBefore } from './sent-before.ts';
import type { TcpSock } from './sock.ts';
import { TCP_TIMEOUT_MIN_MS } from './sysctl.ts';
import { setState } from './state.ts';
import { initRcvMss, initTransfer } from './transfer.ts';
import { pawsReject } from './timestamps.ts';
import { sendAck, syncMss, transmit } from './transmit.ts';
import { dataQueue } from './data-queue.ts';
import { tryUndoSpuriousSyn } from './undo.ts';
import { recordChanged } from './views.ts';

/** tcp_rcv_synsent_state_process() (RFC 9293 3.10.7.3). Ends the skb. */
export function rcvSynSent(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const { env } = cx;
  env.trace('tcp_rcv_synsent_state_process', seg.skb);
  const rst = (seg.flags & TCP_RST) !== 0;
  if (seg.hasAck) {
    if (seg.ack <= sk.sndUna || (seg.ack > sk.sndNxt && !(seg.syn && wasSentBefore(sk, seg.ack)))) {
      // Its half of an old connection ends by our reset; the SYN need not wait for its timeout then.
      if (sk.retransmits === 0) armXmit(cx, sk, Pending.Rto, TCP_TIMEOUT_MIN_MS);
      sendReset(cx, seg);
      env.drop(seg.skb, 'TCP_INVALID_ACK_SEQUENCE');
      return;
    }
    if (seg.hasTs && sk.tsOk && seg.tsEcr !== 0 && !echoesOurs(cx, sk, seg)) {
      env.mib.inc('TcpExtPAWSActive');
      sendReset(cx, seg);
      env.drop(seg.skb, 'TCP_RFC7323_PAWS');
      return;
    }
    if (rst) {
      tcpReset(cx, sk, seg);
      env.drop(seg.skb, 'TCP_RESET');
    } else if (seg.syn) {
      synAck(cx, sk, seg);
    } else {
      env.drop(seg.skb, 'TCP_FLAGS');
    }
    return;
  }
  if (rst) {
    env.drop(seg.skb, 'TCP_RESET');
  } else if (sk.tsRecentMs !== NEVER && seg.hasTs && pawsReject(sk, seg, false, cx.now)) {
    env.drop(seg.skb, 'TCP_RFC7323_PAWS');
  } else if (seg.syn) {
    simultaneousOpen(cx, sk, seg);
  } else {
    env.drop(seg.skb, 'TCP_FLAGS');
  }
}

/** The peer's answer: the connection is established on our side. */
function synAck(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const { env } = cx;
  takePeerSyn(cx, sk, seg);
  settleOptions(sk);
  ecnRcvSynAck(cx, sk, seg);
  if (seg.hasTs) tryUndoSpuriousSyn(cx, sk, seg.tsEcr);
  tcpAck(cx, sk, seg, FLAG_SLOWPATH);
  sk.sndWnd = seg.window; // RFC 7323 2.2: not scaled in a SYN
  sk.maxWindow = seg.window;
  sk.predWindow = seg.window;
  syncMss(cx, sk, sk.mtu);
  initRcvMss(sk);
  env.trace('tcp_finish_connect', seg.skb);
  sk.retransStampMs = 0;
  setState(cx, sk, TCP_ESTABLISHED);
  initTransfer(cx, sk);
  sk.lastRcvMs = cx.now;
  sk.confirmNeigh = true;
  env.trace('sk_state_change');
  recordChanged(cx, sk);
  if (rcvFastOpenSynAck(cx, sk, seg)) retransmitSynData(cx, sk);
  else if (sk.accecn !== undefined) sendAck(cx, sk, reflectorFlags(sk.accecn.synRcv));
  else if (dataComes(cx, sk)) delayHandshakeAck(cx, sk);
  else sendAck(cx, sk);
  if (seg.len > 0 || seg.fin) {
    seg.seq = 1;
    seg.flags &= ~TCP_SYN;
    dataQueue(cx, sk, seg);
  } else {
    env.consume(seg.skb);
  }
}

/** A write waits for the handshake already, or the program has said that it will speak first (TCP_DEFER_ACCEPT, TCP_QUICKACK 0). */
const dataComes = (cx: TcpContext, sk: TcpSock): boolean =>
  sk.writerWaits || (sk.reqskQueue?.deferAccept ?? 0) > 0 || inPingpong(cx, sk);

/** Both sides called at once (RFC 9293 3.5, figure 7): answer the SYN, and wait for the ACK of ours. */
function simultaneousOpen(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  setState(cx, sk, TCP_SYN_RECV);
  takePeerSyn(cx, sk, seg);
  ecnRcvSyn(sk, seg);
  sk.sndWnd = seg.window;
  sk.maxWindow = seg.window;
  syncMss(cx, sk, sk.mtu);
  initRcvMss(sk);
  const r = sk.rtx.first;
  if (r !== undefined) {
    r.everRetrans = true; // an ACK may be for either of the two
    r.sentMs = cx.now;
  }
  transmit(cx, sk, 0, 0, TCP_SYN | TCP_ACK | ecnSendSynAck(sk));
  recordChanged(cx, sk);
  cx.env.consume(seg.skb);
}

/** Sequence numbers and options of the peer's SYN. */
function takePeerSyn(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const wnd = sk.rcvAdv - sk.rcvAck;
  sk.irs = seg.seq32;
  sk.rcvNxt = sk.rcvAck = sk.rcvWup = sk.rcvRead = 1;
  sk.rcvAdv = 1 + wnd;
  seg.seq = 0;
  seg.endSeq = 1 + seg.len + (seg.fin ? 1 : 0);
  sk.sndWl1 = 0;
  sk.tsOk = sk.tsOk && seg.hasTs;
  if (sk.tsOk) {
    sk.tsRecent = seg.tsVal;
    sk.tsRecentMs = cx.now;
  }
  sk.sackOk = sk.sackOk && seg.sackPermitted;
  sk.wscaleOk = sk.wscaleOk && seg.wscale >= 0;
  sk.sndWscale = sk.wscaleOk ? Math.min(seg.wscale, 14) : 0;
  sk.mssClamp = seg.mss > 0 ? seg.mss : 536;
  if (sk.userMss > 0) sk.mssClamp = Math.min(sk.mssClamp, sk.userMss);
}

/** What both offered is in force from here on. A simultaneous open's SYN-ACK still makes the whole offer. */
export function settleOptions(sk: TcpSock): void {
  if (sk.tsOk) sk.advMss -= 12;
  if (!sk.wscaleOk) sk.rcvWscale = 0;
}

/** RFC 7323 3.2: the echo must be a timestamp we sent since connect(). */
function echoesOurs(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  const first = cx.tsAt(sk.tsOffset, sk.retransStampMs);
  const age = (seg.tsEcr - first) | 0;
  return age >= 0 && ((cx.tsNow(sk.tsOffset) - seg.tsEcr) | 0) >= 0;
}
