import { TCP_SYN_RECV, TCP_SYN_SENT } from '@skbus/skb';
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN } from '@skbus/wire';
import { CA_LOSS, CA_RECOVERY } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { ecnRetransSyn, ecnSynAckFlags } from './ecn.ts';
import { armRto } from './rto-arm.ts';
import { segsOf, type TxRec } from './rtx-queue.ts';
import type { TcpSock } from './sock.ts';
import { GSO_PAYLOAD_MAX } from './sysctl.ts';
import { currentMss, transmit } from './transmit.ts';

/** The retransmission timer's one segment from the head of the queue. */
export function retransmitFirst(cx: TcpContext, sk: TcpSock): void {
  if (sk.rtx.length > 0) retransmitRec(cx, sk, 0, 1);
}

/** tcp_xmit_retransmit_queue(): what is marked lost, oldest first, as far as the congestion window goes. */
export function retransmitLost(cx: TcpContext, sk: TcpSock): void {
  let i = 0;
  let first = true;
  while (sk.lostOut > sk.retransOut && i < sk.rtx.length) {
    const quota = sk.cwnd - sk.inFlight;
    if (quota <= 0) break;
    const r = sk.rtx.at(i);
    if (!r.lost || r.retrans || r.sacked) {
      i++;
      continue;
    }
    if (!retransmitRec(cx, sk, i, quota)) break;
    cx.env.mib.inc(sk.caState === CA_LOSS ? 'TcpExtTCPSlowStartRetrans' : 'TcpExtTCPFastRetrans', sk.rtx.at(i).segs);
    if (sk.caState === CA_RECOVERY) sk.prrOut += sk.rtx.at(i).segs;
    if (first && i === 0) armRto(cx, sk);
    first = false;
    i++;
  }
}

/** tcp_retransmit_skb(): sends at most `segs` segments of record i again; the rest of it becomes a record of its own. */
export function retransmitRec(cx: TcpContext, sk: TcpSock, i: number, segs: number): boolean {
  const { rtx } = sk;
  let r = rtx.at(i);
  if (r.seq < sk.sndUna && sk.sndUna < r.end) trimHead(sk, r);
  const syn = (r.flags & TCP_SYN) !== 0;
  const mss = syn ? Math.max(1, r.mss) : currentMss(sk);
  let most = Math.min(segs * mss, Math.max(mss, GSO_PAYLOAD_MAX - (GSO_PAYLOAD_MAX % mss)));
  const room = sk.sndWndEnd - r.seq;
  // The peer shrank its window below what is in flight: one segment all the same, it is also the probe.
  if (!syn && most > room) most = Math.max(mss, room - (room % mss));
  r = cutTo(sk, i, r, mss, most);
  const fin = (r.flags & TCP_FIN) !== 0;
  const len = r.end - r.seq - (fin ? 1 : 0) - (syn ? 1 : 0);
  let flags = TCP_ACK;
  if (syn) {
    r.flags = ecnRetransSyn(cx, r.flags);
    flags = sk.state === TCP_SYN_RECV ? TCP_SYN | TCP_ACK | ecnSynAckFlags(sk.ecnOk) : r.flags;
  }
  if (fin) flags |= TCP_FIN;
  if (len > 0 && r.seq + len === sk.sndTail) flags |= TCP_PSH;
  transmit(cx, sk, r.seq, len, flags);
  accountRetrans(cx, sk, r, len);
  return true;
}

/** Cuts the record so that what is sent again is at most `most` bytes, and counts it in today's segments. */
function cutTo(sk: TcpSock, i: number, r: TxRec, mss: number, most: number): TxRec {
  if (r.mss !== mss) {
    const was = r.segs;
    r.mss = mss;
    recount(sk, r, segsOf(r) - was);
  }
  const fin = (r.flags & TCP_FIN) !== 0 ? 1 : 0;
  if (r.end - r.seq - fin > most) {
    const was = r.segs;
    sk.rtx.split(i, r.seq + most);
    recountParts(sk, r, was, r.segs + sk.rtx.at(i + 1).segs);
  }
  return r;
}

/** A record's number of segments changed by `delta`: the counters that include it follow. */
export function recount(sk: TcpSock, r: TxRec, delta: number): void {
  r.segs = segsOf(r);
  recountParts(sk, r, 0, delta);
}

export function recountParts(sk: TcpSock, r: TxRec, was: number, is: number): void {
  const delta = is - was;
  if (delta === 0) return;
  sk.packetsOut += delta;
  if (r.lost) sk.lostOut += delta;
  if (r.retrans) sk.retransOut += delta;
  if (r.sacked) sk.sackedOut += delta;
}

/** tcp_trim_head(): the part that was acknowledged meanwhile. */
export function trimHead(sk: TcpSock, r: TxRec): void {
  const was = r.segs;
  r.seq = sk.sndUna;
  r.flags &= ~TCP_SYN;
  r.segs = segsOf(r);
  recountParts(sk, r, was, r.segs);
}

function accountRetrans(cx: TcpContext, sk: TcpSock, r: TxRec, len: number): void {
  const { env } = cx;
  env.mib.inc('TcpRetransSegs', r.segs);
  if ((r.flags & TCP_SYN) !== 0) env.mib.inc('TcpExtTCPSynRetrans');
  sk.totalRetrans += r.segs;
  sk.bytesRetrans += len;
  if (env.tracing) {
    env.trace('tcp_retransmit_skb', undefined, {
      sk: sk.id,
      sport: sk.lport,
      dport: sk.rport,
      saddr: sk.laddr,
      daddr: sk.raddr,
      state: sk.state,
      seq: r.seq,
    });
  }
  if (sk.retransStampMs === 0) sk.retransStampMs = r.sentMs;
  if (!r.retrans) sk.retransOut += r.segs;
  r.retrans = true;
  r.everRetrans = true;
  r.sentMs = cx.now;
  if (sk.state === TCP_SYN_SENT) r.mss = Math.max(1, r.mss);
}
