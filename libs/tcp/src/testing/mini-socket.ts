import {
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_TIME_WAIT,
  type Millis,
  type ProtoView,
  type SkCmd,
  type SkEvt,
  type SkId,
  type SkOptions,
  type SkView,
} from '@skbus/skb';

/** A stream from its first byte on. */
export class ByteLog {
  private buf = new Uint8Array(1024);
  length = 0;

  append(data: Uint8Array): void {
    if (this.length + data.length > this.buf.length) {
      const bigger = new Uint8Array(Math.max(2 * this.buf.length, this.length + data.length));
      bigger.set(this.buf.subarray(0, this.length));
      this.buf = bigger;
    }
    this.buf.set(data, this.length);
    this.length += data.length;
  }

  slice(from: number, to: number): Uint8Array {
    return this.buf.slice(from, Math.min(to, this.length));
  }

  /** Where it differs from `other`, -1: nowhere. */
  differsAt(other: Uint8Array): number {
    for (let i = 0; i < Math.max(this.length, other.length); i++) {
      if (i >= this.length || i >= other.length || this.buf[i] !== other[i]) return i;
    }
    return -1;
  }
}

/** One socket of the miniature socket layer: everything a program would see of it. */
export class MiniSock {
  readonly id: SkId;
  /** All bytes written and read, from offset 0: streams are compared with these. */
  readonly written = new ByteLog();
  readonly received = new ByteLog();
  /** How far the application has read; defaults to everything. */
  readTo: number | undefined = undefined;
  view: ProtoView | undefined = undefined;
  finGot = false;
  haveChild = false;
  accepted = false;
  recordSeq = 0;
  listener = 0;
  opSeq = 0;
  opAck = 0;
  opErrno = 0;
  unknown = false;
  /** Operations not acknowledged yet, oldest first. */
  ops: SkCmd[] = [];
  /** Sent up to here at least once. */
  sent = 0;
  closing = false;
  repeatAt: Millis = Number.POSITIVE_INFINITY;

  constructor(id: SkId) {
    this.id = id;
  }

  get state(): number {
    return this.view?.state ?? TCP_CLOSE;
  }

  get err(): number {
    return this.view?.err ?? 0;
  }

  get established(): boolean {
    return this.state === TCP_ESTABLISHED;
  }

  get ended(): boolean {
    return this.unknown || (this.view !== undefined && (this.state === TCP_CLOSE || this.state === TCP_TIME_WAIT));
  }
}

const CHUNK = 16_384;
const REPEAT_MS = 250;

/**
 * The least that the seam asks of a socket layer: numbers its operations and repeats them, repeats bytes until they are
 * with TCP, confirms what it gets. `send` carries a command to the TcpStack, perhaps badly.
 */
export class MiniSocketLayer {
  readonly socks = new Map<SkId, MiniSock>();
  private nextId = 2;
  private readonly send: (cmd: SkCmd) => void;
  now: Millis = 0;

  constructor(send: (cmd: SkCmd) => void) {
    this.send = send;
  }

  socket(): MiniSock {
    const s = new MiniSock(this.nextId);
    this.nextId += 2;
    this.socks.set(s.id, s);
    return s;
  }

  listen(port: number, backlog = 16, options?: SkOptions): MiniSock {
    const s = this.socket();
    this.op(s, { bind: { addr: 0, port }, listen: { backlog }, ...(options ? { options } : {}) });
    return s;
  }

  connect(addr: number, port: number, options?: SkOptions): MiniSock {
    const s = this.socket();
    this.op(s, { connect: { addr, port }, ...(options ? { options } : {}) });
    return s;
  }

  children(listener: MiniSock): MiniSock[] {
    return [...this.socks.values()].filter((s) => s.listener === listener.id);
  }

  accept(listener: MiniSock): MiniSock | undefined {
    const s = this.children(listener).find((c) => !c.accepted);
    if (s === undefined) return undefined;
    s.accepted = true;
    this.push(s);
    return s;
  }

  write(s: MiniSock, data: Uint8Array): void {
    s.written.append(data);
    this.pump(s);
  }

  /** The application has read up to here. */
  read(s: MiniSock, to: number): void {
    s.readTo = to;
    this.push(s);
  }

  shutdown(s: MiniSock, how = 1): void {
    this.op(s, { shutdown: { how } });
  }

  /** With a listener go the connections that nobody has accepted. */
  close(s: MiniSock, abort = false): void {
    s.closing = true;
    this.op(s, { close: { abort } });
    for (const c of this.children(s)) if (!c.accepted && !c.closing) this.close(c, true);
  }

  op(s: MiniSock, body: Partial<SkCmd>): void {
    s.ops.push({ sk: s.id, opSeq: ++s.opSeq, ...body });
    if (s.ops.length === 1) this.push(s);
  }

  onEvent(e: SkEvt): void {
    const s = this.find(e);
    if (s === undefined) return;
    if (e.unknown === true) {
      s.unknown = true;
      s.ops = [];
      return;
    }
    if (e.opAck > s.opAck) {
      s.opAck = e.opAck;
      s.opErrno = e.opErrno;
      while (s.ops.length > 0 && s.ops[0]!.opSeq <= e.opAck) s.ops.shift();
      if (s.ops.length > 0) this.push(s);
    }
    let answer = false;
    if (e.child) {
      s.haveChild = true;
      answer = true;
    }
    if (e.record && e.record.seq > s.recordSeq) {
      s.recordSeq = e.record.seq;
      answer = true;
    }
    if (e.data) answer = this.onData(s, e.data.offset, e.data.data) || answer;
    if (e.view) answer = this.onView(s, e.view) || answer;
    if (answer) this.push(s);
    this.pump(s);
  }

  /** Repeats what is not confirmed. */
  tick(now: Millis): void {
    this.now = now;
    for (const s of this.socks.values()) {
      if (s.repeatAt > now) continue;
      if (!this.owed(s)) {
        s.repeatAt = Number.POSITIVE_INFINITY;
        continue;
      }
      s.sent = Math.min(s.sent, s.view?.sndGot ?? 0);
      this.push(s);
      this.pump(s);
    }
  }

  nextTick(): Millis {
    let t = Number.POSITIVE_INFINITY;
    for (const s of this.socks.values()) t = Math.min(t, s.repeatAt);
    return t;
  }

  private find(e: SkEvt): MiniSock | undefined {
    let s = this.socks.get(e.sk);
    if (s === undefined && e.child) {
      s = new MiniSock(e.sk);
      s.listener = e.child.listener;
      this.socks.set(e.sk, s);
      if (this.socks.get(s.listener)?.closing === true) this.close(s, true);
    }
    return s;
  }

  private onData(s: MiniSock, offset: number, data: Uint8Array): boolean {
    const skip = s.received.length - offset;
    if (skip < 0) return false;
    if (skip < data.length) s.received.append(data.subarray(skip));
    return true;
  }

  private onView(s: MiniSock, v: ProtoView): boolean {
    const old = s.view;
    // Offsets only grow; a view that is behind was overtaken.
    if (old !== undefined && (v.sndUna < old.sndUna || v.sndGot < old.sndGot || v.rcvNxt < old.rcvNxt)) return false;
    if (
      old !== undefined &&
      (old.state === TCP_CLOSE || old.state === TCP_TIME_WAIT) &&
      old.lport === v.lport &&
      v.state !== old.state &&
      old.rport !== 0
    )
      return false;
    s.view = v;
    if (v.finRcvd && v.rcvNxt === s.received.length) {
      s.finGot = true;
      return true;
    }
    return false;
  }

  private pump(s: MiniSock): void {
    if (s.view === undefined || s.unknown || s.ended) return;
    const most = Math.min(s.view.sndLimit, s.written.length);
    while (s.sent < most) {
      const n = Math.min(CHUNK, most - s.sent);
      this.send({ sk: s.id, opSeq: 0, data: { offset: s.sent, data: s.written.slice(s.sent, s.sent + n) } });
      s.sent += n;
      this.arm(s);
    }
  }

  /** The next operation, if there is one, and the view. */
  push(s: MiniSock): void {
    const op = s.ops[0];
    this.send({ ...(op ?? { sk: s.id, opSeq: 0 }), view: this.viewOf(s) });
    this.arm(s);
  }

  private arm(s: MiniSock): void {
    s.repeatAt = this.owed(s) ? this.now + REPEAT_MS : Number.POSITIVE_INFINITY;
  }

  private owed(s: MiniSock): boolean {
    if (s.unknown) return false;
    if (s.ops.length > 0) return true;
    if (s.ended) return false;
    // the last word may have been lost: whoever closed asks
    if (s.closing) return true;
    return (s.view?.sndUna ?? 0) < s.written.length && s.view !== undefined;
  }

  private viewOf(s: MiniSock): SkView {
    return {
      sndTo: s.written.length,
      rcvGot: s.received.length,
      rcvRead: s.readTo ?? s.received.length,
      finGot: s.finGot,
      haveChild: s.haveChild,
      accepted: s.accepted,
      recordSeq: s.recordSeq,
    };
  }
}
