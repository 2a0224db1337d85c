import {
  ERRNO,
  ICMP_ERR_CONVERT,
  TCP_CLOSE,
  TCP_LISTEN,
  TCP_NEW_SYN_RECV,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
  type SkBuff,
} from '@skbus/skb';
import { get16, get32, parseIpv4Header } from '@skbus/wire';
import type { Conn } from './conn.ts';
import type { TcpContext } from './context.ts';
import { mtuReduced } from './pmtu.ts';
import type { RequestSock } from './request.ts';
import { dropRequest } from './reqsk-queue.ts';
import { armXmit, Pending } from './rto-arm.ts';
import { fromWire, toWire } from './sequence.ts';
import type { TcpSock } from './sock.ts';
import { tcpDone } from './state.ts';
import { TCP_RTO_MAX_MS, TCP_TIMEOUT_INIT_MS } from './sysctl.ts';
import { viewChanged } from './views.ts';

const ICMP_DEST_UNREACH = 3;
const ICMP_TIME_EXCEEDED = 11;
const ICMP_PARAMETERPROB = 12;
const ICMP_NET_UNREACH = 0;
const ICMP_HOST_UNREACH = 1;
const ICMP_FRAG_NEEDED = 4;

/** tcp_v4_err() (RFC 9293 3.9.2.2, RFC 5461): skb.data is at the quoted IP header, skb.mark is type << 8 | code. */
export function tcpErr(cx: TcpContext, skb: SkBuff): void {
  const { env } = cx;
  env.trace('tcp_v4_err', skb);
  const ip = parseIpv4Header(skb.buf, skb.data, skb.tail);
  if (ip === undefined || !skb.mayPull(ip.hlen + 8)) {
    env.drop(skb, 'PKT_TOO_SMALL');
    return;
  }
  const at = skb.data + ip.hlen;
  const conn = cx.ehash.find(ip.saddr, get16(skb.buf, at), ip.daddr, get16(skb.buf, at + 2));
  if (conn === undefined) {
    env.mib.inc('IcmpInErrors');
    env.drop(skb, 'NO_SOCKET');
    return;
  }
  const type = skb.mark >>> 8;
  const code = skb.mark & 255;
  if (conn.state !== TCP_TIME_WAIT) handle(cx, conn, get32(skb.buf, at + 4), type, code, skb.rtMtu);
  env.consume(skb);
}

function handle(cx: TcpContext, conn: Conn, seq32: number, type: number, code: number, mtu: number): void {
  if (conn.state === TCP_NEW_SYN_RECV) {
    requestErr(cx, conn as RequestSock, seq32, type, code);
    return;
  }
  const sk = conn as TcpSock;
  if (sk.state === TCP_CLOSE) return;
  const seq = fromWire(sk.iss, sk.sndUna, seq32);
  // RFC 5927 4.1: it must quote something that is in flight
  if (sk.state !== TCP_LISTEN && (seq < sk.sndUna || seq > sk.sndNxt)) {
    cx.env.mib.inc('TcpExtOutOfWindowIcmps');
    return;
  }
  if (type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED) {
    mtuReduced(cx, sk, mtu);
    return;
  }
  const err = errnoOf(type, code);
  if (err === 0) return;
  if (type === ICMP_DEST_UNREACH && (code === ICMP_NET_UNREACH || code === ICMP_HOST_UNREACH)) revertRto(cx, sk, seq);
  if (sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV) {
    sk.err = err;
    viewChanged(cx, sk);
    tcpDone(cx, sk);
  } else if (sk.recvErr) {
    sk.err = err;
    viewChanged(cx, sk);
  } else if (sk.softErr !== err) {
    // A connection that lives may get over it (RFC 9293 MUST-56); the reason is kept for when it does not.
    sk.softErr = err;
    viewChanged(cx, sk);
  }
}

/**
 * tcp_ld_RTO_revert() (RFC 6069): the timeout was no congestion but a broken path, which a router has noticed; so the
 * last doubling is taken back, and the retransmission comes when it would have come without.
 */
function revertRto(cx: TcpContext, sk: TcpSock, seq: number): void {
  const head = sk.rtx.first;
  if (seq !== sk.sndUna || sk.retransmits === 0 || sk.backoff === 0 || head === undefined) return;
  sk.backoff--;
  const base = sk.rtt.srttMs > 0 ? sk.rtt.unbackedMs : TCP_TIMEOUT_INIT_MS;
  sk.rtt.rtoMs = Math.min(base * 2 ** sk.backoff, TCP_RTO_MAX_MS);
  armXmit(cx, sk, Pending.Rto, Math.max(head.sentMs + sk.rtt.rtoMs - cx.now, 0));
}

/** tcp_req_err() */
function requestErr(cx: TcpContext, req: RequestSock, seq32: number, type: number, code: number): void {
  if (seq32 !== toWire(req.iss32, 0)) {
    cx.env.mib.inc('TcpExtOutOfWindowIcmps');
    return;
  }
  const abort =
    type === ICMP_PARAMETERPROB ||
    type === ICMP_TIME_EXCEEDED ||
    (type === ICMP_DEST_UNREACH && (code === ICMP_NET_UNREACH || code === ICMP_HOST_UNREACH));
  if (!abort) return;
  dropRequest(cx, req);
  cx.env.mib.inc('TcpExtListenDrops');
}

function errnoOf(type: number, code: number): number {
  if (type === ICMP_PARAMETERPROB) return ERRNO.EPROTO;
  if (type === ICMP_TIME_EXCEEDED) return ERRNO.EHOSTUNREACH;
  if (type === ICMP_DEST_UNREACH) return ICMP_ERR_CONVERT[code]?.[0] ?? 0;
  return 0;
}
