import {
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_SYN_RECV,
  TCP_TIME_WAIT,
} from '@skbus/skb';
import { ackSndCheck, enterPingpong } from './ack-output.ts';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { purgeOfo, setState, tcpDone } from './state.ts';
import { endQuietly, timeWait } from './timewait.ts';
import { sendAck } from './transmit.ts';
import { armSeam, viewChanged } from './views.ts';

/**
 * Eighth, check the FIN bit (RFC 9293 3.10.7.4, tcp_fin): the peer's FIN at position `at` has its turn, when all text before
 * it is in order. It is acknowledged, and TIME-WAIT begins, when the socket layer has confirmed it.
 */
export function step8Fin(cx: TcpContext, sk: TcpSock, at: number): void {
  cx.env.trace('tcp_fin');
  sk.finRcvdAt = at;
  sk.rcvNxt = at + 1;
  sk.rcvShutdown = true;
  if (sk.state === TCP_ESTABLISHED || sk.state === TCP_SYN_RECV) {
    setState(cx, sk, TCP_CLOSE_WAIT);
    enterPingpong(cx, sk);
  } else if (sk.state === TCP_FIN_WAIT1) {
    setState(cx, sk, TCP_CLOSING);
  }
  purgeOfo(cx, sk);
  // tcp_sack_reset(): nothing more comes, so no duplicate is worth a word
  sk.dsackStart = sk.dsackEnd = 0;
  viewChanged(cx, sk);
  if (sk.orphan) confirmFin(cx, sk);
  else armSeam(cx, sk);
}

/** The FIN has reached the socket layer, or there is nobody left to reach. */
export function confirmFin(cx: TcpContext, sk: TcpSock): void {
  if (sk.finRcvdAt < 0 || sk.finConfirmed || sk.rcvAck < sk.finRcvdAt) return;
  sk.finConfirmed = true;
  sk.rcvAck = sk.finRcvdAt + 1;
  sk.ackPending = true;
  if (sk.state === TCP_CLOSE_WAIT) {
    ackSndCheck(cx, sk);
    return;
  }
  sendAck(cx, sk);
  if (sk.state === TCP_FIN_WAIT2) timeWait(cx, sk, TCP_TIME_WAIT, 0);
  else finAcked(cx, sk);
}

/** Our FIN was acknowledged in CLOSING or LAST_ACK: over, once the socket layer knows of the peer's FIN. */
export function finAcked(cx: TcpContext, sk: TcpSock): boolean {
  if (!sk.finAcked || !sk.finConfirmed) return false;
  if (sk.state === TCP_CLOSING) timeWait(cx, sk, TCP_TIME_WAIT, 0);
  else if (sk.state === TCP_LAST_ACK && sk.sentBefore > 0) endQuietly(cx, sk);
  else if (sk.state === TCP_LAST_ACK) tcpDone(cx, sk);
  else return false;
  return true;
}
