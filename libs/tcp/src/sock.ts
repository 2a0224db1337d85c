import { NEVER, type Ipv4Addr, type Millis, type SkCmd, type SkId } from '@skbus/skb';
import { CA_OPEN, SSTHRESH_INFINITE, type CongestionControl, type CongestionState } from './cong/cong.ts';
import type { AccEcn } from './accecn.ts';
import type { CeEcho } from './ce-echo.ts';
import type { ChronoState } from './chrono.ts';
import { Conn } from './conn.ts';
import { LossState } from './loss-state.ts';
import type { RecordEnds } from './eor.ts';
import type { FastOpen } from './fastopen.ts';
import { OfoQueue } from './ofo-queue.ts';
import type { BindOwner } from './port-table.ts';
import type { ReqskQueue } from './reqsk-queue.ts';
import { Pending } from './rto-arm.ts';
import type { RateState } from './rate.ts';
import type { RtoStats } from './rto-stats.ts';
import { RttEstimator } from './rtt.ts';
import { RtxQueue } from './rtx-queue.ts';
import type { SackBlock } from './sack-out.ts';
import { SendQueue } from './send-queue.ts';
import type { SmallQueue } from './small-queue.ts';
import { TCP_INIT_CWND, TCP_MSS_DEFAULT } from './sysctl.ts';
import { TimerTable } from './timers.ts';
import { UnconfirmedQueue } from './unconfirmed.ts';
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
export class TcpSock extends Conn implements BindOwner, CongestionState {
  readonly id: SkId;
  readonly timers = new TimerTable();

  // ---- address and options
  boundAddr: Ipv4Addr = 0;
  explicitPort = false;
  /** IP_BIND_ADDRESS_NO_PORT */
  bindNoPort = false;
  /** In the port table. */
  hasPort = false;
  reuseAddr = false;
  reusePort = false;
  nodelay = false;
  cork = false;
  keepalive = false;
  /** 0: the sysctl's, here and in the next ones. */
  keepIdleMs = 0;
  keepIntvlMs = 0;
  keepCnt = 0;
  synCnt = 0;
  userTimeoutMs = 0;
  linger2Ms = 0;
  userMss = 0;
  notsentLowat = 0;
  windowClamp = 0;
  /** IP_MTU_DISCOVER, -1: as ip_no_pmtu_disc says. */
  pmtuDisc = -1;
  /** The path's MTU is below minPmtu, so packets may be fragmented (RTAX_MTU locked). */
  pmtuLocked = false;
  recvErr = false;
  priority = 0;
  mark = 0;
  /** TCP_THIN_LINEAR_TIMEOUTS */
  thinLto = false;
  tos = 0;
  ttl = 0;
  oif = 0;
  /** SO_RCVBUF and SO_SNDBUF were set: no auto-tuning. */
  rcvbufLocked = false;
  sndbufLocked = false;
  rcvbuf: number;
  sndbuf: number;

  // ---- what the socket layer asked, and what it knows (seam.ts)
  /** The program that it belongs to (SkCmd.owner); 0: it dies with the socket layer. */
  owner = 0;
  /** Its socket layer died, and no new one has adopted it yet: nobody is told anything. */
  detached = false;
  opSeq = 0;
  opErrno = 0;
  /** The answer to opSeq is not there yet: a route is being asked. */
  opBusy = false;
  /** The command being run while it waits. */
  opCmd: SkCmd | undefined = undefined;
  /** close() was called: nobody reads any more (SOCK_DEAD). */
  orphan = false;
  rcvShutdown = false;
  sndShutdown = false;
  err = 0;
  /** It went on as a TIME-WAIT. */
  inTimeWait = false;
  softErr = 0;
  /** Our FIN goes at this position, -1: not closed yet. The bytes before it may still be on their way to us. */
  finAt = -1;
  finAcked = false;
  /** Destroyed: not in the table of socks any more. */
  gone = false;
  /** In the list of socks that flush() visits. */
  dirty = false;
  viewDirty = false;
  viewSentMs: Millis = Number.NEGATIVE_INFINITY;
  /** The view's levels that only change a few times, as last sent: they are repeated for safety. */
  viewKey = -1;
  viewRepeats = 0;
  sndLimit = 0;
  readonly unconfirmed = new UnconfirmedQueue();
  /** Bytes that are confirmed and not read: a new socket layer needs them again. */
  unread: SendQueue | undefined = undefined;
  /** A socket layer that adopted it has yet to confirm the bytes below, though the one before it had; 0: it has. */
  regainTo = 0;
  /** A writer sleeps until there is room. */
  writerWaits = false;
  /** How far the application has written. */
  sndTo = 0;
  /** How often what is unconfirmed was said again without an answer. */
  seamTries = 0;
  /** The number of the newest record, and of the newest that the socket layer has (SkRecord); 0: there is none. */
  recordSeq = 0;
  recordGot = 0;
  // a child's way to the accept queue
  listener: TcpSock | undefined = undefined;
  haveChild = true;
  accepted = true;
  /** The headers of a child's SYN (TCP_SAVE_SYN), until the socket layer has them. */
  savedSyn: Uint8Array | undefined = undefined;
  // a listener's
  backlog = 0;
  ackBacklog = 0;
  reqCount = 0;
  /** What it has to do with TCP Fast Open, if anything. */
  fastopen: FastOpen | undefined = undefined;
  fastopenNoCookie = false;
  reqskQueue: ReqskQueue | undefined = undefined;
  /** Children not accepted and requests; made by listen(). */
  children: Set<TcpSock> | undefined = undefined;
  requests: Set<Conn> | undefined = undefined;

  // ---- send sequence space
  iss = 0;
  sndUna = 0;
  sndNxt = 0;
  /** A TCP that died may have sent this far; 0: this one made the connection itself. */
  sentBefore = 0;
  sndWnd = 0;
  sndWl1 = 0;
  maxWindow = 0;
  /** The position after our urgent byte (snd_up); acknowledged: there is none. */
  sndUp = 0;
  /** End of the last segment below the MSS, for Nagle as Minshall has it. */
  sndSml = 0;
  /** End of the last segment with PSH. */
  pushedSeq = 1;
  /** The last bytes came with MSG_MORE, so they get no PSH; `more`: and no ACK came since, so they wait. */
  wroteMore = false;
  more = false;
  /** TCP_NODELAY was just set: what is here goes, corked or not (TCP_NAGLE_PUSH). */
  nonaglePush = false;
  sndWscale = 0;
  readonly sendQueue = new SendQueue();
  /** Of what is in it and was not sent yet; made with the first record. */
  recordEnds: RecordEnds | undefined = undefined;
  readonly rtx = new RtxQueue();
  /** What of it is below TCP; made when the first data is sent. */
  smallQueue: SmallQueue | undefined = undefined;
  /** Segments (tp->packets_out …). */
  packetsOut = 0;
  sackedOut = 0;
  lostOut = 0;
  retransOut = 0;
  /** What a segment may carry, without timestamps (mss_cache). */
  mssCache = TCP_MSS_DEFAULT;
  /** The peer's MSS option (mss_clamp). */
  mssClamp = TCP_MSS_DEFAULT;
  mtu = 1500;
  /** The search for a larger path MTU (RFC 4821), when there is one. */
  mtup: MtuProbe | undefined = undefined;
  advMss = TCP_MSS_DEFAULT;

  // ---- receive sequence space
  irs = 0;
  rcvNxt = 0;
  rcvAck = 0;
  /** rcvAck when the last ACK was sent (rcv_wup). */
  rcvWup = 0;
  /** The right edge that was advertised; never moves back. */
  rcvAdv = 0;
  /** The last ACK offered no window. */
  advertisedZero = false;
  /** First position the application has not read (copied_seq). */
  rcvRead = 0;
  rcvWscale = 0;
  /** What the window may open to now, grows towards the buffer (rcv_ssthresh). */
  rcvSsthresh = 0;
  readonly ofo = new OfoQueue();
  sackBlocks: SackBlock[] = [];
  /** A duplicate to report (RFC 2883); start === end: none. */
  dsackStart = 0;
  dsackEnd = 0;
  /** Position of the peer's FIN, -1: none seen. */
  finRcvdAt = -1;
  finConfirmed = false;
  /** The peer's urgent byte, until it is read past. */
  urgent: Urgent | undefined = undefined;
  /** DRS (tcp_rcv_space_adjust) */
  rcvRttMs = 0;
  rcvSpace = 0;
  rcvSpaceSeq = 0;
  rcvSpaceMs: Millis = 0;
  rcvRttSeq = 0;
  rcvRttStartMs: Millis = 0;
  /** The echoed timestamp that was measured last: one sample per echo. */
  rcvRttTsEcr = 0;
  /** SO_RCVLOWAT */
  rcvLowat = 1;

  // ---- options
  tsOk = false;
  tsOffset = 0;
  tsRecent = 0;
  /** When tsRecent was taken, NEVER: not valid. */
  tsRecentMs: Millis = NEVER;
  sackOk = false;
  wscaleOk = false;

  // ---- delayed ACK (inet_csk.icsk_ack)
  ackPending = false;
  /** Send at the next flush. */
  ackNow = false;
  /** Send as soon as the socket layer has confirmed more: a hole was just filled. */
  ackOnConfirm = false;
  /** Duplicate ACKs owed for segments out of order. */
  dupAcksOwed = 0;
  quickAcks = 0;
  pingpong = 0;
  atoMs = 0;
  rcvMss = TCP_MSS_DEFAULT;
  lastSegSize = 0;
  /** ICSK_ACK_PUSHED, ICSK_ACK_PUSHED2: one or more ends of the peer's writes came since the last ACK. */
  ackPushed = 0;
  /** ICSK_ACK_NOMEM: what came was dropped for want of memory. */
  ackNoMem = false;
  /** ACK compression: ACKs held back, the hole they are for, and how many went at once. */
  compressed: { acks: number; rcvNxt: number; dups: number } | undefined = undefined;
  lastRcvMs: Millis = 0;
  ackDueMs: Millis = 0;
  oowAckMs: Millis = Number.NEGATIVE_INFINITY;

  // ---- loss recovery and congestion
  cc: CongestionControl;
  /** TCP_CONGESTION was set: children keep it (icsk_ca_setsockopt). */
  ccChosen = false;
  caState = CA_OPEN;
  cwnd = TCP_INIT_CWND;
  ssthresh = SSTHRESH_INFINITE;
  cwndCnt = 0;
  cwndClamp = SSTHRESH_INFINITE;
  caPriv: unknown = undefined;
  highSeq = 0;
  reordering: number;
  priorCwnd = 0;
  /** ECN_OK … (ecn.ts), 0: not in use. */
  ecnFlags = 0;
  /** Only where each change of the marks is echoed. */
  ceEcho: CeEcho | undefined = undefined;
  /** AccECN (RFC 9768) was negotiated, or is being. */
  accecn: AccEcn | undefined = undefined;
  /** Bytes per second, 0: not known yet (sk_pacing_rate). */
  pacingRate = 0;
  /** Segments are spaced by that rate (sk_pacing_status). */
  pacing = false;
  maxPacingRate = Number.POSITIVE_INFINITY;
  /** When the next segment may leave, if they are spaced (tcp_wstamp_ns). */
  wstampMs: Millis = 0;
  /** Made when the first data is sent. */
  rate: RateState | undefined = undefined;
  chrono: ChronoState | undefined = undefined;
  prrDelivered = 0;
  prrOut = 0;
  cwndLimited = false;
  maxPacketsOut = 0;
  cwndUsageSeq = 0;
  private lossState: LossState | undefined = undefined;
  /** The most in flight since cwndStampMs, while less than the window is used (snd_cwnd_used). */
  cwndUsed = 0;
  cwndStampMs: Millis = 0;
  readonly rtt = new RttEstimator();
  retransmits = 0;
  backoff = 0;
  /** When the first retransmission since all was well was sent, or the SYN; 0: none (retrans_stamp). */
  retransStampMs: Millis = 0;
  rtoStats: RtoStats | undefined = undefined;
  /** What the Retrans timer is for. */
  pending: Pending = Pending.None;
  probesOut = 0;
  probesStartMs: Millis = 0;

  // ---- for tcp_info
  bytesSent = 0;
  bytesRetrans = 0;
  bytesAcked = 0;
  bytesReceived = 0;
  segsOut = 0;
  segsIn = 0;
  dataSegsOut = 0;
  dataSegsIn = 0;
  totalRetrans = 0;
  delivered = 0;
  /** Of those, by ACKs that echoed a mark (RFC 3168). */
  deliveredCe = 0;
  dsackDups = 0;
  lastSndMs: Millis = 0;
  lastAckMs: Millis = 0;
  rcvOoopack = 0;
  /** The peer was just heard from: tell the neighbour with the next packet. */
  confirmNeigh = false;
  /** Raw window of the last segment, for header prediction (tp->pred_flags). */
  predWindow = -1;

  constructor(id: SkId, defaults: { rcvbuf: number; sndbuf: number; reordering: number; cc: CongestionControl }) {
    super();
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
    return this.timers.next;
  }

  /** The position after the last byte that is here to be sent. */
  get sndTail(): number {
    return 1 + this.sendQueue.end;
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
    return this.writerWaits || this.sndTo > this.sendQueue.end;
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
