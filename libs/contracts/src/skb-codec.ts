import { SkBuff, type Wfree } from '@skbus/skb';
import { skbus } from '../gen/skbus.js';

type SkbFields = Partial<Omit<skbus.v1.SkBuff, 'frags'>> & { frags?: { data: Uint8Array }[] };

/** One message of the data plane. The skbs are not changed; their payload is copied once, into the message. */
export function encodeSkbList(publisher: number, seq: number, sentBefore: number, skbs: readonly SkBuff[]): Uint8Array {
  const list = { publisher, seq, sentBefore, skbs: skbs.map(toFields) };
  return skbus.v1.SkbList.encode(list as unknown as skbus.v1.SkbList).finish();
}

export interface ReceivedSkbs {
  publisher: number;
  seq: number;
  sentBefore: number;
  skbs: SkBuff[];
  /** skbs of the list whose offsets made no sense; they are not in `skbs`. */
  malformed: number;
}

/** `undefined`: the bytes are no SkbList. The skbs' bytes are views of `message`; nobody may reuse its memory. */
export function decodeSkbList(message: Uint8Array): ReceivedSkbs | undefined {
  let list: skbus.v1.SkbList;
  try {
    list = skbus.v1.SkbList.decode(plainBytes(message));
  } catch {
    return undefined; // protobufjs throws on truncated or wrong wire types; the caller counts BUS_MALFORMED
  }
  const out: ReceivedSkbs = {
    publisher: list.publisher,
    seq: list.seq,
    sentBefore: list.sentBefore,
    skbs: [],
    malformed: 0,
  };
  for (const m of list.skbs) {
    const skb = fromMessage(m as skbus.v1.SkBuff); // decode() makes instances; its type says only the properties
    if (skb) out.skbs.push(skb);
    else out.malformed++;
  }
  return out;
}

/** Zero fields stay out of the message: proto3's default, and half the size of a header-only skb. */
function toFields(skb: SkBuff): SkbFields {
  // Nothing below the first header that the next layer may look at travels.
  let start = skb.data;
  if (skb.networkHeader >= 0 && skb.networkHeader < start) start = skb.networkHeader;
  if (skb.macHeader >= 0 && skb.macHeader < start) start = skb.macHeader;
  const f: SkbFields = {
    id: skb.id,
    protocol: skb.protocol,
    head: skb.buf.subarray(start, skb.tail),
    tstamp: skb.tstampMs,
  };
  if (skb.parent) f.parent = skb.parent;
  if (skb.ifindex) f.ifindex = skb.ifindex;
  if (skb.pktType) f.pktType = skb.pktType;
  if (skb.data !== start) f.data = skb.data - start;
  if (skb.macHeader >= start) f.macHeader = skb.macHeader - start + 1;
  if (skb.networkHeader >= start) f.networkHeader = skb.networkHeader - start + 1;
  if (skb.transportHeader >= start) f.transportHeader = skb.transportHeader - start + 1;
  if (skb.mark) f.mark = skb.mark;
  if (skb.priority) f.priority = skb.priority;
  if (skb.ipSummed) {
    f.ipSummed = skb.ipSummed;
    if (skb.csumStart >= start) f.csumStart = skb.csumStart - start;
    f.csumOffset = skb.csumOffset;
  }
  if (skb.gsoSize) {
    f.gsoSize = skb.gsoSize;
    f.gsoSegs = skb.gsoSegs;
    f.gsoType = skb.gsoType;
  }
  if (skb.flow) f.flow = skb.flow as skbus.v1.FlowI4;
  if (skb.nextHop) f.nextHop = skb.nextHop;
  if (skb.rtMtu) f.rtMtu = skb.rtMtu;
  if (skb.confirm) f.confirm = true;
  if (skb.sk) {
    f.sk = skb.sk;
    f.wmem = skb.wmem;
  }
  if (skb.frags.length > 0) f.frags = skb.frags.map((data) => ({ data }));
  return f;
}

function fromMessage(m: skbus.v1.SkBuff): SkBuff | undefined {
  const n = m.head.length;
  if (m.data > n || m.macHeader > n + 1 || m.networkHeader > n + 1 || m.transportHeader > n + 1) return undefined;
  if (m.csumStart + m.csumOffset + 2 > n && m.ipSummed === 3) return undefined;
  const skb = new SkBuff(m.head, m.data, n, []);
  for (const frag of m.frags) skb.addFrag(frag.data ?? EMPTY);
  skb.id = m.id;
  skb.parent = m.parent;
  skb.protocol = m.protocol;
  skb.ifindex = m.ifindex;
  skb.pktType = m.pktType;
  skb.macHeader = m.macHeader - 1;
  skb.networkHeader = m.networkHeader - 1;
  skb.transportHeader = m.transportHeader - 1;
  skb.mark = m.mark;
  skb.priority = m.priority;
  skb.ipSummed = m.ipSummed;
  skb.csumStart = m.csumStart;
  skb.csumOffset = m.csumOffset;
  skb.gsoSize = m.gsoSize;
  skb.gsoSegs = m.gsoSegs;
  skb.gsoType = m.gsoType;
  skb.tstampMs = Number.isFinite(m.tstamp) ? m.tstamp : 0;
  if (m.flow) {
    const { saddr, daddr, proto, tos, ttl, df, oif, connected } = m.flow as skbus.v1.FlowI4;
    skb.flow = { saddr, daddr, proto, tos, ttl, df, oif, connected };
  }
  skb.nextHop = m.nextHop;
  skb.rtMtu = m.rtMtu;
  skb.confirm = m.confirm;
  skb.sk = m.sk;
  skb.wmem = m.wmem;
  return skb;
}

export const encodeWfree = (freed: Wfree): Uint8Array =>
  skbus.v1.WfreeList.encode({ sk: [...freed.keys()], wmem: [...freed.values()] } as skbus.v1.WfreeList).finish();

/** `undefined`: the bytes are no WfreeList. */
export function decodeWfree(message: Uint8Array): { sk: number[]; wmem: number[] } | undefined {
  try {
    const { sk, wmem } = skbus.v1.WfreeList.decode(plainBytes(message));
    return sk.length === wmem.length ? { sk, wmem } : undefined;
  } catch {
    return undefined;
  }
}

const EMPTY = new Uint8Array(0);

/**
 * The same memory without Buffer's methods: a Buffer's slice() is a view where a Uint8Array's is a copy, and engines,
 * which know no Buffer, mean the copy.
 */
export const plainBytes = (b: Uint8Array): Uint8Array =>
  b.constructor === Uint8Array ? b : new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
