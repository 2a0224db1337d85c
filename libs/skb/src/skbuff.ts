import type { Ipv4Addr } from './addr.ts';
import { CHECKSUM_NONE, PACKET_HOST } from './constants.ts';
import { pageFrag } from './page-frag.ts';
import type { Millis } from './time.ts';

/** What a transport asks of the IP layer for one packet (include/net/flow.h:flowi4). */
export interface FlowI4 {
  saddr: Ipv4Addr;
  daddr: Ipv4Addr;
  proto: number;
  tos: number;
  /** 0: the default TTL. */
  ttl: number;
  /** Don't Fragment: set for TCP under path MTU discovery. */
  df: boolean;
  /** From a connected socket (inet_sk(sk)->inet_daddr): its packets with DF count an identification, others have 0. */
  connected: boolean;
  /** Output device wanted, 0: any (SO_BINDTODEVICE). */
  oif: number;
}

/**
 * A packet on its way through the stack.
 *
 * ```
 *      buf ─┬───────────┬──────────────────────────┬──────────┐   frags ─┬────────┬────────┐
 *           │ headroom  │ mac │ ip │ tcp │ payload │ tailroom │          │ page 0 │ page 1 │
 *           └───────────┴──────────────────────────┴──────────┘          └────────┴────────┘
 *           0           ▲                          ▲ tail                  dataLen bytes
 *                       data  (moves up with pull(), down with push())
 * ```
 *
 * As in the kernel an skb is a linear part (`buf[data..tail)`) followed by fragments of payload. Header offsets
 * (`macHeader`, `networkHeader`, `transportHeader`) are positions in `buf`, -1 while unknown, so they survive
 * pull() and push(). Whoever holds the skb owns it; handing it on gives the ownership away. `frags` are shared
 * views that nobody writes to.
 */
export class SkBuff {
  /** The journey id, kept from birth to death and across services. */
  id = 0;
  /** The skb this one was cloned, segmented or merged from; 0: none. */
  parent = 0;
  /** EtherType (ETH_P_*). */
  protocol = 0;
  /** The device it came in by or goes out of; 0: not chosen yet. */
  ifindex = 0;
  pktType = PACKET_HOST;
  mark = 0;
  priority = 0;
  ipSummed = CHECKSUM_NONE;
  /** Position in `buf` from which a CHECKSUM_PARTIAL sum starts. */
  csumStart = 0;
  /** Where in bytes after csumStart the sum is stored. */
  csumOffset = 0;
  /** Payload bytes per segment of a GSO/GRO skb; 0: a plain packet. */
  gsoSize = 0;
  gsoSegs = 0;
  gsoType = 0;
  /** When it entered the stack, on the clock of the service that made it. */
  tstampMs: Millis = 0;
  /** For output: what the transport asked for. */
  flow: FlowI4 | undefined = undefined;
  /** Set by routing on output: the on-link address to resolve. */
  nextHop: Ipv4Addr = 0;
  /** Set by IP on local delivery: MTU of the route back to the sender, so that a listener need not ask. */
  rtMtu = 0;
  /** The TCP socket that waits to hear when this skb has left (skb->sk with its destructor), 0: nobody does. */
  sk = 0;
  /** Where this skb ends in all that its socket ever sent, modulo 2^32 (sk_wmem_alloc as a running sum). */
  wmem = 0;
  /** Set by a transport that has just heard from the peer (sk_dst_confirm): the neighbour is reachable. */
  confirm = false;
  macHeader = -1;
  networkHeader = -1;
  transportHeader = -1;

  buf: Uint8Array;
  data: number;
  tail: number;
  readonly frags: Uint8Array[];
  /** Bytes in `frags` (skb->data_len). */
  dataLen: number;

  constructor(buf: Uint8Array, data: number, tail: number, frags: Uint8Array[] = []) {
    this.buf = buf;
    this.data = data;
    this.tail = tail;
    this.frags = frags;
    let n = 0;
    for (const f of frags) n += f.length;
    this.dataLen = n;
  }

  /** An empty skb with `headroom` bytes before its data and room for `size` bytes in the linear part. */
  static alloc(headroom: number, size: number): SkBuff {
    return new SkBuff(pageFrag(headroom + size), headroom, headroom);
  }

  /** Bytes from `data` to the end, fragments included (skb->len). */
  get len(): number {
    return this.tail - this.data + this.dataLen;
  }

  /** Bytes in the linear part (skb_headlen). */
  get headLen(): number {
    return this.tail - this.data;
  }

  /** The linear part as a view; valid until the next push() or mayPull(). */
  get linear(): Uint8Array {
    return this.buf.subarray(this.data, this.tail);
  }

  /** Makes room for `n` header bytes in front of the data (skb_push, skb_cow_head) and returns the new `data`. */
  push(n: number): number {
    if (this.data < n) this.expandHead(n + 64);
    this.data -= n;
    return this.data;
  }

  /** Steps over `n` bytes (skb_pull). False, and unchanged, when the skb is shorter. */
  pull(n: number): boolean {
    if (!this.mayPull(n)) return false;
    this.data += n;
    return true;
  }

  /** Makes sure that the first `n` bytes are in the linear part (pskb_may_pull). False when the skb is shorter. */
  mayPull(n: number): boolean {
    const missing = n - (this.tail - this.data);
    if (missing <= 0) return true;
    if (missing > this.dataLen) return false;
    if (this.buf.length - this.tail < missing) this.expandTail(missing);
    let need = missing;
    while (need > 0) {
      const f = this.frags[0]!;
      const take = Math.min(need, f.length);
      this.buf.set(take === f.length ? f : f.subarray(0, take), this.tail);
      this.tail += take;
      need -= take;
      if (take === f.length) this.frags.shift();
      else this.frags[0] = f.subarray(take);
    }
    this.dataLen -= missing;
    return true;
  }

  /** Appends `n` zero bytes to the linear part and returns where they start (skb_put). Only without frags. */
  put(n: number): number {
    if (this.buf.length - this.tail < n) this.expandTail(n);
    const at = this.tail;
    this.tail += n;
    return at;
  }

  addFrag(view: Uint8Array): void {
    if (view.length === 0) return;
    this.frags.push(view);
    this.dataLen += view.length;
  }

  /** Cuts the skb to `len` bytes (pskb_trim). */
  trim(len: number): void {
    let excess = this.len - len;
    while (excess > 0 && this.frags.length > 0) {
      const f = this.frags.at(-1)!;
      const cut = Math.min(excess, f.length);
      if (cut === f.length) this.frags.pop();
      else this.frags[this.frags.length - 1] = f.subarray(0, f.length - cut);
      this.dataLen -= cut;
      excess -= cut;
    }
    if (excess > 0) this.tail -= excess;
  }

  /** Views of the bytes [from, from + n) counted from `data`, without a copy. Clipped to the skb's end. */
  slices(from: number, n: number): Uint8Array[] {
    const out: Uint8Array[] = [];
    let skip = from;
    let left = Math.min(n, this.len - from);
    const head = this.tail - this.data;
    if (skip < head && left > 0) {
      const at = this.data + skip;
      const k = Math.min(left, head - skip);
      out.push(this.buf.subarray(at, at + k));
      left -= k;
      skip = 0;
    } else {
      skip -= head;
    }
    for (let i = 0; left > 0; i++) {
      const f = this.frags[i]!;
      if (skip >= f.length) {
        skip -= f.length;
        continue;
      }
      const k = Math.min(left, f.length - skip);
      out.push(k === f.length ? f : f.subarray(skip, skip + k));
      left -= k;
      skip = 0;
    }
    return out;
  }

  /** All bytes from `data` on, copied into one array. */
  bytes(): Uint8Array {
    const all = new Uint8Array(this.len);
    let at = 0;
    for (const p of this.slices(0, this.len)) {
      all.set(p, at);
      at += p.length;
    }
    return all;
  }

  private expandHead(extra: number): void {
    const bigger = new Uint8Array(this.buf.length + extra);
    bigger.set(this.buf.subarray(0, this.tail), extra);
    this.buf = bigger;
    this.data += extra;
    this.tail += extra;
    this.csumStart += extra;
    if (this.macHeader >= 0) this.macHeader += extra;
    if (this.networkHeader >= 0) this.networkHeader += extra;
    if (this.transportHeader >= 0) this.transportHeader += extra;
  }

  private expandTail(extra: number): void {
    const bigger = new Uint8Array(this.tail + extra);
    bigger.set(this.buf.subarray(0, this.tail), 0);
    this.buf = bigger;
  }
}

/** A copy that shares the payload and owns its headers (skb_copy_header + pskb_copy); the caller gives it an id. */
export function copySkb(skb: SkBuff): SkBuff {
  // Not slice(): the buffer of a received skb may be a Node Buffer, whose slice() shares the memory.
  const c = new SkBuff(new Uint8Array(skb.buf), skb.data, skb.tail, [...skb.frags]);
  c.parent = skb.id;
  c.protocol = skb.protocol;
  c.ifindex = skb.ifindex;
  c.pktType = skb.pktType;
  c.mark = skb.mark;
  c.priority = skb.priority;
  c.ipSummed = skb.ipSummed;
  c.csumStart = skb.csumStart;
  c.csumOffset = skb.csumOffset;
  c.gsoSize = skb.gsoSize;
  c.gsoSegs = skb.gsoSegs;
  c.gsoType = skb.gsoType;
  c.tstampMs = skb.tstampMs;
  c.flow = skb.flow && { ...skb.flow };
  c.nextHop = skb.nextHop;
  c.rtMtu = skb.rtMtu;
  c.macHeader = skb.macHeader;
  c.networkHeader = skb.networkHeader;
  c.transportHeader = skb.transportHeader;
  return c;
}
