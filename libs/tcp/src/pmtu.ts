import { ERRNO, IP_PMTUDISC_DONT, IP_PMTUDISC_INTERFACE, IP_PMTUDISC_OMIT, TCP_CLOSE, TCP_LISTEN } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { dontFragment, pmtuDiscOf } from './dont-fragment.ts';
import { simpleRetransmit } from './enter-loss.ts';
import type { TcpSock } from './sock.ts';
import { syncMss } from './transmit.ts';
import { recordChanged } from './views.ts';

/** tcp_v4_mtu_reduced() (RFC 1191): smaller segments from now on, and what was too large goes again. */
export function mtuReduced(cx: TcpContext, sk: TcpSock, reported: number): void {
  cx.env.trace('tcp_v4_mtu_reduced');
  if (sk.state === TCP_LISTEN || sk.state === TCP_CLOSE) return;
  const mode = pmtuDiscOf(cx, sk);
  if (mode === IP_PMTUDISC_INTERFACE || mode === IP_PMTUDISC_OMIT) return;
  const least = cx.sysctl.minPmtu;
  // __ip_rt_update_pmtu(): nobody's path is that small, or somebody lies; either way fragments will do
  if (reported < least) sk.pmtuLocked = true;
  const mtu = Math.min(sk.mtu, Math.max(reported, least));
  if (reported < mtu && dontFragment(cx, sk)) sk.softErr = ERRNO.EMSGSIZE;
  if (sk.mtu <= mtu) return;
  syncMss(cx, sk, mtu);
  recordChanged(cx, sk);
  // without discovery the route learns all the same (tcp_current_mss), but nothing is sent again before its time
  if (mode !== IP_PMTUDISC_DONT) simpleRetransmit(cx, sk);
  cx.touch(sk);
}
