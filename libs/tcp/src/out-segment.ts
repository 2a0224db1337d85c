import { CHECKSUM_PARTIAL, IPPROTO_TCP, SKB_GSO_TCPV4, type Ipv4Addr, type SkBuff } from '@skbus/skb';
import {
  emitTcpOptions,
  fold,
  pseudoHeaderSum,
  put16,
  put32,
  TCP_CSUM_OFFSET,
  TCP_HLEN,
  TCP_URG,
  tcpOptionsLen,
  type TcpOptions,
} from '@skbus/wire';
import type { LayerEnv, Millis } from '@skbus/skb';

/** Room for IP with options and Ethernet in front of the TCP header (MAX_TCP_HEADER). */
const HEADROOM = 96;
/** NOP NOP timestamp, as one word. */
const TSTAMP_ALIGNED = 0x0101080a;

/** A segment about to be built. One object per stack, refilled each time: the fast path allocates only the skb. */
export class OutSegment {
  saddr: Ipv4Addr = 0;
  daddr: Ipv4Addr = 0;
  sport = 0;
  dport = 0;
  seq32 = 0;
  ack32 = 0;
  flags = 0;
  /** As in the header. */
  window = 0;
  /** The urgent pointer of the next segment built, 0: none. */
  urgent = 0;
  tos = 0;
  ttl = 0;
  oif = 0;
  /** Don't Fragment (ip_dont_fragment). */
  df = true;
  priority = 0;
  mark = 0;
  /** Sent by a TcpSock, not on behalf of one by a request, a TIME-WAIT or nobody. */
  connected = false;
  /** Just timestamps, the usual case. */
  hasTs = false;
  tsVal = 0;
  tsEcr = 0;
  /** All options, timestamps included; goes before hasTs. */
  options: TcpOptions | undefined = undefined;
  /** SKB_GSO_* of the next segment built, besides its protocol. */
  gsoType = 0;
  /** Payload bytes per segment; only matters when there is more than that. */
  mss = 0;

  /** The skb: header in the linear part, checksum left to the device (__tcp_v4_send_check). Payload goes to skb.frags. */
  build(env: LayerEnv, now: Millis, payloadLen: number): SkBuff {
    const optLen = this.options !== undefined ? tcpOptionsLen(this.options) : this.hasTs ? 12 : 0;
    const hlen = TCP_HLEN + optLen;
    const skb = env.alloc(HEADROOM, hlen, now);
    const at = skb.put(hlen);
    const b = skb.buf;
    put16(b, at, this.sport);
    put16(b, at + 2, this.dport);
    put32(b, at + 4, this.seq32);
    put32(b, at + 8, this.ack32);
    b[at + 12] = ((hlen >>> 2) << 4) | ((this.flags >>> 8) & 1);
    b[at + 13] = this.flags;
    put16(b, at + 14, this.window);
    if (this.urgent !== 0) {
      b[at + 13]! |= TCP_URG;
      put16(b, at + 18, this.urgent);
      this.urgent = 0;
    }
    if (this.options !== undefined) {
      emitTcpOptions(this.options, b, at + TCP_HLEN);
    } else if (this.hasTs) {
      put32(b, at + TCP_HLEN, TSTAMP_ALIGNED);
      put32(b, at + 24, this.tsVal);
      put32(b, at + 28, this.tsEcr);
    }
    put16(b, at + TCP_CSUM_OFFSET, fold(pseudoHeaderSum(this.saddr, this.daddr, IPPROTO_TCP, hlen + payloadLen)));
    skb.transportHeader = at;
    skb.ipSummed = CHECKSUM_PARTIAL;
    skb.csumStart = at;
    skb.csumOffset = TCP_CSUM_OFFSET;
    skb.priority = this.priority;
    skb.mark = this.mark;
    skb.flow = {
      saddr: this.saddr,
      daddr: this.daddr,
      proto: IPPROTO_TCP,
      tos: this.tos,
      ttl: this.ttl,
      df: this.df,
      oif: this.oif,
      connected: this.connected,
    };
    this.connected = false;
    if (payloadLen > this.mss && this.mss > 0) {
      skb.gsoSize = this.mss;
      skb.gsoSegs = Math.ceil(payloadLen / this.mss);
      skb.gsoType = SKB_GSO_TCPV4 | this.gsoType;
    }
    this.gsoType = 0;
    return skb;
  }
}
