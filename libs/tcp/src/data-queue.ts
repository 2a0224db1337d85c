import type { SkBuff } from '@skbus/skb';
import { accEcnSpurious } from './accecn.ts';
import { ackOutOfOrder, ackSndCheck, enterQuickAck, eventDataRecv, oweDupAck } from './ack-output.ts';
import type { TcpContext } from './context.ts';
import { extendDsack, setDsack } from './dsack.ts';
import { ecnAcceptCwr } from './ecn.ts';
import { step8Fin } from './fin.ts';
import { queueOfo } from './ofo-insert.ts';
import { tryRmemSchedule } from './prune.ts';
import { NO_OFO } from './ofo-queue.ts';
import { NO_BLOCKS, sackRemove } from './sack-out.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { TCP_MAX_QUICKACKS } from './sysctl.ts';
import { emitData } from './views.ts';

/** More pieces than this are joined: one message up costs more than the copy. */
const JOIN_ABOVE = 3;
/** Unconfirmed pieces: tiny segments must not outgrow the buffer when the socket layer is slow. */
const UNCONFIRMED_MAX = 4096;

/** tcp_data_queue(): seventh and eighth of RFC 9293 3.10.7.4, text and FIN. The skb ends here or in the ofo queue. */
export function dataQueue(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const { env } = cx;
  if (env.fails('tcp_data_queue', seg.skb)) return;
  if (seg.endSeq === seg.seq) {
    env.consume(seg.skb);
    return;
  }
  if (sk.ecnFlags !== 0) ecnAcceptCwr(sk, seg);
  if (seg.seq > sk.rcvNxt) {
    if (seg.seq >= sk.rcvNxt + sk.rcvWindow) {
      outOfWindow(cx, sk, seg, 'TCP_OVERWINDOW');
      return;
    }
    queueOfo(cx, sk, seg);
    ackOutOfOrder(cx, sk);
    return;
  }
  if (seg.endSeq <= sk.rcvNxt) {
    env.mib.inc('TcpExtDelayedACKLost');
    if (sk.accecn !== undefined) accEcnSpurious(sk.accecn, seg.seq, seg.endSeq);
    setDsack(cx, sk, seg.seq, seg.endSeq);
    outOfWindow(cx, sk, seg, 'TCP_OLD_DATA');
    return;
  }
  if (seg.seq < sk.rcvNxt) setDsack(cx, sk, seg.seq, sk.rcvNxt);
  if (sk.rcvWindow === 0 && !(seg.fin && seg.len === 0)) {
    env.mib.inc('TcpExtTCPZeroWindowDrop');
    outOfWindow(cx, sk, seg, 'TCP_ZEROWINDOW');
    return;
  }
  if (seg.len > 0 && (sk.unconfirmed.length > UNCONFIRMED_MAX || !tryRmemSchedule(cx, sk, seg.seq))) {
    env.mib.inc('TcpExtTCPRcvQDrop');
    sk.ackNoMem = true;
    sk.ackNow = true;
    cx.touch(sk);
    env.drop(seg.skb, 'PROTO_MEM');
    return;
  }
  queueInOrder(cx, sk, seg);
  cx.env.trace('tcp_data_ready', seg.skb);
}

/** tcp_queue_rcv() and what follows: the bytes go up as they are, and those that waited for them after them. */
export function queueInOrder(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  cx.env.trace('tcp_queue_rcv', seg.skb);
  const fin = seg.fin;
  if (seg.len > 0) {
    sk.dataSegsIn += Math.max(1, seg.skb.gsoSegs);
    const hadHole = sk.ofo.length > 0;
    eventDataRecv(cx, sk, seg);
    cx.env.trace('tcp_event_data_recv', seg.skb);
    passUp(cx, sk, seg.skb, seg.hlen, seg.seq, seg.endSeq - (fin ? 1 : 0));
    if (fin) step8Fin(cx, sk, seg.endSeq - 1);
    else if (hadHole) drainOfo(cx, sk);
  } else if (fin) {
    sk.ackPending = true;
    step8Fin(cx, sk, seg.endSeq - 1);
  }
  cx.env.consume(seg.skb);
}

/** tcp_ofo_queue(): what was waiting and is now in order. */
function drainOfo(cx: TcpContext, sk: TcpSock): void {
  const { segs } = sk.ofo;
  const arrived = sk.rcvNxt;
  let n = 0;
  for (; n < segs.length; n++) {
    const s = segs[n]!;
    if (s.seq > sk.rcvNxt) break;
    cx.ofoSkbs--;
    if (s.seq < arrived) extendDsack(cx, sk, s.seq, Math.min(s.end, arrived));
    if (s.end <= sk.rcvNxt) {
      cx.env.drop(s.skb, 'TCP_OFO_DROP');
      continue;
    }
    passUp(cx, sk, s.skb, s.hlen + sk.rcvNxt - s.base, sk.rcvNxt, s.end - (s.fin ? 1 : 0));
    cx.env.consume(s.skb);
    if (s.fin) {
      dropOfo(sk, n + 1);
      sk.ackOnConfirm = true;
      step8Fin(cx, sk, s.end - 1);
      return;
    }
  }
  dropOfo(sk, n);
  if (sk.compressed !== undefined) sk.compressed.filledTo = sk.rcvNxt;
  // all or part of a hole is filled: the sender wants to know at once (RFC 5681 4.2, __tcp_ack_snd_check with ofo_possible)
  sk.ackOnConfirm = true;
  sackRemove(sk.sackBlocks, sk.rcvNxt);
  if (sk.sackBlocks.length === 0) sk.sackBlocks = NO_BLOCKS;
}

function dropOfo(sk: TcpSock, n: number): void {
  sk.ofo.splice(0, n);
  if (sk.ofo.length === 0) sk.ofo = NO_OFO;
}

/** Hands the payload [seq, end) to the socket layer; the part below rcvNxt is already there. `at`: where it starts in skb. */
function passUp(cx: TcpContext, sk: TcpSock, skb: SkBuff, at: number, seq: number, end: number): void {
  const from = sk.rcvNxt;
  const n = end - from;
  if (n <= 0) return;
  const parts = skb.slices(at + from - seq, n);
  sk.rcvNxt = end;
  sk.bytesReceived += n;
  if (sk.orphan) return;
  if (parts.length > JOIN_ABOVE) {
    const joined = new Uint8Array(n);
    let k = 0;
    for (const p of parts) {
      joined.set(p, k);
      k += p.length;
    }
    emitData(cx, sk, from - 1, joined);
    return;
  }
  let offset = from - 1;
  for (const p of parts) {
    emitData(cx, sk, offset, p);
    offset += p.length;
  }
}

/** Nothing new in it: the peer missed our ACK, or tests the window. Answer at once. */
function outOfWindow(
  cx: TcpContext,
  sk: TcpSock,
  seg: Segment,
  reason: 'TCP_OLD_DATA' | 'TCP_ZEROWINDOW' | 'TCP_OVERWINDOW',
): void {
  enterQuickAck(sk, TCP_MAX_QUICKACKS);
  oweDupAck(cx, sk);
  cx.env.drop(seg.skb, reason);
}

/** An orphan has nobody to confirm what comes: it counts as read. */
export function confirmForOrphan(cx: TcpContext, sk: TcpSock): void {
  if (!sk.orphan || sk.rcvNxt <= sk.rcvAck) return;
  sk.rcvAck = sk.finRcvdAt >= 0 && !sk.finConfirmed ? sk.finRcvdAt : sk.rcvNxt;
  sk.rcvRead = Math.max(sk.rcvRead, sk.rcvAck);
  ackSndCheck(cx, sk);
}
