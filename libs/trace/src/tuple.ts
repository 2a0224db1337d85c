import { formatIpv4, type SkBuff } from '@skbus/skb';
import { get16, parseIpv4Header } from '@skbus/wire';

const PROTO_NAMES: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp' };

/** pwru's TUPLE column, `10.77.0.1:4000->10.77.0.2:80(tcp)`, as far as the headers are there; else ''. */
export function tupleOf(skb: SkBuff): string {
  if (skb.networkHeader >= 0) {
    const ip = parseIpv4Header(skb.buf, skb.networkHeader, skb.tail);
    if (!ip) return '';
    return render(ip.saddr, ip.daddr, ip.proto, skb, skb.networkHeader + ip.hlen);
  }
  if (skb.flow) {
    const at = skb.transportHeader >= 0 ? skb.transportHeader : skb.data;
    return render(skb.flow.saddr, skb.flow.daddr, skb.flow.proto, skb, at);
  }
  return '';
}

function render(saddr: number, daddr: number, proto: number, skb: SkBuff, at: number): string {
  const name = PROTO_NAMES[proto] ?? String(proto);
  const hasPorts = (proto === 6 || proto === 17) && at + 4 <= skb.tail;
  const sport = hasPorts ? get16(skb.buf, at) : 0;
  const dport = hasPorts ? get16(skb.buf, at + 2) : 0;
  return `${formatIpv4(saddr)}:${sport}->${formatIpv4(daddr)}:${dport}(${name})`;
}
