import { ERRNO } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { tcpDone } from './state.ts';
import { viewChanged } from './views.ts';

/** tcp_write_err(): we gave up. The last ICMP error, if there was one, says why better than a timeout does. */
export function writeErr(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_write_err');
  sk.err = sk.softErr !== 0 ? sk.softErr : ERRNO.ETIMEDOUT;
  viewChanged(cx, sk);
  tcpDone(cx, sk);
  cx.env.mib.inc('TcpExtTCPAbortOnTimeout');
}

/** tcp_orphan_retries(): nobody waits for an orphan, so it gives up sooner. */
export function orphanRetries(cx: TcpContext, sk: TcpSock, alive: boolean): number {
  let retries = cx.sysctl.tcpOrphanRetries;
  if (sk.softErr !== 0 && !alive) retries = 0;
  return retries === 0 && alive ? 8 : retries;
}
