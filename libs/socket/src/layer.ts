import {
  AF_INET,
  CONGESTION_CONTROLS,
  ERRNO,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type LayerEnv,
  type Millis,
  NEVER,
  POLLIN,
  POLLRDNORM,
  SOCK_DGRAM,
  SOCK_STREAM,
  type SkCmd,
  type SkEvt,
  type SkId,
  type SkRecord,
  type SockOf,
  TCP_STATE_NAMES,
  TCP_CLOSE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_TYPE_MASK,
} from '@skbus/skb';
import { dispatch, type CallHost } from './calls.ts';
import { DgramSock } from './dgram-sock.ts';
import { inherit } from './inherit.ts';
import { LooseRecords } from './loose-records.ts';
import { Process } from './process.ts';
import { Restorer } from './restorer.ts';
import { refill, resume, type ResumeHost } from './resume.ts';
import { Session } from './session.ts';
import type { Sock, SockHost } from './sock.ts';
import { StreamSock } from './stream-sock.ts';
import { StrayIds } from './stray-ids.ts';
import { TimerHeap } from './timer-heap.ts';
import { type FileNews, type ProcId, type SocketInfo, type SysReply, type SysRequest, fail } from './types.ts';
import { type Park, Wait } from './wait.ts';

/** A call that sleeps; hand it to `cancel`. Undefined where a call was answered at once. */
export type CallHandle = Wait | undefined;

export interface SocketLayerOptions {
  /** Commands for the transports, in order; the shell collects them into one list per batch. */
  toTcp: (cmd: SkCmd) => void;
  toUdp: (cmd: SkCmd) => void;
  /** Where this instance's socket ids start (even): a restarted service must not meet its old ids. */
  idBase?: number;
  /** RLIMIT_NOFILE of a program. */
  maxFds?: number;
  /** False: nothing is registered yet (before sock_register and inet_register_protosw, no socket can be made). */
  booted?: boolean;
  /** What TCP_CONGESTION may be set to. */
  congestion?: readonly string[];
}

/** Children that wait for accept, over all listeners: TCP keeps its backlogs, this keeps memory if it does not. */
const ACCEPT_QUEUE_MAX = 8192;

/**
 * The socket layer: BSD sockets for programs on one side, the seam to TCP and UDP on the other. It does no I/O: calls and
 * events come in with the time, commands go out through `toTcp` and `toUdp` at `flush`.
 */
export class SocketLayer {
  readonly env: LayerEnv;
  private readonly opts: SocketLayerOptions;
  private readonly procs = new Map<ProcId, Process>();
  private readonly socks = new Map<SkId, Sock>();
  private readonly timers = new TimerHeap();
  /** Each once (Sock.isDirty). */
  private readonly dirty: Sock[] = [];
  /** Listeners with new connections since the last flush. */
  private readonly offering = new Set<StreamSock>();
  private readonly strays = new StrayIds();
  private readonly loose = new LooseRecords();
  private readonly restorer: Restorer;
  private readonly host: SockHost;
  private readonly callHost: CallHost;
  /** net_families, and inetsw: type → protocol. */
  private readonly families = new Set<number>();
  private readonly inetsw = new Map<number, number>();
  private lastProc: ProcId = 0;
  private nextId: SkId;

  constructor(env: LayerEnv, opts: SocketLayerOptions) {
    this.env = env;
    this.opts = opts;
    this.nextId = ((opts.idBase ?? 2) & ~1) >>> 0;
    this.host = {
      env,
      send: (sock, cmd) => (sock.proto === 'tcp' ? opts.toTcp(cmd) : opts.toUdp(cmd)),
      markDirty: (sock) => {
        if (!sock.isDirty) this.dirty.push(sock);
        sock.isDirty = true;
      },
      arm: (sock, at) => this.timers.arm(sock, at),
      rekey: (sock) => this.rekey(sock),
      insert: (sock) => this.socks.set(sock.id, sock),
      free: (sock) => this.free(sock),
    };
    this.restorer = new Restorer({
      send: opts.toTcp,
      sock: (id) => {
        const s = this.socks.get(id);
        return s instanceof StreamSock ? s : undefined;
      },
      live: () => [...this.socks.values()].filter((s): s is StreamSock => s instanceof StreamSock && s.live),
      loose: this.loose,
      arm: (t, at) => this.timers.arm(t, at),
    });
    this.callHost = {
      congestion: opts.congestion ?? CONGESTION_CONTROLS,
      socket: (p, domain, type, protocol) => this.socket(p, domain, type, protocol),
      resume: (p, files, last) => resume(this.resumeHost(), p, files, last),
      refill: (p, sk, offset, data) => refill(this.resumeHost(), p, sk, offset, data),
    };
    if (opts.booted !== false) {
      this.sockRegister(AF_INET);
      this.inetRegisterProtosw(SOCK_STREAM, IPPROTO_TCP);
      this.inetRegisterProtosw(SOCK_DGRAM, IPPROTO_UDP);
    }
  }

  /** sock_register(): sockets of this family can be made. */
  sockRegister(family: number): void {
    this.families.add(family);
  }

  /** inet_register_protosw(): sockets of this type can be made. */
  inetRegisterProtosw(type: number, protocol: number): void {
    this.inetsw.set(type, protocol);
  }

  openProcess(): ProcId {
    const id = ++this.lastProc;
    this.procs.set(id, new Process(id, this.opts.maxFds ?? 65_536));
    return id;
  }

  /**
   * The program can outlive this service: under `owner` the transports keep its sockets for the next one, and `tell` says to it
   * what it need not keep any more.
   */
  openSession(p: ProcId, owner: number, tell: (news: readonly FileNews[]) => void): void {
    const proc = this.procs.get(p);
    if (proc !== undefined) proc.session = new Session(owner, (t, at) => this.timers.arm(t, at), tell);
  }

  /** The program is gone: its calls have nobody to answer to, its fds are closed. Never lingers (PF_EXITING). */
  closeProcess(p: ProcId, now: Millis): void {
    const proc = this.procs.get(p);
    if (proc === undefined) return;
    this.procs.delete(p);
    proc.session?.end();
    for (const w of proc.waits) w.abandon();
    for (const s of proc.sockets()) {
      proc.remove(s);
      if (s.adoption?.file === undefined) s.close(now);
      else s.adoption.closed = true;
    }
  }

  /** One system call. `done` is called once: at once, or, where the call blocks, when it has come to something. */
  call(p: ProcId, req: SysRequest, now: Millis, done: (reply: SysReply) => void): CallHandle {
    const proc = this.procs.get(p);
    if (proc === undefined) {
      done(fail(ERRNO.ESRCH));
      return undefined;
    }
    const outcome = dispatch(this.callHost, proc, req, now);
    if ('errno' in outcome) {
      done(outcome);
      outcome.answered?.();
      return undefined;
    }
    return this.park(proc, outcome, now, done);
  }

  /** Ends a sleeping call: EINTR, or what it has done so far. */
  cancel(handle: CallHandle): void {
    handle?.stop(ERRNO.EINTR);
  }

  onTcpEvent(evt: SkEvt, now: Millis): void {
    if (evt.hello) this.restorer.onHello(evt.hello, now);
    if (evt.sk === 0) return;
    if (evt.record && (evt.record.keepMs || evt.record.data.length === 0)) return this.onLoose(evt.sk, evt.record, now);
    let sock = this.socks.get(evt.sk);
    if (sock === undefined && evt.child && !evt.unknown) sock = this.newChild(evt);
    if (evt.restored || evt.unknown) this.restorer.done(evt.sk, now);
    if (sock === undefined) return evt.restored ? undefined : this.onStray(evt, now, this.opts.toTcp);
    if (sock.proto !== 'tcp') return;
    if (evt.unknown) return sock.onUnknown(now);
    sock.onEvent(evt, now);
    if (evt.view && sock instanceof StreamSock) this.offer(sock);
  }

  onUdpEvent(evt: SkEvt, now: Millis): void {
    const sock = this.socks.get(evt.sk);
    if (sock === undefined) return this.onStray(evt, now, this.opts.toUdp);
    if (sock.proto !== 'udp') return;
    if (evt.unknown) sock.onUnknown(now);
    else sock.onEvent(evt, now);
  }

  /** A transport was started anew. Of UDP every socket asks whether it is still known; a TCP asks for its own (SkEvt.hello). */
  resync(proto: 'tcp' | 'udp'): void {
    if (proto === 'udp') this.insist(proto);
  }

  /** Every socket says where it is until it is answered: the transport has listened to somebody else. */
  insist(proto: 'tcp' | 'udp'): void {
    for (const s of this.socks.values()) if (s.proto === proto) s.touchView(true);
  }

  handleTimeout(now: Millis): void {
    this.timers.run(now);
  }

  /** For fault rules: the state as this layer has heard of it. */
  readonly sockOf: SockOf = (_skb, _dir, id) => {
    const sock = this.socks.get(id);
    return sock && { id, state: TCP_STATE_NAMES[sock.state] ?? '' };
  };

  /** May be early; calling handleTimeout then does nothing. */
  pollTimeout(): Millis {
    return this.timers.poll();
  }

  /** Hands what the last batch of calls and events made to the transports. */
  flush(now: Millis): void {
    if (this.offering.size > 0) this.wakeAccepting(now);
    const { dirty } = this;
    // The list grows meanwhile: one may have more to say right after it was asked.
    for (let i = 0; i < dirty.length; i++) {
      const s = dirty[i]!;
      s.isDirty = false;
      if (!s.freed) s.flush(now);
    }
    dirty.length = 0;
  }

  sockets(): SocketInfo[] {
    return [...this.socks.values()].map((s) => s.info());
  }

  /** Sizes that must be bounded, for tests and metrics. */
  get gauges(): { sockets: number; processes: number; timers: number; loose_records: number } {
    return {
      sockets: this.socks.size,
      processes: this.procs.size,
      timers: this.timers.size,
      loose_records: this.loose.size,
    };
  }

  private park(proc: Process, park: Park, now: Millis, done: (reply: SysReply) => void): CallHandle {
    const wait: Wait = new Wait(park, (reply) => {
      proc.waits.delete(wait);
      done(reply);
    });
    proc.waits.add(wait);
    if (park.timeoutMs !== NEVER) this.timers.arm(wait, now + park.timeoutMs);
    return wait;
  }

  /** __sock_create() → inet_create(). */
  private socket(proc: Process, domain: number, type: number, protocol: number): SysReply {
    const { env } = this;
    env.trace('__sys_socket');
    const flags = type & ~SOCK_TYPE_MASK;
    const kind = type & SOCK_TYPE_MASK;
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) return fail(ERRNO.EINVAL);
    if (!this.families.has(domain)) return fail(ERRNO.EAFNOSUPPORT);
    if (env.fails('inet_create')) return fail(ERRNO.ENOBUFS);
    if (protocol < 0 || protocol >= 263) return fail(ERRNO.EINVAL);
    const wants = this.inetsw.get(kind);
    if (wants === undefined) return fail(ERRNO.ESOCKTNOSUPPORT);
    if (protocol !== 0 && protocol !== wants) return fail(ERRNO.EPROTONOSUPPORT);
    if (proc.full) return fail(ERRNO.EMFILE);
    const sock =
      kind === SOCK_STREAM
        ? new StreamSock(this.host, this.allocId(), false)
        : new DgramSock(this.host, this.allocId());
    sock.nonblock = (flags & SOCK_NONBLOCK) !== 0;
    this.socks.set(sock.id, sock);
    const fd = proc.install(sock);
    return proc.session === undefined ? { errno: 0, result: fd } : { errno: 0, result: fd, sk: sock.id };
  }

  /** A connection completed on a listener; a socket of its own, in no fd table until accepted. */
  private newChild(evt: SkEvt): Sock | undefined {
    const parent = this.socks.get(evt.child!.listener);
    if (!(parent instanceof StreamSock) || parent.orphan || this.strays.has(evt.sk)) return undefined;
    if (parent.acceptQueue.length >= ACCEPT_QUEUE_MAX) return undefined;
    const child = new StreamSock(this.host, evt.sk, true);
    child.parent = parent;
    child.haveChild = true;
    inherit(child, parent);
    this.socks.set(child.id, child);
    this.loose.forget(child.id);
    return child;
  }

  /** Puts a child that is complete (its addresses are known) where accept() finds it. */
  private offer(child: StreamSock): void {
    const { parent } = child;
    if (parent === undefined || child.offered || child.lport === 0) return;
    if (parent.orphan || parent.freed) return child.abort();
    child.offered = true;
    parent.acceptQueue.push(child);
    parent.trace('sk_data_ready');
    this.offering.add(parent);
  }

  /** Who accepts is woken when what came with the connection is here, too. */
  private wakeAccepting(now: Millis): void {
    for (const parent of this.offering) {
      parent.rd.wake(now);
      parent.pollers.wake(now, POLLIN | POLLRDNORM);
    }
    this.offering.clear();
  }

  /** A record of no socket. One of a handshake that is over may come late. */
  private onLoose(id: SkId, r: SkRecord, now: Millis): void {
    if (this.socks.has(id) || this.strays.has(id)) return;
    this.loose.take(id, r, now);
  }

  /** An event for a socket that is not here (any more): the transport may let go of it. */
  private onStray(evt: SkEvt, now: Millis, send: (cmd: SkCmd) => void): void {
    if (evt.unknown) return;
    // A child's data or view that overtook its announcement: the announcement comes, or comes again.
    if (evt.sk % 2 === 1 && !evt.child && !this.strays.has(evt.sk)) return;
    if (evt.view && evt.view.state === TCP_CLOSE && this.strays.has(evt.sk) && evt.opAck === 0) return;
    const opSeq = this.strays.answer(evt.sk, evt.opAck, now);
    if (opSeq > 0) send({ sk: evt.sk, opSeq, close: { abort: true } });
  }

  private rekey(sock: Sock): void {
    this.socks.delete(sock.id);
    this.strays.closed(sock.id, Infinity, 0);
    const old = sock.id;
    sock.id = this.allocId();
    this.socks.set(sock.id, sock);
    sock.session?.rekeyed(old, sock);
  }

  private resumeHost(): ResumeHost {
    return {
      ...this.host,
      congestion: this.callHost.congestion,
      get: (id) => this.socks.get(id) as StreamSock | DgramSock | undefined,
      allocId: () => this.allocId(),
    };
  }

  private free(sock: Sock): void {
    this.timers.disarm(sock);
    if (this.socks.get(sock.id) === sock) this.socks.delete(sock.id);
    this.strays.closed(sock.id, sock.ops.last, 0);
  }

  private allocId(): SkId {
    do {
      this.nextId = (this.nextId + 2) >>> 0;
    } while (this.nextId === 0 || this.socks.has(this.nextId));
    return this.nextId;
  }
}
