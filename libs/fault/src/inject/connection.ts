import { IPPROTO_TCP, IPPROTO_UDP, type SkBuff } from '@skbus/skb';
import { get16, parseIpv4Header } from '@skbus/wire';
import type { FilterSubject } from '../filter/filter.ts';

/** The connection that something belongs to, the same either way round; '': none that can be told. */
export function connectionOf({ skb, starts, sk }: FilterSubject): string {
  if (skb === undefined) return sk === undefined ? '' : `sk ${sk.id}`;
  const at = starts === 'ip' ? skb.data : skb.networkHeader;
  if (at >= 0) {
    const ip = parseIpv4Header(skb.buf, at, skb.tail);
    return ip === undefined ? '' : key(ip.proto, ip.saddr, ip.daddr, skb, at + ip.hlen);
  }
  const { flow } = skb;
  if (flow === undefined) return '';
  return key(flow.proto, flow.saddr, flow.daddr, skb, skb.transportHeader >= 0 ? skb.transportHeader : skb.data);
}

function key(proto: number, saddr: number, daddr: number, skb: SkBuff, at: number): string {
  const ports = (proto === IPPROTO_TCP || proto === IPPROTO_UDP) && at + 4 <= skb.tail;
  const a = `${saddr}:${ports ? get16(skb.buf, at) : 0}`;
  const b = `${daddr}:${ports ? get16(skb.buf, at + 2) : 0}`;
  return a < b ? `${proto} ${a} ${b}` : `${proto} ${b} ${a}`;
}
