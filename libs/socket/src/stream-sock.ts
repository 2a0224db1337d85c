import {
  ERRNO, type Millis, NEVER, type ProtoData, type ProtoView, type SkEvt, type SkId, type SkView, TCP_CLOSE,
  TCP_CLOSE_WAIT, TCP_CLOSING, TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_LAST_ACK, TCP_LISTEN, TCP_SYN_RECV,
  TCP_SYN_SENT, TCP_TIME_WAIT, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRNORM,
} from '@skbus/skb';
import { OpQueue } from './op-queue.ts';
import { RecvQueue } from './recv-queue.ts';
import { SendQueue } from './send-queue.ts';
import { Sock, type SockHost } from './sock.ts';
import type { SocketInfo } from './types.ts';
import { RCV_SHUTDOWN, SEND_SHUTDOWN, SHUTDOWN_MASK, TCP_RCVBUF, TCP_SNDBUF, TCP_SNDBUF_MAX } from './uapi.ts';
import { WaitQueue } from './wait.ts';

/** The longest piece of stream in one message. */
const DATA_MAX = 256 * 1024;
/** Received and unread bytes the layer holds per socket whatever the transport thinks of its window. */
const RCV_HARD_MAX = 16 * 1024 * 1024;
/** TCP_CORK's and MSG_MORE's patience (net/ipv4/tcp.c). */
const MORE_MS: Millis = 200;
const MSS_GUESS = 1460;

/** socket->state (include/uapi/linux/net.h). */
export type SocketState = 'SS_UNCONNECTED' | 'SS_CONNECTING' | 'SS_CONNECTED' | 'SS_DISCONNECTING';

/** How far along a connection each state is: a view that would go back is an old one that came late. */
const RANK: readonly number[] = (() => {
  const r: number[] = Array.from({ length: 13 }, () => 0);
  r[TCP_SYN_SENT] = 1;
  r[TCP_LISTEN] = 1;
  r[TCP_SYN_RECV] = 2;
  r[TCP_ESTABLISHED] = 3;
  r[TCP_FIN_WAIT1] = r[TCP_CLOSE_WAIT] = 4;
  r[TCP_FIN_WAIT2] = r[TCP_CLOSING] = r[TCP_LAST_ACK] = 5;
  r[TCP_TIME_WAIT] = 6;
  r[TCP_CLOSE] = 7;
  return r;
})();

/** A TCP socket as the socket layer has it: the application's bytes, the accept queue, and what TCP last said. */
export class StreamSock extends Sock {
  readonly proto = 'tcp';
  sndbuf = TCP_SNDBUF;
  rcvbuf = TCP_RCVBUF;
  /** SO_SNDBUF was set: no growth (SOCK_SNDBUF_LOCK). */
  sndbufLocked = false;
  ss: SocketState = 'SS_UNCONNECTED';
  /** bind() named the port, so it stays through a disconnect (SOCK_BINDPORT_LOCK). */
  boundTo: { addr: number; port: number } | undefined = undefined;
  backlog = 0;

  readonly snd = new SendQueue();
  readonly rcv = new RecvQueue();
  /** Received stream: how far it is here, and how far the program has read. */
  rcvGot = 0;
  rcvRead = 0;
  finGot = false;
  /** SOCK_DONE: the stream ended as it should. */
  done = false;

  /** A child: the listener it came from, until accepted. */
  parent: StreamSock | undefined = undefined;
  /** It is in its parent's accept queue. */
  offered = false;
  readonly acceptQueue: StreamSock[] = [];
  readonly connectors = new WaitQueue();
  readonly closers = new WaitQueue();

  haveChild = false;
  private accepted = false;
  /** Sent stream: as TCP confirmed, as sent to it, and as it allows. */
  private sndGot = 0;
  private sndSent = 0;
  private sndLimit = 0;
  private sentMax = 0;
  /** Only one piece at a time until TCP shows that it takes them again. */
  private probing = false;
  private finAcked = false;
  private closeAborted = false;
  /** MSG_MORE holds the tail back until then. */
  private moreUntil: Millis = NEVER;
  /** rcvRead as TCP surely knows it, and as it was when that began to be insisted on. */
  private readSure = 0;
  private readInsisted = 0;
  /** rcvRead of the last view. */
  private readSent = 0;
  /** The number of the connect or listen that the state belongs to; views from before it don't count. */
  private epochSeq = 0;
  private errSeen = false;
  private softSeen = 0;

  constructor(host: SockHost, id: SkId, isChild: boolean) {
    super(host, id, isChild ? TCP_SYN_RECV : TCP_CLOSE, isChild);
  }

  // --- what the calls need -------------------------------------------------------------------------------------------

  get established(): boolean {
    return this.state === TCP_ESTABLISHED || this.state === TCP_CLOSE_WAIT;
  }

  get opening(): boolean {
    return this.state === TCP_SYN_SENT || this.state === TCP_SYN_RECV;
  }

  /** sk_stream_error(): the pending error, else EPIPE. */
  streamError(): number {
    return this.takeErr() || ERRNO.EPIPE;
  }

  /** Room in the send buffer; grows it when TCP has taken everything there is. */
  sndSpace(): number {
    const space = this.sndbuf - this.snd.length;
    if (space > 0 || this.sndbufLocked || this.sndbuf >= TCP_SNDBUF_MAX) return space;
    if (this.sndGot < this.snd.end && this.sndLimit - this.snd.una <= this.sndbuf / 2) return space;
    this.sndbuf = Math.min(this.sndbuf * 2, TCP_SNDBUF_MAX);
    return this.sndbuf - this.snd.length;
  }

  /** sk_stream_is_writeable(): a third of the buffer is free, so that writers don't wake for crumbs. */
  get writable(): boolean {
    return this.sndbuf - this.snd.length >= this.snd.length / 2;
  }

  write(data: Uint8Array, more: boolean, now: Millis): void {
    this.snd.append(data);
    this.moreUntil = more ? now + MORE_MS : NEVER;
    this.progress = true;
    this.host.markDirty(this);
  }

  /** Bytes left the receive queue; TCP hears of it when it matters, one view per flush. */
  consumed(n: number): void {
    this.rcvRead += n;
    const opened = this.rcvRead - this.readSent;
    if (this.rcv.length > 0 && opened < Math.min(2 * MSS_GUESS, this.rcvbuf / 4)) return;
    this.touchView(false);
    this.viewSettled();
  }

  /** Unacknowledged, and not yet with TCP (SIOCOUTQ, SIOCOUTQNSD). */
  get outq(): { unacked: number; unsent: number } {
    return { unacked: this.snd.length, unsent: this.snd.end - this.sndGot };
  }

  /** A connect or listen starts: views of the time before do not speak about it. */
  beginEpoch(seq: number, state: number): void {
    this.epochSeq = seq;
    this.state = state;
    this.errSeen = false;
    this.shutdownMask = 0;
    this.done = false;
  }

  /** connect() failed, or the socket was disconnected: it may be used again. */
  backToClosed(): void {
    this.errSeen = true;
    this.ss = 'SS_UNCONNECTED';
    this.state = TCP_CLOSE;
    this.shutdownMask = 0;
    this.done = false;
    this.raddr = 0;
    this.rport = 0;
  }

  /** A child starts with its listener's options (inet_csk_clone_lock); O_NONBLOCK is not one of them. */
  inherit(parent: StreamSock): void {
    Object.assign(this.options, parent.options);
    this.sndbuf = parent.sndbufLocked ? parent.sndbuf : this.sndbuf;
    this.sndbufLocked = parent.sndbufLocked;
    this.rcvbuf = parent.rcvbuf;
    this.linger = { ...parent.linger };
    this.rcvLowat = parent.rcvLowat;
    this.rcvTimeoMs = parent.rcvTimeoMs;
    this.sndTimeoMs = parent.sndTimeoMs;
    this.ss = 'SS_CONNECTED';
  }

  /** connect() said EINPROGRESS, and then TCP could not even begin. */
  failLate(errno: number): void {
    this.state = TCP_CLOSE;
    this.err = errno;
    this.errSeen = true;
    this.shutdownMask = SHUTDOWN_MASK;
  }

  /** SHUT_WR: TCP sends its FIN after the last byte written. */
  endOfWrites(how: number): void {
    this.moreUntil = NEVER;
    this.pushOp({ shutdown: { how } });
  }

  /** TCP_NODELAY and the end of TCP_CORK push what MSG_MORE held back. */
  pushHeld(): void {
    this.moreUntil = NEVER;
    this.host.markDirty(this);
  }

  markAccepted(): void {
    this.accepted = true;
    this.parent = undefined;
    this.touchView(true);
  }

  /** Starts anew under a new id, bound as it was told to be. The old id, if TCP still has it, is aborted by a ghost. */
  reincarnate(ghost: boolean): void {
    const old = { ops: this.ops, id: this.id };
    this.ops = new OpQueue();
    this.host.rekey(this);
    this.resetStream();
    if (ghost) {
      const g = new StreamSock(this.host, old.id, true);
      g.ops = old.ops;
      this.host.insert(g);
      g.abort();
    }
    if (this.boundTo !== undefined) this.pushOp({ bind: this.boundTo });
    if (!ghost) for (const op of old.ops.takeAll()) if (op.body.bind === undefined) this.pushOp(op.body, op.done);
  }

  override wakeAll(now: Millis): void {
    super.wakeAll(now);
    this.connectors.wake(now);
    this.closers.wake(now);
  }

  // --- Sock ----------------------------------------------------------------------------------------------------------

  onEvent(evt: SkEvt, now: Millis): void {
    const v = evt.view;
    if (v) this.applyAddrs(v);
    let news = this.ops.onAck(evt.opAck, evt.opErrno, now);
    if (news) {
      this.progress = true;
      this.host.markDirty(this);
    }
    if (v && evt.opAck >= this.epochSeq && this.onView(v, now)) news = true;
    if (evt.data) {
      this.onData(evt.data, now);
      news = true;
    }
    if (v && this.onFin(v, now)) news = true;
    if (evt.child) {
      this.touchView(false);
      news = true;
    }
    if (this.orphan && this.reapable) this.free(now);
    else if (this.live) this.heard(news, now);
  }

  onUnknown(now: Millis): void {
    if (this.orphan) return this.free(now);
    if (!this.live || this.lost) return;
    const wasListening = this.state === TCP_LISTEN;
    if (this.isChild || (!wasListening && this.ss !== 'SS_UNCONNECTED' && !this.opening)) {
      this.fatal(ERRNO.ECONNRESET, now);
      return;
    }
    const again = wasListening ? { listen: { backlog: this.backlog } }
      : this.opening ? { connect: { addr: this.raddr, port: this.rport } } : undefined;
    this.reincarnate(false);
    if (again === undefined) return;
    const seq = this.pushOp(again, (errno, at) => { if (errno !== 0) this.fatal(errno, at); });
    this.beginEpoch(seq, wasListening ? TCP_LISTEN : TCP_SYN_SENT);
  }

  close(now: Millis): void {
    const aborting = this.rcv.length > 0
      || (this.linger.onoff !== 0 && this.linger.linger === 0 && this.state !== TCP_LISTEN);
    this.orphan = true;
    this.shutdownMask = SHUTDOWN_MASK;
    this.moreUntil = NEVER;
    this.rcv.clear();
    for (const child of this.acceptQueue.splice(0)) child.abort();
    if (this.lost || (!this.isChild && this.ops.last === 0)) return this.free(now);
    if (aborting || this.state === TCP_CLOSE) this.snd.clear();
    this.closeAborted = aborting;
    this.pushOp({ close: { abort: aborting } });
  }

  /** Nobody will ever read or write here: reset it (inet_csk_listen_stop does that to children nobody accepted). */
  abort(): void {
    this.parent = undefined;
    this.orphan = true;
    this.shutdownMask = SHUTDOWN_MASK;
    this.rcv.clear();
    this.snd.clear();
    this.closeAborted = true;
    this.pushOp({ close: { abort: true } });
  }

  /** tcp_poll(). */
  pollMask(): number {
    if (this.state === TCP_LISTEN) return this.acceptQueue.length > 0 ? POLLIN | POLLRDNORM : 0;
    let mask = 0;
    if (this.shutdownMask === SHUTDOWN_MASK || this.state === TCP_CLOSE) mask |= POLLHUP;
    if (this.shutdownMask & RCV_SHUTDOWN) mask |= POLLIN | POLLRDNORM | POLLRDHUP;
    if (!this.opening) {
      if (this.rcv.length >= this.rcvLowat) mask |= POLLIN | POLLRDNORM;
      if (this.shutdownMask & SEND_SHUTDOWN || this.writable) mask |= POLLOUT | POLLWRNORM;
    }
    if (this.err !== 0) mask |= POLLERR;
    return mask;
  }

  info(): SocketInfo {
    const listening = this.state === TCP_LISTEN;
    return { sk: this.id, proto: 'tcp', proc: this.proc, fd: this.fd, state: this.state,
      laddr: this.laddr, lport: this.lport, raddr: this.raddr, rport: this.rport,
      recvQ: listening ? this.acceptQueue.length : this.rcv.length, sendQ: listening ? this.backlog : this.snd.length };
  }

  protected view(): SkView {
    this.readSent = this.rcvRead;
    return { sndTo: this.sndVisible, rcvGot: this.rcvGot, rcvRead: this.rcvRead, finGot: this.finGot,
      haveChild: this.haveChild, accepted: this.accepted };
  }

  protected emitData(now: Millis): void {
    if (this.moreUntil <= now) this.moreUntil = NEVER;
    const to = Math.min(this.sndVisible, this.sndLimit);
    while (this.sndSent < to) {
      const data = this.snd.view(this.sndSent, Math.min(DATA_MAX, to - this.sndSent));
      if (data === undefined) break;
      const offset = this.sndSent;
      this.sndSent += data.length;
      if (this.sndSent > this.sentMax) {
        this.sentMax = this.sndSent;
        this.progress = true;
      }
      this.command({ sk: this.id, opSeq: 0, view: this.view(), data: { offset, data } });
      if (this.probing) break;
    }
  }

  protected get unconfirmed(): boolean {
    return this.live && this.state !== TCP_CLOSE && this.sndGot < this.snd.end;
  }

  protected rewind(): void {
    if (this.sndSent <= this.sndGot) return;
    this.sndSent = this.sndGot;
    this.probing = true;
  }

  protected override get flushAt(): Millis {
    return this.moreUntil;
  }

  /** Keeps on insisting while TCP may think that more than a quarter of the window is unread when it is not. */
  protected override viewSettled(): void {
    this.readSure = this.readInsisted;
    if (this.rcvRead - this.readSure <= this.rcvbuf / 4) return;
    this.readInsisted = this.rcvRead;
    this.touchView(true);
  }

  // --- what TCP says -------------------------------------------------------------------------------------------------

  /** What TCP may know of the written bytes: with MSG_MORE, whole segments only. */
  private get sndVisible(): number {
    if (this.moreUntil === NEVER) return this.snd.end;
    return this.snd.end - ((this.snd.end - this.sentMax) % MSS_GUESS);
  }

  private onView(v: ProtoView, now: Millis): boolean {
    let news = this.onOffsets(v, now);
    const rank = RANK[v.state] ?? 0;
    if (rank < RANK[this.state]!) return news;
    if (v.err !== 0 && !this.errSeen) {
      this.errSeen = true;
      this.err = v.err;
      news = true;
    }
    if (v.softErr !== this.softSeen) this.softErr = this.softSeen = v.softErr;
    if (v.finAcked && !this.finAcked) news = this.finAcked = true;
    if (v.state !== this.state) {
      news = true;
      this.state = v.state;
      if (v.state === TCP_CLOSE || v.state === TCP_TIME_WAIT) {
        this.shutdownMask = SHUTDOWN_MASK;
        this.snd.clear();
      }
      this.trace('sk_state_change');
    }
    if (news) this.wakeAll(now);
    return news;
  }

  private onOffsets(v: ProtoView, now: Millis): boolean {
    let news = false;
    if (v.sndGot > this.sndGot && v.sndGot <= this.sentMax) {
      this.sndGot = v.sndGot;
      if (this.sndSent < v.sndGot) this.sndSent = v.sndGot;
      this.probing = false;
      news = true;
    }
    if (v.sndLimit > this.sndLimit) {
      this.sndLimit = v.sndLimit;
      news = true;
    }
    if (v.sndUna <= this.sentMax && this.snd.free(v.sndUna)) {
      news = true;
      if (this.writable && !(this.wr.empty && this.pollers.empty)) {
        this.trace('sk_write_space');
        this.wr.wake(now);
        this.pollers.wake(now);
      }
    }
    if (news) {
      this.progress = true;
      this.host.markDirty(this);
    }
    return news;
  }

  private onData(d: ProtoData, now: Millis): void {
    if (this.orphan || this.finGot) return;
    const skip = this.rcvGot - d.offset;
    if (skip >= d.data.length || skip < 0 || this.rcv.length > RCV_HARD_MAX) return this.touchView(false);
    const fresh = skip === 0 ? d.data : d.data.subarray(skip);
    this.rcv.append(fresh);
    this.rcvGot += fresh.length;
    this.progress = true;
    this.touchView(false);
    this.trace('sk_data_ready');
    if (this.rcv.length < this.rcvLowat) return;
    this.rd.wake(now);
    this.pollers.wake(now);
  }

  private onFin(v: ProtoView, now: Millis): boolean {
    if (!v.finRcvd || this.finGot || this.orphan || this.rcvGot < v.rcvNxt) return false;
    this.finGot = true;
    this.done = true;
    this.shutdownMask |= RCV_SHUTDOWN;
    this.touchView(true);
    this.trace('sk_state_change');
    this.wakeAll(now);
    return true;
  }

  /** The connection is lost with its transport. */
  private fatal(errno: number, now: Millis): void {
    this.lost = true;
    this.state = TCP_CLOSE;
    this.err = errno;
    this.errSeen = true;
    this.shutdownMask = SHUTDOWN_MASK;
    this.snd.clear();
    for (const op of this.ops.takeAll()) op.done?.(errno, now);
    this.wakeAll(now);
  }

  /** An orphan is finished once TCP has run its close and has all it needs for the rest. */
  private get reapable(): boolean {
    if (!this.ops.idle) return false;
    return this.closeAborted || this.finAcked || RANK[this.state]! >= RANK[TCP_TIME_WAIT]! || RANK[this.state]! <= 1
      || this.state === TCP_FIN_WAIT2;
  }

  private free(now: Millis): void {
    this.freed = true;
    this.snd.clear();
    this.host.free(this);
    this.closers.wake(now);
  }

  private resetStream(): void {
    this.isChild = false;
    this.snd.clear();
    this.snd.una = this.snd.end = 0;
    this.rcv.clear();
    this.rcvGot = this.rcvRead = this.readSent = this.readSure = this.readInsisted = 0;
    this.sndGot = this.sndSent = this.sndLimit = this.sentMax = 0;
    this.finGot = this.finAcked = this.probing = false;
    this.epochSeq = this.softSeen = this.softErr = 0;
    this.haveChild = this.accepted = false;
    this.lport = this.laddr = 0;
    this.backToClosed();
  }
}
