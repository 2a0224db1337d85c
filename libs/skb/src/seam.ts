import type { Ipv4Addr } from './addr.ts';
import type { Millis } from './time.ts';

/**
 * The contract between the socket layer (`struct socket`: fds, accept queues, the application's bytes) and a
 * transport (TCP or UDP: the protocol engine). See docs/adr/0004-socket-seam.md.
 *
 * Three rules make every message safe to lose, double or reorder:
 * 1. **Operations are numbered per socket** (`opSeq` 1, 2, 3 …), one outstanding at a time. The socket layer repeats an
 *    operation until an event carries `opAck >= opSeq`; the transport runs each number once and repeats its answer.
 * 2. **Stream data is addressed by absolute offsets**: byte 0 is the first byte after the SYN. The receiver takes what
 *    is new and in order, and says how far it got in its view.
 * 3. **Views are levels, not edges**: each side's view states all it wants the other to know; the newest wins (offsets
 *    only grow). Whoever has something unconfirmed repeats its view, and what is missing, on a timer.
 *
 * TCP acknowledges to the peer only what the socket layer has confirmed (`SkView.rcvGot`); the socket layer frees sent
 * bytes only when the peer has acknowledged them (`ProtoView.sndUna`). So either side can be rebuilt from the other.
 *
 * When the socket layer is started anew, its sockets stay in the transport, silent, until the new one adopts them (`SkAdopt`) on
 * behalf of the program they belong to (`SkCmd.owner`). What nobody adopts is reset after a while. See docs/adr/0010-gateway-death.md.
 */

/** Socket ids are chosen by who makes the socket: the socket layer even ones, a transport (for children) odd ones. */
export type SkId = number;

/** Option values that travel with create/connect/listen and by setsockopt; absent: the default. */
export interface SkOptions {
  nodelay?: boolean;
  cork?: boolean;
  keepalive?: boolean;
  keepIdleMs?: Millis;
  keepIntvlMs?: Millis;
  keepCnt?: number;
  /** Receive buffer in bytes as Linux's SO_RCVBUF reports it (already doubled). */
  rcvbuf?: number;
  sndbuf?: number;
  maxSeg?: number;
  synCnt?: number;
  userTimeoutMs?: Millis;
  linger2Ms?: Millis;
  windowClamp?: number;
  quickack?: boolean;
  congestion?: string;
  /** SO_MAX_PACING_RATE, bytes per second; 0: no limit. */
  maxPacingRate?: number;
  /** Bytes not sent yet up to which the socket is writable; 0: the sysctl's. */
  notsentLowat?: number;
  tos?: number;
  ttl?: number;
  reuseAddr?: boolean;
  reusePort?: boolean;
  broadcast?: boolean;
  /** TCP_DEFER_ACCEPT as a number of SYN-ACK timeouts. */
  deferAccept?: number;
  /** TCP_SAVE_SYN: 1 from the IP header on, 2 with the link layer's. */
  saveSyn?: number;
  /** IP_BIND_ADDRESS_NO_PORT */
  bindNoPort?: boolean;
  /** TCP_FASTOPEN: how many connections a listener has that were opened by data, before the handshake is done. */
  fastopen?: number;
  /** TCP_FASTOPEN_NO_COOKIE */
  fastopenNoCookie?: boolean;
  /** TCP_FASTOPEN_KEY: 16 bytes, or 32 (the key in use, and one that is still accepted). */
  fastopenKey?: Uint8Array;
  rcvLowat?: number;
  /** IP_MTU_DISCOVER: IP_PMTUDISC_* */
  pmtuDisc?: number;
  /** IP_RECVERR: ICMP errors count at once, not only when the connection fails. */
  recvErr?: boolean;
  priority?: number;
  mark?: number;
  thinLto?: boolean;
}

export interface SkBind {
  addr: Ipv4Addr;
  port: number;
}
export interface SkListen {
  backlog: number;
}
/** MSG_FASTOPEN: bytes that may go with the SYN (RFC 7413). How many did, ProtoView.sndGot says. */
export interface SkFastOpen {
  data: Uint8Array;
  /** TCP_FASTOPEN_CONNECT: if data could go with the SYN, send nothing; the answer is ENODATA, and connect comes again. */
  defer?: boolean;
}
export interface SkConnect {
  addr: Ipv4Addr;
  port: number;
  fastopen?: SkFastOpen | null;
}
/** how: SHUT_RD, SHUT_WR, SHUT_RDWR. Sending stops after `sndTo` of the view that comes with it. */
export interface SkShutdown {
  how: number;
}
/** The fd is gone. `abort`: reset now (SO_LINGER 0, or unread data was thrown away: RFC 2525 2.17). */
export interface SkClose {
  abort: boolean;
}
/** One datagram to send; addr 0: the connected peer. Not an operation: may be lost like any datagram. */
export interface SkDgram {
  addr: Ipv4Addr;
  port: number;
  data: Uint8Array;
}

/** What the socket layer wants the transport to know (absolute, only grows). Offsets in bytes. */
export interface SkView {
  /** Bytes below this offset have been written by the application. */
  sndTo: number;
  /** Received stream: all bytes below are safely with the socket layer. TCP may acknowledge them. */
  rcvGot: number;
  /** Received stream: all bytes below were read by the application. Opens the window. UDP: the same, in receive-buffer bytes. */
  rcvRead: number;
  /** The peer's FIN has reached the socket layer. */
  finGot: boolean;
  /** For a child: it sits in an accept queue (TCP stops repeating `child`). */
  haveChild: boolean;
  /** For a child: the application has accepted it (leaves the backlog). */
  accepted: boolean;
  /** A writer waits: for room (SOCK_NOSPACE), or for the handshake (sk_write_pending). */
  noSpace?: boolean;
  /** Bytes from here on have come, those between `rcvGot` and this have not. Said once for each `rcvGot`; absent or 0: no news. */
  rcvGapTo?: number;
  /** Where the newest urgent byte ends (MSG_OOB), absent or 0: there was none. */
  urgTo?: number;
  /** The number of the newest record that is here (SkRecord.seq), absent or 0: none. */
  recordSeq?: number;
}

/**
 * What a transport needs, besides the offsets, to go on with a connection after its process died: the two ISNs, what the
 * handshake agreed on. Only the transport reads it; the socket layer keeps the newest one and hands it to a new transport
 * with SkRestore. Repeated with every view until SkView.recordSeq confirms it.
 */
export interface SkRecord {
  /** 1, 2, 3 … per socket; the newest wins. */
  seq: number;
  /** Empty: what it was about is over, forget it. */
  data: Uint8Array;
  /** It is about no socket (a half-open connection, a TIME-WAIT): kept by itself for so long. Never confirmed. */
  keepMs?: Millis;
  /** A half-open connection: whose. */
  listener?: SkId;
}

/**
 * Socket layer → a transport that was started anew: this socket was yours. Comes with all of its options and with its view, and
 * is repeated until an event says `restored` or `unknown`. Operations go on from `opSeq`.
 */
export interface SkRestore {
  /** Which transport is meant (SkEvt.hello): what was on its way to one that died, too, is not for the next. */
  to: number;
  /** The last operation whose end is known. */
  opSeq: number;
  /** The newest record, empty: it has no connection. */
  record: Uint8Array;
  /** The state as last heard of. */
  state: number;
  bind?: SkBind | null;
  /** It listens. */
  listen?: SkListen | null;
  /** A child that was not accepted, or a half-open connection: its listener; absent or 0: none. */
  listener?: SkId;
  /** Sent stream: acknowledged by the peer, as last heard of; and the most that the transport ever had. */
  sndUna: number;
  sndMax: number;
  sndbuf: number;
  /** SHUT_RD + 1 | SHUT_WR + 1, of operations that have ended; and close(). */
  shutdown: number;
  closed: boolean;
  /** Our FIN was acknowledged. */
  finAcked: boolean;
  urgAt?: number;
  urgByte?: number;
  /** How long ago a record that is kept by itself came. */
  ageMs?: Millis;
}

/**
 * getsockopt() of what the transport knows. It changes nothing, so it is no operation: it may be lost, asked again and
 * answered twice. Asked when no operation is outstanding, so that it sees what was set before.
 */
export interface SkQuery {
  /** Comes back with the answer. */
  id: number;
  level: number;
  name: number;
}

/**
 * A socket layer that was started anew takes over a socket of the one before. Like a query it may be asked and answered twice;
 * it waits while an operation runs. First come the bytes in flight (`SkEvt.sent`), then `SkEvt.adopted` with a view, then what
 * was received and not read.
 */
export interface SkAdopt {
  /** Who made the socket (`SkCmd.owner`); for anybody else there is no such socket. */
  owner: number;
  /** The program has all received bytes below. */
  rcvRead: number;
  /** Of a listener: announce its children that nobody has adopted (`SkEvt.child`). Asked when all other sockets are adopted. */
  children?: boolean;
}

/** Written bytes [offset, offset + data.length). */
export interface SkData {
  offset: number;
  data: Uint8Array;
  /** The last of these bytes were written with MSG_MORE: a segment that is not full waits for what comes next. */
  more?: boolean;
  /** The last of these bytes ends a record (MSG_EOR): no segment holds bytes from before and after it. */
  eor?: boolean;
}

/** Socket layer → transport. */
export interface SkCmd {
  sk: SkId;
  /** 0: no operation in this message. */
  opSeq: number;
  /** Options in force; sent with the first operation and with setsockopt (an operation without a body of its own). */
  options?: SkOptions | null;
  bind?: SkBind | null;
  listen?: SkListen | null;
  connect?: SkConnect | null;
  shutdown?: SkShutdown | null;
  close?: SkClose | null;
  sendto?: SkDgram | null;
  view?: SkView | null;
  data?: SkData | null;
  query?: SkQuery | null;
  restore?: SkRestore | null;
  /**
   * With `sk` 0: that was all, to the transport that said so many hello. Until then a new transport must not deny what it does not
   * know.
   */
  restoreEnd?: number;
  /** After SkRestore: received bytes that the program has not read, for the day on which the socket layer dies. May be lost. */
  unread?: SkData | null;
  /**
   * With the first operation, and when it is given back: the program's number, which only it and those it trusts know. 0: the
   * socket dies with the socket layer.
   */
  owner?: number;
  adopt?: SkAdopt | null;
}

/** What the transport wants the socket layer to know. */
export interface ProtoView {
  /** TCP_ESTABLISHED … TCP_CLOSE; UDP: TCP_ESTABLISHED when connected, else TCP_CLOSE. */
  state: number;
  laddr: Ipv4Addr;
  lport: number;
  raddr: Ipv4Addr;
  rport: number;
  /** Sent stream: all bytes below are with the transport. */
  sndGot: number;
  /** Sent stream: all bytes below were acknowledged by the peer. */
  sndUna: number;
  /** Sent stream: the transport takes bytes up to here for now. */
  sndLimit: number;
  /** Received stream: the transport has passed up all bytes below. */
  rcvNxt: number;
  /** The peer has closed its side after rcvNxt. */
  finRcvd: boolean;
  /** Our FIN was acknowledged. */
  finAcked: boolean;
  /** How large the send buffer has become (sk_sndbuf). */
  sndbuf?: number;
  /** How large an skb a write fills (tcp_xmit_size_goal), and what of it would leave at once; absent: not known. */
  sndGoal?: number;
  sndBurst?: number;
  /** Sent stream: all bytes below have been sent at least once; for TCP_NOTSENT_LOWAT. */
  sndNxt?: number;
  /** sk->sk_err: a hard error (ECONNRESET, ETIMEDOUT …), 0: none. */
  err: number;
  /** sk->sk_err_soft: the last ICMP error that did not kill the connection. */
  softErr: number;
  /** The peer's newest urgent byte: its offset + 1, absent or 0: there is none that was not read past. */
  urgAt?: number;
  /** That byte + 1, absent or 0: it is not here yet. */
  urgByte?: number;
}

/** What a query came to: the value as C lays it out. */
export interface ProtoAnswer {
  id: number;
  errno: number;
  value: Uint8Array;
}

/** Received bytes [offset, offset + data.length). UDP: offset is the running sum of receive-buffer bytes before this datagram. */
export interface ProtoData {
  offset: number;
  data: Uint8Array;
}

/** A received datagram. `offset` and `charge`: where it stands in, and what it takes from, the receive buffer. */
export interface ProtoDgram {
  addr: Ipv4Addr;
  port: number;
  offset: number;
  charge: number;
  data: Uint8Array;
  /** The local address it was sent to (IP_PKTINFO). */
  daddr: Ipv4Addr;
}

/** A connection completed on a listener; repeated until the socket layer's view for `sk` says haveChild. */
export interface ProtoChild {
  listener: SkId;
  /** The headers of its SYN, if the listener asked for them (TCP_SAVE_SYN). */
  savedSyn?: Uint8Array | null;
}

/** The answer to SkAdopt. */
export interface ProtoAdopted {
  /** It was closed; what is left needs nobody. */
  orphan: boolean;
  /** What follows of received bytes starts here. */
  rcvFrom: number;
}

/** Transport → socket layer. */
export interface SkEvt {
  sk: SkId;
  /** The last operation run, and its result as errno (0: success or, for connect, in progress). */
  opAck: number;
  opErrno: number;
  /** The transport does not know this socket (it was restarted). */
  unknown?: boolean;
  view?: ProtoView | null;
  data?: ProtoData | null;
  dgram?: ProtoDgram | null;
  child?: ProtoChild | null;
  answer?: ProtoAnswer | null;
  record?: SkRecord | null;
  /** Answers SkRestore: it goes on. */
  restored?: boolean;
  adopted?: ProtoAdopted | null;
  /** Bytes that the transport has and the peer has not acknowledged, for a socket layer that adopts the socket. */
  sent?: SkData | null;
  /** With `sk` 0: a transport that was started anew asks for what the one before it had. A number that only it has. */
  hello?: number;
}
