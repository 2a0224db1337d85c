import type { Icmp } from '@skbus/icmp';
import { type LayerEnv, type Millis, PACKET_HOST, type SkBuff } from '@skbus/skb';
import {
  get16,
  ICMP_DEST_UNREACH,
  ICMP_EXC_TTL,
  ICMP_FRAG_NEEDED,
  ICMP_TIME_EXCEEDED,
  IP_DF,
  updateIpv4Checksum,
} from '@skbus/wire';
import type { Dst } from './dst.ts';
import { type IpOutput, segmentFits } from './ip-output.ts';

/** Routing for others, when net.ipv4.ip_forward says so (net/ipv4/ip_forward.c). */
export class IpForward {
  private readonly env: LayerEnv;
  private readonly icmp: Icmp;
  private readonly output: IpOutput;

  constructor(env: LayerEnv, icmp: Icmp, output: IpOutput) {
    this.env = env;
    this.icmp = icmp;
    this.output = output;
  }

  /** net/ipv4/ip_forward.c:ip_forward; data at the IP header. */
  forward(skb: SkBuff, dst: Dst, now: Millis): void {
    if (this.env.fails('ip_forward', skb)) return;
    const at = skb.data;
    if (skb.pktType !== PACKET_HOST) {
      this.env.drop(skb, 'OTHERHOST');
      return;
    }
    if (skb.buf[at + 8]! <= 1) {
      this.env.mib.inc('IpInHdrErrors');
      this.icmp.send(skb, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0, now);
      this.env.drop(skb, 'IP_INHDR');
      return;
    }
    this.env.mib.inc('IpForwDatagrams');
    if (exceedsMtu(skb, dst.mtu)) {
      this.env.mib.inc('IpFragFails');
      this.icmp.send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, dst.mtu, now);
      this.env.drop(skb, 'PKT_TOO_BIG');
      return;
    }
    skb.buf[at + 8]! -= 1;
    updateIpv4Checksum(skb.buf, at, (skb.buf[at]! & 15) * 4);
    this.output.dstOutput(skb, dst, true, now);
  }
}

/** ip_exceeds_mtu() */
function exceedsMtu(skb: SkBuff, mtu: number): boolean {
  if (skb.len <= mtu || (get16(skb.buf, skb.data + 6) & IP_DF) === 0) return false;
  return skb.gsoSize === 0 || !segmentFits(skb, mtu);
}
