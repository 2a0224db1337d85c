import type { TcpContext } from './context.ts';
import { ecnCheckCe } from './ecn.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import {
  TCP_ATO_MIN_MS,
  TCP_DELACK_MAX_MS,
  TCP_DELACK_MIN_MS,
  TCP_MAX_QUICKACKS,
  TCP_MIN_MSS,
  TCP_MSS_DEFAULT,
} from './sysctl.ts';
import { Timer } from './timers.ts';
import { sendAck } from './transmit.ts';
import { measureRcvRtt } from './window.ts';

/** How long a duplicate ACK waits for the socket layer to confirm what came before the hole. */
const CONFIRM_WAIT_MS = 10;

/**
 * When to acknowledge (RFC 9293 3.8.6.3, Linux's quick and delayed ACKs). Arriving data makes an ACK *pending*; it can go
 * out when the socket layer has confirmed the bytes, which is when ackSndCheck() decides.
 */

/** tcp_event_data_recv(): data came; how fast does it come, and how large are the peer's segments? */
export function eventDataRecv(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const { now } = cx;
  sk.ackPending = true;
  measureRcvMss(sk, seg);
  measureRcvRtt(cx, sk, seg.hasTs && seg.len >= sk.rcvMss && seg.tsEcr !== 0 ? tsRtt(cx, sk, seg) : -1);
  if (sk.atoMs === 0) {
    increaseQuickAck(sk, TCP_MAX_QUICKACKS);
    sk.atoMs = TCP_ATO_MIN_MS;
  } else {
    const m = now - sk.lastRcvMs;
    if (m <= TCP_ATO_MIN_MS / 2) {
      sk.atoMs = sk.atoMs / 2 + TCP_ATO_MIN_MS / 2;
    } else if (m < sk.atoMs) {
      sk.atoMs = Math.min(sk.atoMs / 2 + m, sk.rtt.rtoMs);
    } else if (m > sk.rtt.rtoMs) {
      // the peer restarted after a pause: it is in slow start and needs each ACK
      increaseQuickAck(sk, TCP_MAX_QUICKACKS);
    }
  }
  sk.lastRcvMs = now;
  if (sk.ecnFlags !== 0 && ecnCheckCe(cx, sk, seg)) enterQuickAck(sk, 2);
}

/** tcp_enter_quickack_mode() */
export function enterQuickAck(sk: TcpSock, most: number): void {
  increaseQuickAck(sk, most);
  sk.pingpong = 0;
  sk.atoMs = TCP_ATO_MIN_MS;
}

/** __tcp_ack_snd_check(): more bytes were confirmed. Now, or a little later? */
export function ackSndCheck(cx: TcpContext, sk: TcpSock): void {
  if (sk.ackNow) {
    cx.touch(sk);
    return;
  }
  if (!sk.ackPending) return;
  cx.env.trace('tcp_ack_snd_check');
  if (sk.ackOnConfirm || sk.rcvAck - sk.rcvWup > sk.rcvMss || (sk.quickAcks > 0 && sk.pingpong === 0)) {
    sk.ackNow = true;
    cx.touch(sk);
  } else {
    sendDelayedAck(cx, sk);
  }
}

/** An ACK for a segment out of order or a duplicate: the sender counts them, so each gets its own, at once if possible. */
export function oweDupAck(cx: TcpContext, sk: TcpSock): void {
  sk.dupAcksOwed++;
  cx.touch(sk);
}

/** Sends what ackSndCheck() and oweDupAck() decided since the last flush. */
export function flushAcks(cx: TcpContext, sk: TcpSock): void {
  if (sk.dupAcksOwed > 0) {
    if (sk.rcvAck < sk.rcvNxt && !sk.orphan) {
      // An ACK below what we hold in order would make the peer send that again; the confirmation is on its way.
      armDelAck(cx, sk, cx.now + CONFIRM_WAIT_MS);
      return;
    }
    flushDupAcks(cx, sk);
  }
  if (sk.ackNow) sendAck(cx, sk);
}

/** SACK says it all in one segment; without it the number of ACKs is the message. */
export function flushDupAcks(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_ack_snd_check');
  let n = sk.sackOk ? 1 : sk.dupAcksOwed;
  sk.ackNow = false;
  while (n-- > 0) sendAck(cx, sk);
  sk.dupAcksOwed = 0;
}

/** tcp_delack_timer_handler() */
export function delAckTimer(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_delack_timer');
  sk.timers.stop(Timer.DelAck);
  if (sk.dupAcksOwed > 0) {
    flushDupAcks(cx, sk);
    return;
  }
  if (!sk.ackPending || sk.rcvAck === sk.rcvWup) return;
  if (sk.pingpong === 0) {
    sk.atoMs = Math.min(sk.atoMs * 2, sk.rtt.rtoMs);
  } else {
    // a reply was expected and did not come: this is no dialogue
    sk.pingpong = 0;
    sk.atoMs = TCP_ATO_MIN_MS;
  }
  sendAck(cx, sk);
  cx.env.mib.inc('TcpExtDelayedACKs');
}

/** tcp_send_delayed_ack() */
export function sendDelayedAck(cx: TcpContext, sk: TcpSock): void {
  let ato = sk.atoMs;
  if (ato > TCP_DELACK_MIN_MS) {
    let most = sk.pingpong > 0 ? TCP_DELACK_MAX_MS : 500;
    if (sk.rtt.srttMs > 0) most = Math.min(most, Math.max(sk.rtt.srttMs, TCP_DELACK_MIN_MS));
    ato = Math.min(ato, most);
  }
  armDelAck(cx, sk, cx.now + Math.min(Math.max(ato, TCP_DELACK_MIN_MS), TCP_DELACK_MAX_MS));
}

function armDelAck(cx: TcpContext, sk: TcpSock, at: number): void {
  if (sk.timers.get(Timer.DelAck) <= at) return;
  sk.timers.set(Timer.DelAck, at);
  cx.timers.touch(sk);
}

/** tcp_incr_quickack() */
function increaseQuickAck(sk: TcpSock, most: number): void {
  const n = Math.min(Math.max(2, Math.floor(sk.rcvWindow / (2 * sk.rcvMss))), most);
  if (n > sk.quickAcks) sk.quickAcks = n;
}

/** tcp_measure_rcv_mss() */
function measureRcvMss(sk: TcpSock, seg: Segment): void {
  const len = seg.skb.gsoSize > 0 ? seg.skb.gsoSize : seg.len;
  if (len >= sk.rcvMss) sk.rcvMss = Math.min(len, sk.advMss);
  else if (len >= TCP_MSS_DEFAULT - 12 && len >= TCP_MIN_MSS) sk.rcvMss = len;
}

function tsRtt(cx: TcpContext, sk: TcpSock, seg: Segment): number {
  const ms = (cx.tsNow(sk.tsOffset) - seg.tsEcr) | 0;
  return ms < 0 || ms > 60_000 ? -1 : ms;
}
