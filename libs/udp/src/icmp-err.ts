import { ERRNO, ICMP_ERR_CONVERT, type SkBuff } from '@skbus/skb';
import {
  get16,
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  ICMP_PARAMETERPROB,
  ICMP_REDIRECT,
  IPV4_HLEN,
  parseIpv4Header,
  UDP_HLEN,
} from '@skbus/wire';
import type { UdpContext } from './context.ts';

/**
 * udp_err(): `skb.data` at the IP header of a datagram of ours that something on the way did not like; `mark` is type << 8 |
 * code. Only a connected socket hears of it, and only if it is fatal (RFC 1122 4.1.3.3 as Linux reads it without IP_RECVERR).
 */
export function udpErr(cx: UdpContext, skb: SkBuff): void {
  const { env } = cx;
  env.trace('udp_err', skb);
  env.trace('__udp4_lib_err', skb);
  const hlen = skb.mayPull(IPV4_HLEN) ? (skb.buf[skb.data]! & 15) * 4 : 0;
  const ip = hlen > 0 && skb.mayPull(hlen + UDP_HLEN) ? parseIpv4Header(skb.buf, skb.data, skb.tail) : undefined;
  if (ip === undefined) {
    env.mib.inc('IcmpInErrors');
    return env.drop(skb, 'PKT_TOO_SMALL');
  }
  const at = skb.data + ip.hlen;
  const sk = cx.table.lookup(ip.daddr, get16(skb.buf, at + 2), ip.saddr, get16(skb.buf, at));
  if (sk === undefined) {
    env.mib.inc('IcmpInErrors');
    return env.consume(skb);
  }
  const type = (skb.mark >>> 8) & 0xff;
  const code = skb.mark & 0xff;
  if (type === ICMP_REDIRECT || (type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED)) {
    // IP has learnt another way or another MTU; ours is out of date.
    cx.routes.flush();
  }
  const errno = fatalErrno(type, code);
  if (errno !== 0 && sk.connected) cx.fail(sk, errno);
  env.consume(skb);
}

/** 0: nothing an application must hear of. */
function fatalErrno(type: number, code: number): number {
  if (type === ICMP_PARAMETERPROB) return ERRNO.EPROTO;
  if (type !== ICMP_DEST_UNREACH) return 0;
  if (code === ICMP_FRAG_NEEDED) return ERRNO.EMSGSIZE;
  const row = ICMP_ERR_CONVERT[code];
  return row?.[1] ? row[0] : 0;
}
