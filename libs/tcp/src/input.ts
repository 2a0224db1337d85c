import {
  CHECKSUM_NONE,
  PACKET_HOST,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_NEW_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
  type SkBuff,
} from '@skbus/skb';
import { TCP_HLEN, tcpChecksumOk } from '@skbus/wire';
import { checkReq } from './check-req.ts';
import { rcvEstablished } from './established.ts';
import type { TcpContext } from './context.ts';
import { rcvListen } from './listen.ts';
import { rcvStateProcess } from './input-steps.ts';
import { sendReset } from './reply.ts';
import { dropWhileRestoring } from './restoring.ts';
import type { RequestSock } from './request.ts';
import type { Segment } from './segment.ts';
import { fromWire } from './sequence.ts';
import type { TcpSock } from './sock.ts';
import { rcvSynSent } from './synsent.ts';
import { killTimeWait, timeWaitAck, timeWaitRcv, type TimeWaitSock } from './timewait.ts';

/** tcp_v4_rcv(): checks the segment, finds who it is for and hands it over. The skb's life ends below here. */
export function tcpRcv(cx: TcpContext, skb: SkBuff): void {
  const { env } = cx;
  if (env.fails('tcp_v4_rcv', skb)) return;
  if (skb.pktType !== PACKET_HOST) {
    env.drop(skb, 'NOT_SPECIFIED');
    return;
  }
  env.mib.inc('TcpInSegs', Math.max(1, skb.gsoSegs));
  const seg = readSegment(cx, skb);
  if (seg === undefined) return;
  const conn = lookup(cx, seg);
  if (cx.restoring !== undefined && dropWhileRestoring(cx, skb, conn)) return;
  if (conn === undefined) {
    sendReset(cx, seg);
    env.drop(skb, 'NO_SOCKET');
    return;
  }
  if (conn.state === TCP_TIME_WAIT) {
    rcvTimeWait(cx, conn as TimeWaitSock, seg);
  } else if (seg.auth !== undefined) {
    refuseAuth(cx, seg, seg.auth);
  } else if (conn.state === TCP_NEW_SYN_RECV) {
    const sk = checkReq(cx, conn as RequestSock, seg);
    if (sk === undefined) return;
    if (sk.state === TCP_LISTEN) doRcv(cx, sk, seg);
    else childProcess(cx, sk, seg);
  } else {
    doRcv(cx, conn as TcpSock, seg);
  }
}

/** Header length and checksum. Anything wrong is a counted drop. */
function readSegment(cx: TcpContext, skb: SkBuff): Segment | undefined {
  const { env } = cx;
  const hlen = skb.mayPull(TCP_HLEN) ? (skb.buf[skb.data + 12]! >>> 4) * 4 : 0;
  if (hlen < TCP_HLEN || !skb.mayPull(hlen) || skb.networkHeader < 0) {
    env.mib.inc('TcpInErrs');
    env.drop(skb, 'PKT_TOO_SMALL');
    return undefined;
  }
  const { seg } = cx;
  seg.read(skb, hlen);
  skb.transportHeader = skb.data;
  if (skb.ipSummed === CHECKSUM_NONE && !tcpChecksumOk(seg.saddr, seg.daddr, skb.len, skb.slices(0, skb.len))) {
    env.trace('tcp_bad_csum', skb);
    env.mib.inc('TcpInCsumErrors');
    env.mib.inc('TcpInErrs');
    env.drop(skb, 'TCP_CSUM');
    return undefined;
  }
  return seg;
}

/** __inet_lookup_skb(): the connection, else a listener. */
function lookup(cx: TcpContext, seg: Segment): TcpSock | RequestSock | TimeWaitSock | undefined {
  cx.env.trace('__inet_lookup_skb', seg.skb);
  const found =
    cx.ehash.find(seg.daddr, seg.dport, seg.saddr, seg.sport) ??
    cx.listeners.find(seg.daddr, seg.dport, seg.saddr, seg.sport);
  return found as TcpSock | RequestSock | TimeWaitSock | undefined;
}

/** tcp_v4_do_rcv() */
export function doRcv(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  if (cx.env.fails('tcp_v4_do_rcv', seg.skb)) return;
  sk.segsIn += Math.max(1, seg.skb.gsoSegs);
  locate(sk, seg);
  switch (sk.state) {
    case TCP_ESTABLISHED:
      rcvEstablished(cx, sk, seg);
      break;
    case TCP_LISTEN:
      listenRcv(cx, sk, seg, 0);
      break;
    case TCP_SYN_SENT:
      cx.env.trace('tcp_rcv_state_process', seg.skb);
      rcvSynSent(cx, sk, seg);
      break;
    case TCP_CLOSE:
      cx.env.drop(seg.skb, 'TCP_CLOSE');
      break;
    default:
      rcvStateProcess(cx, sk, seg);
  }
}

function listenRcv(cx: TcpContext, listener: TcpSock, seg: Segment, isn: number): void {
  const child = rcvListen(cx, listener, seg, isn);
  if (child !== undefined) childProcess(cx, child, seg);
}

/** Where the segment is in this sock's stream: from here on nothing wraps. */
export function locate(sk: TcpSock, seg: Segment): void {
  seg.seq = fromWire(sk.irs, sk.rcvNxt, seg.seq32);
  seg.endSeq = seg.seq + seg.len + (seg.flags & 1) + ((seg.flags >>> 1) & 1);
  seg.ack = fromWire(sk.iss, sk.sndUna, seg.ack32);
}

/** tcp_child_process(): the third segment of the handshake goes on to the new sock. */
function childProcess(cx: TcpContext, child: TcpSock, seg: Segment): void {
  cx.env.trace('tcp_child_process', seg.skb);
  child.segsIn += Math.max(1, seg.skb.gsoSegs);
  locate(child, seg);
  rcvStateProcess(cx, child, seg);
}

function rcvTimeWait(cx: TcpContext, tw: TimeWaitSock, seg: Segment): void {
  const verdict = timeWaitRcv(cx, tw, seg);
  if (verdict === 'done') {
    cx.env.consume(seg.skb);
    return;
  }
  const listener = cx.listeners.find(seg.daddr, seg.dport, seg.saddr, seg.sport);
  if (listener === undefined) {
    // nobody listens any more: what a TIME-WAIT says to a segment out of window
    timeWaitAck(cx, tw, seg);
    cx.env.consume(seg.skb);
    return;
  }
  killTimeWait(cx, tw);
  locate(listener, seg);
  listenRcv(cx, listener, seg, verdict.newIsn);
}

/** tcp_inbound_hash(): RFC 2385 and RFC 5925 sign segments. We have no keys, so what is signed is not for us. */
function refuseAuth(cx: TcpContext, seg: Segment, auth: 'md5' | 'ao' | 'bad'): void {
  const { env } = cx;
  if (auth === 'bad') {
    env.drop(seg.skb, 'TCP_AUTH_HDR');
  } else if (auth === 'md5') {
    env.mib.inc('TcpExtTCPMD5Unexpected');
    env.drop(seg.skb, 'TCP_MD5UNEXPECTED');
  } else {
    env.mib.inc('TcpExtTCPAOKeyNotFound');
    env.drop(seg.skb, 'TCP_AOUNEXPECTED');
  }
}
