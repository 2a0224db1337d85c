import type { SkBuff } from '@skbus/skb';
import {
  get16,
  get32,
  parseTcpOptions,
  TCP_ACK,
  TCP_FIN,
  TCP_HLEN,
  TCP_SYN,
  type AccEcnOption,
  type TcpOptions,
} from '@skbus/wire';

/** NOP, NOP, timestamp, length 10: what nearly every segment of a connection with timestamps carries. */
const TSTAMP_ALIGNED = 0x0101080a;

/**
 * The segment being processed: header, options and where the sock sees it. One object is used for all (a segment is
 * done with before the next is read), so that the fast path allocates nothing.
 */
export class Segment {
  skb!: SkBuff;
  saddr = 0;
  daddr = 0;
  sport = 0;
  dport = 0;
  /** As on the wire. */
  seq32 = 0;
  ack32 = 0;
  /** TCP_FIN … */
  flags = 0;
  /** The ECN field of the IP header. */
  ipEcn = 0;
  /** Not scaled. */
  window = 0;
  urgent = 0;
  hlen = 0;
  /** Bytes of payload. */
  len = 0;
  hasTs = false;
  tsVal = 0;
  tsEcr = 0;
  /** 0: none. */
  mss = 0;
  /** -1: none. */
  wscale = -1;
  sackPermitted = false;
  /** As on the wire; empty: none. */
  sack: readonly [number, number][] = NONE;
  /** A Fast Open cookie, empty: the wish for one. */
  fastOpen: Uint8Array | undefined = undefined;
  fastOpenExp = false;
  accecn: AccEcnOption | undefined = undefined;
  /** Signed by MD5 or AO; `bad`: by both, or twice. */
  auth: TcpOptions['auth'] = undefined;
  /** Positions in the sock's stream, set by locate(). */
  seq = 0;
  endSeq = 0;
  ack = 0;

  get syn(): boolean {
    return (this.flags & TCP_SYN) !== 0;
  }

  get fin(): boolean {
    return (this.flags & TCP_FIN) !== 0;
  }

  get hasAck(): boolean {
    return (this.flags & TCP_ACK) !== 0;
  }

  /** The header at skb.data is complete and in the linear part; reads it and the options. */
  read(skb: SkBuff, hlen: number): void {
    const b = skb.buf;
    const at = skb.data;
    const nh = skb.networkHeader;
    this.skb = skb;
    this.saddr = nh >= 0 ? get32(b, nh + 12) : 0;
    this.daddr = nh >= 0 ? get32(b, nh + 16) : 0;
    this.ipEcn = nh >= 0 ? b[nh + 1]! & 3 : 0;
    this.sport = get16(b, at);
    this.dport = get16(b, at + 2);
    this.seq32 = get32(b, at + 4);
    this.ack32 = get32(b, at + 8);
    this.flags = ((b[at + 12]! & 1) << 8) | b[at + 13]!;
    this.window = get16(b, at + 14);
    this.urgent = get16(b, at + 18);
    this.hlen = hlen;
    this.len = skb.len - hlen;
    this.mss = 0;
    this.wscale = -1;
    this.sackPermitted = false;
    this.sack = NONE;
    this.auth = undefined;
    this.fastOpen = undefined;
    this.fastOpenExp = false;
    this.accecn = undefined;
    this.hasTs = false;
    if (hlen === TCP_HLEN) return;
    if (hlen === 32 && get32(b, at + TCP_HLEN) === TSTAMP_ALIGNED) {
      this.hasTs = true;
      this.tsVal = get32(b, at + 24);
      this.tsEcr = get32(b, at + 28);
      return;
    }
    this.readOptions(b, at + TCP_HLEN, at + hlen);
  }

  private readOptions(b: Uint8Array, at: number, end: number): void {
    const o = parseTcpOptions(b, at, end);
    if (o.tsVal !== undefined) {
      this.hasTs = true;
      this.tsVal = o.tsVal;
      this.tsEcr = o.tsEcr ?? 0;
    }
    this.mss = o.mss ?? 0;
    this.wscale = o.wscale ?? -1;
    this.sackPermitted = o.sackPermitted === true;
    this.sack = o.sack ?? NONE;
    this.auth = o.auth;
    this.fastOpen = o.fastOpen;
    this.fastOpenExp = o.fastOpenExp === true;
    this.accecn = o.accecn;
  }
}

const NONE: readonly [number, number][] = [];
