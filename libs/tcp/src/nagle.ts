import type { TcpSock } from './sock.ts';
import { inUrgentMode } from './urgent.ts';

/**
 * tcp_nagle_check(): must a small segment wait? RFC 896 lets none go while anything is in flight; Minshall's reading, and
 * Linux's, is: while another small one is.
 */
export function nagleHolds(sk: TcpSock): boolean {
  if (sk.cork || sk.more) return true;
  return !sk.nodelay && sk.packetsOut > 0 && minshallCheck(sk);
}

/** tcp_nagle_test() for the last segment of the queue. */
export const nagleTest = (sk: TcpSock, fin: boolean): boolean =>
  fin || inUrgentMode(sk) || sk.nonaglePush || !nagleHolds(sk);

/** tcp_minshall_check(): the last small segment is not acknowledged. */
const minshallCheck = (sk: TcpSock): boolean => sk.sndSml > sk.sndUna && sk.sndSml <= sk.sndNxt;
