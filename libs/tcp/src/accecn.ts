import { TCP_AE, TCP_CWR, TCP_ECE, type AccEcnOption } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import { ECN_SEEN, INET_ECN_CE, INET_ECN_ECT_0, INET_ECN_NOT_ECT } from './ecn-field.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';

/**
 * Accurate ECN (RFC 9768, include/net/tcp_ecn.h): the receiver counts the segments that came with CE and tells the count,
 * modulo 8, in three header bits of every segment; an option tells bytes per codepoint. This is the handshake and the
 * receiver's half; accecn-ack.ts reads what the peer tells.
 */

/** The three bits: AE, CWR and ECE. */
export const TCP_ACE = TCP_AE | TCP_CWR | TCP_ECE;
/** ACE counts from here, so that a zeroed field is seen (RFC 9768 3.2.1). */
export const CEP_INIT = 5;
export const ACE_MASK = 7;
/** So many marks that our ACKs have not told yet are told at once: ACE must not wrap unseen. */
const ACE_MAX_DELTA = 6;
/** Of the three byte counters, by codepoint less one: ECT(1), ECT(0), CE. */
const BYTES_INIT = [1, 1, 0] as const;
/** An option with counters is due once per so many bytes of a codepoint, 2^22. */
const BYTES_PER_OPTION = 0x40_0000;
const OPTION_SPACE = 40;

// accecn_fail_mode: what of the feedback the path, or the peer, is seen to spoil
export const ACE_FAIL_RECV = 1;
export const OPT_FAIL_SEND = 2;
export const OPT_FAIL_RECV = 4;

// saw_accecn_opt
export const OPT_NOT_SEEN = 0;
export const OPT_EMPTY_SEEN = 1;
export const OPT_COUNTER_SEEN = 2;
export const OPT_FAIL_SEEN = 3;

/** net.ipv4.tcp_ecn_option: 1 sends the option when there is news, 2 with every segment. */
const OPTION_FULL = 2;

/** What AccECN keeps of a connection. */
export class AccEcn {
  /** Our SYN offers it; the answer is not here yet. */
  pending = false;
  /** Segments that came with CE (r.cep), and those of them that no segment of ours has told. */
  receivedCe = 0;
  pendingCe = 0;
  /** Payload that came, and that arrived at the peer, by codepoint less one (r.e1b, r.e0b, r.ceb; s.…). */
  readonly received = [0, 0, 0];
  readonly delivered = [0, 0, 0];
  /** Counters that the next option must have at least. */
  minFields = 0;
  /** Segments that carry the option in any case. */
  demand = 0;
  /** The codepoint that acknowledged bytes are taken to have had where no option tells; 0: unknown. */
  estimate = 0;
  /** Mean of the segments that an ACK is for, in 1/64 (pkts_acked_ewma). */
  ackedMean = 0;
  /** The codepoint of the segment before. */
  prevEcn = INET_ECN_NOT_ECT;
  /** Codepoints that the peer's SYN (SYN-ACK) came with and that ours left with. */
  synRcv = INET_ECN_NOT_ECT;
  synSnt = INET_ECN_NOT_ECT;
  fail = 0;
  sawOption = OPT_NOT_SEEN;
  optionMs = 0;
  /** The duplicate that was reported together with an option. */
  dsackStart = 0;
  dsackEnd = 0;
}

/** tcp_accecn_ace() */
export const aceOf = (flags: number): number => (flags >>> 6) & ACE_MASK;
const aceFlags = (ace: number): number => (ace & ACE_MASK) << 6;

/** RFC 9768 3.1.2: any combination but none and RFC 3168's is taken for an offer, also one of a later protocol. */
export const accEcnRequested = (flags: number): boolean => aceOf(flags) !== 0 && aceOf(flags) !== 3;

/** tcp_accecn_reflector_flags(): SYN-ACK and the handshake's last ACK tell the codepoint that arrived (RFC 9768 table 2). */
const REFLECTED = [2, 3, 4, 6] as const;
export const reflectorFlags = (ecn: number): number => aceFlags(REFLECTED[ecn & 3]!);

/** tcp_accecn_extract_syn_ect(): the other way round; an undefined value is taken for a valid codepoint. */
const SYN_ECT = [2, 1, 0, 1, 2, 1, 3, 1] as const;

/** tcp_ect_transition_valid(): routers mark ECT as CE and do nothing else to the field. */
const validTransition = (sent: number, got: number): boolean =>
  got === sent || (sent !== INET_ECN_NOT_ECT && got !== INET_ECN_NOT_ECT && sent !== INET_ECN_CE);

/** tcp_accecn_validate_syn_feedback() (RFC 9768 3.2.2.3): on a path that mangles the field no mark means anything. */
function validFeedback(cx: TcpContext, acc: AccEcn, ace: number): boolean {
  if (!cx.sysctl.tcpEcnFallback || validTransition(acc.synSnt, SYN_ECT[ace & ACE_MASK]!)) return true;
  acc.fail |= ACE_FAIL_RECV;
  return false;
}

/** tcp_accecn_option_init() (RFC 9768 3.2.3.2.4): the first counters are not zero, unless a middlebox zeroed them. */
export function sawOption(acc: AccEcn, o: AccEcnOption | undefined): void {
  if (o === undefined || acc.sawOption >= OPT_COUNTER_SEEN) return;
  if (o.fields.length === 0) acc.sawOption = OPT_EMPTY_SEEN;
  else if (o.fields[0] === 0 || o.fields[2] === 0) acc.sawOption = OPT_FAIL_SEEN;
  else acc.sawOption = OPT_COUNTER_SEEN;
  if (acc.sawOption === OPT_FAIL_SEEN) acc.fail |= OPT_FAIL_RECV;
}

/** RFC 9768 3.1.3: reserved in a SYN-ACK; taken for AccECN of a later kind, and for "your SYN arrived unchanged". */
const ACE_RESERVED = 5;

/** tcp_ecn_rcv_synack(): the server's answer is AccECN (RFC 9768 table 2). */
export function accEcnRcvSynAck(cx: TcpContext, acc: AccEcn, seg: Segment): void {
  const ace = aceOf(seg.flags);
  acc.pending = false;
  acc.synRcv = acc.prevEcn = seg.ipEcn;
  if (seg.accecn !== undefined) {
    sawOption(acc, seg.accecn);
    acc.demand = 2;
  }
  if ((ace === ACE_RESERVED || validFeedback(cx, acc, ace)) && seg.ipEcn === INET_ECN_CE) {
    acc.receivedCe++;
    acc.pendingCe++;
  }
}

/** tcp_check_req(): another segment for the request, which may be the SYN once more, or its last ACK. */
export function accEcnRequest(acc: AccEcn, seg: Segment): void {
  if (seg.syn) {
    acc.synRcv = seg.ipEcn;
    // RFC 9768 3.1.5: the peer gave up on ECN, so nothing of ours is marked as capable of it
    if (aceOf(seg.flags) === 0) acc.fail |= ACE_FAIL_RECV;
  }
  sawOption(acc, seg.accecn);
}

/** tcp_ecn_openreq_child(), tcp_accecn_third_ack(): the handshake's last ACK tells how our SYN-ACK arrived. */
export function accEcnChild(cx: TcpContext, sk: TcpSock, acc: AccEcn, seg: Segment): void {
  const ace = aceOf(seg.flags);
  sk.accecn = acc;
  acc.prevEcn = acc.synRcv;
  acc.demand = 1;
  if (ace === 0) {
    acc.fail |= ACE_FAIL_RECV;
  } else if (seg.len === 0 && !seg.syn && seg.sack.length === 0 && ace !== 1 && ace !== 5 && ace !== 7) {
    if (validFeedback(cx, acc, ace) && SYN_ECT[ace] === INET_ECN_CE && sk.deliveredCe === 0) sk.deliveredCe++;
  }
  accEcnReceived(sk, acc, seg);
}

/** tcp_ecn_received_counters(): a segment came, whether or not it carries data. */
export function accEcnReceived(sk: TcpSock, acc: AccEcn, seg: Segment): void {
  const ecn = seg.ipEcn;
  const ce = ecn === INET_ECN_CE;
  if (ecn !== INET_ECN_NOT_ECT) {
    sk.ecnFlags |= ECN_SEEN;
    if (ce) {
      const n = Math.max(1, seg.skb.gsoSegs);
      acc.receivedCe += n;
      acc.pendingCe = Math.min(acc.pendingCe + n, 15);
    }
    if (seg.len > 0) {
      const before = acc.received[ecn - 1]!;
      const now = before + seg.len;
      acc.received[ecn - 1] = now;
      acc.minFields = Math.max(acc.minFields, fieldOf(ecn));
      if (Math.floor(now / BYTES_PER_OPTION) !== Math.floor(before / BYTES_PER_OPTION)) {
        acc.demand = Math.max(acc.demand, 1);
      }
    }
  }
  const edge = acc.prevEcn !== ecn;
  if (!edge && !ce) return;
  acc.prevEcn = ecn;
  // two ACKs, the second of which shows beyond doubt what the change was to
  acc.demand = 2;
  if (edge) sk.ackOnConfirm = true;
}

/** Many marks wait to be told: the next segment is answered at once. */
export const accEcnMustTell = (acc: AccEcn): boolean => acc.pendingCe >= ACE_MAX_DELTA;

/** tcp_accecn_set_ace(), unless the flags reflect a SYN-ACK; everything but a SYN is ECN-capable (RFC 9768 3.2.2). */
export function accEcnFlags(acc: AccEcn, flags: number): number {
  if ((flags & TCP_ACE) !== 0) return flags;
  acc.pendingCe = 0;
  return flags | aceFlags(acc.receivedCe + CEP_INIT);
}

export const accEcnTos = (acc: AccEcn): number =>
  (acc.fail & ACE_FAIL_RECV) === 0 ? INET_ECN_ECT_0 : INET_ECN_NOT_ECT;

/** Which of the counters, in the order that we send them, is that of a codepoint; 1 is the first. */
const fieldOf = (ecn: number): number => (ecn === INET_ECN_CE ? 2 : ecn === INET_ECN_ECT_0 ? 3 : 1);

/** May segments have the option? Of established connections, too, the sysctl decides as it is now. */
export const maySendOption = (cx: TcpContext, acc: AccEcn): boolean =>
  !acc.pending && cx.sysctl.tcpEcnOption > 0 && (acc.fail & OPT_FAIL_SEND) === 0;

/** A peer that never sent one is not sent any (tcp_established_options: saw_accecn_opt). */
export const sendsOption = (cx: TcpContext, acc: AccEcn): boolean =>
  maySendOption(cx, acc) && acc.sawOption !== OPT_NOT_SEEN;

/** tcp_accecn_option_beacon_check() and what else makes the option go with this segment. */
export function optionDue(cx: TcpContext, sk: TcpSock, acc: AccEcn): boolean {
  if (!sendsOption(cx, acc)) return false;
  if (cx.sysctl.tcpEcnOption >= OPTION_FULL || acc.demand > 0) return true;
  const beacon = cx.sysctl.tcpEcnOptionBeacon;
  return beacon > 0 && (cx.now - acc.optionMs) * beacon >= sk.rtt.srttMs;
}

/**
 * tcp_options_fit_accecn(): how many counters, and how many SACK blocks, fit behind `used` bytes of options. At least
 * `required` counters, for which all SACK blocks but two give way. [-1, blocks]: it does not fit.
 */
export function fitOption(used: number, blocks: number, required: number): [fields: number, blocks: number] {
  for (let b = blocks; ; b--) {
    for (let n = 3; n >= required; n--) if (optionBytes(used, n, b) <= OPTION_SPACE) return [n, b];
    if (required === 0 || b <= 2) return [-1, blocks];
  }
}

/** All options together: each that ends at a word boundary fills up what the one before it left. */
export function optionBytes(used: number, fields: number, blocks: number): number {
  let n = used + 2 + 3 * fields;
  if (blocks > 0) n += 2 + 8 * blocks;
  return (n + 3) & ~3;
}

/** The first `n` counters, ECT(1) first (order 1), as they go on the wire; `received` undefined: those of a SYN-ACK. */
export function optionOf(n: number, acc: AccEcn | undefined): AccEcnOption {
  const value = (ecn: number): number => ((acc?.received[ecn - 1] ?? 0) + BYTES_INIT[ecn - 1]!) % 0x100_0000;
  return { order1: true, fields: [1, INET_ECN_CE, INET_ECN_ECT_0].slice(0, n).map(value) };
}

/** The option has been put into a segment, perhaps together with a report of a duplicate. */
export function optionSent(cx: TcpContext, sk: TcpSock, acc: AccEcn): void {
  acc.minFields = 0;
  acc.optionMs = cx.now;
  if (acc.demand > 0) acc.demand--;
  acc.dsackStart = sk.dsackStart;
  acc.dsackEnd = sk.dsackEnd;
}

/** tcp_rcv_spurious_retrans(): the report of this duplicate carried an option and was lost, again: some box drops them. */
export function accEcnSpurious(acc: AccEcn, start: number, end: number): void {
  if (acc.dsackEnd > acc.dsackStart && acc.dsackStart === start && acc.dsackEnd === end) acc.fail |= OPT_FAIL_SEND;
}

/** Where the counters of a peer's option start. */
export const bytesInit = (ecn: number): number => BYTES_INIT[ecn - 1]!;
