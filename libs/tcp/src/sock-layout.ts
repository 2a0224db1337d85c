import { NEVER } from '@skbus/skb';
import { Conn } from './conn.ts';
import { slotted } from './slab.ts';
import { TIMER_SLOTS } from './timers.ts';

/**
 * Positions (sequence.ts), times and counts of a sock that do not stay small. Those that one segment needs stand together:
 * they are fetched a line of eight at a time.
 */
export const SOCK_NUMBERS = {
  ...TIMER_SLOTS,
  // ---- receiving
  rcvNxt: 0,
  rcvAck: 0,
  /** rcvAck when the last ACK was sent (rcv_wup). */
  rcvWup: 0,
  /** What was received beyond it then and not confirmed. */
  wupUnconfirmed: 0,
  /** The right edge that was advertised; never moves back. */
  rcvAdv: 0,
  /** First position the application has not read (copied_seq). */
  rcvRead: 0,
  /** What the window may open to now, grows towards the buffer (rcv_ssthresh). */
  rcvSsthresh: 0,
  tsRecent: 0,
  /** When tsRecent was taken, NEVER: not valid. */
  tsRecentMs: NEVER,
  lastRcvMs: 0,
  atoMs: 0,
  /** The echoed timestamp that was measured last: one sample per echo. */
  rcvRttTsEcr: 0,
  /** DRS (tcp_rcv_space_adjust) */
  rcvRttMs: 0,
  rcvRttSeq: 0,
  rcvRttStartMs: 0,
  rcvSpaceSeq: 0,
  rcvSpaceMs: 0,
  // ---- both directions
  sndUna: 0,
  sndNxt: 0,
  /** The position after the last byte that is here to be sent. */
  sndTail: 1,
  iss: 0,
  irs: 0,
  tsOffset: 0,
  /** How far the application has written. */
  sndTo: 0,
  sndLimit: 0,
  bytesReceived: 0,
  /** Our FIN goes at this position, -1: not closed yet. The bytes before it may still be on their way to us. */
  finAt: -1,
  /** Position of the peer's FIN, -1: none seen. */
  finRcvdAt: -1,
  viewSentMs: Number.NEGATIVE_INFINITY,
  /** A duplicate to report (RFC 2883); start === end: none. */
  dsackStart: 0,
  dsackEnd: 0,
  lastAckMs: 0,
  // ---- sending
  sndWl1: 0,
  /** The position after our urgent byte (snd_up); acknowledged: there is none. */
  sndUp: 0,
  /** End of the last segment below the MSS, for Nagle as Minshall has it. */
  sndSml: 0,
  /** End of the last segment with PSH. */
  pushedSeq: 1,
  lastSndMs: 0,
  delivered: 0,
  /** Of those, by ACKs that echoed a mark (RFC 3168). */
  deliveredCe: 0,
  bytesSent: 0,
  bytesAcked: 0,
  /** Bytes per second, 0: not known yet (sk_pacing_rate). */
  pacingRate: 0,
  /** When the next segment may leave, if they are spaced (tcp_wstamp_ns). */
  wstampMs: 0,
  cwndStampMs: 0,
  cwndUsageSeq: 0,
  highSeq: 0,
  /** When the first retransmission since all was well was sent, or the SYN; 0: none (retrans_stamp). */
  retransStampMs: 0,
  probesStartMs: 0,
  oowAckMs: Number.NEGATIVE_INFINITY,
  bytesRetrans: 0,
  maxPacingRate: Number.POSITIVE_INFINITY,
  rcvSpace: 0,
  /** A TCP that died may have sent this far; 0: this one made the connection itself. */
  sentBefore: 0,
  /** A socket layer that adopted it has yet to confirm the bytes below, though the one before it had; 0: it has. */
  regainTo: 0,
};

const SOCK_FLAGS = {
  /** Destroyed: not in the table of socks any more. */
  gone: false,
  /** close() was called: nobody reads any more (SOCK_DEAD). */
  orphan: false,
  rcvShutdown: false,
  sndShutdown: false,
  haveChild: true,
  accepted: true,
  /** Its socket layer died, and no new one has adopted it yet: nobody is told anything. */
  detached: false,
  /** A writer sleeps until there is room. */
  writerWaits: false,
  finConfirmed: false,
  finAcked: false,
  /** The answer to opSeq is not there yet: a route is being asked. */
  opBusy: false,
  /** It went on as a TIME-WAIT. */
  inTimeWait: false,
  tsOk: false,
  sackOk: false,
  wscaleOk: false,
  cwndLimited: false,
  /** Segments are spaced by that rate (sk_pacing_status). */
  pacing: false,
  /** The last bytes came with MSG_MORE, so they get no PSH. */
  wroteMore: false,
  /** TCP_NODELAY was just set: what is here goes, corked or not (TCP_NAGLE_PUSH). */
  nonaglePush: false,
  /** SO_RCVBUF and SO_SNDBUF were set: no auto-tuning. */
  rcvbufLocked: false,
  sndbufLocked: false,
  /** TCP_CONGESTION was set: children keep it (icsk_ca_setsockopt). */
  ccChosen: false,
  explicitPort: false,
  /** IP_BIND_ADDRESS_NO_PORT */
  bindNoPort: false,
  /** In the port table. */
  hasPort: false,
  reuseAddr: false,
  reusePort: false,
  nodelay: false,
  cork: false,
  keepalive: false,
  /** The path's MTU is below minPmtu, so packets may be fragmented (RTAX_MTU locked). */
  pmtuLocked: false,
  recvErr: false,
  /** TCP_THIN_LINEAR_TIMEOUTS */
  thinLto: false,
  fastopenNoCookie: false,
};

/** What TcpSock keeps in a slot of `cx.slab`, and its booleans. */
export const SockLayout = slotted(Conn, SOCK_NUMBERS, SOCK_FLAGS);
