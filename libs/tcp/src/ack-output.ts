import { TCP_PSH } from '@skbus/wire';
import { ceSettle, ecnCheckCe } from './ce-echo.ts';
import type { TcpContext } from './context.ts';
import { truesizeOf } from './ofo-queue.ts';
import { measureRcvRtt } from './rcv-space.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import {
  TCP_ATO_MIN_MS,
  TCP_DELACK_MAX_MS,
  TCP_DELACK_MIN_MS,
  TCP_FASTRETRANS_THRESH,
  TCP_MAX_QUICKACKS,
  TCP_MIN_MSS,
  TCP_MSS_DEFAULT,
} from './sysctl.ts';
import { setTimer, stopTimer, Timer, timerAt } from './timers.ts';
import { sendAck } from './transmit.ts';
import { growWindow, lastWindow, windowKept, windowUpdateDue } from './window.ts';

/** How long an ACK that would say too little waits for the socket layer to confirm more. */
const CONFIRM_WAIT_MS = 10;
/** Segments shorter than this do not open the window. */
const GROW_MIN = 128;

/**
 * When to acknowledge (RFC 9293 3.8.6.3, Linux's quick and delayed ACKs). Arriving data makes an ACK *pending*; it can go
 * out when the socket layer has confirmed the bytes, which is when ackSndCheck() decides.
 */

/** inet_csk_in_pingpong_mode(): a dialogue, where the answer will carry the ACK. */
export const inPingpong = (cx: TcpContext, sk: TcpSock): boolean => sk.pingpong >= cx.sysctl.tcpPingpongThresh;

/** inet_csk_enter_pingpong_mode() */
export function enterPingpong(cx: TcpContext, sk: TcpSock): void {
  sk.pingpong = cx.sysctl.tcpPingpongThresh;
}

/** tcp_in_quickack_mode(): the peer is in slow start, or has just lost something: it needs each ACK. */
const inQuickAck = (cx: TcpContext, sk: TcpSock): boolean => sk.quickAcks > 0 && !inPingpong(cx, sk);

/** tcp_event_data_recv(): data came; how fast does it come, and how large are the peer's segments? */
export function eventDataRecv(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const { now } = cx;
  sk.ackPending = true;
  measureRcvMss(sk, seg);
  measureRcvRtt(cx, sk);
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
  if (seg.len >= GROW_MIN) growWindow(cx, sk, seg.len, truesizeOf(seg.len));
}

/** tcp_enter_quickack_mode() */
export function enterQuickAck(sk: TcpSock, most: number): void {
  increaseQuickAck(sk, most);
  sk.pingpong = 0;
  sk.atoMs = TCP_ATO_MIN_MS;
}

/** __tcp_ack_snd_check(): more bytes were confirmed. Now, or a little later? */
export function ackSndCheck(cx: TcpContext, sk: TcpSock): void {
  if (sk.ceEcho !== undefined) ceSettle(cx, sk, sk.ceEcho);
  if (sk.ackNow) {
    cx.touch(sk);
    return;
  }
  if (!sk.ackPending) return;
  cx.env.trace('tcp_ack_snd_check');
  // In this order: looking at the window ends quick ACKs where half of the buffer is in use (__tcp_select_window).
  if (sk.ackOnConfirm || fullFrameWaits(cx, sk) || inQuickAck(cx, sk)) {
    sk.ackNow = true;
    cx.touch(sk);
  } else {
    sendDelayedAck(cx, sk);
  }
}

/** More than one full segment (RFC 9293 SHLD-19), and the ACK would move the window too; else reading will bring it. */
function fullFrameWaits(cx: TcpContext, sk: TcpSock): boolean {
  if (sk.rcvAck - sk.rcvWup <= sk.rcvMss) return false;
  return sk.rcvNxt - sk.rcvRead < sk.rcvLowat || windowKept(cx, sk);
}

/** tcp_cleanup_rbuf(): the application has read something. An ACK, because that was all of it or opened the window? */
export function cleanupRbuf(cx: TcpContext, sk: TcpSock): void {
  let now = false;
  if (sk.ackPending) {
    const drained = sk.rcvRead === sk.rcvNxt && sk.ofo.length === 0;
    now =
      sk.rcvAck - sk.rcvWup > sk.rcvMss ||
      (drained && (sk.ackPushed === 2 || (sk.ackPushed === 1 && !inPingpong(cx, sk))));
  }
  if (!now && !sk.rcvShutdown) now = windowUpdateDue(cx, sk);
  if (!now) return;
  sk.ackNow = true;
  cx.touch(sk);
}

/** An ACK for a segment out of order or a duplicate: the sender counts them, so each gets its own, at once if possible. */
export function oweDupAck(cx: TcpContext, sk: TcpSock): void {
  sk.dupAcksOwed++;
  cx.touch(sk);
}

/**
 * ACK compression (__tcp_ack_snd_check with ofo_possible): once the sender has had three, further ACKs for segments beyond
 * the same hole wait a little for each other. Their SACK blocks add up.
 */
export function ackOutOfOrder(cx: TcpContext, sk: TcpSock): void {
  const { sysctl } = cx;
  const c = (sk.compressed ??= { acks: 0, rcvNxt: 0, dups: 0, filledTo: 0 });
  if (!sk.sackOk || inQuickAck(cx, sk) || sk.ackNow || c.acks >= sysctl.tcpCompSackNr) {
    oweDupAck(cx, sk);
    return;
  }
  if (c.rcvNxt !== sk.rcvNxt) {
    c.rcvNxt = sk.rcvNxt;
    c.dups = 0;
  }
  if (c.dups < TCP_FASTRETRANS_THRESH) {
    c.dups++;
    oweDupAck(cx, sk);
    return;
  }
  let rttMs = sk.rcvRttMs;
  if (sk.rtt.srttMs > 0 && sk.rtt.srttMs < rttMs) rttMs = sk.rtt.srttMs;
  const delayMs = Math.min(sysctl.tcpCompSackDelayNs / 1e6, rttMs / 20);
  if (delayMs <= 0) {
    oweDupAck(cx, sk);
    return;
  }
  c.acks++;
  if (c.acks === 1) armDelAck(cx, sk, cx.now + delayMs);
}

/** tcp_sack_compress_send_ack(): a SACK block might not fit into the one ACK for all. */
export function flushCompressed(cx: TcpContext, sk: TcpSock): void {
  const c = sk.compressed;
  if (c === undefined || c.acks === 0) return;
  // one ACK goes, so one fewer was saved
  cx.env.mib.inc('TcpExtTCPAckCompressed', c.acks - 1);
  c.acks = 0;
  sendAck(cx, sk);
}

/** Sends what ackSndCheck() and oweDupAck() decided since the last flush. */
export function flushAcks(cx: TcpContext, sk: TcpSock): void {
  if (sk.dupAcksOwed === 0 && !sk.ackNow) return;
  if (saysTooLittle(sk)) {
    armDelAck(cx, sk, cx.now + CONFIRM_WAIT_MS);
    return;
  }
  if (sk.dupAcksOwed > 0) flushDupAcks(cx, sk);
  if (sk.ackNow) sendAck(cx, sk);
}

/**
 * An ACK below what we hold in order would make the peer send that again: a duplicate one as such, any while the SACK blocks
 * of what filled a hole are gone and the ACK does not cover it yet (to RACK, RFC 8985 6.2, all that was sent before the
 * retransmission and is not covered is lost). The confirmation is on its way.
 */
function saysTooLittle(sk: TcpSock): boolean {
  if (sk.rcvAck >= sk.rcvNxt || sk.orphan) return false;
  return sk.dupAcksOwed > 0 || (sk.compressed !== undefined && sk.rcvAck < sk.compressed.filledTo);
}

/** SACK says it all in one segment; without it the number of ACKs is the message. */
export function flushDupAcks(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_ack_snd_check');
  let n = sk.sackOk ? 1 : sk.dupAcksOwed;
  sk.ackNow = false;
  while (n-- > 0) sendAck(cx, sk);
  sk.dupAcksOwed = 0;
}

/** What came is not confirmed yet. Before the first data it is the peer's SYN that an ACK is pending for. */
const nothingToAck = (sk: TcpSock): boolean => !sk.ackPending || (sk.rcvAck <= sk.rcvWup && sk.rcvNxt > 1);

/** The ACK of the SYN-ACK: data that is about to come will carry it (tcp_rcv_synsent_state_process). */
export function delayHandshakeAck(cx: TcpContext, sk: TcpSock): void {
  sk.ackPending = true;
  enterQuickAck(sk, TCP_MAX_QUICKACKS);
  armDelAck(cx, sk, cx.now + TCP_DELACK_MAX_MS);
}

/** tcp_delack_timer_handler(), and tcp_compressed_ack_kick(): both mean that an ACK has waited long enough. */
export function delAckTimer(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_delack_timer');
  stopTimer(sk, Timer.DelAck);
  if (sk.dupAcksOwed > 0) {
    flushDupAcks(cx, sk);
    return;
  }
  if (sk.compressed !== undefined && sk.compressed.acks > 0) {
    flushCompressed(cx, sk);
    return;
  }
  if (nothingToAck(sk)) return;
  if (inPingpong(cx, sk)) {
    // a reply was expected and did not come: this is no dialogue
    sk.pingpong = 0;
    sk.atoMs = TCP_ATO_MIN_MS;
  } else {
    sk.atoMs = Math.min(sk.atoMs * 2, sk.rtt.rtoMs);
  }
  sendAck(cx, sk);
  cx.env.mib.inc('TcpExtDelayedACKs');
}

/** tcp_send_delayed_ack() */
export function sendDelayedAck(cx: TcpContext, sk: TcpSock): void {
  let ato = sk.atoMs;
  if (ato > TCP_DELACK_MIN_MS) {
    let most = sk.ackPushed > 0 || inPingpong(cx, sk) ? TCP_DELACK_MAX_MS : 500;
    if (sk.rtt.srttMs > 0) most = Math.min(most, Math.max(sk.rtt.srttMs, TCP_DELACK_MIN_MS));
    ato = Math.min(ato, most);
  }
  // Before the first data there is no ACK timeout yet: a FIN alone is acknowledged without delay.
  ato = Math.min(ato === 0 ? 0 : Math.max(ato, TCP_DELACK_MIN_MS), TCP_DELACK_MAX_MS);
  if (timerAt(sk, Timer.DelAck) <= cx.now + ato / 4) {
    // it is about to run anyway
    sk.ackNow = true;
    cx.touch(sk);
    return;
  }
  armDelAck(cx, sk, cx.now + ato);
}

/** TCP_QUICKACK: 1 and other odd values until the next answer, even ones for what is pending only, 0 off. */
export function setQuickAck(cx: TcpContext, sk: TcpSock, value: number): void {
  if (value === 0) {
    enterPingpong(cx, sk);
    return;
  }
  sk.pingpong = 0;
  if (nothingToAck(sk)) return;
  sk.ackPushed = Math.max(sk.ackPushed, 1);
  cleanupRbuf(cx, sk);
  if ((value & 1) === 0) enterPingpong(cx, sk);
}

function armDelAck(cx: TcpContext, sk: TcpSock, at: number): void {
  if (timerAt(sk, Timer.DelAck) <= at) return;
  setTimer(sk, Timer.DelAck, at);
  cx.timers.touch(sk);
}

/** tcp_incr_quickack() */
function increaseQuickAck(sk: TcpSock, most: number): void {
  const n = Math.min(Math.floor(lastWindow(sk) / (2 * sk.rcvMss)) || 2, most);
  if (n > sk.quickAcks) sk.quickAcks = n;
}

/** tcp_measure_rcv_mss(): what is a full segment of this peer? And was this the end of a write of its application? */
export function measureRcvMss(sk: TcpSock, seg: Segment): void {
  const before = sk.lastSegSize;
  sk.lastSegSize = 0;
  const len = seg.skb.gsoSize > 0 ? seg.skb.gsoSize : seg.len;
  if (len >= sk.rcvMss) {
    sk.rcvMss = Math.min(len, sk.advMss);
    if ((seg.flags & TCP_PSH) !== 0) sk.ackPushed = Math.max(sk.ackPushed, 1);
    return;
  }
  // Without PSH (or SYN, FIN, URG) it is a full one of a small path; SACK blocks take a different share of each.
  const special = (seg.flags & 0x2b) !== 0;
  const size = len + seg.hlen - 20 - (sk.tsOk ? 12 : 0);
  if (len + seg.hlen >= TCP_MSS_DEFAULT + 20 || (len + seg.hlen >= TCP_MIN_MSS + 20 && !special)) {
    sk.lastSegSize = size;
    if (size === before) {
      sk.rcvMss = size;
      return;
    }
  }
  sk.ackPushed = sk.ackPushed > 0 ? 2 : 1;
}
