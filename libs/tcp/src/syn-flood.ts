import {
  below,
  CHECKSUM_UNNECESSARY,
  ETH_P_IP,
  type EndFault,
  type FaultCase,
  IPPROTO_TCP,
  type LayerEnv,
  type Millis,
  PACKET_HOST,
  type SkBuff,
} from '@skbus/skb';
import { emitIpv4Header, emitTcp, IPV4_HLEN, put32, TCP_HLEN, TCP_SYN } from '@skbus/wire';

/** SYNs come in bursts this far apart. */
const TICK_MS: Millis = 10;
/** 198.18.0.0/15, which nobody has (RFC 2544 C.2.2). */
const SPOOFED = 0xc612_0000;
const SPOOFED_COUNT = 0x2_0000;
/** MSS 1460 (RFC 9293 3.7.1). */
const MSS_OPTION = 0x0204_05b4;

/** So many SYNs a second to a port, each from somebody else who never answers (RFC 4987 2). */
export function synFlood(env: LayerEnv, c: FaultCase, rcv: (skb: SkBuff, now: Millis) => void, from: Millis): EndFault {
  let over = false;
  let owed = 0;
  const tick = (now: Millis): void => {
    if (over) return;
    owed += (c.params.rate! * TICK_MS) / 1000;
    for (; owed >= 1; owed--) rcv(spoofedSyn(env, c, now), now);
    c.later(now + TICK_MS, tick);
  };
  c.later(from + TICK_MS, tick);
  return () => (over = true);
}

function spoofedSyn(env: LayerEnv, { params, rng }: FaultCase, now: Millis): SkBuff {
  const len = IPV4_HLEN + TCP_HLEN + 4;
  const skb = env.alloc(0, len, now);
  const at = skb.put(len);
  const saddr = SPOOFED + below(rng, SPOOFED_COUNT);
  emitIpv4Header(
    { ...PLAIN, totalLen: len, proto: IPPROTO_TCP, saddr, daddr: params.ip!, id: 0, ttl: 64 },
    skb.buf,
    at,
  );
  skb.networkHeader = at;
  skb.pull(IPV4_HLEN);
  const tcp = skb.data;
  const sport = 1024 + below(rng, 64_512);
  emitTcp(
    {
      sport,
      dport: params.port!,
      seq: rng.u32(),
      ack: 0,
      hlen: TCP_HLEN + 4,
      flags: TCP_SYN,
      window: 65_535,
      urgent: 0,
    },
    skb.buf,
    tcp,
  );
  put32(skb.buf, tcp + TCP_HLEN, MSS_OPTION);
  skb.protocol = ETH_P_IP;
  skb.pktType = PACKET_HOST;
  skb.ipSummed = CHECKSUM_UNNECESSARY;
  return skb;
}

const PLAIN = { hlen: IPV4_HLEN, tos: 0, df: true, mf: false, fragOffset: 0 } as const;
