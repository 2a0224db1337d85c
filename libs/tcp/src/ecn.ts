import { TCP_ACK, TCP_CWR, TCP_ECE, TCP_SYN } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import type { OutSegment } from './out-segment.ts';
import type { RequestSock } from './request.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';

/** Explicit congestion notification (RFC 3168, the tcp_ecn_* functions of net/ipv4/tcp_input.c and tcp_output.c). */

/** The ECN field of IP's TOS byte (RFC 3168 5). */
export const INET_ECN_MASK = 3;
export const INET_ECN_NOT_ECT = 0;
export const INET_ECN_ECT_0 = 2;
export const INET_ECN_CE = 3;

/** `ecnFlags` of a sock (include/net/tcp.h:TCP_ECN_*); 0: ECN is not in use. */
export const ECN_OK = 1;
/** The window was reduced; the next new data says so (CWR). */
export const ECN_QUEUE_CWR = 2;
/** A segment came marked; every ACK says so (ECE) until the peer answers with CWR. */
export const ECN_DEMAND_CWR = 4;
/** The peer's data does carry ECT. */
export const ECN_SEEN = 8;

const SYN_ECN = TCP_ECE | TCP_CWR;

/** tcp_ecn_send_syn(): the flags a first SYN asks with (RFC 3168 6.1.1); 0: it does not ask. */
export function ecnSendSyn(cx: TcpContext, sk: TcpSock): number {
  sk.ecnFlags = 0;
  if (cx.sysctl.tcpEcn !== 1 && sk.cc.needsEcn !== true) return 0;
  sk.ecnFlags = ECN_OK;
  return SYN_ECN;
}

/** tcp_ecn_clear_syn(): a path that swallows such SYNs shall get plain ones from the second on (RFC 3168 6.1.1.1). */
export const ecnRetransSyn = (cx: TcpContext, flags: number): number =>
  cx.sysctl.tcpEcnFallback && (flags & SYN_ECN) === SYN_ECN ? flags & ~SYN_ECN : flags;

/** tcp_ecn_send_synack(), tcp_ecn_make_synack() */
export const ecnSynAckFlags = (ok: boolean): number => (ok ? TCP_ECE : 0);

/** tcp_ecn_rcv_synack(): ECE without CWR is a yes. Both: a host that echoes reserved bits. */
export function ecnRcvSynAck(sk: TcpSock, seg: Segment): void {
  if ((seg.flags & SYN_ECN) !== TCP_ECE) sk.ecnFlags = 0;
}

/** tcp_ecn_rcv_syn(): the peer's SYN in a simultaneous open. */
export function ecnRcvSyn(sk: TcpSock, seg: Segment): void {
  if ((seg.flags & SYN_ECN) !== SYN_ECN) sk.ecnFlags = 0;
}

/**
 * tcp_ecn_create_request(): yes to a SYN that asks, if tcp_ecn allows. A SYN that itself carries ECT breaks RFC 3168
 * (somebody on the path plays with the bits), unless a reserved bit tells that it means a later protocol (AccECN).
 */
export function ecnCreateRequest(cx: TcpContext, req: RequestSock, seg: Segment): void {
  if ((seg.flags & SYN_ECN) !== SYN_ECN) return;
  const reserved = seg.skb.buf[seg.skb.data + 12]! & 15;
  const clean = seg.ipEcn === INET_ECN_NOT_ECT || reserved !== 0;
  req.ecnOk = (clean && cx.sysctl.tcpEcn !== 0) || req.listener.cc.needsEcn === true;
}

/**
 * tcp_ecn_send(): ECT and CWR on new data only (RFC 3168 6.1.4, 6.1.5), ECE on everything. Call before sndNxt moves. An
 * algorithm that lives on marks (DCTCP) wants them on everything, SYN included.
 */
export function ecnSend(sk: TcpSock, out: OutSegment, seq: number, len: number): void {
  if (sk.cc.needsEcn === true) out.tos |= INET_ECN_ECT_0;
  if ((out.flags & TCP_SYN) !== 0) return;
  if (len > 0 && seq >= sk.sndNxt) {
    out.tos |= INET_ECN_ECT_0;
    if ((sk.ecnFlags & ECN_QUEUE_CWR) !== 0) {
      sk.ecnFlags &= ~ECN_QUEUE_CWR;
      out.flags |= TCP_CWR;
    }
  }
  if ((sk.ecnFlags & ECN_DEMAND_CWR) !== 0 && (out.flags & TCP_ACK) !== 0) out.flags |= TCP_ECE;
}

/**
 * tcp_ecn_accept_cwr(): the peer has slowed down. Its window may be one segment now, so data is acknowledged at once. Where
 * each change is echoed, the marks alone say when ECE ends (RFC 8257 3.2).
 */
export function ecnAcceptCwr(sk: TcpSock, seg: Segment): void {
  if ((seg.flags & TCP_CWR) === 0) return;
  if (sk.cc.echoesChanges !== true) sk.ecnFlags &= ~ECN_DEMAND_CWR;
  sk.ackOnConfirm = true;
}

/** tcp_ecn_rcv_ecn_echo(): the peer says that segments of ours were marked. */
export const ecnRcvEcho = (sk: TcpSock, seg: Segment): boolean =>
  (sk.ecnFlags & ECN_OK) !== 0 && (seg.flags & (TCP_ECE | TCP_SYN)) === TCP_ECE;

/** tcp_ecn_queue_cwr(): the window was reduced, for whatever reason. */
export function ecnQueueCwr(sk: TcpSock): void {
  if ((sk.ecnFlags & ECN_OK) !== 0) sk.ecnFlags |= ECN_QUEUE_CWR;
}

/** tcp_ecn_withdraw_cwr(): the reduction was undone. */
export function ecnWithdrawCwr(sk: TcpSock): void {
  sk.ecnFlags &= ~ECN_QUEUE_CWR;
}
