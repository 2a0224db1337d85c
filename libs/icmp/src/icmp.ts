import {
  CHECKSUM_UNNECESSARY,
  type DropReason,
  type Ipv4Addr,
  type LayerEnv,
  type Millis,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  type SkBuff,
} from '@skbus/skb';
import {
  emitIcmp,
  get16,
  get32,
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_EXC_FRAGTIME,
  ICMP_FRAG_NEEDED,
  ICMP_HLEN,
  ICMP_PARAMETERPROB,
  ICMP_REDIRECT,
  ICMP_SOURCE_QUENCH,
  ICMP_TIME_EXCEEDED,
  ICMP_TIMESTAMP,
  ICMP_TIMESTAMPREPLY,
  IPV4_HLEN,
  put32,
  sumSlices,
  verifies,
} from '@skbus/wire';
import { IcmpRatelimit, type RateSysctl } from './icmp-ratelimit.ts';
import { HEADROOM, IcmpSender } from './icmp-send.ts';
import { countIn, countOut, NR_ICMP_TYPES, NR_ICMP_UNREACH } from './icmp-types.ts';
import { icmpFlow, type IcmpLower } from './lower.ts';
import { PingTable } from './ping.ts';

/** net.ipv4.icmp_* */
export interface IcmpSysctl extends RateSysctl {
  icmpEchoIgnoreAll: boolean;
  icmpEchoIgnoreBroadcasts: boolean;
  icmpIgnoreBogusErrorResponses: boolean;
}

export const ICMP_SYSCTL: IcmpSysctl = {
  icmpEchoIgnoreAll: false,
  icmpEchoIgnoreBroadcasts: true,
  icmpIgnoreBogusErrorResponses: true,
  icmpRatelimitMs: 1000,
  icmpRatemask: 0x1818,
  icmpMsgsPerSec: 1000,
  icmpMsgsBurst: 50,
};

/** A handler's verdict: the skb was handed on, is done with, or is dropped. */
type Verdict = 'passed' | 'done' | DropReason;

/** ICMP (RFC 792, RFC 1122 3.2.2): read those before working on this file. Follows net/ipv4/icmp.c. */
export class Icmp {
  readonly pings: PingTable;
  private readonly env: LayerEnv;
  private readonly lower: IcmpLower;
  private readonly sysctl: IcmpSysctl;
  private readonly limit: IcmpRatelimit;
  private readonly sender: IcmpSender;

  constructor(env: LayerEnv, lower: IcmpLower, sysctl: IcmpSysctl) {
    this.env = env;
    this.lower = lower;
    this.sysctl = sysctl;
    this.limit = new IcmpRatelimit(env, sysctl);
    this.sender = new IcmpSender(env, lower, this.limit);
    this.pings = new PingTable(env, lower);
  }

  /** Takes a message for us: data at the ICMP header, networkHeader at the IP header (net/ipv4/icmp.c:icmp_rcv). */
  rcv(skb: SkBuff, now: Millis): void {
    this.env.trace('icmp_rcv', skb);
    this.env.mib.inc('IcmpInMsgs');
    const verdict = this.dispatch(skb, now);
    if (verdict === 'done') this.env.consume(skb);
    else if (verdict !== 'passed') this.env.drop(skb, verdict);
  }

  /** An error about `skb`, which stays the caller's; see IcmpSender. */
  send(skb: SkBuff, type: number, code: number, info: number, now: Millis): void {
    this.sender.send(skb, type, code, info, now);
  }

  /** ip_push_pending_frames' bookkeeping: every message that leaves is counted by its type. */
  countOut(type: number): void {
    countOut(this.env, type);
  }

  private dispatch(skb: SkBuff, now: Millis): Verdict {
    if (skb.ipSummed !== CHECKSUM_UNNECESSARY && !verifies(sumSlices(skb.slices(0, skb.len)))) {
      this.env.mib.inc('IcmpInCsumErrors');
      return this.bad('ICMP_CSUM');
    }
    if (!skb.mayPull(ICMP_HLEN)) return this.bad('PKT_TOO_SMALL');
    const at = skb.data;
    const type = skb.buf[at]!;
    countIn(this.env, type);
    if (type > NR_ICMP_TYPES) return this.bad('UNHANDLED_PROTO');
    const daddrType = this.lower.addrType(get32(skb.buf, skb.networkHeader + 16));
    if (daddrType === RTN_BROADCAST || daddrType === RTN_MULTICAST) {
      // RFC 1122 3.2.2.6, 3.2.2.8: what everybody hears, nobody need answer
      const query = type === ICMP_ECHO || type === ICMP_TIMESTAMP;
      if (query && this.sysctl.icmpEchoIgnoreBroadcasts) return this.bad('INVALID_PROTO');
      if (!query && type !== 17 && type !== 18) return this.bad('INVALID_PROTO');
    }
    switch (type) {
      case ICMP_ECHO:
        return this.echo(skb, now);
      case ICMP_ECHOREPLY:
        return this.pings.rcv(skb, now) ? 'done' : 'NO_SOCKET';
      case ICMP_TIMESTAMP:
        return this.timestamp(skb, now);
      case ICMP_DEST_UNREACH:
      case ICMP_TIME_EXCEEDED:
      case ICMP_PARAMETERPROB:
      case ICMP_SOURCE_QUENCH:
        return this.unreach(skb, type, now);
      case ICMP_REDIRECT:
        // as a host with accept_redirects=0: routes come from the administrator only
        this.env.trace('icmp_redirect', skb);
        return 'done';
      default:
        this.env.trace('icmp_discard', skb);
        return 'done';
    }
  }

  /** net/ipv4/icmp.c:icmp_echo: the same data goes back, as views. */
  private echo(skb: SkBuff, now: Millis): Verdict {
    this.env.trace('icmp_echo', skb);
    if (this.sysctl.icmpEchoIgnoreAll) return 'done';
    const payload = skb.slices(ICMP_HLEN, skb.len - ICMP_HLEN);
    const head = {
      type: ICMP_ECHOREPLY,
      code: skb.buf[skb.data + 1]!,
      id: get16(skb.buf, skb.data + 4),
      seq: get16(skb.buf, skb.data + 6),
    };
    this.reply(skb, now, ICMP_ECHOREPLY, ICMP_HLEN, (out, h) => {
      for (const part of payload) out.addFrag(part);
      emitIcmp(head, out.buf, h, payload);
    });
    return 'done';
  }

  /**
   * net/ipv4/icmp.c:icmp_timestamp. An engine does not know the time of day: RFC 792 lets such a host answer with any
   * clock if the highest bit says so.
   */
  private timestamp(skb: SkBuff, now: Millis): Verdict {
    this.env.trace('icmp_timestamp', skb);
    if (!skb.mayPull(ICMP_HLEN + 4)) return this.bad('PKT_TOO_SMALL');
    const { buf, data } = skb;
    const head = { type: ICMP_TIMESTAMPREPLY, code: 0, id: get16(buf, data + 4), seq: get16(buf, data + 6) };
    const originate = get32(buf, data + ICMP_HLEN);
    const stamp = (0x80000000 | (Math.floor(now) & 0x7fffffff)) >>> 0;
    this.reply(skb, now, ICMP_TIMESTAMPREPLY, ICMP_HLEN + 12, (out, h) => {
      put32(out.buf, h + 8, originate);
      put32(out.buf, h + 12, stamp);
      put32(out.buf, h + 16, stamp);
      emitIcmp(head, out.buf, h, [out.buf.subarray(h + ICMP_HLEN, h + ICMP_HLEN + 12)]);
    });
    return 'done';
  }

  /** net/ipv4/icmp.c:icmp_reply: the answer to `skb`, from the address it was sent to. */
  private reply(skb: SkBuff, now: Millis, type: number, headLen: number, fill: (out: SkBuff, h: number) => void): void {
    this.env.trace('icmp_reply', skb);
    const n = skb.networkHeader;
    const daddr: Ipv4Addr = get32(skb.buf, n + 12);
    const to: Ipv4Addr = get32(skb.buf, n + 16);
    const tos = skb.buf[n + 1]!;
    const rt = this.lower.route(daddr, this.lower.addrType(to) === RTN_LOCAL ? to : 0, tos, now);
    if (rt.errno !== 0) return;
    const limited = !this.limit.exempt(type, 0) && !rt.loopback;
    if (limited && !(this.limit.globalAllow(now) && this.limit.peerAllow(daddr, now))) return;
    const out = this.env.alloc(HEADROOM, headLen, now);
    out.parent = skb.id;
    const h = out.put(headLen);
    out.transportHeader = h;
    fill(out, h);
    out.flow = icmpFlow(daddr, rt.saddr, tos);
    this.env.trace('icmp_push_reply', out);
    this.lower.push(out, now);
  }

  /** net/ipv4/icmp.c:icmp_unreach: an error about something we sent. */
  private unreach(skb: SkBuff, type: number, now: Millis): Verdict {
    this.env.trace('icmp_unreach', skb);
    const code = skb.buf[skb.data + 1]!;
    const info = get32(skb.buf, skb.data + 4);
    if (!skb.pull(ICMP_HLEN) || !skb.mayPull(IPV4_HLEN)) return this.bad('PKT_TOO_SMALL');
    const hlen = (skb.buf[skb.data]! & 15) * 4;
    if (hlen < IPV4_HLEN) return this.bad('IP_INHDR');
    if (type === ICMP_DEST_UNREACH && code > NR_ICMP_UNREACH) return 'done';
    if (type === ICMP_TIME_EXCEEDED && code === ICMP_EXC_FRAGTIME) return 'done';
    const daddr = get32(skb.buf, skb.data + 16);
    if (!this.sysctl.icmpIgnoreBogusErrorResponses && this.lower.addrType(daddr) === RTN_BROADCAST) return 'done';
    return this.socketDeliver(skb, type, code, info, hlen, now);
  }

  /** net/ipv4/icmp.c:icmp_socket_deliver: RFC 1122 3.2.2: to the transport whose packet it was. */
  private socketDeliver(skb: SkBuff, type: number, code: number, info: number, hlen: number, now: Millis): Verdict {
    this.env.trace('icmp_socket_deliver', skb);
    // eight bytes of the transport header are what RFC 792 promises
    if (!skb.mayPull(hlen + 8)) return this.bad('PKT_TOO_SMALL');
    const at = skb.data;
    skb.mark = (type << 8) | code;
    skb.rtMtu = 0;
    if (
      type === ICMP_DEST_UNREACH &&
      code === ICMP_FRAG_NEEDED &&
      this.lower.addrType(get32(skb.buf, at + 12)) === RTN_LOCAL
    ) {
      skb.rtMtu = this.lower.updatePmtu(get32(skb.buf, at + 16), info & 0xffff, now);
    }
    const handler = this.lower.errHandler(skb.buf[at + 9]!);
    if (handler === undefined) return 'done';
    if (handler !== 'icmp_err') {
      this.env.pass(handler, skb);
      return 'passed';
    }
    this.env.trace('icmp_err', skb);
    this.pings.err(skb, at + hlen, type, code, now);
    return 'done';
  }

  private bad(reason: DropReason): DropReason {
    this.env.mib.inc('IcmpInErrors');
    return reason;
  }
}
