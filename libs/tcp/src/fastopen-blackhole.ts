import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** A path that swallows Fast Open makes connections worse, so it is switched off for a while (RFC 7413 4.4, 7). */

/** tcp_fastopen_active_detect_blackhole(): timeouts right after a Fast Open: something on the path may eat it. */
export function detectBlackhole(cx: TcpContext, sk: TcpSock, expired: boolean): void {
  const fo = sk.fastopen;
  if (fo === undefined || (!fo.asked && fo.synData === 0)) return;
  if (sk.retransmits === 2 || (sk.retransmits < 2 && expired)) activeDisable(cx);
}

/** tcp_fastopen_active_disable() */
function activeDisable(cx: TcpContext): void {
  if (cx.sysctl.tcpFastopenBlackholeTimeoutSec === 0) return;
  cx.fastopen.disable(cx.now);
  cx.env.mib.inc('TcpExtTCPFastOpenBlackhole');
}

/** tcp_fastopen_active_disable_ofo_check(): at the end; a FIN of which nothing before ever came is a bad sign. */
export function fastOpenEnd(cx: TcpContext, sk: TcpSock): void {
  if (sk.fastopen === undefined || !sk.fastopen.asked) return;
  if (sk.dataSegsIn > 0) cx.fastopen.enable();
  else if (sk.ofo.length === 1 && sk.ofo.segs[0]!.fin) activeDisable(cx);
}
