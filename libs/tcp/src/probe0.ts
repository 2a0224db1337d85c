import { TCP_ACK, TCP_FIN, TCP_PSH } from '@skbus/wire';
import type { MibName } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { armXmit, clearXmit, Pending, rearmRto } from './rto-arm.ts';
import type { TcpSock } from './sock.ts';
import { TCP_RTO_MAX_MS, TCP_RTO_MIN_MS } from './sysctl.ts';
import { currentMss, transmit } from './transmit.ts';
import { eventNewDataSent } from './new-data.ts';
import { orphanRetries, writeErr } from './write-err.ts';
import { makeRec } from './rtx-queue.ts';
import { inUrgentMode } from './urgent.ts';

/** Zero-window probes (RFC 9293 3.8.6.1): the update that opens the window may be lost, so ask. */

/** tcp_probe0_when() */
const probe0Ms = (sk: TcpSock): number =>
  Math.min(Math.max(sk.rtt.rtoMs, TCP_RTO_MIN_MS) * 2 ** sk.backoff, TCP_RTO_MAX_MS);

/** tcp_clamp_probe0_to_user_timeout() */
function withinUserTimeout(cx: TcpContext, sk: TcpSock, ms: number): number {
  if (sk.userTimeoutMs === 0 || sk.probesStartMs === 0) return ms;
  return Math.min(ms, Math.max(sk.userTimeoutMs - (cx.now - sk.probesStartMs), 2));
}

export const armProbe0 = (cx: TcpContext, sk: TcpSock): void =>
  armXmit(cx, sk, Pending.Probe0, withinUserTimeout(cx, sk, probe0Ms(sk)));

/** tcp_ack_probe(): the answer to a probe; the window is open again, or still closed. */
export function ackProbe(cx: TcpContext, sk: TcpSock): void {
  if (!sk.hasUnsent) return;
  const needed = Math.min(sk.sndTail - sk.sndNxt, currentMss(cx, sk));
  if (sk.sndNxt + needed <= sk.sndWndEnd) {
    sk.backoff = 0;
    sk.probesStartMs = 0;
    clearXmit(sk);
  } else {
    armProbe0(cx, sk);
  }
}

/** tcp_probe_timer() */
export function probeTimer(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_probe_timer');
  if (sk.packetsOut > 0 || !sk.hasUnsent) {
    sk.probesOut = 0;
    sk.probesStartMs = 0;
    return;
  }
  if (sk.probesStartMs === 0) {
    sk.probesStartMs = cx.now;
  } else if (sk.userTimeoutMs > 0 && cx.now - sk.probesStartMs >= sk.userTimeoutMs) {
    writeErr(cx, sk);
    return;
  }
  let most = cx.sysctl.tcpRetries2;
  if (sk.orphan) {
    const alive = sk.rtt.rtoMs * 2 ** sk.backoff < TCP_RTO_MAX_MS;
    most = orphanRetries(cx, sk, alive);
    if (!alive && sk.backoff >= most) {
      writeErr(cx, sk);
      return;
    }
  }
  if (sk.probesOut >= most) writeErr(cx, sk);
  else sendProbe0(cx, sk);
}

/** tcp_send_probe0() */
function sendProbe0(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_send_probe0');
  writeWakeup(cx, sk, 'TcpExtTCPWinProbe');
  if (sk.packetsOut > 0 || !sk.hasUnsent) {
    sk.probesOut = 0;
    sk.probesStartMs = 0;
    sk.backoff = 0;
    if (sk.packetsOut > 0) rearmRto(cx, sk);
    return;
  }
  sk.probesOut++;
  if (sk.backoff < cx.sysctl.tcpRetries2) sk.backoff++;
  armProbe0(cx, sk);
}

/** tcp_write_wakeup(): new data as far as the window lets it, else a segment from before the window. */
export function writeWakeup(cx: TcpContext, sk: TcpSock, mib: MibName): void {
  cx.env.trace('tcp_write_wakeup');
  const room = sk.sndWndEnd - sk.sndNxt;
  if (sk.hasUnsent && room > 0) {
    const len = Math.min(sk.sndTail - sk.sndNxt, currentMss(cx, sk), room);
    const fin = sk.finReady && sk.sndNxt + len === sk.sndTail && len < room;
    sendForced(cx, sk, len, fin);
    return;
  }
  // tcp_xmit_probe_skb(): an old sequence number, which makes the peer answer with where it is
  cx.env.mib.inc(mib);
  if (inUrgentMode(sk) && sk.sndUp <= sk.sndUna + 0xffff) transmit(cx, sk, sk.sndUna, 0, TCP_ACK);
  transmit(cx, sk, sk.sndUna - 1, 0, TCP_ACK);
}

function sendForced(cx: TcpContext, sk: TcpSock, len: number, fin: boolean): void {
  const seq = sk.sndNxt;
  const rec = makeRec(seq, seq + len + (fin ? 1 : 0), TCP_PSH | (fin ? TCP_FIN : 0), Math.max(len, 1));
  transmit(cx, sk, seq, len, TCP_ACK | TCP_PSH | (fin ? TCP_FIN : 0));
  eventNewDataSent(cx, sk, rec);
}
