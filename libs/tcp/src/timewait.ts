import { NEVER, TCP_FIN_WAIT2, TCP_TIME_WAIT, type Ipv4Addr, type Millis, type SkId } from '@skbus/skb';
import { TCP_RST } from '@skbus/wire';
import { accEcnTos } from './accecn.ts';
import { Conn } from './conn.ts';
import type { TcpContext } from './context.ts';
import type { BindOwner } from './port-table.ts';
import { forgetRecord, timeWaitRecord } from './loose-records.ts';
import { oowRateLimited } from './rate-limit.ts';
import { replyAck, sendReset } from './reply.ts';
import type { Segment } from './segment.ts';
import { after, before, toWire } from './sequence.ts';
import type { TcpSock } from './sock.ts';
import { tcpDone } from './state.ts';
import { TCP_TIMEWAIT_LEN_MS } from './sysctl.ts';
import { pawsReject, type TsRecent } from './timestamps.ts';
import { isLegalTransition } from './transitions.ts';

/** A few retransmissions of the peer's. */
const QUIET_END_MS: Millis = 3_000;

/** What is left of a connection for 2 MSL (struct tcp_timewait_sock): enough to answer, and to recognise old segments. */
export class TimeWaitSock extends Conn implements BindOwner, TsRecent {
  /** Names its record. */
  id: SkId = 0;
  override state = TCP_TIME_WAIT;
  /** TCP_TIME_WAIT, or TCP_FIN_WAIT2 for an orphan whose peer has not closed yet. */
  substate = TCP_TIME_WAIT;
  boundAddr: Ipv4Addr = 0;
  reuseAddr = false;
  reusePort = false;
  explicitPort = false;
  sndNxt32 = 0;
  rcvNxt32 = 0;
  rcvWnd = 0;
  rcvWscale = 0;
  tsOk = false;
  tsRecent = 0;
  tsRecentMs: Millis = NEVER;
  tsOffset = 0;
  tos = 0;
  ttl = 0;
  oowAckMs: Millis = Number.NEGATIVE_INFINITY;
  dueMs: Millis = NEVER;
  override wakeMs: Millis = NEVER;

  override deadline(): Millis {
    return this.dueMs;
  }
}

/** A TIME-WAIT that is to last no longer than this counts as killed (inet_twsk_schedule). */
const TW_KILLED_MS = 4000;

/** tcp_time_wait(): the sock closes and leaves a smaller object behind. */
export function timeWait(cx: TcpContext, sk: TcpSock, substate: number, timeoutMs: Millis): void {
  cx.env.trace('tcp_time_wait');
  if (substate === TCP_TIME_WAIT && !isLegalTransition(sk.state, TCP_TIME_WAIT)) cx.illegalTransitions++;
  if (cx.twCount >= cx.sysctl.tcpMaxTwBuckets) {
    cx.env.mib.inc('TcpExtTCPTimeWaitOverflow');
  } else {
    const tw = makeTimeWait(sk, substate);
    const lasts = substate === TCP_TIME_WAIT ? TCP_TIMEWAIT_LEN_MS : Math.max(timeoutMs, 3.5 * sk.rtt.rtoMs);
    cx.ehash.remove(sk);
    cx.env.mib.inc(lasts <= TW_KILLED_MS ? 'TcpExtTWKilled' : 'TcpExtTW');
    addTimeWait(cx, tw, lasts);
    timeWaitRecord(cx, tw, lasts);
  }
  sk.inTimeWait = true;
  tcpDone(cx, sk);
}

/**
 * The end of a connection that two processes have served: the peer may acknowledge the FIN of either, and the second of those
 * ACKs would meet nobody.
 */
export function endQuietly(cx: TcpContext, sk: TcpSock): void {
  if (cx.twCount < cx.sysctl.tcpMaxTwBuckets) {
    cx.ehash.remove(sk);
    addTimeWait(cx, makeTimeWait(sk, TCP_TIME_WAIT), QUIET_END_MS);
  }
  tcpDone(cx, sk);
}

/** inet_twsk_hashdance() */
export function addTimeWait(cx: TcpContext, tw: TimeWaitSock, lastsMs: Millis): void {
  cx.ehash.add(tw);
  cx.ports.add(tw);
  cx.twCount++;
  reschedule(cx, tw, lastsMs);
}

/** A reset or a new SYN ends it early. */
export function killTimeWait(cx: TcpContext, tw: TimeWaitSock): void {
  forgetRecord(cx, tw.id);
  removeTimeWait(cx, tw);
}

/** inet_twsk_kill() */
function removeTimeWait(cx: TcpContext, tw: TimeWaitSock): void {
  tw.dueMs = NEVER;
  cx.timers.remove(tw);
  cx.ehash.remove(tw);
  cx.ports.remove(tw);
  cx.twCount--;
}

/** connect() takes its four-tuple (tcp_tw_reuse). */
export function recycleTimeWait(cx: TcpContext, tw: TimeWaitSock): void {
  cx.env.mib.inc('TcpExtTWRecycled');
  killTimeWait(cx, tw);
}

/** tcp_tw_timer_handler() */
export function timeWaitTimer(cx: TcpContext, tw: TimeWaitSock): void {
  removeTimeWait(cx, tw);
}

/** `syn`: a new connection may take the place of this one (RFC 6191). */
export type TimeWaitVerdict = 'done' | { newIsn: number };

/** tcp_timewait_state_process() (RFC 9293 3.10.7.4 for TIME-WAIT, RFC 1337, RFC 6191). The skb stays the caller's. */
export function timeWaitRcv(cx: TcpContext, tw: TimeWaitSock, seg: Segment): TimeWaitVerdict {
  cx.env.trace('tcp_timewait_state_process', seg.skb);
  const rst = (seg.flags & TCP_RST) !== 0;
  const end32 = (seg.seq32 + seg.len + (seg.syn ? 1 : 0) + (seg.fin ? 1 : 0)) >>> 0;
  const paws = seg.hasTs && tw.tsOk && pawsReject(tw, seg, rst, cx.now);
  if (tw.substate === TCP_FIN_WAIT2) {
    finWait2Rcv(cx, tw, seg, end32, rst, paws);
    return 'done';
  }
  if (!paws && seg.seq32 === tw.rcvNxt32 && (seg.seq32 === end32 || rst)) {
    if (rst) {
      if (!cx.sysctl.tcpRfc1337) killTimeWait(cx, tw);
      return 'done';
    }
    reschedule(cx, tw, TCP_TIMEWAIT_LEN_MS);
    storeTs(cx, tw, seg);
    return 'done';
  }
  if (seg.syn && !rst && !seg.hasAck && !paws && isNewer(tw, seg)) {
    return { newIsn: (tw.sndNxt32 + 65_535 + 2) >>> 0 || 1 };
  }
  if (paws) cx.env.mib.inc('TcpExtPAWSTimewait');
  if (!rst) {
    if (paws || seg.hasAck) reschedule(cx, tw, TCP_TIMEWAIT_LEN_MS);
    ackOutOfWindow(cx, tw, seg, 'TcpExtTCPACKSkippedTimeWait');
  }
  return 'done';
}

/** tcp_in_window() */
export function inWindow(seq: number, end: number, from: number, to: number): boolean {
  if (seq === from) return true;
  if (after(end, from) && before(seq, to)) return true;
  return seq === to && seq === end;
}

function finWait2Rcv(cx: TcpContext, tw: TimeWaitSock, seg: Segment, end32: number, rst: boolean, paws: boolean): void {
  if (paws || !inWindow(seg.seq32, end32, tw.rcvNxt32, (tw.rcvNxt32 + tw.rcvWnd) >>> 0)) {
    if (!rst) ackOutOfWindow(cx, tw, seg, 'TcpExtTCPACKSkippedFinWait2');
    return;
  }
  if (rst) {
    killTimeWait(cx, tw);
    return;
  }
  if (seg.syn && !before(seg.seq32, tw.rcvNxt32)) {
    resetAndKill(cx, tw, seg);
    return;
  }
  if (!seg.hasAck || !after(end32, tw.rcvNxt32) || end32 === seg.seq32) return;
  if (!seg.fin || end32 !== (tw.rcvNxt32 + 1) >>> 0) {
    // data that nobody will ever read
    resetAndKill(cx, tw, seg);
    return;
  }
  tw.substate = TCP_TIME_WAIT;
  tw.rcvNxt32 = end32;
  storeTs(cx, tw, seg);
  reschedule(cx, tw, TCP_TIMEWAIT_LEN_MS);
  timeWaitRecord(cx, tw, TCP_TIMEWAIT_LEN_MS);
  timeWaitAck(cx, tw, seg);
}

function resetAndKill(cx: TcpContext, tw: TimeWaitSock, seg: Segment): void {
  sendReset(cx, seg);
  killTimeWait(cx, tw);
}

/** RFC 6191: later by sequence number or by timestamp, so it cannot be an old duplicate. */
function isNewer(tw: TimeWaitSock, seg: Segment): boolean {
  return after(seg.seq32, tw.rcvNxt32) || (seg.hasTs && tw.tsOk && ((tw.tsRecent - seg.tsVal) | 0) < 0);
}

function ackOutOfWindow(
  cx: TcpContext,
  tw: TimeWaitSock,
  seg: Segment,
  skipped: Parameters<typeof oowRateLimited>[3],
): void {
  if (!oowRateLimited(cx, seg, tw, skipped)) timeWaitAck(cx, tw, seg);
}

/** tcp_v4_timewait_ack() */
export function timeWaitAck(cx: TcpContext, tw: TimeWaitSock, seg: Segment): void {
  replyAck(cx, seg, {
    seq32: tw.sndNxt32,
    ack32: tw.rcvNxt32,
    window: Math.min(tw.rcvWnd >>> tw.rcvWscale, 65_535),
    ts: tw.tsOk ? { val: cx.tsNow(tw.tsOffset), ecr: tw.tsRecent } : undefined,
    tos: tw.tos,
    ttl: tw.ttl,
  });
}

function storeTs(cx: TcpContext, tw: TimeWaitSock, seg: Segment): void {
  if (!seg.hasTs || !tw.tsOk) return;
  tw.tsRecent = seg.tsVal;
  tw.tsRecentMs = cx.now;
}

function reschedule(cx: TcpContext, tw: TimeWaitSock, afterMs: Millis): void {
  tw.dueMs = cx.now + afterMs;
  cx.timers.touch(tw);
}

function makeTimeWait(sk: TcpSock, substate: number): TimeWaitSock {
  const tw = new TimeWaitSock();
  tw.substate = substate;
  tw.laddr = sk.laddr;
  tw.lport = sk.lport;
  tw.raddr = sk.raddr;
  tw.rport = sk.rport;
  tw.boundAddr = sk.boundAddr;
  tw.reuseAddr = sk.reuseAddr;
  tw.reusePort = sk.reusePort;
  tw.explicitPort = sk.explicitPort;
  tw.sndNxt32 = toWire(sk.iss, sk.sndNxt);
  tw.rcvNxt32 = toWire(sk.irs, sk.rcvAck);
  tw.rcvWnd = Math.max(0, sk.rcvAdv - sk.rcvAck);
  tw.rcvWscale = sk.rcvWscale;
  tw.tsOk = sk.tsOk;
  tw.tsRecent = sk.tsRecent;
  tw.tsRecentMs = sk.tsRecentMs;
  tw.tsOffset = sk.tsOffset;
  // As the last segment had it (INET_ECN_xmit sets it in the sock's tos).
  tw.tos = sk.accecn === undefined ? sk.tos : sk.tos | accEcnTos(sk.accecn);
  tw.ttl = sk.ttl;
  return tw;
}
