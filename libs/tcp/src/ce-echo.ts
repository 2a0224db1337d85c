import { CaEvent } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { ECN_DEMAND_CWR } from './ecn.ts';
import { ECN_SEEN, INET_ECN_CE, INET_ECN_NOT_ECT } from './ecn-field.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { sendAck } from './transmit.ts';

/**
 * How congestion marks on arriving data are echoed: as RFC 3168 6.1.3 has it, on every ACK from the first mark until the
 * peer answers with CWR; or, for an algorithm that wants to know how many were marked, change by change (RFC 8257 3.2).
 */

/** DCTCP.CE and what of it our ACKs have yet to tell. */
export interface CeEcho {
  /** The newest segment was marked. */
  ce: boolean;
  /** Positions at which that changed, while the bytes before them were not confirmed by the socket layer; ascending. */
  edges: number[];
}

/** tcp_ecn_check_ce(): data came; did a router mark it? True: it is to be answered without delay. */
export function ecnCheckCe(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  // the peer uses ECN and sent without it: a retransmission
  if (seg.ipEcn === INET_ECN_NOT_ECT) return (sk.ecnFlags & ECN_SEEN) !== 0;
  const marked = seg.ipEcn === INET_ECN_CE;
  sk.ecnFlags |= ECN_SEEN;
  sk.cc.cwndEvent?.(cx, sk, marked ? CaEvent.EcnIsCe : CaEvent.EcnNoCe);
  if (sk.accecn !== undefined) return false; // it counts
  if (sk.cc.echoesChanges === true) {
    ceUpdate(cx, sk, marked);
    return false;
  }
  if (!marked || (sk.ecnFlags & ECN_DEMAND_CWR) !== 0) return false;
  sk.ecnFlags |= ECN_DEMAND_CWR;
  return true;
}

/** dctcp_ece_ack_update(): call before rcvNxt moves over the segment. */
function ceUpdate(cx: TcpContext, sk: TcpSock, marked: boolean): void {
  const echo = (sk.ceEcho ??= { ce: false, edges: [] });
  if (echo.ce === marked) return;
  echo.ce = marked;
  echo.edges.push(sk.rcvNxt);
  ceSettle(cx, sk, echo);
}

/**
 * Everything before a change is confirmed: an ACK for it, if one is due, still tells the old state; what follows the new
 * one, at once (net/ipv4/tcp_dctcp.h:dctcp_ece_ack_update with its prior_rcv_nxt).
 */
export function ceSettle(cx: TcpContext, sk: TcpSock, echo: CeEcho): void {
  const { edges } = echo;
  while (edges.length > 0 && edges[0]! <= sk.rcvAck) {
    const edge = edges.shift()!;
    const confirmed = sk.rcvAck;
    if (edge > sk.rcvWup) {
      sk.rcvAck = edge;
      sendAck(cx, sk);
      sk.rcvAck = confirmed;
      sk.ackPending = true;
    }
    const ce = edges.length % 2 === 0 ? echo.ce : !echo.ce;
    if (ce) sk.ecnFlags |= ECN_DEMAND_CWR;
    else sk.ecnFlags &= ~ECN_DEMAND_CWR;
    sk.ackOnConfirm = true;
  }
}
