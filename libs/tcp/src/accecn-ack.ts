import type { AccEcnOption } from '@skbus/wire';
import {
  ACE_FAIL_RECV,
  ACE_MASK,
  accEcnMustTell,
  aceOf,
  bytesInit,
  CEP_INIT,
  OPT_FAIL_RECV,
  OPT_FAIL_SEEN,
  OPT_NOT_SEEN,
  sawOption,
  type AccEcn,
} from './accecn.ts';
import {
  FLAG_DATA_ACKED,
  FLAG_ECE,
  FLAG_FORWARD_PROGRESS,
  FLAG_SLOWPATH,
  FLAG_SYN_ACKED,
  FLAG_TS_PROGRESS,
  type AckState,
} from './ack-state.ts';
import { CA_CWR, CA_OPEN } from './cong/cong.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';

/** What the peer's counters tell of the marks on what we sent (RFC 9768 3.2.2.5, 3.2.3, appendix A). */

/** The codepoints of an option's counters, by its order. */
const ORDER = [
  [2, 3, 1],
  [1, 3, 2],
] as const;
/** Without an option so far: later on its 24 bits may have wrapped. */
const TOO_LATE = 0x80_0000 - 1;

/** Where ACKs are for more segments than this, in 1/64, they are merged as a rule: one for many is not a sign of lost ones. */
const MANY_PER_ACK = 4 * 64;

/** tcp_accecn_process(): counts the newly marked; FLAG_ECE: there are some. */
export function accEcnAck(sk: TcpSock, acc: AccEcn, seg: Segment, a: AckState): void {
  a.ceDelivered = newlyMarked(sk, acc, seg, a);
  if (a.ceDelivered === 0) return;
  sk.deliveredCe += a.ceDelivered;
  a.flag |= FLAG_ECE;
}

/** __tcp_accecn_process() */
function newlyMarked(sk: TcpSock, acc: AccEcn, seg: Segment, a: AckState): number {
  // a reordered ACK, or one about which nothing is certain
  if ((a.flag & (FLAG_FORWARD_PROGRESS | FLAG_TS_PROGRESS)) === 0) return 0;
  const packets = sk.delivered - a.priorDelivered;
  const oldCeBytes = acc.delivered[2]!;
  const valid = processOption(sk, acc, seg, a);
  if (packets > 0) acc.ackedMean = meanOf(acc.ackedMean, packets);
  if ((a.flag & FLAG_SLOWPATH) === 0 && packets <= ACE_MASK) return 0;
  if ((a.flag & FLAG_SYN_ACKED) !== 0) return 0;
  const ace = aceOf(seg.flags);
  if (ace === 0 && (a.flag & FLAG_DATA_ACKED) !== 0 && a.priorUna - 1 <= sk.mssCache) {
    // RFC 9768 3.2.2.4: no counter can have come to that so soon; the path zeroes the field
    acc.fail |= ACE_FAIL_RECV | OPT_FAIL_RECV;
  }
  if ((acc.fail & ACE_FAIL_RECV) !== 0) return 0;
  if (accEcnMustTell(acc)) sk.ackOnConfirm = true;
  const delta = (ace - CEP_INIT - sk.deliveredCe) & ACE_MASK;
  if (packets <= ACE_MASK) return delta;
  // it may have wrapped: as often as there were packets for, unless the byte counters say otherwise
  const safe = packets - ((packets - delta) & ACE_MASK);
  if (valid) return byBytes(sk, a, packets, delta, safe, acc.delivered[2]! - oldCeBytes);
  return acc.ackedMean > MANY_PER_ACK ? delta : safe;
}

/** A moving average of weight 1/64. */
const meanOf = (mean: number, n: number): number =>
  mean === 0 ? n * 64 : Math.min((mean * 63 + n * 64) >>> 6, 0xffff);

/** How often ACE wrapped, by the bytes that came marked (RFC 9768 A.2.1). */
function byBytes(sk: TcpSock, a: AckState, packets: number, delta: number, safe: number, ceBytes: number): number {
  if (ceBytes === 0) return delta;
  if (packets >= 2 * (ACE_MASK + 1) && (sk.sackOk || sk.caState === CA_OPEN || sk.caState === CA_CWR)) {
    if (a.deliveredBytes <= ceBytes) return safe;
    const marked = Math.ceil((ceBytes * packets) / a.deliveredBytes);
    return Math.min(safe, delta + (marked & ~ACE_MASK));
  }
  if (ceBytes > delta * sk.mssCache) return safe;
  return ceBytes < (safe * sk.mssCache) / 2 ? delta : safe;
}

/** tcp_accecn_process_option(): true when the byte counters are good for conclusions. */
function processOption(sk: TcpSock, acc: AccEcn, seg: Segment, a: AckState): boolean {
  if ((acc.fail & OPT_FAIL_RECV) !== 0) return false;
  const o = seg.accecn;
  if (o === undefined || (a.flag & FLAG_SLOWPATH) === 0) {
    if (acc.sawOption === OPT_NOT_SEEN) {
      if (sk.bytesSent >= TOO_LATE) {
        acc.sawOption = OPT_FAIL_SEEN;
        acc.fail |= OPT_FAIL_RECV;
      }
      return false;
    }
    if (acc.estimate === 0) return false;
    acc.delivered[acc.estimate - 1]! += a.deliveredBytes;
    return true;
  }
  sawOption(acc, o);
  return takeCounters(acc, o);
}

/** One counter that grew is what the next bytes are taken to be counted in; several leave that open. */
function takeCounters(acc: AccEcn, o: AccEcnOption): boolean {
  const { estimate } = acc;
  let valid = estimate !== 0;
  let changed = false;
  let ambiguous = false;
  for (let i = 0; i < o.fields.length; i++) {
    const ecn = ORDER[o.order1 ? 1 : 0][i]!;
    const had = acc.delivered[ecn - 1]!;
    // 24 bits of it, as a signed difference
    const delta = ((o.fields[i]! - bytesInit(ecn) - had) << 8) >> 8;
    acc.delivered[ecn - 1] = had + delta;
    if (delta === 0) continue;
    if (delta < 0 || (ecn !== estimate && changed)) {
      valid = false;
      ambiguous = true;
    }
    if (ecn !== estimate && !changed) {
      acc.estimate = ecn;
      changed = true;
    }
  }
  if (ambiguous) acc.estimate = 0;
  return valid;
}
