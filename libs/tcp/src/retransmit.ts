import { TCP_STATE_NAMES, TCP_SYN_RECV } from '@skbus/skb';
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN } from '@skbus/wire';
import { CA_LOSS } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { ecnRetransSyn, ecnSendSynAck } from './ecn.ts';
import { pacingCheck } from './pacing.ts';
import { inCwndReduction } from './prr.ts';
import { rateSkbSent } from './rate.ts';
import { tryCollapse } from './retrans-collapse.ts';
import { armXmit, Pending } from './rto-arm.ts';
import { payloadLen, segsOf, type TxRec } from './rtx-queue.ts';
import { recount, splitRec, trimHead } from './scoreboard.ts';
import { smallQueueFull } from './small-queue.ts';
import type { TcpSock } from './sock.ts';
import { GSO_PAYLOAD_MAX } from './sysctl.ts';
import { currentMss, transmit } from './transmit.ts';

const AF_INET = 2;

/** tcp_xmit_retransmit_queue(): what is marked lost, oldest first, as far as the congestion window goes. */
export function retransmitLost(cx: TcpContext, sk: TcpSock): void {
  if (sk.packetsOut === 0 || sk.lostOut <= sk.retransOut) return;
  cx.env.trace('tcp_xmit_retransmit_queue');
  const { loss, rtx } = sk;
  const mib = sk.caState === CA_LOSS ? 'TcpExtTCPSlowStartRetrans' : 'TcpExtTCPFastRetrans';
  let rearm = false;
  let i = rtx.findAfter(loss.retransHint);
  for (; i < rtx.length && sk.lostOut > sk.retransOut; i++) {
    const r = rtx.at(i);
    if (!r.lost || r.retrans || r.sacked) continue;
    if (pacingCheck(cx, sk)) break;
    const quota = sk.cwnd - sk.inFlight;
    if (quota <= 0 || smallQueueFull(cx, sk, payloadLen(r), true) || !retransmit(cx, sk, i, quota)) break;
    cx.env.mib.inc(mib, r.segs);
    if (inCwndReduction(sk)) sk.prrOut += r.segs;
    if (i === 0 && sk.pending !== Pending.ReoTimeout) rearm = true;
  }
  loss.retransHint = i < rtx.length ? rtx.at(i).seq : sk.sndNxt;
  if (rearm) armXmit(cx, sk, Pending.Rto, sk.rtt.rtoMs);
}

/** tcp_retransmit_skb(): record i again, at most `segs` segments of it. */
export function retransmit(cx: TcpContext, sk: TcpSock, i: number, segs: number): boolean {
  const { loss } = sk;
  const r = sk.rtx.at(i);
  const sent = retransmitRec(cx, sk, i, segs);
  if (sent && !r.retrans) {
    r.retrans = true;
    sk.retransOut += r.segs;
  }
  if (sk.retransStampMs === 0) sk.retransStampMs = r.sentMs;
  loss.undoRetrans = Math.max(loss.undoRetrans, 0) + r.segs;
  return sent;
}

/** __tcp_retransmit_skb(): sends it; the rest of the record becomes one of its own. False: the window forbids it. */
export function retransmitRec(cx: TcpContext, sk: TcpSock, i: number, segs: number): boolean {
  const { rtx } = sk;
  const r = rtx.at(i);
  if (sk.mtup !== undefined) sk.mtup.probeSize = 0; // nothing can be concluded any more
  if (r.seq < sk.sndUna) {
    r.flags &= ~TCP_SYN;
    const was = r.segs;
    trimHead(sk, r);
    recount(sk, r, was, r.segs);
  }
  const syn = (r.flags & TCP_SYN) !== 0;
  const mss = syn ? Math.max(1, r.mss) : currentMss(cx, sk);
  let room = sk.sndWndEnd - r.seq;
  if (!syn && room <= 0) {
    // The peer shrank its window below what is in flight: only the first segment goes, it is also the probe.
    if (r.seq !== sk.sndUna) return false;
    room = mss;
  }
  let most = Math.min(segs * mss, Math.max(mss, GSO_PAYLOAD_MAX - (GSO_PAYLOAD_MAX % mss)));
  if (!syn && most > room) most = room >= mss ? room - (room % mss) : room;
  fitTo(cx, sk, i, r, mss, most, syn ? 0 : Math.min(room, mss));
  const len = payloadLen(r);
  let flags = TCP_ACK;
  if (syn) {
    r.flags = ecnRetransSyn(cx, sk, r.flags);
    flags = sk.state === TCP_SYN_RECV ? TCP_SYN | TCP_ACK | ecnSendSynAck(sk) : r.flags;
  }
  flags |= r.flags & (TCP_FIN | TCP_PSH);
  transmit(cx, sk, r.seq, len, flags);
  account(cx, sk, r, len);
  return true;
}

/** Cuts the record to what may be sent, or lets it take in small ones behind it, and counts it in today's segments. */
function fitTo(cx: TcpContext, sk: TcpSock, i: number, r: TxRec, mss: number, most: number, collapseTo: number): void {
  if (payloadLen(r) > most) {
    splitRec(sk, i, r.seq + most);
    setMss(sk, r, mss);
    return;
  }
  setMss(sk, r, mss);
  if (payloadLen(r) < collapseTo) tryCollapse(cx, sk, i, collapseTo);
}

/** tcp_set_skb_tso_segs() */
function setMss(sk: TcpSock, r: TxRec, mss: number): void {
  if (r.mss === mss) return;
  const was = r.segs;
  r.mss = mss;
  r.segs = segsOf(r);
  recount(sk, r, was, r.segs);
}

function account(cx: TcpContext, sk: TcpSock, r: TxRec, len: number): void {
  const { env } = cx;
  env.mib.inc('TcpRetransSegs', r.segs);
  if ((r.flags & TCP_SYN) !== 0) env.mib.inc('TcpExtTCPSynRetrans');
  sk.totalRetrans += r.segs;
  sk.bytesRetrans += len;
  r.everRetrans = true;
  r.sentMs = cx.now;
  rateSkbSent(cx, sk, r);
  sk.rtx.sentNow(r);
  if (env.tracing) {
    env.trace('tcp_retransmit_skb', undefined, {
      sk: sk.id,
      state: `TCP_${TCP_STATE_NAMES[sk.state]}`,
      sport: sk.lport,
      dport: sk.rport,
      family: AF_INET,
      saddr: sk.laddr,
      daddr: sk.raddr,
      seq: r.seq,
    });
  }
}
