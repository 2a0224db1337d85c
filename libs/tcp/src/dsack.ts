import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** Duplicates are reported once, in the first SACK block of the next ACK (RFC 2883). */

/** tcp_dsack_set() */
export function setDsack(cx: TcpContext, sk: TcpSock, start: number, end: number): void {
  if (!sk.sackOk || !cx.sysctl.tcpDsack || end <= start) return;
  cx.env.mib.inc(start < sk.rcvNxt ? 'TcpExtTCPDSACKOldSent' : 'TcpExtTCPDSACKOfoSent');
  sk.dsackStart = start; // old data may lie before the peer's SYN: it is told as it came
  sk.dsackEnd = end;
}

/** tcp_dsack_extend(): one more piece of the same segment that was here already. */
export function extendDsack(cx: TcpContext, sk: TcpSock, start: number, end: number): void {
  if (sk.dsackEnd <= sk.dsackStart) setDsack(cx, sk, start, end);
  else if (start <= sk.dsackEnd && sk.dsackStart <= end) {
    sk.dsackStart = Math.min(sk.dsackStart, start);
    sk.dsackEnd = Math.max(sk.dsackEnd, end);
  }
}
