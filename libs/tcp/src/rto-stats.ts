import type { Millis } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** What TCP_INFO tells of retransmission timeouts (tcpi_total_rto …); made with a connection's first. */
export class RtoStats {
  total = 0;
  /** How often a row of timeouts began, and how long those that have ended took. */
  recoveries = 0;
  timeMs: Millis = 0;
  /** When the row began that has not ended yet, -1: none. */
  stampMs: Millis = -1;
}

/** tcp_update_rto_stats(): one more timeout. */
export function updateRtoStats(cx: TcpContext, sk: TcpSock): void {
  const s = (sk.rtoStats ??= new RtoStats());
  if (sk.retransmits === 0) {
    s.recoveries++;
    s.stampMs = cx.now;
  }
  sk.retransmits++;
  s.total++;
}

/** tcp_update_rto_time(): the peer has answered. */
export function updateRtoTime(cx: TcpContext, sk: TcpSock): void {
  const s = sk.rtoStats;
  if (s === undefined || s.stampMs < 0) return;
  s.timeMs += cx.now - s.stampMs;
  s.stampMs = -1;
}

/** A child whose SYN-ACK was lost had its first row before it was born (tcp_create_openreq_child). */
export function inheritRtoStats(sk: TcpSock, timeouts: number, tookMs: Millis): void {
  if (timeouts === 0) return;
  const s = (sk.rtoStats = new RtoStats());
  s.total = timeouts;
  s.recoveries = 1;
  s.timeMs = tookMs;
}
