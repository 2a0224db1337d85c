import { CHECKSUM_NONE, CHECKSUM_PARTIAL, type LayerEnv, type Millis, type SkBuff } from '@skbus/skb';
import { finish, get16, IP_MF, IP_OFFSET_MASK, put16, sumSlices, updateIpv4Checksum } from '@skbus/wire';
import { blankUncopiedOptions } from './ip-options.ts';

/** Room for the Ethernet header in front of a fragment. */
const HEADROOM = 32;

/**
 * Cuts a packet (data at its IP header) into fragments that fit `mtu` (net/ipv4/ip_output.c:ip_do_fragment). The payload is
 * shared, only headers are new. `undefined`: the MTU leaves no room for payload. The packet itself stays the caller's.
 */
export function fragment(env: LayerEnv, skb: SkBuff, mtu: number, now: Millis): SkBuff[] | undefined {
  const at = skb.data;
  const hlen = (skb.buf[at]! & 15) * 4;
  const room = (mtu - hlen) & ~7;
  if (room < 8) return undefined;
  if (skb.ipSummed === CHECKSUM_PARTIAL) checksumHelp(skb);
  const frag = get16(skb.buf, at + 6);
  const base = (frag & IP_OFFSET_MASK) * 8;
  const payload = skb.len - hlen;
  const out: SkBuff[] = [];
  for (let offset = 0; offset < payload; offset += room) {
    const n = Math.min(room, payload - offset);
    const f = env.alloc(HEADROOM, hlen, now);
    const h = f.put(hlen);
    f.buf.set(skb.buf.subarray(at, at + hlen), h);
    if (offset > 0) blankUncopiedOptions(f.buf, h, hlen);
    for (const part of skb.slices(hlen + offset, n)) f.addFrag(part);
    // fragments of a fragment: all but the last of the last one have more behind them
    const more = offset + n < payload || (frag & IP_MF) !== 0;
    put16(f.buf, h + 2, hlen + n);
    put16(f.buf, h + 6, (frag & ~(IP_OFFSET_MASK | IP_MF)) | (more ? IP_MF : 0) | ((base + offset) >>> 3));
    updateIpv4Checksum(f.buf, h, hlen);
    describe(f, skb, h);
    out.push(f);
  }
  return out;
}

/** net/core/dev.c:skb_checksum_help: does in software what a CHECKSUM_PARTIAL packet left to the device. */
export function checksumHelp(skb: SkBuff): void {
  const from = skb.csumStart - skb.data;
  const at = skb.csumStart + skb.csumOffset;
  const sum = finish(sumSlices(skb.slices(from, skb.len - from)));
  // UDP sends a sum of zero as all ones (RFC 768)
  put16(skb.buf, at, sum === 0 && skb.csumOffset === 6 ? 0xffff : sum);
  skb.ipSummed = CHECKSUM_NONE;
}

function describe(f: SkBuff, whole: SkBuff, h: number): void {
  f.parent = whole.id;
  f.protocol = whole.protocol;
  f.ifindex = whole.ifindex;
  f.pktType = whole.pktType;
  f.mark = whole.mark;
  f.priority = whole.priority;
  f.nextHop = whole.nextHop;
  f.networkHeader = h;
}
