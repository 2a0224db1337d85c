import { NEVER, TCP_FIN_WAIT2 } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import type { TimeWaitSock } from './timewait.ts';

const isLoopback = (addr: number): boolean => addr >>> 24 === 127;

/**
 * tcp_twsk_unique(): may connect() take the four-tuple of a TIME-WAIT (RFC 6191, RFC 9293 3.6.1)? With timestamps it is
 * safe, as old segments fail PAWS; the sequence space and the newest timestamp go on from where they were. A port that
 * connect() chooses is only reused if tcp_tw_reuse says so (2: between loopback addresses).
 */
export function timeWaitUnique(cx: TcpContext, sk: TcpSock, tw: TimeWaitSock, bound: boolean): boolean {
  let reuse = cx.sysctl.tcpTwReuse;
  if (tw.substate === TCP_FIN_WAIT2) reuse = 0;
  else if (reuse === 2 && !isLoopback(tw.raddr) && !isLoopback(tw.laddr)) reuse = 0;
  if (tw.tsRecentMs === NEVER) return false;
  if (!bound && (reuse === 0 || cx.now - tw.tsRecentMs < 1000)) return false;
  sk.iss = (tw.sndNxt32 + 65_535 + 2) >>> 0 || 1;
  sk.tsRecent = tw.tsRecent;
  sk.tsRecentMs = tw.tsRecentMs;
  return true;
}
