import { createHash } from 'node:crypto';
import type { Socket as UnixSocket } from 'node:net';
import { decodeDoorRequest, encodeDoorReply, type skbus } from '@skbus/contracts';
import { FrameReader, frameHead, rereadInto, writeAll } from '@skbus/net';
import type { Millis } from '@skbus/skb';
import type { CallHandle, ProcId, SysReply } from '@skbus/socket';
import { toDoorReply, toFileNews, toSysRequest } from './door-codec.ts';
import type { Gateway } from './gateway.ts';

/** Calls one program may have open at once. */
const CALLS_MAX = 65_536;
/** Replies that the program does not take: above this nothing more is read from it. */
const BACKLOG_MAX = 8 * 1024 * 1024;
/** Data this short is copied behind its head instead of becoming an entry of writev. */
const SMALL = 2048;
/** How long an answer that nobody waits for is kept for company. */
const LATER_MS = 5;
/** News in one message: 26 bytes each at most, 64 KiB together. */
const NEWS_MAX = 2_000;
/** Bytes of a session's token. */
const TOKEN_MIN = 16;

/** What the transports know a session by: who has seen it there cannot make the token of it. */
const ownerOf = (token: Uint8Array): number => createHash('sha256').update(token).digest().readUIntBE(0, 6) + 1;

/** One program at the door: its process in the engine, the calls that are open, and replies of the running batch. */
export class DoorConnection {
  private readonly unix: UnixSocket;
  private readonly gateway: Gateway;
  private readonly proc: ProcId;
  private readonly calls = new Map<number, CallHandle>();
  private readonly reader: FrameReader;
  private readonly markDirty: (c: DoorConnection) => void;
  private out: Uint8Array[] = [];
  /** It is among those to be flushed; somebody waits for what is in `out`; it leaves in a while in any case. */
  private dirty = false;
  private urgent = false;
  private leaves = false;
  private over = false;
  private session = false;
  /** Frames sent, and those the program has to have seen before what they carried counts as read. */
  private frames = 0;
  private unseen: { frame: number; arrived: (now: Millis) => void }[] = [];
  private now: Millis = 0;

  constructor(
    accepted: UnixSocket,
    gateway: Gateway,
    markDirty: (c: DoorConnection) => void,
    onEnd: (c: DoorConnection) => void,
  ) {
    this.gateway = gateway;
    this.markDirty = markDirty;
    this.proc = gateway.openProcess();
    this.reader = new FrameReader((pb, data) => this.onFrame(pb, data));
    const unix = rereadInto(accepted, (chunk) => this.onChunk(chunk));
    this.unix = unix;
    unix.on('drain', () => unix.resume());
    unix.on('error', () => {});
    unix.on('close', () => {
      this.over = true;
      if (!gateway.leaving) gateway.run((now) => gateway.closeProcess(this.proc, now));
      onEnd(this);
    });
  }

  /** Replies of a batch leave in one write. */
  flush(): void {
    const { out, unix } = this;
    this.dirty = false;
    if (out.length === 0) return;
    if (!this.urgent) return this.leaveLater();
    this.urgent = false;
    this.out = [];
    if (unix.destroyed) return;
    writeAll(unix, out);
    if (unix.writableLength > BACKLOG_MAX) unix.pause();
  }

  destroy(): void {
    this.unix.destroy();
  }

  private onChunk(chunk: Buffer): void {
    this.gateway.run((now) => {
      this.now = now;
      const wrong = this.over ? undefined : this.reader.push(chunk);
      if (wrong !== undefined) this.hangUp(wrong);
    });
  }

  private onFrame(pb: Uint8Array, data: Uint8Array[]): void {
    if (this.over) return;
    let m: skbus.v1.DoorRequest.$Properties;
    try {
      m = decodeDoorRequest(pb);
    } catch {
      return this.hangUp('the message is no DoorRequest');
    }
    if (m.cancel) {
      this.gateway.cancel(this.calls.get(m.cancel.id ?? 0));
      return;
    }
    if (m.seen) this.onSeen(m.seen);
    const id = m.id ?? 0;
    if (id === 0 && m.seen) return;
    if (id === 0 || this.calls.has(id)) return this.hangUp(`request id ${id} is ${id === 0 ? 'reserved' : 'in use'}`);
    if (this.calls.size >= CALLS_MAX) return this.hangUp(`more than ${CALLS_MAX} calls are open`);
    if (m.hello) return this.onHello(id, m.hello.token ?? new Uint8Array(0));
    const request = toSysRequest(m, data);
    if (request === undefined) return this.hangUp(`request ${id} holds no call this door knows`);
    let answered = false;
    const handle = this.gateway.call(this.proc, request, this.now, (reply) => {
      answered = true;
      this.calls.delete(id);
      this.reply(id, reply, m.later === true && reply.errno === 0);
    });
    if (!answered) this.calls.set(id, handle);
  }

  /** The sockets of this program are to outlive this service. */
  private onHello(id: number, token: Uint8Array): void {
    if (token.length < TOKEN_MIN || this.session) return this.hangUp('a hello wants 16 bytes of token, once');
    this.session = true;
    this.gateway.openSession(this.proc, ownerOf(token), (news) => {
      for (let i = 0; i < news.length; i += NEWS_MAX)
        this.say({ id: 0, files: news.slice(i, i + NEWS_MAX).map(toFileNews) });
    });
    this.say({ id });
  }

  /** `n` frames have arrived. */
  private onSeen(n: number): void {
    const { unseen } = this;
    let i = 0;
    while (i < unseen.length && ((n - unseen[i]!.frame) | 0) >= 0) unseen[i++]!.arrived(this.now);
    if (i > 0) unseen.splice(0, i);
  }

  private reply(id: number, r: SysReply, later: boolean): void {
    if (this.over) return;
    this.say(toDoorReply(id, r), r.data, later);
    if (r.arrived !== undefined) this.unseen.push({ frame: this.frames, arrived: r.arrived });
  }

  private say(m: skbus.v1.DoorReply.$Properties, data: readonly Uint8Array[] = [], later = false): void {
    if (this.over) return;
    this.frames = (this.frames + 1) >>> 0;
    if (!later) this.urgent = true;
    if (!this.dirty) {
      this.dirty = true;
      this.markDirty(this);
    }
    let length = 0;
    for (const d of data) length += d.length;
    const head = frameHead(encodeDoorReply(m), length);
    if (length === 0) this.out.push(head);
    else if (length <= SMALL) this.out.push(Buffer.concat([head, ...data]));
    else this.out.push(head, ...data);
  }

  private leaveLater(): void {
    if (this.leaves) return;
    this.leaves = true;
    this.gateway.after(LATER_MS, () => {
      this.leaves = false;
      if (this.out.length === 0) return;
      this.urgent = true;
      this.flush();
    });
  }

  /** Garbage: one frame that says what is wrong, and the end. */
  private hangUp(error: string): void {
    this.say({ id: 0, error: `skbus door: ${error}` });
    this.over = true;
    this.flush();
    this.unix.end();
    this.unix.destroySoon();
  }
}
