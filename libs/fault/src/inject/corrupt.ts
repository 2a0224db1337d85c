import { CHECKSUM_NONE, CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, ETH_P_IP, type SkBuff } from '@skbus/skb';
import { ETHERNET_HLEN, finish, get16, IPV4_HLEN, put16, sumSlices } from '@skbus/wire';
import type { HeaderStart } from '../filter/subject.ts';

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

/** Where the IPv4 header is; -1: there is none yet, or it is none. */
function ipHeaderOf({ networkHeader, data, buf, tail }: SkBuff, starts: HeaderStart): number {
  const at = starts === 'eth' ? data + ETHERNET_HLEN : starts === 'ip' ? data : networkHeader;
  if (starts === 'eth' && (at > tail || get16(buf, at - 2) !== ETH_P_IP)) return -1;
  return at >= 0 && at + IPV4_HLEN <= tail && buf[at]! >>> 4 === 4 ? at : -1;
}

/** Whether it may say that it met congestion: an ECN-capable packet, also one that has its IP header yet to come. */
export function canMark(skb: SkBuff, starts: HeaderStart): boolean {
  const ip = ipHeaderOf(skb, starts);
  const tos = ip >= 0 ? skb.buf[ip + 1]! : (skb.flow?.tos ?? 0);
  return (tos & ECN_CE) !== 0;
}

/** INET_ECN_set_ce(): marks an ECN-capable IPv4 packet. False: it is none. */
export function markCe(skb: SkBuff, starts: HeaderStart): boolean {
  if (!canMark(skb, starts)) return false;
  const ip = ipHeaderOf(skb, starts);
  if (ip < 0) {
    skb.flow = { ...skb.flow!, tos: skb.flow!.tos | ECN_CE };
    return true;
  }
  skb.buf[ip + 1]! |= ECN_CE;
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
