import { SKB_GSO_TCP_ACCECN } from '@skbus/skb';
import { TCP_ACK, TCP_AE, TCP_CWR, TCP_ECE, TCP_SYN } from '@skbus/wire';
import {
  AccEcn,
  accEcnFlags,
  accEcnRcvSynAck,
  accEcnRequested,
  accEcnTos,
  ACE_FAIL_RECV,
  aceOf,
  reflectorFlags,
  TCP_ACE,
} from './accecn.ts';
import type { TcpContext } from './context.ts';
import { INET_ECN_ECT_0, INET_ECN_MASK, INET_ECN_NOT_ECT } from './ecn-field.ts';
import type { OutSegment } from './out-segment.ts';
import type { RequestSock } from './request.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';

/** Explicit congestion notification (RFC 3168, the tcp_ecn_* functions of net/ipv4/tcp_input.c and tcp_output.c). */

/** `ecnFlags` of a sock (include/net/tcp.h:TCP_ECN_*); 0: ECN is not in use. */
export const ECN_OK = 1;
/** The window was reduced; the next new data says so (CWR). */
export const ECN_QUEUE_CWR = 2;
/** A segment came marked; every ACK says so (ECE) until the peer answers with CWR. */
export const ECN_DEMAND_CWR = 4;

const SYN_ECN = TCP_ECE | TCP_CWR;

// net.ipv4.tcp_ecn (include/net/tcp_ecn.h:tcp_ecn_mode)
const ECN_IN_ECN_OUT_ECN = 1;
const ECN_IN_ACCECN_OUT_ACCECN = 3;
const ECN_IN_ACCECN_OUT_ECN = 4;

/** tcp_ecn_send_syn(): the flags a first SYN asks with (RFC 3168 6.1.1, RFC 9768 3.1.1); 0: it does not ask. */
export function ecnSendSyn(cx: TcpContext, sk: TcpSock): number {
  const { tcpEcn } = cx.sysctl;
  sk.ecnFlags = 0;
  const accurate = tcpEcn === ECN_IN_ACCECN_OUT_ACCECN;
  const asks = accurate || tcpEcn === ECN_IN_ECN_OUT_ECN || tcpEcn === ECN_IN_ACCECN_OUT_ECN;
  if (!asks && sk.cc.needsEcn !== true) return 0;
  sk.ecnFlags = ECN_OK;
  if (!accurate) return SYN_ECN;
  sk.accecn = new AccEcn();
  sk.accecn.pending = true;
  sk.accecn.synSnt = sk.cc.needsEcn === true ? INET_ECN_ECT_0 : sk.tos & INET_ECN_MASK;
  return SYN_ECN | TCP_AE;
}

/**
 * tcp_ecn_clear_syn(): a path that swallows such SYNs shall get plain ones from the second on (RFC 3168 6.1.1.1), or from
 * the third on (RFC 9768 3.1.4.1).
 */
export function ecnRetransSyn(cx: TcpContext, sk: TcpSock, flags: number): number {
  if (!cx.sysctl.tcpEcnFallback || (flags & SYN_ECN) !== SYN_ECN) return flags;
  return sk.accecn !== undefined && sk.totalRetrans === 0 ? flags : flags & ~TCP_ACE;
}

/** tcp_ecn_make_synack(): what the request agreed to. The second repetition does without (RFC 9768 3.1.4.2). */
export function ecnMakeSynAck(req: RequestSock): number {
  if (req.accecn === undefined) return req.ecnOk ? TCP_ECE : 0;
  return req.retrans > 0 && req.timeouts > 0 ? 0 : reflectorFlags(req.accecn.synRcv);
}

/** tcp_ecn_send_synack(): the same from a sock, in a simultaneous open. */
export function ecnSendSynAck(sk: TcpSock): number {
  if (sk.accecn !== undefined) return reflectorFlags(sk.accecn.synRcv);
  return sk.ecnOk ? TCP_ECE : 0;
}

/** tcp_ecn_rcv_synack(): ECE without CWR is RFC 3168's yes. Both: a host that echoes reserved bits. */
export function ecnRcvSynAck(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const ace = aceOf(seg.flags);
  if (sk.accecn === undefined) {
    if ((seg.flags & SYN_ECN) !== TCP_ECE) sk.ecnFlags = 0;
  } else if (ace === 0 || ace === 7) {
    sk.accecn = undefined;
    sk.ecnFlags = 0;
  } else if (ace === 1) {
    sk.accecn = undefined;
  } else {
    accEcnRcvSynAck(cx, sk.accecn, seg);
  }
}

/** tcp_ecn_rcv_syn(): the peer's SYN in a simultaneous open. */
export function ecnRcvSyn(sk: TcpSock, seg: Segment): void {
  const { accecn } = sk;
  if (accecn !== undefined && accEcnRequested(seg.flags)) {
    accecn.pending = false;
    accecn.synRcv = accecn.prevEcn = seg.ipEcn;
    return;
  }
  sk.accecn = undefined;
  if ((seg.flags & SYN_ECN) !== SYN_ECN) sk.ecnFlags = 0;
}

/**
 * tcp_ecn_create_request(): yes to a SYN that asks, if tcp_ecn allows. A SYN that itself carries ECT breaks RFC 3168
 * (somebody on the path plays with the bits), unless a reserved bit tells that it means a later protocol.
 */
export function ecnCreateRequest(cx: TcpContext, req: RequestSock, seg: Segment): void {
  const { tcpEcn } = cx.sysctl;
  if (tcpEcn >= ECN_IN_ACCECN_OUT_ACCECN && accEcnRequested(seg.flags)) {
    req.ecnOk = true;
    req.accecn = new AccEcn();
    req.accecn.synRcv = seg.ipEcn;
    return;
  }
  if ((seg.flags & SYN_ECN) !== SYN_ECN) return;
  const reserved = seg.skb.buf[seg.skb.data + 12]! & 15;
  const clean = seg.ipEcn === INET_ECN_NOT_ECT || reserved !== 0;
  req.ecnOk = (clean && tcpEcn !== 0) || req.listener.cc.needsEcn === true;
}

/**
 * tcp_ecn_send(): ECT and CWR on new data only (RFC 3168 6.1.4, 6.1.5), ECE on everything. Call before sndNxt moves. An
 * algorithm that lives on marks (DCTCP) wants them on everything, SYN included.
 */
export function ecnSend(sk: TcpSock, out: OutSegment, seq: number, len: number): void {
  const { accecn } = sk;
  if (sk.cc.needsEcn === true && (accecn === undefined || (accecn.fail & ACE_FAIL_RECV) === 0)) {
    out.tos |= INET_ECN_ECT_0;
  }
  if ((out.flags & TCP_SYN) !== 0) return;
  if (accecn !== undefined) {
    out.tos |= accEcnTos(accecn);
    out.flags = accEcnFlags(accecn, out.flags);
    out.gsoType |= SKB_GSO_TCP_ACCECN;
    return;
  }
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
  if ((seg.flags & TCP_CWR) === 0 || sk.accecn !== undefined) return;
  if (sk.cc.echoesChanges !== true) sk.ecnFlags &= ~ECN_DEMAND_CWR;
  sk.ackOnConfirm = true;
}

/** tcp_ecn_rcv_ecn_echo(): the peer says that segments of ours were marked. */
export const ecnRcvEcho = (sk: TcpSock, seg: Segment): boolean =>
  sk.ecnOk && sk.accecn === undefined && (seg.flags & (TCP_ECE | TCP_SYN)) === TCP_ECE;

/** tcp_ecn_queue_cwr(): the window was reduced, for whatever reason. */
export function ecnQueueCwr(sk: TcpSock): void {
  if (sk.ecnOk && sk.accecn === undefined) sk.ecnFlags |= ECN_QUEUE_CWR;
}

/** tcp_ecn_withdraw_cwr(): the reduction was undone. */
export function ecnWithdrawCwr(sk: TcpSock): void {
  sk.ecnFlags &= ~ECN_QUEUE_CWR;
}
