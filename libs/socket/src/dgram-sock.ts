import {
  AF_INET,
  ERRNO,
  type Ipv4Addr,
  type Millis,
  NEVER,
  type ProtoDgram,
  type SkAdopt,
  type SkEvt,
  type SkId,
  type SkView,
  TCP_CLOSE,
  TCP_ESTABLISHED,
  AF_UNSPEC,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
} from '@skbus/skb';
import { OpQueue } from './op-queue.ts';
import { Sock, type SockHost } from './sock.ts';
import { type SessionFile, type SockAddr, type SocketInfo, type SysReply, fail, ok, okLocal } from './types.ts';
import { RCV_SHUTDOWN, SEND_SHUTDOWN, SHUTDOWN_MASK, UDP_BUF, UDP_MAX_DGRAM } from './uapi.ts';
import { type Park, nothingDone } from './wait.ts';

const E = ERRNO;
/** Datagrams held per socket, whatever they are charged with. */
const QUEUE_MAX = 8192;

/** A UDP socket: a queue of datagrams, and the numbered operations. */
export class DgramSock extends Sock {
  readonly proto = 'udp';
  sndbuf = UDP_BUF;
  rcvbuf = UDP_BUF;
  private boundTo: { addr: Ipv4Addr; port: number } | undefined = undefined;
  private connectedTo: { addr: Ipv4Addr; port: number } | undefined = undefined;
  private queue: ProtoDgram[] = [];
  private head = 0;
  /** Receive-buffer bytes: how far they are here, how far they were read, and how far UDP surely knows of it. */
  private rcvGot = 0;
  private readSure = 0;
  private readInsisted = 0;
  private readSent = 0;
  private errView = 0;

  constructor(host: SockHost, id: SkId) {
    super(host, id, TCP_CLOSE, false);
  }

  /** Length of the next datagram (FIONREAD). */
  get nextLength(): number {
    return this.queue[this.head]?.data.length ?? 0;
  }

  get hasPort(): boolean {
    return this.boundTo !== undefined;
  }

  bindOp(addr: Ipv4Addr, port: number): Park {
    this.boundTo = { addr, port };
    return this.opPark({ bind: { addr, port } }, (errno) => {
      if (errno !== 0) this.boundTo = undefined;
    });
  }

  connect(to: SockAddr): SysReply | Park {
    this.trace('inet_dgram_connect');
    if (to.family === AF_UNSPEC) {
      if (this.connectedTo !== undefined) this.disconnect();
      return ok();
    }
    if (to.family !== AF_INET) return fail(E.EAFNOSUPPORT);
    const was = this.connectedTo;
    this.connectedTo = { addr: to.addr, port: to.port };
    this.boundTo ??= { addr: 0, port: 0 };
    return this.opPark({ connect: { addr: to.addr, port: to.port } }, (errno) => {
      if (errno !== 0) this.connectedTo = was;
      else {
        this.state = TCP_ESTABLISHED;
        this.raddr = to.addr;
        this.rport = to.port;
      }
    });
  }

  /** udp_sendmsg(). */
  sendto(parts: readonly Uint8Array[], flags: number, to: SockAddr | undefined): SysReply | Park {
    if (this.fails('udp_sendmsg')) return fail(E.ENOBUFS);
    const data = parts.length === 1 ? parts[0]! : join(parts);
    if (data.length > UDP_MAX_DGRAM) return fail(E.EMSGSIZE);
    if (flags & MSG_OOB) return fail(E.EOPNOTSUPP);
    if (to !== undefined) {
      if (to.family !== AF_INET && to.family !== AF_UNSPEC) return fail(E.EAFNOSUPPORT);
      if (to.port === 0) return fail(E.EINVAL);
    } else if (this.connectedTo === undefined) return fail(E.EDESTADDRREQ);
    const bcast = to?.addr ?? this.raddr;
    if (bcast === 0xffffffff && this.options.broadcast !== true) return fail(E.EACCES);
    const emit = (): SysReply => {
      if (this.err !== 0) return fail(this.takeErr());
      if (this.shutdownMask & SEND_SHUTDOWN) return fail(E.EPIPE);
      this.host.send(this, { sk: this.id, opSeq: 0, sendto: { addr: to?.addr ?? 0, port: to?.port ?? 0, data } });
      return ok(data.length);
    };
    if (this.live && this.ops.idle) return emit();
    // inet_autobind: the first datagram waits for the port.
    if (!this.hasPort) this.bindOp(0, 0);
    return {
      on: [this.wr],
      timeoutMs: this.sndTimeoMs,
      stop: nothingDone,
      attempt: () => (this.ops.idle ? (this.live ? emit() : fail(this.takeErr() || E.EAGAIN)) : undefined),
    };
  }

  /** udp_recvmsg(). */
  recvfrom(len: number, flags: number): SysReply | Park {
    this.trace('udp_recvmsg');
    if (flags & MSG_ERRQUEUE) return fail(E.EAGAIN);
    const attempt = (): SysReply | undefined => {
      if (this.err !== 0) return fail(this.takeErr());
      const d = this.queue[this.head];
      if (d === undefined) return this.shutdownMask & RCV_SHUTDOWN ? { errno: 0, result: 0, data: [] } : undefined;
      if (!(flags & MSG_PEEK)) this.drop1();
      const cut = d.data.length > len;
      return {
        errno: 0,
        result: cut && !(flags & MSG_TRUNC) ? len : d.data.length,
        data: [cut ? d.data.subarray(0, len) : d.data],
        addr: { family: AF_INET, addr: d.addr, port: d.port },
        msgFlags: cut ? MSG_TRUNC : 0,
      };
    };
    const reply = attempt();
    if (reply !== undefined) return reply;
    if (this.nonblock || flags & MSG_DONTWAIT) return fail(E.EAGAIN);
    return { on: [this.rd], attempt, timeoutMs: this.rcvTimeoMs, stop: nothingDone };
  }

  shutdown(how: number, now: Millis): SysReply {
    this.trace('inet_shutdown');
    if (how < 0 || how + 1 > SHUTDOWN_MASK) return fail(E.EINVAL);
    this.shutdownMask |= how + 1;
    this.wakeAll(now);
    return this.state === TCP_ESTABLISHED ? ok() : fail(E.ENOTCONN);
  }

  onEvent(evt: SkEvt, now: Millis): void {
    const v = evt.view;
    if (this.adoption !== undefined) {
      if (!evt.adopted) return;
      const { over } = this.adoption;
      this.adopted(evt, now);
      over(now);
    }
    if (v) this.applyAddrs(v);
    let news = this.ops.onAck(evt.opAck, evt.opErrno, now);
    if (news) {
      this.progress = true;
      this.host.markDirty(this);
      this.wakeAll(now);
    }
    if (this.orphan) {
      if (this.ops.idle) this.free(now);
      return;
    }
    if (evt.dgram) {
      this.onDgram(evt.dgram, now);
      news = true;
    }
    if (v && this.onError(v.err)) {
      news = true;
      this.trace('sk_data_ready');
      this.wakeAll(now);
    }
    if (this.live) this.heard(news, now);
  }

  onUnknown(now: Millis): void {
    const { adoption } = this;
    this.adoption = undefined;
    if (this.orphan || adoption?.closed === true) this.free(now);
    else if (this.live || adoption !== undefined) this.reincarnate(now);
    adoption?.over(now);
  }

  override beginAdoption(file: SessionFile, ask: SkAdopt, over: (now: Millis) => void): void {
    const { bound, peer } = file;
    if (bound !== undefined) this.boundTo = { addr: bound.addr, port: bound.port };
    if (peer !== undefined) {
      this.connectedTo = { addr: peer.addr, port: peer.port };
      this.boundTo ??= { addr: 0, port: 0 };
    }
    this.shutdownMask = file.shut;
    super.beginAdoption(file, ask, over);
  }

  close(now: Millis): void {
    this.orphan = true;
    this.queue.length = 0;
    this.head = 0;
    if (this.ops.last === 0) return this.free(now);
    this.pushOp({ close: { abort: false } });
  }

  /** datagram_poll(). */
  pollMask(): number {
    let mask = POLLOUT | POLLWRNORM | POLLWRBAND;
    if (this.err !== 0) mask |= POLLERR;
    if (this.shutdownMask & RCV_SHUTDOWN) mask |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (this.shutdownMask === SHUTDOWN_MASK) mask |= POLLHUP;
    if (this.head < this.queue.length) mask |= POLLIN | POLLRDNORM;
    return mask;
  }

  info(): SocketInfo {
    let recvQ = 0;
    for (let i = this.head; i < this.queue.length; i++) recvQ += this.queue[i]!.charge;
    return {
      sk: this.id,
      proto: 'udp',
      proc: this.proc,
      fd: this.fd,
      state: this.state,
      laddr: this.laddr,
      lport: this.lport,
      raddr: this.raddr,
      rport: this.rport,
      recvQ,
      sendQ: 0,
    };
  }

  protected view(): SkView {
    const read = this.rcvRead;
    this.readSent = read;
    return { sndTo: 0, rcvGot: this.rcvGot, rcvRead: read, finGot: false, haveChild: false, accepted: false };
  }

  protected emitData(): void {}

  protected get unconfirmed(): boolean {
    return false;
  }

  protected rewind(): void {}

  protected override viewSettled(): void {
    this.readSure = this.readInsisted;
    const read = this.rcvRead;
    if (read - this.readSure <= this.rcvbuf / 4) return;
    this.readInsisted = read;
    this.touchView(true);
  }

  private get rcvRead(): number {
    return this.queue[this.head]?.offset ?? this.rcvGot;
  }

  private onDgram(d: ProtoDgram, now: Millis): void {
    // Below: it came twice, or late; above: what lies between was lost, as datagrams may be.
    if (d.offset < this.rcvGot || this.queue.length - this.head >= QUEUE_MAX) return;
    this.rcvGot = d.offset + d.charge;
    this.queue.push(d.data.length * 4 < d.data.buffer.byteLength ? { ...d, data: d.data.slice() } : d);
    this.trace('sk_data_ready');
    this.rd.wake(now);
    this.pollers.wake(now, POLLIN | POLLRDNORM);
  }

  private drop1(): void {
    this.trace('skb_consume_udp');
    this.queue[this.head++] = NOTHING;
    if (this.head === this.queue.length) {
      this.queue.length = 0;
      this.head = 0;
    } else if (this.head >= 256) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
    const read = this.rcvRead;
    if (this.head < this.queue.length && read - this.readSent < this.rcvbuf / 4) return;
    this.touchView(false);
    this.viewSettled();
  }

  /** The view holds an error as a level: it counts when it appears. */
  private onError(err: number): boolean {
    const fresh = err !== 0 && err !== this.errView;
    this.errView = err;
    if (fresh) this.err = err;
    return fresh;
  }

  private opPark(body: Parameters<DgramSock['pushOp']>[0], after: (errno: number) => void): Park {
    let answer: number | undefined;
    this.pushOp(body, (errno, now) => {
      answer = errno;
      after(errno);
      this.wakeAll(now);
    });
    return {
      on: [this.wr],
      timeoutMs: NEVER,
      stop: nothingDone,
      attempt: () => (answer === undefined ? undefined : answer === 0 ? okLocal(this) : fail(answer)),
    };
  }

  /** __udp_disconnect(): the peer is forgotten; a port that bind() asked for stays. */
  private disconnect(): void {
    this.pushOp({ connect: { addr: 0, port: 0 } });
    this.connectedTo = undefined;
    this.state = TCP_CLOSE;
    this.raddr = this.rport = 0;
    if (!this.boundTo?.port) this.lport = 0;
  }

  /** UDP was restarted: the same socket, told anew. */
  private reincarnate(now: Millis): void {
    const waiting = this.ops.takeAll();
    this.restart();
    if (this.boundTo !== undefined) {
      this.pushOp({ bind: { addr: this.boundTo.addr, port: this.boundTo.port || this.lport } }, (errno, at) => {
        if (errno === 0) return;
        this.err = errno;
        this.wakeAll(at);
      });
    }
    if (this.connectedTo !== undefined) this.pushOp({ connect: this.connectedTo });
    for (const op of waiting) if (op.body.close === undefined) this.pushOp(op.body, op.done);
    this.wakeAll(now);
  }

  private restart(): void {
    this.ops = new OpQueue();
    this.host.rekey(this);
    this.queue.length = 0;
    this.head = 0;
    this.rcvGot = this.readSure = this.readInsisted = this.readSent = this.errView = 0;
  }

  /** UDP has it: what it holds of datagrams follows. */
  private adopted(evt: SkEvt, now: Millis): void {
    const closed = this.adoption?.closed;
    this.adoption = undefined;
    this.ops.adopt(evt.opAck);
    this.rcvGot = evt.adopted!.rcvFrom;
    const v = evt.view!;
    this.state = v.state;
    if (v.lport !== 0) this.boundTo ??= { addr: 0, port: 0 };
    if (closed === true) this.close(now);
    else this.touchView(true);
  }

  private free(now: Millis): void {
    this.freed = true;
    this.host.free(this);
    this.session?.report(this, now);
  }
}

const NOTHING: ProtoDgram = { addr: 0, port: 0, offset: 0, charge: 0, data: new Uint8Array(0), daddr: 0 };

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}
