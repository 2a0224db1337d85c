import { IP_PMTUDISC_DO, IP_PMTUDISC_DONT, IP_PMTUDISC_WANT } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** IP_MTU_DISCOVER of a sock, or what ip_no_pmtu_disc makes of it. */
export const pmtuDiscOf = (cx: TcpContext, sk: TcpSock): number =>
  sk.pmtuDisc >= 0 ? sk.pmtuDisc : cx.sysctl.ipNoPmtuDisc === 0 ? IP_PMTUDISC_WANT : IP_PMTUDISC_DONT;

/** ip_dont_fragment(): a path whose MTU is below what we believe (min_pmtu) has to fragment. */
export function dontFragment(cx: TcpContext, sk: TcpSock): boolean {
  const mode = pmtuDiscOf(cx, sk);
  return mode === IP_PMTUDISC_DO || (mode === IP_PMTUDISC_WANT && !sk.pmtuLocked);
}
