import { CA_CWR, CA_OPEN, CA_RECOVERY, CaEvent, isCwndLimited } from './cong/cong.ts';
import { Chrono, chronoStart } from './chrono.ts';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { TCP_INIT_CWND } from './sysctl.ts';

/** tcp_cwnd_test(): segments that may still leave, but never more than half a window in one piece. */
export function cwndTest(sk: TcpSock): number {
  const left = sk.cwnd - sk.inFlight;
  return left <= 0 ? 0 : Math.min(Math.max(sk.cwnd >> 1, 1), left);
}

/** tcp_cwnd_validate(): after sending, note whether the window limited us; it only grows while it does (RFC 2861, 7661). */
export function cwndValidate(cx: TcpContext, sk: TcpSock, limited: boolean): void {
  const newWindow = sk.sndUna >= sk.cwndUsageSeq;
  if (newWindow || limited || (!sk.cwndLimited && sk.packetsOut > sk.maxPacketsOut)) {
    sk.cwndLimited = limited;
    sk.maxPacketsOut = sk.packetsOut;
    sk.cwndUsageSeq = sk.sndNxt;
  }
  if (isCwndLimited(sk)) {
    sk.cwndUsed = 0;
    sk.cwndStampMs = cx.now;
    return;
  }
  if (sk.packetsOut > sk.cwndUsed) sk.cwndUsed = sk.packetsOut;
  const { tcpSlowStartAfterIdle } = cx.sysctl;
  if (tcpSlowStartAfterIdle && cx.now - sk.cwndStampMs >= sk.rtt.rtoMs && sk.cc.congControl === undefined) {
    applicationLimited(cx, sk);
  }
  if (!sk.hasUnsent && sk.noSpace) chronoStart(cx, sk, Chrono.SndbufLimited);
}

/** tcp_cwnd_application_limited() (RFC 2861 3): a window that was not used for an RTO goes halfway to what was. */
function applicationLimited(cx: TcpContext, sk: TcpSock): void {
  if (sk.caState === CA_OPEN && !sk.noSpace) {
    const used = Math.max(sk.cwndUsed, TCP_INIT_CWND);
    if (used < sk.cwnd) {
      sk.ssthresh = currentSsthresh(sk);
      sk.cwnd = (sk.cwnd + used) >> 1;
    }
    sk.cwndUsed = 0;
  }
  sk.cwndStampMs = cx.now;
}

/** tcp_slow_start_after_idle_check(), tcp_cwnd_restart(): what the path took long ago says little of now (RFC 5681 4.1). */
export function slowStartAfterIdle(cx: TcpContext, sk: TcpSock): void {
  if (!cx.sysctl.tcpSlowStartAfterIdle || sk.cc.congControl !== undefined || sk.lastSndMs === 0) return;
  let idleMs = cx.now - sk.lastSndMs;
  const { rtoMs } = sk.rtt;
  if (idleMs <= rtoMs) return;
  sk.cc.cwndEvent?.(cx, sk, CaEvent.CwndRestart);
  const restart = Math.min(TCP_INIT_CWND, sk.cwnd);
  sk.ssthresh = currentSsthresh(sk);
  let { cwnd } = sk;
  while ((idleMs -= rtoMs) > 0 && cwnd > restart) cwnd >>= 1;
  sk.cwnd = Math.max(cwnd, restart);
  sk.cwndStampMs = cx.now;
  sk.cwndUsed = 0;
}

/** tcp_current_ssthresh(): three quarters of the window, if that is more; in a reduction it is what it is. */
function currentSsthresh(sk: TcpSock): number {
  if (sk.caState === CA_CWR || sk.caState === CA_RECOVERY) return sk.ssthresh;
  return Math.max(sk.ssthresh, (sk.cwnd >> 1) + (sk.cwnd >> 2));
}
