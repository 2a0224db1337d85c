import {
  CHECKSUM_NONE,
  CHECKSUM_UNNECESSARY,
  type DropReason,
  formatIpv4,
  type Ipv4Addr,
  type LayerEnv,
  type Millis,
  NEVER,
  type SkBuff,
} from '@skbus/skb';
import { IP_DF, type Ipv4Repr, parseIpv4Header, put16, updateIpv4Checksum } from '@skbus/wire';
import { FragQueue } from './frag-queue.ts';

/** net.ipv4.ipfrag_*, Linux's defaults. */
export interface FragSysctl {
  ipfragTimeMs: Millis;
  /** Bytes all queues together may hold. */
  ipfragHighThresh: number;
  /** Fragments of one source that may arrive between two of the same datagram; 0: any number. */
  ipfragMaxDist: number;
}

export const FRAG_SYSCTL: FragSysctl = { ipfragTimeMs: 30_000, ipfragHighThresh: 4 * 1024 * 1024, ipfragMaxDist: 64 };

/** What an skb takes beside its bytes (SKB_TRUESIZE's overhead), so that many tiny fragments cost what they cost. */
const SKB_OVERHEAD = 512;
/** Sources whose fragments are counted for ipfragMaxDist. */
const PEERS_MAX = 4096;

/**
 * Puts datagrams together again (RFC 791 3.2, net/ipv4/ip_fragment.c). `expired` gets the first fragment of a datagram
 * that never became whole, its data at the IP header, to send a time exceeded about; the skb stays ours.
 */
export class Reassembler {
  private readonly env: LayerEnv;
  private readonly sysctl: FragSysctl;
  private readonly expired: (first: SkBuff, now: Millis) => void;
  private readonly queues = new Map<string, FragQueue>();
  private readonly peers = new Map<Ipv4Addr, number>();
  private held = 0;
  private mem = 0;

  constructor(env: LayerEnv, sysctl: FragSysctl, expired: (first: SkBuff, now: Millis) => void) {
    this.env = env;
    this.sysctl = sysctl;
    this.expired = expired;
    env.ledger.addQueue(() => this.held);
  }

  /** Fragments held now, and what they count against ipfragHighThresh. */
  get usage(): { fragments: number; queues: number; memBytes: number } {
    return { fragments: this.held, queues: this.queues.size, memBytes: this.mem };
  }

  /** Takes a fragment (data at its IP header, header already checked); gives the datagram back when it is whole. */
  defrag(skb: SkBuff, now: Millis): SkBuff | undefined {
    this.env.trace('ip_defrag', skb);
    this.env.mib.inc('IpReasmReqds');
    const ip = parseIpv4Header(skb.buf, skb.data, skb.tail);
    if (ip === undefined) {
      this.fail(skb, 'IP_INHDR');
      return undefined;
    }
    const q = this.find(ip, now);
    if (q === undefined) {
      this.fail(skb, 'NOMEM');
      return undefined;
    }
    this.env.trace('ip_frag_queue', skb);
    return this.queue(q, skb, ip, now);
  }

  pollTimeout(): Millis {
    for (const q of this.queues.values()) return q.expiresMs;
    return NEVER;
  }

  handleTimeout(now: Millis): void {
    for (const q of this.queues.values()) {
      if (q.expiresMs > now) return;
      this.expire(q, now);
    }
  }

  /** Queues are kept in the order they expire, as all live equally long. */
  private find(ip: Ipv4Repr, now: Millis): FragQueue | undefined {
    const key = `${ip.saddr}/${ip.daddr}/${ip.id}/${ip.proto}`;
    const old = this.queues.get(key);
    if (old !== undefined && old.expiresMs <= now) this.expire(old, now);
    if (this.mem > this.sysctl.ipfragHighThresh) return undefined;
    const known = this.queues.get(key);
    if (known !== undefined) return known;
    const q = new FragQueue(key, ip.saddr, now + this.sysctl.ipfragTimeMs, this.peers.get(ip.saddr) ?? 0);
    this.queues.set(key, q);
    return q;
  }

  /** net/ipv4/ip_fragment.c:ip_frag_queue */
  private queue(q: FragQueue, skb: SkBuff, ip: Ipv4Repr, now: Millis): SkBuff | undefined {
    if (this.tooFar(q)) this.reinit(q, now);
    const offset = ip.fragOffset;
    let end = offset + skb.len - ip.hlen;
    // only the last fragment may end anywhere: the others in units of eight bytes
    if (ip.mf) end -= end & 7;
    if (!acceptEnd(q, ip.mf, end) || end <= offset || !skb.pull(ip.hlen)) {
      this.discard(q, skb, 'IP_INHDR');
      return undefined;
    }
    if (skb.len > end - offset) {
      skb.trim(end - offset);
      if (skb.ipSummed !== CHECKSUM_UNNECESSARY) skb.ipSummed = CHECKSUM_NONE;
    }
    const fit = q.insert({ offset, end, skb });
    if (fit === 'duplicate') {
      this.env.drop(skb, 'DUP_FRAG');
      return undefined;
    }
    if (fit === 'overlap') {
      this.env.mib.inc('IpExtReasmOverlaps');
      this.discard(q, skb, 'DUP_FRAG');
      return undefined;
    }
    const mem = skb.len + SKB_OVERHEAD;
    q.mem += mem;
    this.mem += mem;
    this.held++;
    q.ifindex = skb.ifindex;
    q.ecn |= 1 << (ip.tos & 3);
    const size = skb.len + ip.hlen;
    q.maxSize = Math.max(q.maxSize, size);
    if (ip.df) q.maxDfSize = Math.max(q.maxDfSize, size);
    return q.complete ? this.reassemble(q) : undefined;
  }

  /** net/ipv4/ip_fragment.c:ip_frag_reasm: the first fragment's skb gets everybody's payload as views. */
  private reassemble(q: FragQueue): SkBuff | undefined {
    const head = q.fragments[0]!.skb;
    this.env.trace('ip_frag_reasm', head);
    const hlen = head.data - head.networkHeader;
    const ecn = ecnOf(q.ecn);
    if (ecn === undefined || hlen + q.len > 0xffff) {
      this.env.mib.inc('IpReasmFails');
      if (ecn !== undefined) this.env.printk(`Oversized IP packet from ${formatIpv4(q.saddr)}`);
      this.forget(q);
      this.purge(q, 'IP_INHDR');
      return undefined;
    }
    this.forget(q);
    for (const { skb } of q.fragments.slice(1)) {
      for (const part of skb.slices(0, skb.len)) head.addFrag(part);
      if (skb.ipSummed !== head.ipSummed) head.ipSummed = CHECKSUM_NONE;
      this.env.consume(skb);
    }
    const at = head.push(hlen);
    put16(head.buf, at + 2, hlen + q.len);
    // the datagram must be cut the same way again if it goes on: keep DF when its largest fragment had it
    put16(head.buf, at + 6, q.maxDfSize === q.maxSize ? IP_DF : 0);
    head.buf[at + 1] = head.buf[at + 1]! | ecn;
    updateIpv4Checksum(head.buf, at, hlen);
    this.env.mib.inc('IpReasmOKs');
    return head;
  }

  /** net/ipv4/ip_fragment.c:ip_expire */
  private expire(q: FragQueue, now: Millis): void {
    this.env.mib.inc('IpReasmFails');
    this.env.mib.inc('IpReasmTimeout');
    this.forget(q);
    const first = q.firstIn ? q.fragments[0]!.skb : undefined;
    this.env.trace('ip_expire', first);
    if (first !== undefined) {
      first.push(first.data - first.networkHeader);
      this.expired(first, now);
    }
    this.purge(q, 'FRAG_REASM_TIMEOUT');
  }

  /** ip_frag_too_far(): so many others came from this source since that this datagram's id may have come round again. */
  private tooFar(q: FragQueue): boolean {
    const max = this.sysctl.ipfragMaxDist;
    if (max === 0) return false;
    if (!this.peers.has(q.saddr) && this.peers.size >= PEERS_MAX) this.peers.clear();
    const end = (this.peers.get(q.saddr) ?? 0) + 1;
    this.peers.set(q.saddr, end);
    const start = q.rid;
    q.rid = end;
    return q.fragments.length > 0 && end - start > max;
  }

  /** ip_frag_reinit(): the queue starts anew with the fragment that has just come. */
  private reinit(q: FragQueue, now: Millis): void {
    this.env.mib.inc('IpReasmFails');
    this.forget(q);
    this.purge(q, 'FRAG_TOO_FAR');
    q.fragments = [];
    q.len = q.meat = q.ecn = q.maxSize = q.maxDfSize = q.mem = 0;
    q.lastIn = false;
    q.expiresMs = now + this.sysctl.ipfragTimeMs;
    this.queues.set(q.key, q);
  }

  private discard(q: FragQueue, skb: SkBuff, reason: DropReason): void {
    this.forget(q);
    this.purge(q, reason);
    this.fail(skb, reason);
  }

  private fail(skb: SkBuff, reason: DropReason): void {
    this.env.mib.inc('IpReasmFails');
    this.env.drop(skb, reason);
  }

  /** Takes the queue out of the books; its skbs are the caller's now. */
  private forget(q: FragQueue): void {
    this.queues.delete(q.key);
    this.held -= q.fragments.length;
    this.mem -= q.mem;
  }

  private purge(q: FragQueue, reason: DropReason): void {
    for (const { skb } of q.fragments) this.env.drop(skb, reason);
  }
}

/** Whether a fragment that ends at `end` agrees with what is known of the datagram's length, which it may also settle. */
function acceptEnd(q: FragQueue, more: boolean, end: number): boolean {
  if (!more) {
    if (end < q.len || (q.lastIn && end !== q.len)) return false;
    q.lastIn = true;
    q.len = end;
    return true;
  }
  if (end <= q.len) return true;
  if (q.lastIn) return false;
  q.len = end;
  return true;
}

/**
 * The ECN bits to add to the first fragment's (RFC 3168 5.3, ip_frag_ecn_table): CE when any fragment has it;
 * `undefined`: Not-ECT beside ECN-capable ones, which must be dropped.
 */
function ecnOf(seen: number): number | undefined {
  const notEct = 1;
  const ce = 8;
  if ((seen & notEct) !== 0 && seen !== notEct) return undefined;
  return (seen & ce) !== 0 ? 3 : 0;
}
