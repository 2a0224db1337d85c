import { TCP_ACK, TCP_FIN, TCP_PSH } from '@skbus/wire';
import { CA_CWR } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { armProbe0 } from './probe0.ts';
import { Pending, rearmRto } from './rto-arm.ts';
import { makeRec, type TxRec } from './rtx-queue.ts';
import { inCwndReduction } from './prr.ts';
import type { TcpSock } from './sock.ts';
import { GSO_PAYLOAD_MAX, TCP_INIT_CWND } from './sysctl.ts';
import { Timer } from './timers.ts';
import { scheduleLossProbe } from './tlp.ts';
import { currentMss, transmit } from './transmit.ts';
import { inUrgentMode } from './urgent.ts';

/** __tcp_push_pending_frames(): sends what may be sent now; if the peer's window forbids all of it, asks after it later. */
export function pushPending(cx: TcpContext, sk: TcpSock): void {
  if (!sk.hasUnsent) return;
  cx.env.trace('__tcp_push_pending_frames');
  writeXmit(cx, sk);
  if (sk.packetsOut === 0 && sk.hasUnsent && !sk.timers.isArmed(Timer.Retrans)) armProbe0(cx, sk);
}

/** __tcp_push_pending_frames() with TCP_NAGLE_OFF. */
export function pushWithoutNagle(cx: TcpContext, sk: TcpSock): void {
  const { nodelay, cork } = sk;
  sk.nodelay = true;
  sk.cork = false;
  pushPending(cx, sk);
  sk.nodelay = nodelay;
  sk.cork = cork;
}

/** The tail loss probe's new data: one piece, whatever Nagle and the congestion window say. False: the window forbids it. */
export function sendProbe(cx: TcpContext, sk: TcpSock): boolean {
  const mss = currentMss(sk);
  const avail = sk.sndTail - sk.sndNxt;
  const fin = sk.finReady && !sk.finSent;
  const room = sk.sndWndEnd - sk.sndNxt;
  const len = Math.min(avail, Math.max(cwndQuota(sk), 1) * mss, room);
  if (Math.min(avail, mss) + (fin && avail === 0 ? 1 : 0) > room) return false;
  sendNew(cx, sk, len < avail && len > mss ? len - (len % mss) : len, fin && len === avail && len < room, mss);
  return true;
}

/** tcp_write_xmit(): as long as both windows, and Nagle, let a segment go. */
function writeXmit(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_write_xmit');
  if (sk.packetsOut === 0) slowStartAfterIdle(cx, sk);
  const mss = currentMss(sk);
  const tsoMax = inUrgentMode(sk) ? mss : Math.max(mss, GSO_PAYLOAD_MAX - (GSO_PAYLOAD_MAX % mss));
  const before = sk.packetsOut;
  let sent = false;
  let cwndLimited = false;
  for (;;) {
    const avail = sk.sndTail - sk.sndNxt;
    const fin = sk.finReady && !sk.finSent;
    if (avail <= 0 && !fin) break;
    const quota = cwndQuota(sk);
    if (quota <= 0) {
      cwndLimited = true;
      break;
    }
    const len = chooseLength(sk, avail, fin, mss, Math.min(quota * mss, tsoMax));
    if (len < 0) break;
    sendNew(cx, sk, len, fin && len === avail && sk.sndNxt + len < sk.sndWndEnd, mss);
    sent = true;
  }
  if (sent || cwndLimited) cwndValidate(sk, cwndLimited);
  if (sent) {
    if (inCwndReduction(sk)) sk.prrOut += sk.packetsOut - before;
    scheduleLossProbe(cx, sk, false);
  }
}

/** tcp_cwnd_test(): segments that may still leave, but never more than half a window in one piece. */
function cwndQuota(sk: TcpSock): number {
  const left = sk.cwnd - sk.inFlight;
  return left <= 0 ? 0 : Math.min(Math.max(sk.cwnd >> 1, 1), left);
}

/**
 * How many bytes the next segment takes, -1: none may go. Whole segments only, unless it is the end of what there is
 * and Nagle agrees (tcp_snd_wnd_test, tcp_mss_split_point, tcp_nagle_test; sender's side of RFC 9293 3.8.6.2.1).
 */
function chooseLength(sk: TcpSock, avail: number, fin: boolean, mss: number, most: number): number {
  const room = sk.sndWndEnd - sk.sndNxt;
  const first = Math.min(avail, mss) + (fin && avail === 0 ? 1 : 0);
  if (first > room) return -1;
  const len = Math.min(avail, most, room);
  if (len < avail) return len - (len % mss);
  const partial = len % mss;
  if (partial === 0 || nagleLets(sk, fin)) return len;
  return len > partial ? len - partial : -1;
}

/** tcp_nagle_test(): a small segment goes when nothing small is in flight (Minshall's reading of RFC 896). */
function nagleLets(sk: TcpSock, fin: boolean): boolean {
  if (fin || inUrgentMode(sk)) return true;
  if (sk.cork) return false;
  if (sk.nodelay) return true;
  const smallInFlight = sk.sndSml > sk.sndUna && sk.sndSml <= sk.sndNxt;
  return sk.packetsOut === 0 || !smallInFlight;
}

function sendNew(cx: TcpContext, sk: TcpSock, len: number, fin: boolean, mss: number): void {
  const seq = sk.sndNxt;
  let flags = TCP_ACK;
  if (seq + len === sk.sndTail && len > 0) flags |= TCP_PSH;
  if (fin) flags |= TCP_FIN;
  const rec = makeRec(seq, seq + len + (fin ? 1 : 0), flags, mss);
  transmit(cx, sk, seq, len, flags);
  if (len % mss !== 0) sk.sndSml = rec.end;
  cx.env.mib.inc('TcpExtTCPOrigDataSent', rec.segs);
  eventNewDataSent(cx, sk, rec);
}

/** tcp_event_new_data_sent() */
export function eventNewDataSent(cx: TcpContext, sk: TcpSock, rec: TxRec): void {
  cx.env.trace('tcp_event_new_data_sent');
  const first = sk.packetsOut === 0;
  rec.sentMs = cx.now;
  rec.delivered = sk.delivered;
  sk.rtx.push(rec);
  sk.sndNxt = rec.end;
  sk.packetsOut += rec.segs;
  if (first || sk.pending === Pending.LossProbe) rearmRto(cx, sk);
}

/** tcp_cwnd_validate(): the window only grows while it is what limits us (RFC 2861, RFC 7661). */
function cwndValidate(sk: TcpSock, limited: boolean): void {
  const newWindow = sk.sndUna >= sk.cwndUsageSeq;
  if (newWindow || limited || (!sk.cwndLimited && sk.packetsOut > sk.maxPacketsOut)) {
    sk.cwndLimited = limited;
    sk.maxPacketsOut = sk.packetsOut;
    sk.cwndUsageSeq = sk.sndNxt;
  }
}

/** tcp_slow_start_after_idle_check(): what the path took some time ago says little about now (RFC 5681 4.1). */
function slowStartAfterIdle(cx: TcpContext, sk: TcpSock): void {
  if (!cx.sysctl.tcpSlowStartAfterIdle || sk.lastSndMs === 0 || sk.caState >= CA_CWR) return;
  let idle = cx.now - sk.lastSndMs;
  const { rtoMs } = sk.rtt;
  if (idle <= rtoMs) return;
  const restart = Math.min(TCP_INIT_CWND, sk.cwnd);
  sk.ssthresh = Math.max(sk.ssthresh, (sk.cwnd >> 1) + (sk.cwnd >> 2));
  let cwnd = sk.cwnd;
  while ((idle -= rtoMs) > 0 && cwnd > restart) cwnd >>= 1;
  sk.cwnd = Math.max(cwnd, restart);
  sk.cwndCnt = 0;
  sk.lastSndMs = cx.now;
}
