import { TCP_ACK, TCP_FIN, TCP_PSH } from '@skbus/wire';
import { Chrono, chronoStart, chronoStop } from './chrono.ts';
import type { TcpContext } from './context.ts';
import { cwndTest, cwndValidate, slowStartAfterIdle } from './cwnd.ts';
import { type MtuProbe, mtuProbeSent, mtuProbeSize } from './mtu-probe.ts';
import { nagleHolds, nagleTest } from './nagle.ts';
import { eventNewDataSent } from './new-data.ts';
import { pacingAfterSend, pacingCheck } from './pacing.ts';
import { armProbe0 } from './probe0.ts';
import { inCwndReduction } from './prr.ts';
import { makeRec } from './rtx-queue.ts';
import { smallQueueFull } from './small-queue.ts';
import type { TcpSock } from './sock.ts';
import { isArmed, Timer } from './timers.ts';
import { scheduleLossProbe } from './tlp.ts';
import { currentMss, transmit } from './transmit.ts';
import { sizeGoal, tsoSegs, tsoShouldDefer, type SendLimits } from './tso.ts';
import { inUrgentMode } from './urgent.ts';

/** The call of tcp_write_xmit() being served: how it is to send, and what stopped it. */
const run: SendLimits & { mss: number; maxSegs: number; probe: boolean; nagleOff: boolean } = {
  mss: 0,
  maxSegs: 0,
  probe: false,
  nagleOff: false,
  cwnd: false,
  rwnd: false,
};

/** __tcp_push_pending_frames(): sends what may be sent now; if the peer's window forbids all of it, asks after it later. */
export function pushPending(cx: TcpContext, sk: TcpSock): void {
  push(cx, sk, false);
}

/** The same with TCP_NAGLE_OFF, whatever the socket's options are. */
export function pushWithoutNagle(cx: TcpContext, sk: TcpSock): void {
  push(cx, sk, true);
}

function push(cx: TcpContext, sk: TcpSock, nagleOff: boolean): void {
  if (!sk.hasUnsent) return;
  cx.env.trace('__tcp_push_pending_frames');
  if (sk.packetsOut === 0) slowStartAfterIdle(cx, sk);
  writeXmit(cx, sk, false, nagleOff);
  if (sk.packetsOut === 0 && sk.hasUnsent && !isArmed(sk, Timer.Retrans)) armProbe0(cx, sk);
}

/** The tail loss probe's new data: one skb, whatever Nagle and the congestion window say. False: something else forbids it. */
export const sendProbe = (cx: TcpContext, sk: TcpSock): boolean => writeXmit(cx, sk, true, true);

/** tcp_write_xmit(): as long as pacing, both windows and Nagle let a segment go. Did any? */
function writeXmit(cx: TcpContext, sk: TcpSock, probe: boolean, nagleOff: boolean): boolean {
  cx.env.trace('tcp_write_xmit');
  run.mss = currentMss(cx, sk);
  run.maxSegs = tsoSegs(cx, sk, run.mss);
  run.probe = probe;
  run.nagleOff = nagleOff;
  run.cwnd = run.rwnd = false;
  let sent = 0;
  if (sk.mtup !== undefined && !probe) {
    sent = mtuProbe(cx, sk, sk.mtup);
    if (sent === 0) return false;
    if (sent < 0) sent = 0;
  }
  while (sk.hasUnsent) {
    if (pacingCheck(cx, sk)) break;
    let quota = cwndTest(sk);
    if (quota === 0) {
      if (!probe) break;
      quota = 1;
    }
    const len = chooseLength(cx, sk, Math.min(quota, run.maxSegs));
    if (len < 0 || smallQueueFull(cx, sk, len, false)) break;
    sent += sendNew(cx, sk, len, run.mss);
    if (probe) break;
  }
  if (run.rwnd) chronoStart(cx, sk, Chrono.RwndLimited);
  else chronoStop(cx, sk, Chrono.RwndLimited);
  const cwndLimited = run.cwnd || sk.inFlight >= sk.cwnd;
  if (sent > 0 || cwndLimited) cwndValidate(cx, sk, cwndLimited);
  if (sent === 0) return false;
  if (inCwndReduction(sk)) sk.prrOut += sent;
  if (!probe) scheduleLossProbe(cx, sk, false);
  return true;
}

/** tcp_mtu_probe(): sends one segment that is larger than the others. 0: what is there waits for it, -1: not now. */
function mtuProbe(cx: TcpContext, sk: TcpSock, p: MtuProbe): number {
  const size = mtuProbeSize(cx, sk, p);
  if (size <= 0) return size;
  const seq = sk.sndNxt;
  const sent = sendNew(cx, sk, size, size);
  mtuProbeSent(sk, p, seq, size);
  return sent;
}

/**
 * How many bytes the next skb of at most `quota` segments takes, -1: none may go (tcp_snd_wnd_test, tcp_nagle_test,
 * tcp_tso_should_defer, tcp_mss_split_point). Sender's side of silly-window avoidance (RFC 9293 3.8.6.2.1): whole segments,
 * unless it is the end of what there is and Nagle agrees.
 */
function chooseLength(cx: TcpContext, sk: TcpSock, quota: number): number {
  const { mss, nagleOff } = run;
  const end = sk.recordEnds?.after(sk.sndNxt) ?? sk.sndTail;
  const more = end < sk.sndTail;
  const avail = end - sk.sndNxt;
  const fin = sk.finReady && !sk.finSent && !more;
  const room = sk.sndWndEnd - sk.sndNxt;
  if (Math.min(avail, mss) + (fin && avail === 0 ? 1 : 0) > room) {
    run.rwnd = true;
    return -1;
  }
  if (avail <= mss) return avail === mss || more || nagleOff || nagleTest(sk, fin) ? avail : -1;
  const queued = Math.min(avail, sizeGoal(sk, mss));
  if (!run.probe && tsoShouldDefer(cx, sk, queued, !more && queued === avail, run.maxSegs, run)) return -1;
  if (inUrgentMode(sk)) return mss;
  const most = quota * mss;
  const needed = Math.min(queued, room);
  if (most <= needed) return most;
  const partial = needed % mss;
  return partial !== 0 && !nagleOff && nagleHolds(sk) ? needed - partial : needed;
}

/** Sends `len` bytes, and the FIN if they are the last ones. Returns the segments that makes. */
function sendNew(cx: TcpContext, sk: TcpSock, len: number, mss: number): number {
  const seq = sk.sndNxt;
  const last = seq + len === sk.sndTail;
  const fin = last && sk.finReady && seq + len < sk.sndWndEnd;
  const eor = sk.recordEnds?.after(seq) === seq + len;
  let flags = TCP_ACK;
  if (len > 0 && (eor || (last && !sk.wroteMore) || forcedPush(sk, seq + len))) {
    flags |= TCP_PSH;
    sk.pushedSeq = seq + len;
  }
  if (fin) flags |= TCP_FIN;
  const rec = makeRec(seq, seq + len + (fin ? 1 : 0), flags, mss);
  rec.eor = eor;
  transmit(cx, sk, seq, len, flags, mss);
  pacingAfterSend(cx, sk, len);
  if (len < rec.segs * mss) sk.sndSml = rec.end; // tcp_minshall_update()
  eventNewDataSent(cx, sk, rec);
  return rec.segs;
}

/** forced_push(): a receiver that waits for PSH shall not wait for more than half of its window. */
const forcedPush = (sk: TcpSock, end: number): boolean => end > sk.pushedSeq + (sk.maxWindow >>> 1);
