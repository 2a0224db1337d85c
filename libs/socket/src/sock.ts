import {
  AF_INET,
  type Ipv4Addr,
  type LayerEnv,
  type Millis,
  NEVER,
  type ProtoAnswer,
  type ProtoView,
  type SkAdopt,
  type SkCmd,
  type SkEvt,
  type SkId,
  type SkOptions,
  type SkView,
  TCP_CLOSE,
  type Tracepoint,
} from '@skbus/skb';
import type { Adoption } from './adoption.ts';
import { type OpBody, type OpDone, OpQueue } from './op-queue.ts';
import { QueryQueue } from './query-queue.ts';
import type { Session } from './session.ts';
import type { Timed } from './timer-heap.ts';
import { fail, type Linger, type ProcId, type SessionFile, type SocketInfo, type SysReply } from './types.ts';
import { type Park, WaitQueue } from './wait.ts';

/** What a socket needs from the layer it lives in. */
export interface SockHost {
  readonly env: LayerEnv;
  send(sock: Sock, cmd: SkCmd): void;
  /** The socket has something to say at the next flush. */
  markDirty(sock: Sock): void;
  arm(sock: Sock, at: Millis): void;
  /** Gives the socket a new id: it starts anew with its transport. */
  rekey(sock: Sock): void;
  /** Takes in a socket that carries an id to its end. */
  insert(sock: Sock): void;
  /** The transport and the program are both done with it. */
  free(sock: Sock): void;
}

/** How long to wait before saying again what was not confirmed. */
export const REPEAT_MIN_MS: Millis = 200;
export const REPEAT_MAX_MS: Millis = 1000;
/** An orphan that waits for its connection to end asks whether it still exists. */
/** How long the confirmation of a few bytes waits for an answer to travel with; far below a delayed ACK (40 ms). */
const VIEW_SOON_MS: Millis = 2;
/** How often in a row a program is waited for in vain. */
const ANSWERS_MAX = 3;
const ORPHAN_PROBE_MS: Millis = 5000;
/** How often a view goes out whose arrival nothing confirms (`accepted`, an opened window). */
const VIEW_TRIES = 6;

/** struct socket with struct sock's outer half: what stream and datagram sockets have in common. */
export abstract class Sock implements Timed {
  id: SkId;
  readonly host: SockHost;
  abstract readonly proto: 'tcp' | 'udp';
  proc: ProcId = 0;
  fd = -1;
  /** The program has closed it; it only serves its transport now. */
  orphan = false;
  freed = false;
  /** A transport that was started anew is being told of it: until it has it, it hears of nothing else. */
  restoring = false;
  /** The transport has forgotten it, and it was of a kind that cannot start anew. */
  lost = false;
  /** Its program outlives this service; and what that was last told of its bytes. */
  session: Session | undefined = undefined;
  sndGotTold = 0;
  /** It is being taken over from a socket layer that died. */
  adoption: Adoption | undefined = undefined;

  /** Set options only; absent ones are the transport's defaults. */
  readonly options: SkOptions = {};
  nonblock = false;
  /** NEVER: block without a limit. */
  rcvTimeoMs: Millis = NEVER;
  sndTimeoMs: Millis = NEVER;
  rcvLowat = 1;
  linger: Linger = { onoff: 0, linger: 0 };
  abstract sndbuf: number;
  abstract rcvbuf: number;

  /** sk->sk_state as last heard. */
  state: number;
  /** sk->sk_err: taken once by SO_ERROR, send or recv. */
  err = 0;
  softErr = 0;
  /** RCV_SHUTDOWN | SEND_SHUTDOWN */
  shutdownMask = 0;
  laddr: Ipv4Addr = 0;
  lport = 0;
  raddr: Ipv4Addr = 0;
  rport = 0;

  /** How often a program's answer is still waited for, and when one could have begun. */
  private answers = 1;
  private askedAt: Millis = Number.NEGATIVE_INFINITY;

  readonly rd = new WaitQueue();
  readonly wr = new WaitQueue();
  readonly pollers = new WaitQueue();

  ops = new OpQueue();
  /** Made by the first question. */
  queries: QueryQueue | undefined = undefined;
  readonly askers = new WaitQueue();
  /** The transport made it (a child): it knows the socket without an operation of ours. */
  protected isChild: boolean;
  protected viewDirty = false;
  /** The layer asks it at the end of the batch what it has to tell. */
  isDirty = false;
  /** Until then a dirty view may wait for something to travel with. */
  private viewDueAt: Millis = 0;
  /** Sends left of a view that nobody confirms. */
  private viewTries = 0;
  /** When to say again what is unconfirmed, and how long after the last time. */
  private repeatAt: Millis = NEVER;
  private repeatMs: Millis = REPEAT_MIN_MS;
  /** The transport says nothing new: it lacks something of ours. Answered, but ever more seldom. */
  private nudgedAt: Millis = 0;
  private nudgeMs: Millis = REPEAT_MIN_MS;
  /**
   * Something was confirmed since the timer was last set. That more is sent is none: a program that never stops to write
   * would put off for ever what was lost before.
   */
  protected progress = false;
  /** Something was unconfirmed when the timer was last set. */
  private owed = false;

  timerAt: Millis = NEVER;
  heapAt: Millis = NEVER;

  constructor(host: SockHost, id: SkId, state: number, isChild: boolean) {
    this.host = host;
    this.id = id;
    this.state = state;
    this.isChild = isChild;
  }

  /** Whether the transport knows this socket: views and data make sense. */
  get live(): boolean {
    return !this.lost && this.adoption?.file === undefined && (this.isChild || this.ops.acked > 0);
  }

  /** Sent stream: TCP has all bytes below. */
  get sndGot(): number {
    return 0;
  }

  /** It was closed, and the program need not care any more what becomes of it. */
  get settled(): boolean {
    return this.freed || (this.orphan && this.ops.idle && this.adoption === undefined);
  }

  /** There is nothing behind it any more. */
  die(errno: number): void {
    this.lost = true;
    this.state = TCP_CLOSE;
    this.err = errno;
  }

  /** Asks the transport for what a socket layer before this one had; `over` is called when it has answered. */
  beginAdoption(file: SessionFile | undefined, ask: SkAdopt, over: (now: Millis) => void): void {
    this.adoption = { ask, unsent: true, file, closed: (file?.fd ?? 0) < 0, over };
    this.progress = true;
    this.host.markDirty(this);
  }

  abstract onEvent(evt: SkEvt, now: Millis): void;
  /** The transport has lost it. */
  abstract onUnknown(now: Millis): void;
  abstract close(now: Millis): void;
  abstract pollMask(): number;
  abstract info(): SocketInfo;
  protected abstract view(): SkView;
  /** Stream data; nothing for datagrams. */
  protected abstract emitData(): void;
  /** Something besides operations and views is unconfirmed. */
  protected abstract get unconfirmed(): boolean;
  /** The timer found no progress: go back to what is known to have arrived. */
  protected abstract rewind(): void;

  trace(point: Tracepoint): void {
    const { env } = this.host;
    if (env.tracing) env.trace(point, undefined, { sk: this.id, fd: this.fd });
  }

  /** The same where a fault rule can make the call fail. */
  fails(point: Tracepoint): boolean {
    const { env } = this.host;
    return env.tracing && env.fails(point, undefined, { sk: this.id, fd: this.fd });
  }

  /** An event of the kernel's that names the connection (include/trace/events/tcp.h:tcp_event_sk). */
  traceAddrs(point: Tracepoint): void {
    const { env } = this.host;
    if (!env.tracing) return;
    const { id, lport, rport, laddr, raddr } = this;
    env.trace(point, undefined, { sk: id, family: AF_INET, sport: lport, dport: rport, saddr: laddr, daddr: raddr });
  }

  /** sock_error(): the pending error, which is then gone. */
  takeErr(): number {
    const e = this.err;
    this.err = 0;
    return e;
  }

  wakeAll(now: Millis): void {
    this.rd.wake(now);
    this.wr.wake(now);
    this.pollers.wake(now);
  }

  pushOp(body: OpBody, done?: OpDone): number {
    const seq = this.ops.push(body, done);
    this.host.markDirty(this);
    return seq;
  }

  /** Options reach the transport with the first operation, or by an operation of their own. */
  setOptions(set: SkOptions): void {
    Object.assign(this.options, set);
    // the transport has them
    if (this.adoption?.file !== undefined) return;
    if ((this.isChild || this.ops.last > 0) && !this.ops.mergeOptions(set)) {
      this.pushOp({ options: { ...set } });
    }
  }

  /** The next flush says where we are; `insist`: and the following ones until it has surely arrived. */
  touchView(insist: boolean): void {
    this.viewDirty = true;
    this.viewDueAt = 0;
    if (insist && this.viewTries === 0) this.viewTries = VIEW_TRIES;
    this.host.markDirty(this);
  }

  /**
   * As touchView(), but an answer of the program that comes at once takes it along and saves a message. As with the
   * kernel's ping-pong mode, only programs that do answer are waited for: a stream's ACKs are not held up.
   */
  protected touchViewForAnswer(now: Millis): void {
    this.askedAt = now;
    if (this.answers === 0) this.touchView(false);
    else this.touchViewSoon();
  }

  /** As touchView(), but it can wait for company. */
  protected touchViewSoon(insist = false): void {
    if (insist && this.viewTries === 0) this.viewTries = VIEW_TRIES;
    if (!this.viewDirty) this.viewDueAt = NEVER; // flush() knows the time
    this.viewDirty = true;
    this.host.markDirty(this);
  }

  /** The program sends: if that is so soon that it would have been worth to wait, the next time we do. */
  protected answered(now: Millis): void {
    if (now - this.askedAt <= VIEW_SOON_MS) this.answers = ANSWERS_MAX;
  }

  /** Asks the transport for the value of an option; a socket it has not heard of is told it first. */
  ask(level: number, name: number, reply: (a: ProtoAnswer) => SysReply): Park {
    if (!this.isChild && this.ops.last === 0) this.pushOp({ options: {} });
    const queries = (this.queries ??= new QueryQueue());
    const id = queries.ask(level, name, reply);
    this.host.markDirty(this);
    return {
      on: [this.askers],
      timeoutMs: NEVER,
      attempt: () => queries.take(id),
      stop: (errno) => {
        queries.forget(id);
        return fail(errno);
      },
    };
  }

  protected onAnswer(a: ProtoAnswer, now: Millis): void {
    if (this.queries?.onAnswer(a) !== true) return;
    this.progress = true;
    this.askers.wake(now);
  }

  /** An event told nothing new; `news`: it did. */
  protected heard(news: boolean, now: Millis): void {
    if (news) this.nudgeMs = REPEAT_MIN_MS;
    else if (now - this.nudgedAt >= this.nudgeMs) {
      this.nudgedAt = now;
      this.nudgeMs = Math.min(this.nudgeMs * 2, ORPHAN_PROBE_MS);
      this.touchView(false);
    }
  }

  /** Sends what there is to send and sets the timer for what is not confirmed. */
  flush(now: Millis): void {
    if (this.restoring) return;
    const op = this.ops.takeUnsent();
    if (op !== undefined) {
      const first = op.seq === 1 && !this.isChild;
      this.command({
        sk: this.id,
        opSeq: op.seq,
        ...op.body,
        view: this.view(),
        ...(first ? { options: { ...this.options, ...op.body.options }, owner: this.session?.owner ?? 0 } : {}),
      });
    }
    if (this.adoption?.unsent === true) {
      this.adoption.unsent = false;
      this.command({ sk: this.id, opSeq: 0, adopt: this.adoption.ask });
    }
    if (this.live) {
      this.emitData();
      // after the operations before it, and the bytes
      if (this.queries?.unsent === true && this.ops.idle) {
        for (const query of this.queries.takeUnsent()) this.command({ sk: this.id, opSeq: 0, query });
      }
      if (this.viewDueAt === NEVER) this.viewDueAt = now + VIEW_SOON_MS;
      if (this.viewDirty && this.viewDueAt <= now) {
        if (this.viewDueAt > 0 && this.viewDueAt - this.askedAt <= VIEW_SOON_MS)
          this.answers = Math.max(0, this.answers - 1);
        this.command({ sk: this.id, opSeq: 0, view: this.view() });
      }
    }
    this.setTimer(now);
  }

  /** The transport has it again: what may have been on its way to the one before goes once more. */
  protected goOn(): void {
    this.restoring = false;
    if (!this.ops.idle) this.ops.unsent = true;
    if (this.queries?.waiting === true) this.queries.unsent = true;
    this.progress = true;
    this.touchView(true);
  }

  onTimer(now: Millis): void {
    if (this.restoring) return;
    if (this.repeatAt <= now) {
      this.repeatAt = NEVER;
      this.repeatMs = Math.min(this.repeatMs * 2, REPEAT_MAX_MS);
      if (!this.ops.idle) this.ops.unsent = true;
      if (this.queries?.waiting === true) this.queries.unsent = true;
      if (this.adoption !== undefined) this.adoption.unsent = true;
      this.rewind();
      if (this.live) this.touchView(false);
    }
    this.flush(now);
  }

  protected command(cmd: SkCmd): void {
    if (cmd.view) {
      this.viewDirty = false;
      this.viewDueAt = 0;
      if (this.viewTries > 0 && --this.viewTries === 0) this.viewSettled();
    }
    this.host.send(this, cmd);
  }

  /** A view that was insisted on has gone out often enough. */
  protected viewSettled(): void {}

  protected applyAddrs(v: ProtoView): void {
    if (v.lport !== 0) {
      this.laddr = v.laddr;
      this.lport = v.lport;
    }
    if (v.rport !== 0) {
      this.raddr = v.raddr;
      this.rport = v.rport;
    }
  }

  private setTimer(now: Millis): void {
    if (this.freed) return;
    const asks = this.queries?.waiting === true || this.adoption !== undefined;
    const owed = !this.ops.idle || this.unconfirmed || asks || (this.viewTries > 0 && this.live);
    if (owed) {
      if (this.progress) this.repeatMs = REPEAT_MIN_MS;
      if (this.progress || !this.owed || this.repeatAt === NEVER) this.repeatAt = now + this.repeatMs;
    } else {
      this.repeatMs = REPEAT_MIN_MS;
      this.repeatAt = this.orphan ? now + ORPHAN_PROBE_MS : NEVER;
    }
    this.owed = owed;
    this.progress = false;
    // 0: the sock is marked, and the flush that follows takes it along
    const viewAt = this.viewDirty && this.live && this.viewDueAt > 0 ? this.viewDueAt : NEVER;
    this.host.arm(this, Math.min(this.repeatAt, viewAt));
  }
}
