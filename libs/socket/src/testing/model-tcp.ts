import {
  SHUT_RD,
  ERRNO,
  type Millis,
  NEVER,
  type ProtoView,
  type Rng,
  type SkCmd,
  type SkEvt,
  type SkId,
  type SkQuery,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_INFO,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_TIME_WAIT,
  below,
} from '@skbus/skb';

const LADDR = 0x0a4d0002;
const REPEAT_MS = 200;
const SND_WINDOW = 300_000;

/** One connection end, or a listener, of the model. */
export class ModelSock {
  opSeq = 0;
  opErrno = 0;
  state = TCP_CLOSE;
  lport = 0;
  rport = 0;
  peer: ModelSock | undefined = undefined;
  listener: SkId = 0;
  haveChild = false;
  accepted = false;
  /** Bytes taken from the socket layer and not yet with the peer. */
  out: Uint8Array[] = [];
  sndGot = 0;
  sndNxt = 0;
  saidUna = 0;
  finAt = -1;
  rcvNxt = 0;
  rcvGot = 0;
  rcvRead = 0;
  rcvbuf = 131_072;
  finRcvd = false;
  finGot = false;
  err = 0;
  closed = false;
  unconfirmed: { offset: number; data: Uint8Array }[] = [];
  repeatAt: Millis = NEVER;
  readonly id: SkId;

  constructor(id: SkId) {
    this.id = id;
  }
}

/**
 * The other side of the seam, as simple as can be: connections end in the same model, and the "network" is a copy.
 * It keeps the seam's three rules and nothing else, so it checks the socket layer rather than TCP.
 */
export class ModelTcp {
  readonly socks = new Map<SkId, ModelSock>();
  /** `sk:seq` of every operation run, to see that none runs twice. */
  readonly ran: string[] = [];
  readonly accepts = new Set<SkId>();
  private readonly listeners = new Map<number, ModelSock>();
  private nextChild = 1;
  private nextPort = 40_000;
  private readonly rng: Rng;
  private readonly emit: (evt: SkEvt) => void;
  /** A connect leaves the handshake open until `complete`. */
  holdConnects = false;
  /** Takes nothing from senders. */
  stalled = false;
  connectErrno = 0;
  /** Of the segments that a write makes, and what leaves at once: see ProtoView. */
  sndGoal = 0;
  sndBurst = 0;

  constructor(rng: Rng, emit: (evt: SkEvt) => void) {
    this.rng = rng;
    this.emit = emit;
  }

  onCmd(cmd: SkCmd, now: Millis): void {
    let s = this.socks.get(cmd.sk);
    if (s === undefined) {
      if (cmd.opSeq !== 1 || cmd.close) {
        this.emit({ sk: cmd.sk, opAck: 0, opErrno: 0, unknown: true });
        return;
      }
      s = new ModelSock(cmd.sk);
      this.socks.set(s.id, s);
    }
    if (cmd.view) this.onView(s, cmd.view);
    if (cmd.query) this.answer(s, cmd.query);
    if (cmd.opSeq > s.opSeq) {
      s.opSeq = cmd.opSeq;
      this.ran.push(`${s.id}:${cmd.opSeq}`);
      s.opErrno = this.run(s, cmd, now);
      this.say(s, now);
    } else if (cmd.opSeq > 0) this.say(s, now);
    if (cmd.data) this.onData(s, cmd.data);
    this.work(now);
    if (this.socks.has(s.id) && cmd.data) this.say(s, now);
    // What the reader confirmed is the writer's news.
    if (s.peer !== undefined && this.una(s.peer) !== s.peer.saidUna) this.say(s.peer, now);
  }

  /** The name asked for, as an int; what a struct would be, as three bytes. */
  private answer(s: ModelSock, q: SkQuery): void {
    const value = q.name === TCP_INFO ? Uint8Array.of(s.state, 2, 3) : Uint8Array.of(q.name, 0, 0, 0);
    this.emit({ sk: s.id, opAck: s.opSeq, opErrno: s.opErrno, answer: { id: q.id, errno: 0, value } });
  }

  /** Finishes a held handshake, or refuses it. */
  complete(s: ModelSock, err: number, now: Millis): void {
    if (err === 0) this.establish(s, s.rport, now);
    else {
      s.state = TCP_CLOSE;
      s.err = err;
    }
    this.say(s, now);
    this.work(now);
  }

  reset(s: ModelSock, err: number, now: Millis): void {
    s.state = TCP_CLOSE;
    s.err = err;
    s.unconfirmed = [];
    this.say(s, now);
  }

  /** The process dies: all state is gone. */
  restart(): void {
    this.socks.clear();
    this.listeners.clear();
  }

  pollTimeout(): Millis {
    let at = NEVER;
    for (const s of this.socks.values()) at = Math.min(at, s.repeatAt);
    return at;
  }

  handleTimeout(now: Millis): void {
    for (const s of this.socks.values()) {
      if (s.repeatAt > now) continue;
      s.repeatAt = NEVER;
      if (!this.owed(s)) continue;
      for (const u of s.unconfirmed) this.emit({ sk: s.id, opAck: s.opSeq, opErrno: s.opErrno, data: u });
      this.say(s, now);
    }
    this.work(now);
  }

  private run(s: ModelSock, cmd: SkCmd, now: Millis): number {
    if (cmd.bind) {
      const port = cmd.bind.port || this.nextPort++;
      for (const o of this.socks.values()) if (o !== s && o.lport === port && o.listener === 0) return ERRNO.EADDRINUSE;
      s.lport = port;
    } else if (cmd.listen) {
      s.lport ||= this.nextPort++;
      s.state = TCP_LISTEN;
      this.listeners.set(s.lport, s);
    } else if (cmd.connect) return this.connect(s, cmd.connect.port);
    else if (cmd.shutdown && cmd.shutdown.how !== SHUT_RD) s.finAt = cmd.view?.sndTo ?? 0;
    else if (cmd.close) this.close(s, cmd.close.abort, cmd.view?.sndTo ?? 0, now);
    return 0;
  }

  private connect(s: ModelSock, port: number): number {
    if (this.connectErrno !== 0) return this.connectErrno;
    s.lport ||= this.nextPort++;
    s.rport = port;
    s.state = 2;
    if (!this.holdConnects) this.establish(s, port, 0);
    return 0;
  }

  private establish(s: ModelSock, port: number, now: Millis): void {
    const l = this.listeners.get(port);
    if (l === undefined) {
      s.state = TCP_CLOSE;
      s.err = ERRNO.ECONNREFUSED;
      return;
    }
    const c = new ModelSock(this.nextChild);
    this.nextChild += 2;
    c.listener = l.id;
    c.lport = port;
    c.rport = s.lport;
    c.peer = s;
    s.peer = c;
    c.state = s.state = TCP_ESTABLISHED;
    this.socks.set(c.id, c);
    this.say(c, now);
  }

  private close(s: ModelSock, abort: boolean, sndTo: number, now: Millis): void {
    s.closed = true;
    s.unconfirmed = [];
    if (this.listeners.get(s.lport) === s) this.listeners.delete(s.lport);
    if (s.peer !== undefined && abort) {
      s.peer.err = s.peer.state === TCP_CLOSE ? 0 : ERRNO.ECONNRESET;
      s.peer.state = TCP_CLOSE;
      s.peer.peer = undefined;
      s.peer.unconfirmed = [];
      this.say(s.peer, now);
      s.state = TCP_CLOSE;
    } else if (s.peer === undefined) s.state = TCP_CLOSE;
    else if (s.finAt < 0) s.finAt = sndTo;
  }

  private onView(s: ModelSock, v: NonNullable<SkCmd['view']>): void {
    s.rcvGot = Math.max(s.rcvGot, v.rcvGot);
    s.rcvRead = Math.max(s.rcvRead, v.rcvRead);
    s.finGot ||= v.finGot;
    s.haveChild ||= v.haveChild;
    s.accepted ||= v.accepted;
    s.unconfirmed = s.unconfirmed.filter((u) => u.offset + u.data.length > s.rcvGot);
  }

  private onData(s: ModelSock, d: { offset: number; data: Uint8Array }): void {
    const skip = s.sndGot - d.offset;
    if (this.stalled || skip < 0 || skip >= d.data.length) return;
    const fresh = d.data.slice(skip);
    s.out.push(fresh);
    s.sndGot += fresh.length;
  }

  /** Moves bytes and FINs between the two ends of each connection. */
  private work(now: Millis): void {
    for (const s of this.socks.values()) {
      const p = s.peer;
      if (p === undefined) continue;
      while (s.out.length > 0) {
        const room = p.rcvRead + p.rcvbuf - p.rcvNxt;
        if (p.closed) {
          s.sndNxt += s.out.shift()!.length;
          continue;
        }
        const head = s.out[0]!;
        const n = Math.min(room, head.length, 1 + below(this.rng, 40_000));
        if (n <= 0) break;
        const piece = { offset: p.rcvNxt, data: head.subarray(0, n) };
        if (n === head.length) s.out.shift();
        else s.out[0] = head.subarray(n);
        s.sndNxt += n;
        p.rcvNxt += n;
        p.unconfirmed.push(piece);
        this.emit({ sk: p.id, opAck: p.opSeq, opErrno: p.opErrno, data: piece });
        if (p.repeatAt === NEVER) p.repeatAt = now + REPEAT_MS;
      }
      if (s.finAt >= 0 && s.sndGot >= s.finAt && s.out.length === 0 && !p.finRcvd) {
        p.finRcvd = true;
        this.say(p, now);
      }
      this.advance(s, now);
    }
  }

  private advance(s: ModelSock, now: Millis): void {
    const p = s.peer!;
    const finSent = s.finAt >= 0 && p.finRcvd;
    const acked = finSent && (p.finGot || p.closed);
    const was = s.state;
    if (finSent && s.finRcvd)
      s.state = acked
        ? s.state === TCP_LAST_ACK
          ? TCP_CLOSE
          : TCP_TIME_WAIT
        : s.state === TCP_CLOSE_WAIT || s.state === TCP_LAST_ACK
          ? TCP_LAST_ACK
          : TCP_CLOSING;
    else if (finSent) s.state = acked ? TCP_FIN_WAIT2 : TCP_FIN_WAIT1;
    else if (s.finRcvd && s.state === TCP_ESTABLISHED) s.state = TCP_CLOSE_WAIT;
    if (s.state !== was) this.say(s, now);
  }

  private una(s: ModelSock): number {
    return s.peer === undefined ? s.sndNxt : s.peer.closed ? s.sndNxt : Math.min(s.sndNxt, s.peer.rcvGot);
  }

  private say(s: ModelSock, now: Millis): void {
    const una = this.una(s);
    s.saidUna = una;
    const view: ProtoView = {
      state: s.state,
      laddr: LADDR,
      lport: s.lport,
      raddr: s.rport === 0 ? 0 : LADDR,
      rport: s.rport,
      sndGot: s.sndGot,
      sndUna: una,
      sndLimit: una + SND_WINDOW,
      sndGoal: this.sndGoal,
      sndBurst: this.sndBurst,
      rcvNxt: s.rcvNxt,
      finRcvd: s.finRcvd,
      finAcked: s.finAt >= 0 && s.peer !== undefined && (s.peer.finGot || s.peer.closed) && s.peer.finRcvd,
      err: s.err,
      softErr: 0,
    };
    const child = s.listener !== 0 && !s.haveChild ? { listener: s.listener } : undefined;
    this.emit({ sk: s.id, opAck: s.opSeq, opErrno: s.opErrno, view, ...(child ? { child } : {}) });
    s.repeatAt = this.owed(s) ? now + REPEAT_MS : NEVER;
    if (s.closed && (s.state === TCP_CLOSE || s.state === TCP_TIME_WAIT) && s.unconfirmed.length === 0)
      this.socks.delete(s.id);
  }

  /** Waits for the socket layer to confirm something. */
  private owed(s: ModelSock): boolean {
    return (
      s.unconfirmed.length > 0 ||
      (s.listener !== 0 && !s.haveChild) ||
      (s.finRcvd && !s.finGot && !s.closed) ||
      (s.state !== TCP_LISTEN && !s.closed && s.err !== 0)
    );
  }
}
