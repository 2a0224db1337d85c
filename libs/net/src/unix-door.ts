import { decodeDoorReply, encodeDoorRequest, pb as messages, type skbus } from '@skbus/contracts';
import { ERRNO } from '@skbus/skb';
import { type Door, type DoorCall, type DoorReply, type OnReply, defaultDoorPath } from './door.ts';
import { FRAME_DATA_MAX, FrameReader, frameHead } from './frame.ts';
import { type DoorWorld, type Link, unixWorld } from './link.ts';
import type { PendingCall } from './pending-call.ts';
import { Session } from './session.ts';

/** Data this short rides in the same buffer as its head: a copy is cheaper than one more entry for writev. */
const SMALL = 2048;
/** How long a socket service may be away before its programs hear of it, and how often they look for it. */
const RECONNECT_MS = 15_000;
const REDIAL_MS = 10;
/** Claims in one message. */
const CLAIMS_MAX = 128;

type Claimed = ReturnType<Session['claims']>;

/**
 * The way to the socket service. Requests go out in the order made, all of one turn of the event loop in one write; each
 * reply goes to whoever asked. When the service dies, this finds the next one, claims its sockets there and asks again what has
 * not been answered; the program sees a pause. Only when nobody comes, everything pending fails with ENETDOWN.
 */
export class UnixDoor implements Door {
  readonly path: string;
  closed = false;
  private readonly world: DoorWorld;
  private readonly reconnectMs: number;
  private readonly session = new Session();
  private readonly token: Uint8Array;
  private link: Link | undefined = undefined;
  private state: 'new' | 'open' | 'lost' | 'resuming' = 'new';
  private reader: FrameReader = this.newReader();
  private readonly pending = new Map<number, PendingCall>();
  /** The same for what the door itself asks. */
  private readonly own = new Map<number, (r: DoorReply) => void>();
  private readonly closers = new Set<(why: string) => void>();
  private readonly openers: (() => void)[] = [];
  private lastId = 0;
  private refs = 0;
  private why = 'the connection to the stack is closed';
  private redial: ReturnType<DoorWorld['after']> | undefined = undefined;
  private giveUpMs = 0;
  /** Frames received on this link; what some of them brought is not confirmed yet. */
  private frames = 0;
  private owesSeen = false;
  private willSay = false;

  /** `reconnectMs`: how long the service may be away before anybody hears of it. */
  constructor(path = defaultDoorPath(), options: { reconnectMs?: number; world?: DoorWorld } = {}) {
    this.path = path;
    this.world = options.world ?? unixWorld(path);
    this.reconnectMs = options.reconnectMs ?? RECONNECT_MS;
    this.token = this.world.token();
    this.dial();
    this.hello();
  }

  /** Resolves when the door is open. */
  opened(): Promise<this> {
    return new Promise((resolve, reject) => {
      if (this.closed) reject(new Error(this.why));
      else if (this.state !== 'new') resolve(this);
      else {
        this.hold();
        const off = this.onClose(() => reject(new Error(this.why)));
        this.openers.push(() => {
          off();
          this.release();
          resolve(this);
        });
      }
    });
  }

  request(call: DoorCall, data: readonly Uint8Array[] | undefined, reply: OnReply, holds = false): number {
    if (this.closed) {
      this.world.soon(() => reply(downReply(this.why), []));
      return 0;
    }
    const id = this.nextId();
    const p: PendingCall = {
      id,
      call,
      data,
      reply,
      holds,
      atMs: call.poll || call.epollWait ? this.world.nowMs() : 0,
      file: undefined,
      copy: undefined,
      took: 0,
      unsure: false,
      held: false,
      cancelled: false,
    };
    this.pending.set(id, p);
    if (holds) this.hold();
    p.held = !this.session.begin(p);
    if (!p.held && (this.state === 'open' || this.state === 'new')) this.send(call, id, p.data);
    return id;
  }

  cancel(id: number): void {
    const p = this.pending.get(id);
    if (p === undefined) return;
    p.cancelled = true;
    if (!p.held && (this.state === 'open' || this.state === 'new')) this.send({ cancel: { id } }, id);
  }

  onClose(fn: (why: string) => void): () => void {
    this.closers.add(fn);
    return () => this.closers.delete(fn);
  }

  hold(): void {
    if (this.refs++ > 0) return;
    this.link?.ref();
    this.redial?.ref();
  }

  release(): void {
    if (--this.refs > 0) return;
    this.link?.unref();
    this.redial?.unref();
  }

  close(): void {
    this.fail('the door was closed');
  }

  // --- the link ------------------------------------------------------------------------------------------------------

  private dial(): void {
    this.redial = undefined;
    this.frames = 0;
    this.owesSeen = false;
    this.reader = this.newReader();
    const link: Link = this.world.dial({
      open: () => this.link === link && this.onOpen(),
      data: (chunk) => this.link === link && this.onChunk(chunk),
      end: (why, code) => this.link === link && this.onEnd(why, code),
    });
    this.link = link;
    if (this.refs > 0) link.ref();
  }

  private newReader(): FrameReader {
    return new FrameReader((pb, data) => this.onFrame(pb, data));
  }

  private onOpen(): void {
    if (this.state === 'new') {
      this.state = 'open';
      for (const fn of this.openers.splice(0)) fn();
    } else {
      this.state = 'resuming';
      this.hello();
      this.claim(this.session.claims());
    }
  }

  private onChunk(chunk: Buffer): void {
    const wrong = this.reader.push(chunk);
    if (wrong !== undefined) this.fail(`no door of a stack answers at ${this.path}: ${wrong}`);
  }

  /** The service is gone; another one may come. */
  private onEnd(why: string, code: string | undefined): void {
    if (this.closed) return;
    const absent = code === 'ENOENT' || code === 'ECONNREFUSED';
    const reason = absent
      ? `no stack listens at ${this.path}; start one with "skbus up", or set SKBUS_SOCK`
      : code === undefined
        ? this.why
        : why;
    const now = this.world.nowMs();
    if (this.state === 'open') this.giveUpMs = now + this.reconnectMs;
    if (this.state === 'new' || now >= this.giveUpMs) return this.fail(reason);
    this.state = 'lost';
    this.link = undefined;
    this.own.clear();
    this.redial = this.world.after(REDIAL_MS, () => this.dial());
    if (this.refs === 0) this.redial.unref();
  }

  // --- frames --------------------------------------------------------------------------------------------------------

  private send(call: DoorCall, id: number, data?: readonly Uint8Array[]): void {
    const { link } = this;
    if (link === undefined) return;
    let length = 0;
    if (data !== undefined) for (const d of data) length += d.length;
    const pb = encodeDoorRequest(call, id, this.owesSeen ? this.frames : 0);
    this.owesSeen = false;
    if (data === undefined || length === 0) link.write(frameHead(pb, 0));
    else if (length <= SMALL) link.write(Buffer.concat([frameHead(pb, length), ...data]));
    else {
      link.write(frameHead(pb, length));
      for (const d of data) link.write(d);
    }
  }

  /** A request of the door's own. */
  private ask(call: DoorCall, data: readonly Uint8Array[] | undefined, reply: (r: DoorReply) => void): void {
    const id = this.nextId();
    this.own.set(id, reply);
    this.send(call, id, data);
  }

  private nextId(): number {
    do {
      this.lastId = (this.lastId + 1) >>> 0;
    } while (this.lastId === 0 || this.pending.has(this.lastId) || this.own.has(this.lastId));
    return this.lastId;
  }

  private onFrame(pb: Uint8Array, data: Uint8Array[]): void {
    if (this.closed) return;
    let r: DoorReply;
    try {
      r = decodeDoorReply(pb);
    } catch {
      this.fail(`no door of a stack answers at ${this.path}: no DoorReply`);
      return;
    }
    this.frames = (this.frames + 1) >>> 0;
    if (r.id === 0) {
      if (r.files.length > 0) this.session.news(r.files);
      else this.fail(r.error || 'the stack closed the connection');
      return;
    }
    const own = this.own.get(r.id);
    if (own !== undefined) {
      this.own.delete(r.id);
      own(r);
      return;
    }
    const p = this.pending.get(r.id);
    if (p === undefined) return;
    if (r.rcvTo > 0 && data.length > 0) this.confirmSoon();
    this.answer(p, r, data);
  }

  /** What arrived is only safe when the service knows it; the next request says so, or else a message of its own. */
  private confirmSoon(): void {
    this.owesSeen = true;
    if (this.willSay) return;
    this.willSay = true;
    this.world.idle(() => {
      this.willSay = false;
      if (this.owesSeen) this.send({}, 0);
    });
  }

  private answer(p: PendingCall, r: DoorReply, data: Uint8Array[]): void {
    this.pending.delete(p.id);
    const next = this.session.end(p, r);
    if (p.took > 0) {
      r.result = p.took + (r.errno === 0 ? r.result : 0);
      r.errno = 0;
    }
    for (const n of next) this.dispatch(n);
    if (p.holds) this.release();
    p.reply(r, data);
  }

  private dispatch(p: PendingCall): void {
    p.held = false;
    this.send(p.call, p.id, p.data);
    if (p.cancelled) this.send({ cancel: { id: p.id } }, p.id);
  }

  // --- another service -----------------------------------------------------------------------------------------------

  private hello(): void {
    this.ask({ hello: { token: this.token } }, undefined, () => {});
  }

  /** Asks for all sockets of the session; then goes on. */
  private claim(claims: Claimed): void {
    const news: skbus.v1.DoorFileNews.$Properties[] = [];
    for (let from = 0; from === 0 || from < claims.length; from += CLAIMS_MAX) {
      const files = claims.slice(from, from + CLAIMS_MAX).map((c) => c.claim);
      const last = from + CLAIMS_MAX >= claims.length;
      this.ask({ resume: { files, last } }, undefined, (r) => {
        news.push(...r.files);
        if (last) this.goOn(claims, news);
      });
    }
  }

  private goOn(claims: Claimed, news: readonly skbus.v1.DoorFileNews.$Properties[]): void {
    this.state = 'open';
    claims.forEach(({ file }, i) => {
      const lacks = this.session.resumed(file, news[i] ?? { gone: true });
      if (lacks !== undefined) this.refill(file.sk, lacks.offset, lacks.parts);
    });
    for (const call of this.session.epolls.calls()) this.ask(call, undefined, () => {});
    const now = this.world.nowMs();
    for (const p of Array.from(this.pending.values())) {
      const known = this.answerOf(p);
      if (known !== undefined) this.world.soon(() => this.pending.has(p.id) && this.answer(p, known, []));
      else if (!p.held) {
        const { poll, epollWait } = p.call;
        const left = (timeoutMs: number): number => Math.max(0, timeoutMs - (now - p.atMs));
        if (poll && (poll.timeoutMs ?? 0) > 0) p.call.poll = { ...poll, timeoutMs: left(poll.timeoutMs!) };
        if (epollWait && (epollWait.timeoutMs ?? 0) > 0)
          p.call.epollWait = { ...epollWait, timeoutMs: left(epollWait.timeoutMs!) };
        this.dispatch(p);
      }
    }
  }

  private refill(sk: number, offset: number, parts: readonly Buffer[]): void {
    let at = offset;
    for (const part of parts) {
      for (let from = 0; from < part.length; from += FRAME_DATA_MAX) {
        const piece = part.subarray(from, from + FRAME_DATA_MAX);
        this.ask({ refill: { sk, offset: at } }, [piece], () => {});
        at += piece.length;
      }
    }
  }

  /** What needs not be asked again. */
  private answerOf(p: PendingCall): DoorReply | undefined {
    if (p.file?.closed === true) {
      if (p.copy !== undefined) return new messages.DoorReply({ id: p.id, result: p.copy.bytes.length });
      return new messages.DoorReply({ id: p.id, errno: p.call.close ? 0 : ERRNO.EBADF, result: p.call.close ? 0 : -1 });
    }
    if (p.took > 0 && (p.unsure || p.copy?.bytes.length === 0)) return new messages.DoorReply({ id: p.id });
    return undefined;
  }

  private fail(why: string): void {
    if (this.closed) return;
    this.closed = true;
    this.why = why;
    this.link?.destroy();
    this.link = undefined;
    this.redial?.stop();
    const pending = [...this.pending.values()];
    this.pending.clear();
    this.own.clear();
    // Sockets and servers first: each says once that the stack is gone, whatever it had asked.
    const closers = [...this.closers];
    this.closers.clear();
    for (const fn of closers) fn(why);
    for (const p of pending) {
      if (p.holds) this.release();
      p.reply(downReply(why), []);
    }
  }
}

function downReply(error: string): DoorReply {
  return new messages.DoorReply({ errno: ERRNO.ENETDOWN, result: -1, error });
}
