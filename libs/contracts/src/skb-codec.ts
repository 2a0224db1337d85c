import { CHECKSUM_PARTIAL, SkBuff, type FlowI4, type Wfree } from '@skbus/skb';
import { skbus } from '../gen/skbus.js';
import { ProtoIn, ProtoOut, type Tag } from './proto-wire.ts';

// Tags are field number << 3 | wire type, of proto/skbus/v1/skbuff.proto; codec.spec.ts holds both against the generated code.

const out = new ProtoOut();
const input = new ProtoIn();

/** What the fields of an skb take at most, and about, besides its bytes; of a list, a fragment and a flow. */
const SKB_FIELDS_MAX = 256;
const SKB_FIELDS_ABOUT = 40;
const LIST_FIELDS_MAX = 32;
const FRAG_FIELDS_MAX = 16;
const FLOW_ABOUT = 20;

/** One message of the data plane. The skbs are not changed; their payload is copied once, into the message. */
export function encodeSkbList(publisher: number, seq: number, sentBefore: number, skbs: readonly SkBuff[]): Uint8Array {
  let max = LIST_FIELDS_MAX;
  for (const skb of skbs) max += skb.tail + skb.dataLen + SKB_FIELDS_MAX + FRAG_FIELDS_MAX * skb.frags.length;
  out.begin(max);
  out.uint32(8, publisher);
  out.uint32(16, seq);
  out.uint32(24, sentBefore);
  for (const skb of skbs) encodeSkb(skb);
  return out.finish();
}

/** proto3's defaults stay out of the message: half the size of a header-only skb. */
function encodeSkb(skb: SkBuff): void {
  // Nothing below the first header that the next layer may look at travels.
  let start = skb.data;
  if (skb.networkHeader >= 0 && skb.networkHeader < start) start = skb.networkHeader;
  if (skb.macHeader >= 0 && skb.macHeader < start) start = skb.macHeader;
  const opened = out.open(34, skb.tail - start + skb.dataLen + SKB_FIELDS_ABOUT);
  out.uint32(8, skb.id);
  out.uint32(16, skb.parent);
  out.uint32(24, skb.protocol);
  out.uint32(32, skb.ifindex);
  out.uint32(40, skb.pktType);
  out.uint32(48, skb.data - start);
  if (skb.macHeader >= start) out.uint32(56, skb.macHeader - start + 1);
  if (skb.networkHeader >= start) out.uint32(64, skb.networkHeader - start + 1);
  if (skb.transportHeader >= start) out.uint32(72, skb.transportHeader - start + 1);
  out.uint32(80, skb.mark);
  out.uint32(88, skb.priority);
  if (skb.ipSummed) {
    out.uint32(96, skb.ipSummed);
    if (skb.csumStart >= start) out.uint32(104, skb.csumStart - start);
    out.uint32(112, skb.csumOffset);
  }
  if (skb.gsoSize) {
    out.uint32(120, skb.gsoSize);
    out.uint32(128, skb.gsoSegs);
    out.uint32(136, skb.gsoType);
  }
  out.double(145, skb.tstampMs);
  if (skb.flow) encodeFlow(skb.flow);
  out.fixed32(165, skb.nextHop);
  out.uint32(168, skb.rtMtu);
  out.bool(176, skb.confirm);
  out.bytes(186, skb.buf, start, skb.tail);
  for (const data of skb.frags) {
    const frag = out.open(194, data.length + 2);
    out.bytes(10, data, 0, data.length);
    out.close(frag);
  }
  if (skb.sk) {
    out.uint32(200, skb.sk);
    out.fixed32(213, skb.wmem);
  }
  out.close(opened);
}

function encodeFlow(flow: FlowI4): void {
  const opened = out.open(154, FLOW_ABOUT);
  out.fixed32(13, flow.saddr);
  out.fixed32(21, flow.daddr);
  out.uint32(24, flow.proto);
  out.uint32(32, flow.tos);
  out.uint32(40, flow.ttl);
  out.bool(48, flow.df);
  out.uint32(56, flow.oif);
  out.bool(64, flow.connected);
  out.close(opened);
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
  const bytes = plainBytes(message);
  return readSkbList(bytes) ?? decodeOddList(bytes);
}

/** `undefined`: not as we write it. */
function readSkbList(message: Uint8Array): ReceivedSkbs | undefined {
  const list: ReceivedSkbs = { publisher: 0, seq: 0, sentBefore: 0, skbs: [], malformed: 0 };
  input.begin(message);
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    switch (tag) {
      case 8:
        list.publisher = input.uint32();
        break;
      case 16:
        list.seq = input.uint32();
        break;
      case 24:
        list.sentBefore = input.uint32();
        break;
      case 34: {
        const outer = input.enter();
        const skb = readSkb();
        input.leave(outer);
        if (isSane(skb)) list.skbs.push(skb);
        else list.malformed++;
        break;
      }
      default:
        input.isOdd();
    }
  }
  return input.odd ? undefined : list;
}

function readSkb(): SkBuff {
  const skb = new SkBuff(EMPTY, 0, 0, []);
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    if (tag < 128) readPlace(skb, tag);
    else readRest(skb, tag);
  }
  return skb;
}

function readPlace(skb: SkBuff, tag: Tag): void {
  const n = input.uint32();
  switch (tag) {
    case 8:
      skb.id = n;
      break;
    case 16:
      skb.parent = n;
      break;
    case 24:
      skb.protocol = n;
      break;
    case 32:
      skb.ifindex = n;
      break;
    case 40:
      skb.pktType = n;
      break;
    case 48:
      skb.data = n;
      break;
    case 56:
      skb.macHeader = n - 1;
      break;
    case 64:
      skb.networkHeader = n - 1;
      break;
    case 72:
      skb.transportHeader = n - 1;
      break;
    case 80:
      skb.mark = n;
      break;
    case 88:
      skb.priority = n;
      break;
    case 96:
      skb.ipSummed = n;
      break;
    case 104:
      skb.csumStart = n;
      break;
    case 112:
      skb.csumOffset = n;
      break;
    case 120:
      skb.gsoSize = n;
      break;
    default:
      input.isOdd();
  }
}

function readRest(skb: SkBuff, tag: Tag): void {
  switch (tag) {
    case 128:
      skb.gsoSegs = input.uint32();
      break;
    case 136:
      skb.gsoType = input.uint32();
      break;
    case 145:
      skb.tstampMs = input.double();
      break;
    case 154:
      skb.flow = readFlow();
      break;
    case 165:
      skb.nextHop = input.fixed32();
      break;
    case 168:
      skb.rtMtu = input.uint32();
      break;
    case 176:
      skb.confirm = input.bool();
      break;
    case 186:
      skb.buf = input.bytes();
      skb.tail = skb.buf.length;
      break;
    case 194: {
      const outer = input.enter();
      skb.addFrag(input.next() === 10 ? input.bytes() : EMPTY);
      if (input.next() !== 0) input.isOdd();
      input.leave(outer);
      break;
    }
    case 200:
      skb.sk = input.uint32();
      break;
    case 213:
      skb.wmem = input.fixed32();
      break;
    default:
      input.isOdd();
  }
}

function readFlow(): FlowI4 {
  const flow = { saddr: 0, daddr: 0, proto: 0, tos: 0, ttl: 0, df: false, oif: 0, connected: false };
  const outer = input.enter();
  for (let tag = input.next(); tag !== 0; tag = input.next()) {
    switch (tag) {
      case 13:
        flow.saddr = input.fixed32();
        break;
      case 21:
        flow.daddr = input.fixed32();
        break;
      case 24:
        flow.proto = input.uint32();
        break;
      case 32:
        flow.tos = input.uint32();
        break;
      case 40:
        flow.ttl = input.uint32();
        break;
      case 48:
        flow.df = input.bool();
        break;
      case 56:
        flow.oif = input.uint32();
        break;
      case 64:
        flow.connected = input.bool();
        break;
      default:
        input.isOdd();
    }
  }
  input.leave(outer);
  return flow;
}

/** Its offsets lie within it. A time that is none is 0. */
function isSane(skb: SkBuff): boolean {
  const n = skb.tail;
  if (!Number.isFinite(skb.tstampMs)) skb.tstampMs = 0;
  if (skb.data > n || skb.macHeader > n || skb.networkHeader > n || skb.transportHeader > n) return false;
  return skb.ipSummed !== CHECKSUM_PARTIAL || skb.csumStart + skb.csumOffset + 2 <= n;
}

/** What another implementation may have written: fields that we do not know, or another order of things. */
function decodeOddList(message: Uint8Array): ReceivedSkbs | undefined {
  let list: skbus.v1.SkbList;
  try {
    list = skbus.v1.SkbList.decode(message);
  } catch {
    return undefined; // protobufjs throws on truncated or wrong wire types; the caller counts BUS_MALFORMED
  }
  const { publisher, seq, sentBefore } = list;
  const skbs: SkBuff[] = [];
  let malformed = 0;
  for (const m of list.skbs) {
    const skb = fromMessage(m as skbus.v1.SkBuff); // decode() makes instances; its type says only the properties
    if (isSane(skb)) skbs.push(skb);
    else malformed++;
  }
  return { publisher, seq, sentBefore, skbs, malformed };
}

function fromMessage(m: skbus.v1.SkBuff): SkBuff {
  const { id, parent, protocol, ifindex, pktType, mark, priority, ipSummed, csumStart, csumOffset } = m;
  const { gsoSize, gsoSegs, gsoType, nextHop, rtMtu, confirm, sk, wmem } = m;
  const skb = new SkBuff(m.head, m.data, m.head.length, []);
  for (const frag of m.frags) skb.addFrag(frag.data ?? EMPTY);
  Object.assign(skb, { id, parent, protocol, ifindex, pktType, mark, priority, ipSummed, csumStart, csumOffset });
  Object.assign(skb, { gsoSize, gsoSegs, gsoType, nextHop, rtMtu, confirm, sk, wmem });
  skb.macHeader = m.macHeader - 1;
  skb.networkHeader = m.networkHeader - 1;
  skb.transportHeader = m.transportHeader - 1;
  skb.tstampMs = m.tstamp;
  if (m.flow) {
    const { saddr, daddr, proto, tos, ttl, df, oif, connected } = m.flow as skbus.v1.FlowI4;
    skb.flow = { saddr, daddr, proto, tos, ttl, df, oif, connected };
  }
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
