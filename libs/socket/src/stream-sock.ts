import {
  ERRNO,
  type Millis,
  type ProtoData,
  type ProtoView,
  type SkData,
  type SkEvt,
  type SkId,
  type SkView,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT2,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  POLLWRNORM,
  NEVER,
} from '@skbus/skb';
import { onAdoption } from './adoption.ts';
import { Kept, restoreOf, unreadOf } from './kept.ts';
import { type Oob, onUrgent } from './oob.ts';
import { OpenState } from './open-state.ts';
import { OpQueue } from './op-queue.ts';
import { RecvQueue } from './recv-queue.ts';
import { SendSide } from './send-side.ts';
import { Sock, type SockHost } from './sock.ts';
import { pollMask, streamInfo } from './stream-poll.ts';
import { isBefore, isOver, rankOf } from './tcp-states.ts';
import { fail, type SocketInfo } from './types.ts';
import { RCV_SHUTDOWN, SHUTDOWN_MASK, TCP_RCVBUF } from './uapi.ts';
import { WaitQueue } from './wait.ts';

/** Received and unread bytes the layer holds per socket whatever the transport thinks of its window. */
const RCV_HARD_MAX = 16 * 1024 * 1024;
/** A window that opened by less is not worth a message of its own: two segments. */
const OPENED_MIN = 2920;
/** In a session the word comes a round trip after the read, and with more data on the way the next view takes it along. */
const OPENED_FAR = 256 * 1024;
/** Two full segments: what a receiver acknowledges at once (RFC 9293 3.8.6.3). */
const CONFIRM_NOW = 2 * 1448;

/** socket->state (include/uapi/linux/net.h). */
export type SocketState = 'SS_UNCONNECTED' | 'SS_CONNECTING' | 'SS_CONNECTED' | 'SS_DISCONNECTING';

/** A TCP socket as the socket layer has it: the application's bytes, the accept queue, and what TCP last said. */
export class StreamSock extends Sock {
  readonly proto = 'tcp';
  rcvbuf = TCP_RCVBUF;
  ss: SocketState = 'SS_UNCONNECTED';
  /** bind() named the port, so it stays through a disconnect (SOCK_BINDPORT_LOCK). */
  boundTo: { addr: number; port: number } | undefined = undefined;
  backlog = 0;

  readonly snd = new SendSide();
  readonly rcv = new RecvQueue();
  /** Received stream: here, and read. */
  rcvGot = 0;
  rcvRead = 0;
  /** Read, and surely with the program; this is what TCP is told. */
  rcvSafe = 0;
  /** Taken over, and connect() or bind() may be called once more by a program that did not get the answer. */
  resumed = false;
  finGot = false;
  /** The peer's urgent byte, until it is read past; SO_OOBINLINE; and where our newest one ends (MSG_OOB). */
  oob: Oob | undefined = undefined;
  oobInline = false;
  urgTo = 0;
  /** TCP_INQ: each read says how much is left. */
  wantsInq = false;
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
  /** How the connection came to be: Fast Open, TCP_SAVED_SYN. */
  readonly opened = new OpenState();
  /** For a TCP that is started anew. */
  readonly kept = new Kept();
  private finAcked = false;
  private closeAborted = false;
  /** Where the peer's FIN stands; its bytes may come later than the news of it. */
  private finAt = NEVER;
  /** rcvSafe as TCP surely knows it, and as it was when that began to be insisted on. */
  readSure = 0;
  readInsisted = 0;
  /** rcvSafe of the last view. */
  private readSent = 0;
  /** rcvGot of the last view that went out. */
  private gotSent = 0;
  /** The number of the connect or listen that the state belongs to; views from before it don't count. */
  private epochSeq = 0;
  /** The last error heard of; -1: none counts any more. */
  private errSeen = 0;
  private softSeen = 0;

  constructor(host: SockHost, id: SkId, isChild: boolean) {
    super(host, id, isChild ? TCP_SYN_RECV : TCP_CLOSE, isChild);
  }

  /** A child is there before its handshake is done (RFC 7413): it reads and writes all the same. */
  get established(): boolean {
    const { state } = this;
    return state === TCP_ESTABLISHED || state === TCP_CLOSE_WAIT || (state === TCP_SYN_RECV && this.isChild);
  }

  get opening(): boolean {
    return this.state === TCP_SYN_SENT || (this.state === TCP_SYN_RECV && !this.isChild);
  }

  get sndbuf(): number {
    return this.snd.bufBytes;
  }

  /** SO_SNDBUF: the buffer is as large as asked for, and stays so. */
  set sndbuf(bytes: number) {
    this.snd.bufBytes = bytes;
    this.snd.bufLocked = true;
  }

  write(data: Uint8Array, more: boolean, now: Millis): void {
    this.snd.write(data, more);
    this.answered(now);
    this.host.markDirty(this);
  }

  /** Bytes left the receive queue; in a session they are not safe yet. */
  consumed(n: number): void {
    this.rcvRead += n;
    if (this.session === undefined) this.arrived(this.rcvRead);
  }

  /** The program has all below `to`; TCP hears of it when it matters, one view per flush. */
  arrived(to: number): void {
    if (to <= this.rcvSafe) return;
    this.rcvSafe = to;
    const opened = to - this.readSent;
    if (opened < Math.min(this.session === undefined ? OPENED_MIN : OPENED_FAR, this.rcvbuf / 4)) {
      if (this.rcv.length === 0) this.touchViewSoon();
      return;
    }
    this.touchView(false);
    this.viewSettled();
  }

  /** A connect or listen starts: views of the time before do not speak about it. */
  beginEpoch(seq: number, state: number): void {
    this.epochSeq = seq;
    this.state = state;
    if (state === TCP_SYN_SENT) this.ss = 'SS_CONNECTING';
    this.errSeen = 0;
    this.shutdownMask = 0;
    this.done = false;
  }

  /** connect() failed, or the socket was disconnected: it may be used again. */
  backToClosed(): void {
    this.opened.deferred = undefined;
    this.errSeen = -1;
    this.ss = 'SS_UNCONNECTED';
    this.state = TCP_CLOSE;
    this.shutdownMask = 0;
    this.done = false;
    this.raddr = 0;
    this.rport = 0;
  }

  /** connect() said EINPROGRESS, and then TCP could not even begin. */
  failLate(errno: number): void {
    this.state = TCP_CLOSE;
    this.err = errno;
    this.errSeen = -1;
    this.shutdownMask = SHUTDOWN_MASK;
  }

  /** SHUT_WR: TCP sends its FIN after the last byte written. SHUT_RD: it acts on it once the other end is shut, too. */
  tellShutdown(how: number): void {
    this.pushOp({ shutdown: { how } }, () => (this.kept.shutdown |= how + 1));
  }

  markAccepted(): void {
    this.accepted = true;
    this.parent = undefined;
    this.touchViewSoon(true);
  }

  /** Starts anew under a new id, bound as it was told to be. The old id, if TCP still has it, is aborted by a ghost. */
  reincarnate(ghost: boolean, now: Millis): void {
    const old = { ops: this.ops, id: this.id };
    this.ops = new OpQueue();
    this.host.rekey(this);
    this.resetStream();
    if (this.boundTo !== undefined) this.pushOp({ bind: this.boundTo });
    if (!ghost) {
      for (const op of old.ops.takeAll()) if (op.body.bind === undefined) this.pushOp(op.body, op.done);
      return;
    }
    for (const done of old.ops.takeDone()) done(ERRNO.ECONNABORTED, now);
    const g = new StreamSock(this.host, old.id, true);
    g.ops = old.ops;
    this.host.insert(g);
    g.abort();
  }

  override get sndGot(): number {
    return this.snd.gotTo;
  }

  override get settled(): boolean {
    const { snd } = this;
    return this.freed || (super.settled && (this.closeAborted || isOver(this.state) || snd.gotTo >= snd.writtenTo));
  }

  override wakeAll(now: Millis): void {
    super.wakeAll(now);
    this.connectors.wake(now);
    this.closers.wake(now);
  }

  /** Gives it to a new TCP; false: there is nothing to give. */
  sendRestore(to: number): boolean {
    if (!this.live || this.freed) return false;
    const listens = this.state === TCP_LISTEN && this.epochSeq <= this.ops.acked;
    const restore = restoreOf(this, to, this.finAcked, listens);
    this.command({
      sk: this.id,
      opSeq: 0,
      options: { ...this.options },
      owner: this.session?.owner ?? 0,
      view: this.view(),
      restore,
    });
    return true;
  }

  onEvent(evt: SkEvt, now: Millis): void {
    if (this.adoption !== undefined && onAdoption(this, this.adoption, evt, now)) return;
    const v = evt.view;
    if (evt.restored === true && this.restoring) {
      this.snd.restart();
      this.goOn();
      for (const unread of unreadOf(this)) this.command({ sk: this.id, opSeq: 0, unread });
    }
    if (evt.record && this.kept.take(evt.record)) this.touchViewSoon();
    if (v) this.applyAddrs(v);
    if (evt.answer) this.onAnswer(evt.answer, now);
    if (v) this.opened.sndGotSeen = v.sndGot;
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
    if (v?.finRcvd) this.finAt = v.rcvNxt;
    if (this.onFin(now)) news = true;
    if (evt.child) {
      this.opened.savedSyn = evt.child.savedSyn ?? undefined;
      this.touchViewSoon();
      news = true;
    }
    if (this.orphan && this.settled) this.session?.report(this, now);
    if (this.orphan && this.reapable) this.free(now);
    else if (this.live) this.heard(news, now);
  }

  onUnknown(now: Millis): void {
    this.queries?.failAll(fail(ERRNO.ENOTCONN));
    this.askers.wake(now);
    this.restoring = false;
    const { adoption } = this;
    this.adoption = undefined;
    if (this.orphan || adoption?.closed === true) this.free(now);
    else if (adoption?.file !== undefined || (this.live && !this.lost)) this.startAnew(now);
    adoption?.over(now);
  }

  private startAnew(now: Millis): void {
    const wasListening = this.state === TCP_LISTEN;
    const withSyn = this.opening && this.snd.queue.length > 0;
    if (this.isChild || withSyn || (!wasListening && this.ss !== 'SS_UNCONNECTED' && !this.opening)) {
      this.fatal(ERRNO.ECONNRESET, now);
      return;
    }
    const again = wasListening
      ? { listen: { backlog: this.backlog } }
      : this.opening
        ? { connect: { addr: this.raddr, port: this.rport } }
        : undefined;
    this.reincarnate(false, now);
    if (again === undefined) return;
    const seq = this.pushOp(again, (errno, at) => {
      if (errno !== 0) this.fatal(errno, at);
    });
    this.beginEpoch(seq, wasListening ? TCP_LISTEN : TCP_SYN_SENT);
  }

  close(now: Millis, abort = false): void {
    const resets = this.linger.onoff !== 0 && this.linger.linger === 0 && this.state !== TCP_LISTEN;
    const aborting = abort || resets || this.rcv.length > 0;
    this.orphan = true;
    this.shutdownMask = SHUTDOWN_MASK;
    this.rcv.clear();
    for (const child of this.acceptQueue.splice(0)) child.abort();
    if (this.lost || (!this.isChild && this.ops.last === 0)) return this.free(now);
    if (aborting || this.state === TCP_CLOSE) this.snd.queue.clear();
    this.closeAborted = aborting;
    this.pushOp({ close: { abort: aborting } }, () => (this.kept.closed = true));
  }

  /** Nobody will ever read or write here: reset it (inet_csk_listen_stop does that to children nobody accepted). */
  abort(): void {
    this.parent = undefined;
    this.orphan = true;
    this.shutdownMask = SHUTDOWN_MASK;
    this.rcv.clear();
    this.snd.queue.clear();
    this.closeAborted = true;
    this.pushOp({ close: { abort: true } });
  }

  pollMask(): number {
    return pollMask(this);
  }

  info(): SocketInfo {
    return streamInfo(this);
  }

  protected view(): SkView {
    this.readSent = this.rcvSafe;
    this.gotSent = this.rcvGot;
    return {
      sndTo: this.snd.writtenTo,
      rcvGot: this.rcvGot,
      rcvRead: this.rcvSafe,
      finGot: this.finGot,
      haveChild: this.haveChild,
      accepted: this.accepted,
      urgTo: this.urgTo,
      recordSeq: this.kept.recordSeq,
      rcvGapTo: this.rcv.held?.news(this.rcvGot) ?? 0,
      noSpace: this.snd.noSpace || (this.opening && this.opened.writePending),
    };
  }

  protected emitData(): void {
    const send = (data: SkData): void => this.command({ sk: this.id, opSeq: 0, view: this.view(), data });
    this.snd.emit(send);
  }

  protected get unconfirmed(): boolean {
    if (!this.live) return false;
    // The news of an ACK, or that the handshake is done, may have been lost: whoever waits asks.
    return this.opening ? !this.isChild : this.state !== TCP_CLOSE && this.snd.queue.length > 0;
  }

  protected rewind(): void {
    this.snd.rewind();
  }

  /** Keeps on insisting while TCP may think that more than a quarter of the window is unread when it is not. */
  protected override viewSettled(): void {
    this.readSure = this.readInsisted;
    if (this.rcvSafe - this.readSure <= this.rcvbuf / 4) return;
    this.readInsisted = this.rcvSafe;
    this.touchView(true);
  }

  private onView(v: ProtoView, now: Millis): boolean {
    const moved = this.onOffsets(v, now);
    if (v.urgAt && onUrgent(this, v)) {
      this.rd.wake(now);
      this.pollers.wake(now);
    }
    if (rankOf(v.state) < rankOf(this.state)) return moved;
    let changed = false;
    if (v.err !== 0 && this.errSeen !== -1 && v.err !== this.errSeen) {
      this.errSeen = v.err;
      this.err = v.err;
      changed = true;
    }
    if (v.softErr !== this.softSeen) this.softErr = this.softSeen = v.softErr;
    if (v.finAcked && !this.finAcked) changed = this.finAcked = true;
    if (v.state !== this.state) {
      changed = true;
      this.state = v.state;
      if (isOver(v.state)) {
        this.shutdownMask = SHUTDOWN_MASK;
        this.snd.queue.clear();
      }
    }
    if (changed) this.wakeAll(now);
    return moved || changed;
  }

  private onOffsets(v: ProtoView, now: Millis): boolean {
    const { moved, freed } = this.snd.onView(v);
    // tcp_check_space(): only who found no room is told that there is some
    if (freed && this.snd.noSpace && this.snd.writable) {
      this.snd.noSpace = false;
      this.trace('sk_write_space');
      this.wr.wake(now);
      this.pollers.wake(now, POLLOUT | POLLWRNORM);
    }
    if (moved) {
      this.progress = true;
      this.host.markDirty(this);
      if (this.session !== undefined && this.sndGot > this.sndGotTold) this.session.report(this, now);
    }
    return moved;
  }

  private onData(d: ProtoData, now: Millis): void {
    if (this.orphan || this.finGot) return;
    const had = this.rcvGot;
    if (this.rcv.length <= RCV_HARD_MAX) this.rcvGot = this.rcv.arrived(d, had);
    if (this.rcvGot === had) return this.touchView(false);
    // TCP may acknowledge what we confirm. A segment or two can wait for the program's answer; a stream cannot.
    if (this.rcv.held === undefined && this.rcvGot - this.gotSent < CONFIRM_NOW) this.touchViewForAnswer(now);
    else this.touchView(false);
    this.trace('sk_data_ready');
    if (this.rcv.length >= this.rcvLowat) {
      this.rd.wake(now);
      this.pollers.wake(now, POLLIN | POLLRDNORM);
    }
    this.onFin(now);
  }

  /** The FIN counts when all before it is here. */
  private onFin(now: Millis): boolean {
    if (this.finGot || this.orphan || this.rcvGot < this.finAt) return false;
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
    this.errSeen = -1;
    this.shutdownMask = SHUTDOWN_MASK;
    this.snd.queue.clear();
    for (const op of this.ops.takeAll()) op.done?.(errno, now);
    this.wakeAll(now);
  }

  /** An orphan is finished once TCP has run its close and has all it needs for the rest. */
  private get reapable(): boolean {
    if (!this.ops.idle) return false;
    const { state } = this;
    return this.closeAborted || this.finAcked || isOver(state) || isBefore(state) || state === TCP_FIN_WAIT2;
  }

  private free(now: Millis): void {
    this.freed = true;
    this.snd.queue.clear();
    this.host.free(this);
    this.session?.report(this, now);
    this.closers.wake(now);
  }

  private resetStream(): void {
    this.isChild = false;
    this.snd.reset();
    this.rcv.clear();
    this.rcvGot = this.gotSent = this.rcvRead = this.rcvSafe = this.readSent = this.readSure = this.readInsisted = 0;
    this.finGot = this.finAcked = this.closeAborted = false;
    this.finAt = NEVER;
    this.oob = undefined;
    this.kept.reset();
    this.restoring = false;
    this.urgTo = 0;
    this.epochSeq = this.softSeen = this.softErr = 0;
    this.haveChild = this.accepted = false;
    this.lport = this.laddr = 0;
    this.backToClosed();
  }
}
