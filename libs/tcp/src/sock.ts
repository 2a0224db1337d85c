import type { Ipv4Addr, Millis, SkCmd, SkId } from '@skbus/skb';
import { CA_OPEN, SSTHRESH_INFINITE, type CongestionControl, type CongestionState } from './cong/cong.ts';
import type { AccEcn } from './accecn.ts';
import type { CeEcho } from './ce-echo.ts';
import type { ChronoState } from './chrono.ts';
import type { Conn } from './conn.ts';
import { LossState } from './loss-state.ts';
import type { RecordEnds } from './eor.ts';
import type { FastOpen } from './fastopen.ts';
import { NO_OFO } from './ofo-queue.ts';
import type { BindOwner } from './port-table.ts';
import type { ReqskQueue } from './reqsk-queue.ts';
import { Pending } from './rto-arm.ts';
import type { RateState } from './rate.ts';
import type { RtoStats } from './rto-stats.ts';
import { RttEstimator } from './rtt.ts';
import { NO_RTX } from './rtx-queue.ts';
import { NO_BLOCKS } from './sack-out.ts';
import { SendQueue } from './send-queue.ts';
import type { Slab } from './slab.ts';
import type { SmallQueue } from './small-queue.ts';
import { SockLayout } from './sock-layout.ts';
import { TCP_INIT_CWND, TCP_MSS_DEFAULT } from './sysctl.ts';
import { NO_UNCONFIRMED } from './unconfirmed.ts';
import type { MtuProbe } from './mtu-probe.ts';
import type { Urgent } from './urgent.ts';

/**
 * One connection or listener (struct tcp_sock), with the variables of RFC 9293 3.3.1 under their names.
 *
 * Sequence numbers are positions (sequence.ts): 0 is the SYN, 1 the first byte. Send side:
 *
 * ```
 *        sndUna        sndNxt          sndTail          sndTo + 1
 *  ────────┼─────────────┼───────────────┼─────────────────┼──▶
 *  acked   │ in flight   │ not sent yet  │ not here yet    │
 * ```
 *
 * Receive side. `rcvAck` is what makes this TCP different: only what the socket layer has confirmed is acknowledged.
 *
 * ```
 *      rcvRead       rcvAck          rcvNxt             rcvAdv
 *  ───────┼────────────┼───────────────┼──────────────────┼──▶
 *  read   │ confirmed  │ passed up     │ may be sent      │
 * ```
 */
export class TcpSock extends SockLayout implements BindOwner, CongestionState {
  readonly id: SkId;

  // ---- what nearly every segment touches; the rest of it is in SockLayout
  /** In the list of socks that flush() visits. */
  dirty = false;
  viewDirty = false;
  ackPending = false;
  /** Send at the next flush. */
  ackNow = false;
  /** Send as soon as the socket layer has confirmed more: a hole was just filled. */
  ackOnConfirm = false;
  /** ICSK_ACK_NOMEM: what came was dropped for want of memory. */
  ackNoMem = false;
  /** The last ACK offered no window. */
  advertisedZero = false;
  /** The peer was just heard from: tell the neighbour with the next packet. */
  confirmNeigh = false;
  /** The last bytes came with MSG_MORE and no ACK came since, so they wait. */
  more = false;
  rcvMss = TCP_MSS_DEFAULT;
  lastSegSize = 0;
  quickAcks = 0;
  pingpong = 0;
  /** ICSK_ACK_PUSHED, ICSK_ACK_PUSHED2: one or more ends of the peer's writes came since the last ACK. */
  ackPushed = 0;
  /** Duplicate ACKs owed for segments out of order. */
  dupAcksOwed = 0;
  rcvWscale = 0;
  sndWscale = 0;
  rcvbuf: number;
  windowClamp = 0;
  /** SO_RCVLOWAT */
  rcvLowat = 1;
  advMss = TCP_MSS_DEFAULT;
  /** Raw window of the last segment, for header prediction (tp->pred_flags). */
  predWindow = -1;
  sndWnd = 0;
  /** ECN_OK … (ecn.ts), 0: not in use. */
  ecnFlags = 0;
  segsIn = 0;
  dataSegsIn = 0;
  segsOut = 0;
  /** How often what is unconfirmed was said again without an answer. */
  seamTries = 0;
  viewRepeats = 0;
  /** The view's levels that only change a few times, as last sent: they are repeated for safety. */
  viewKey = -1;
  /** The program that it belongs to (SkCmd.owner); 0: it dies with the socket layer. */
  owner = 0;
  opSeq = 0;
  opErrno = 0;
  caState = CA_OPEN;
  ofo = NO_OFO;
  sackBlocks = NO_BLOCKS;
  unconfirmed = NO_UNCONFIRMED;
  /** Bytes that are confirmed and not read: a new socket layer needs them again. */
  unread: SendQueue | undefined = undefined;
  readonly sendQueue = new SendQueue();
  /** The peer's urgent byte, until it is read past. */
  urgent: Urgent | undefined = undefined;
  /** AccECN (RFC 9768) was negotiated, or is being. */
  accecn: AccEcn | undefined = undefined;
  /** Only where each change of the marks is echoed. */
  ceEcho: CeEcho | undefined = undefined;
  /** ACK compression: ACKs held back, the hole they are for, and how many went at once; up to where holes were filled last. */
  compressed: { acks: number; rcvNxt: number; dups: number; filledTo: number } | undefined = undefined;
  /** What it has to do with TCP Fast Open, if anything. */
  fastopen: FastOpen | undefined = undefined;
  /** The search for a larger path MTU (RFC 4821), when there is one. */
  mtup: MtuProbe | undefined = undefined;
  /** IP_MTU_DISCOVER, -1: as ip_no_pmtu_disc says. */
  pmtuDisc = -1;
  tos = 0;
  ttl = 0;
  oif = 0;
  priority = 0;
  mark = 0;
  err = 0;
  softErr = 0;
  /** Segments (tp->packets_out …). */
  packetsOut = 0;
  sackedOut = 0;
  lostOut = 0;
  retransOut = 0;
  cwnd = TCP_INIT_CWND;

  // ---- address and options
  boundAddr: Ipv4Addr = 0;
  /** 0: the sysctl's, here and in the next ones. */
  keepIdleMs = 0;
  keepIntvlMs = 0;
  keepCnt = 0;
  synCnt = 0;
  userTimeoutMs = 0;
  linger2Ms = 0;
  userMss = 0;
  notsentLowat = 0;
  sndbuf: number;

  // ---- what the socket layer asked, and what it knows (seam.ts)
  /** The command being run while it waits. */
  opCmd: SkCmd | undefined = undefined;
  /** The number of the newest record, and of the newest that the socket layer has (SkRecord); 0: there is none. */
  recordSeq = 0;
  recordGot = 0;
  // a child's way to the accept queue
  listener: TcpSock | undefined = undefined;
  /** The headers of a child's SYN (TCP_SAVE_SYN), until the socket layer has them. */
  savedSyn: Uint8Array | undefined = undefined;
  // a listener's
  backlog = 0;
  ackBacklog = 0;
  reqCount = 0;
  reqskQueue: ReqskQueue | undefined = undefined;
  /** Children not accepted and requests; made by listen(). */
  children: Set<TcpSock> | undefined = undefined;
  requests: Set<Conn> | undefined = undefined;

  // ---- send sequence space
  maxWindow = 0;
  /** Of what is in the send queue and was not sent yet; made with the first record. */
  recordEnds: RecordEnds | undefined = undefined;
  rtx = NO_RTX;
  /** What of it is below TCP; made when the first data is sent. */
  smallQueue: SmallQueue | undefined = undefined;
  /** What a segment may carry, without timestamps (mss_cache). */
  mssCache = TCP_MSS_DEFAULT;
  /** The peer's MSS option (mss_clamp). */
  mssClamp = TCP_MSS_DEFAULT;
  mtu = 1500;

  // ---- loss recovery and congestion
  cc: CongestionControl;
  ssthresh = SSTHRESH_INFINITE;
  cwndCnt = 0;
  cwndClamp = SSTHRESH_INFINITE;
  caPriv: unknown = undefined;
  reordering: number;
  priorCwnd = 0;
  /** Made when the first data is sent. */
  rate: RateState | undefined = undefined;
  chrono: ChronoState | undefined = undefined;
  prrDelivered = 0;
  prrOut = 0;
  maxPacketsOut = 0;
  private lossState: LossState | undefined = undefined;
  /** The most in flight since cwndStampMs, while less than the window is used (snd_cwnd_used). */
  cwndUsed = 0;
  readonly rtt = new RttEstimator();
  retransmits = 0;
  backoff = 0;
  rtoStats: RtoStats | undefined = undefined;
  /** What the Retrans timer is for. */
  pending: Pending = Pending.None;
  probesOut = 0;

  // ---- for tcp_info
  dataSegsOut = 0;
  totalRetrans = 0;
  dsackDups = 0;
  rcvOoopack = 0;

  constructor(
    id: SkId,
    slab: Slab,
    defaults: { rcvbuf: number; sndbuf: number; reordering: number; cc: CongestionControl },
  ) {
    super();
    slab.take(this);
    this.id = id;
    this.rcvbuf = defaults.rcvbuf;
    this.sndbuf = defaults.sndbuf;
    this.reordering = defaults.reordering;
    this.cc = defaults.cc;
  }

  /** Made when first needed: a connection that never sent data has none. */
  get loss(): LossState {
    return (this.lossState ??= new LossState());
  }

  /** A tail loss probe is out. */
  get tlpOut(): boolean {
    return this.lossState !== undefined && this.lossState.tlpHighSeq > 0;
  }

  /** Segments ever found lost. */
  get everLost(): number {
    return this.lossState === undefined ? 0 : this.lossState.lost;
  }

  /** How often reordering was seen. */
  get reordSeen(): number {
    return this.lossState === undefined ? 0 : this.lossState.reordSeen;
  }

  override deadline(): Millis {
    return this.nextTimer;
  }

  /** More to be sent. */
  write(data: Uint8Array): void {
    this.sendQueue.append(data);
    this.sndTail = 1 + this.sendQueue.end;
  }

  /** All below `to` is acknowledged, whether or not it is here. */
  skipTo(to: number): void {
    this.sendQueue.skipTo(to);
    this.sndTail = 1 + this.sendQueue.end;
  }

  /** All bytes before the FIN are here, so it can be sent. */
  get finReady(): boolean {
    return this.finAt >= 0 && this.finAt === this.sndTail;
  }

  get finSent(): boolean {
    return this.finAt >= 0 && this.sndNxt > this.finAt;
  }

  /** Something waits to be sent for the first time (tcp_send_head). */
  get hasUnsent(): boolean {
    return this.sndTail > this.sndNxt || (this.finReady && !this.finSent);
  }

  /** The application has more to write than there is room for (SOCK_NOSPACE). */
  get noSpace(): boolean {
    return this.writerWaits || this.sndTo >= this.sndTail;
  }

  /** The end of the peer's window (tcp_wnd_end). */
  get sndWndEnd(): number {
    return this.sndUna + this.sndWnd;
  }

  /** ECN was negotiated (TCP_ECN_OK). */
  get ecnOk(): boolean {
    return (this.ecnFlags & 1) !== 0;
  }

  /** tcp_packets_in_flight() */
  get inFlight(): number {
    return this.packetsOut - this.sackedOut - this.lostOut + this.retransOut;
  }

  /** What the peer may still send (tcp_receive_window). */
  get rcvWindow(): number {
    return Math.max(0, this.rcvAdv - this.rcvNxt);
  }
}
