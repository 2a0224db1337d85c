import { ETH_P_ARP, ETH_P_IP, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, type FlowI4, type SkBuff } from '@skbus/skb';
import {
  ARP_LEN,
  ETHERNET_HLEN,
  findTcpOption,
  get16,
  ICMP_HLEN,
  IP_OFFSET_MASK,
  IPV4_HLEN,
  TCP_HLEN,
  UDP_HLEN,
} from '@skbus/wire';
import type { FilterSubject } from './subject.ts';

/** More than all headers together: Ethernet, and IP and TCP with every option they have room for. */
export const HEADERS_MAX = 160;
const EMPTY = new Uint8Array(0);

/**
 * Finds a packet's headers when first asked for one; made once and used for every packet. Headers that are cut short are not there.
 * Positions count in `b`, which is the skb's own buffer, or a copy of the first bytes where headers reach into fragments: the
 * skb itself is never changed.
 */
export class PacketView {
  subject: FilterSubject = NOTHING;
  b: Uint8Array = EMPTY;
  /** Where each header starts; -1: there is none. */
  eth = -1;
  arp = -1;
  ip = -1;
  icmp = -1;
  tcp = -1;
  udp = -1;
  /** Where the skb ends, fragments counted. */
  end = 0;
  /** Where what IP carries ends: before Ethernet's padding. */
  ipEnd = 0;
  /** For output that has no IP header yet: what it will say. */
  flow: FlowI4 | undefined = undefined;
  /** What reach() answered last. */
  from = 0;
  to = 0;
  private located = false;
  /** Bytes before here are in `b`; those after it in the skb's fragments. */
  private limit = 0;
  /** How far positions in `b` are behind those in the skb's buffer; -1: `b` is that buffer. */
  private moved = -1;

  /** From now on about this one. */
  look(subject: FilterSubject): void {
    this.subject = subject;
    this.located = false;
  }

  /** Whether `b` is a copy, because headers reach into fragments. */
  get isCopy(): boolean {
    return this.moved >= 0;
  }

  /** Finds the headers; cheap after the first time. */
  locate(): this {
    if (this.located) return this;
    this.located = true;
    this.eth = this.arp = this.ip = this.icmp = this.tcp = this.udp = -1;
    this.flow = undefined;
    this.moved = -1;
    const { skb, starts } = this.subject;
    if (skb === undefined) {
      this.b = EMPTY;
      this.limit = this.end = this.ipEnd = 0;
      return this;
    }
    this.b = skb.buf;
    this.limit = skb.tail;
    this.end = this.ipEnd = skb.tail + skb.dataLen;
    if (starts === 'eth') this.atEthernet(skb.data);
    else if (starts === 'none') this.atKnown(skb);
    else {
      if (skb.macHeader >= 0 && skb.macHeader + ETHERNET_HLEN <= skb.data) this.eth = skb.macHeader;
      if (starts === 'arp') this.atArp(skb.data);
      else if (starts === 'ip') this.atIp(skb.data);
      else this.atTransport(skb, starts);
    }
    return this;
  }

  /** Bytes [from, to) of the packet. */
  bytes(from: number, to: number): Uint8Array {
    if (to <= this.limit) return this.b.subarray(from, to);
    const skb = this.subject.skb!;
    const out = new Uint8Array(to - from);
    const first = from + Math.max(0, this.moved);
    const last = first + to - from;
    let n = Math.max(0, Math.min(last, skb.tail) - first);
    out.set(skb.buf.subarray(first, first + n));
    for (const part of skb.slices(Math.max(first, skb.tail) - skb.data, last - Math.max(first, skb.tail))) {
      out.set(part, n);
      n += part.length;
    }
    return out;
  }

  /** Length of the TCP header, options included; -1: there is no header, or it says something impossible. */
  tcpHeaderLen(): number {
    if (this.locate().tcp < 0) return -1;
    const hlen = (this.b[this.tcp + 12]! >>> 4) * 4;
    return hlen < TCP_HLEN || this.tcp + hlen > this.ipEnd ? -1 : hlen;
  }

  /** Where a TCP option starts that is at least `least` bytes long; -1: it has none. */
  tcpOption(kind: number, least: number): number {
    const hlen = this.tcpHeaderLen();
    if (hlen <= TCP_HLEN || this.reach(this.tcp, hlen) < 0) return -1;
    const at = findTcpOption(this.b, this.tcp + TCP_HLEN, this.tcp + hlen, kind);
    return at < 0 || this.b[at + 1]! < least ? -1 : at;
  }

  /** Sets `from` and `to`, for fields that are a run of bytes; false: it is not there. */
  span(from: number, to: number): boolean {
    this.from = from;
    this.to = to;
    return from >= 0 && to >= from;
  }

  /** Where IP says the packet ends. */
  private endOfIp(at: number): number {
    const total = get16(this.b, at + 2);
    // 0: longer than the field can say (net/ipv4/ip_output.c: BIG TCP), or not filled in yet.
    return total === 0 ? this.end : Math.min(this.end, at + total);
  }

  private atEthernet(given: number): void {
    const at = this.reach(given, ETHERNET_HLEN);
    if (at < 0) return;
    this.eth = at;
    const type = get16(this.b, at + 12);
    if (type === ETH_P_IP) this.atIp(at + ETHERNET_HLEN);
    else if (type === ETH_P_ARP) this.atArp(at + ETHERNET_HLEN);
  }

  private atKnown(skb: SkBuff): void {
    if (skb.macHeader >= 0) this.atEthernet(skb.macHeader);
    else if (skb.networkHeader >= 0 && skb.protocol === ETH_P_ARP) this.atArp(skb.networkHeader);
    else if (skb.networkHeader >= 0) this.atIp(skb.networkHeader);
    else {
      this.flow = skb.flow;
      // on its way out, with no IP header yet
      if (skb.flow !== undefined && skb.transportHeader >= 0) this.transport(skb.flow.proto, skb.transportHeader);
    }
  }

  private atArp(given: number): void {
    this.arp = this.reach(given, ARP_LEN);
  }

  private atIp(given: number): void {
    const at = this.reach(given, IPV4_HLEN);
    if (at < 0 || this.b[at]! >>> 4 !== 4) return;
    this.ip = at;
    const hlen = (this.b[at]! & 15) * 4;
    this.ipEnd = this.endOfIp(at);
    // A fragment that is not the first has no transport header.
    if (hlen < IPV4_HLEN || at + hlen > this.ipEnd || (get16(this.b, at + 6) & IP_OFFSET_MASK) !== 0) return;
    this.transport(this.b[at + 9]!, at + hlen);
  }

  /** The data starts behind the IP header, which may be in front of it or yet to come. */
  private atTransport(skb: SkBuff, starts: 'icmp' | 'tcp' | 'udp'): void {
    const ip = skb.networkHeader;
    if (ip >= 0 && ip + IPV4_HLEN <= skb.data) this.ip = ip;
    else this.flow = skb.flow;
    this.transport(starts === 'tcp' ? IPPROTO_TCP : starts === 'udp' ? IPPROTO_UDP : IPPROTO_ICMP, skb.data);
  }

  private transport(proto: number, at: number): void {
    if (proto === IPPROTO_TCP) this.tcp = this.within(at, TCP_HLEN);
    else if (proto === IPPROTO_UDP) this.udp = this.within(at, UDP_HLEN);
    else if (proto === IPPROTO_ICMP) this.icmp = this.within(at, ICMP_HLEN);
  }

  private within(at: number, n: number): number {
    return at + n > this.ipEnd ? -1 : this.reach(at, n);
  }

  /** Makes sure that `n` bytes from `at` are in `b`, and returns where they are now; -1: the skb is shorter. */
  private reach(at: number, n: number): number {
    if (at + n <= this.limit) return at;
    if (at + n > this.end || this.moved >= 0) return -1;
    this.copyHeaders();
    const now = at - this.moved;
    return now + n <= this.limit ? now : -1;
  }

  private copyHeaders(): void {
    const skb = this.subject.skb!;
    const first = Math.min(skb.data, ...[this.eth, this.ip].filter((p) => p >= 0));
    const n = Math.min(this.end - first, skb.tail - first + HEADERS_MAX);
    this.b = this.bytes(first, first + n);
    this.limit = n;
    this.moved = first;
    for (const h of ['eth', 'arp', 'ip', 'icmp', 'tcp', 'udp'] as const) if (this[h] >= 0) this[h] -= first;
    this.end -= first;
    this.ipEnd -= first;
  }
}

const NOTHING: FilterSubject = { seam: { layer: '', dir: 'rx', func: '' }, starts: 'none' };
