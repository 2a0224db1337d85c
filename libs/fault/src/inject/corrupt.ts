import { CHECKSUM_NONE, CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, type SkBuff } from '@skbus/skb';
import { finish, put16, sumSlices } from '@skbus/wire';

/**
 * Flips one bit, counted from `data` (net/sched/sch_netem.c:netem_enqueue, corrupt). The sum must tell: one that was left to the
 * device is finished before, and one that was found right is looked at again. False: a packet that is yet to be cut into
 * segments would get right sums for wrong bytes; netem cuts it first, here it is lost as a whole.
 */
export function flipBit(skb: SkBuff, bit: number): boolean {
  const at = bit >>> 3;
  if (at >= skb.len) return true;
  if (skb.ipSummed === CHECKSUM_PARTIAL && (skb.gsoSize > 0 || !finishSum(skb))) return false;
  if (skb.ipSummed === CHECKSUM_UNNECESSARY) skb.ipSummed = CHECKSUM_NONE;
  skb.mayPull(at + 1);
  skb.buf[skb.data + at]! ^= 1 << (bit & 7);
  return true;
}

/** net/core/dev.c:skb_checksum_help */
function finishSum(skb: SkBuff): boolean {
  const start = skb.csumStart - skb.data;
  const field = skb.csumStart + skb.csumOffset;
  if (start < 0 || start >= skb.len || field + 2 > skb.tail) return false;
  put16(skb.buf, field, finish(sumSlices(skb.slices(start, skb.len - start))) || 0xffff);
  skb.ipSummed = CHECKSUM_NONE;
  return true;
}

const ECN_CE = 3;

/** INET_ECN_set_ce(): marks an ECN-capable IPv4 packet. False: it is none. */
export function markCe(skb: SkBuff): boolean {
  const ip = skb.networkHeader;
  if (ip < 0 || ip + 20 > skb.tail || skb.buf[ip]! >>> 4 !== 4) return false;
  const tos = skb.buf[ip + 1]!;
  if ((tos & ECN_CE) === 0) return false;
  if ((tos & ECN_CE) === ECN_CE) return true;
  skb.buf[ip + 1] = tos | ECN_CE;
  const hlen = (skb.buf[ip]! & 15) * 4;
  put16(skb.buf, ip + 10, 0);
  put16(skb.buf, ip + 10, finish(sumSlices([skb.buf.subarray(ip, ip + hlen)])));
  return true;
}

/** A packet whose memory its maker will use again: takes its bytes along. */
export function ownBytes(skb: SkBuff): void {
  skb.buf = new Uint8Array(skb.buf.subarray(0, skb.tail));
  for (let i = 0; i < skb.frags.length; i++) skb.frags[i] = new Uint8Array(skb.frags[i]!);
}
