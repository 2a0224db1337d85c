import { connect, type Socket as UnixSocket } from 'node:net';
import { pb as messages, type skbus } from '@skbus/contracts';
import { ERRNO } from '@skbus/skb';
import { FrameReader, frameHead } from './frame.ts';

/** A call as in door.proto: one of the fields of DoorRequest but `id`. */
export type DoorCall = Omit<skbus.v1.DoorRequest.$Properties, 'id'>;
export type DoorReply = skbus.v1.DoorReply;
export type OnReply = (reply: DoorReply, data: Uint8Array[]) => void;

/** Data this short rides in the same buffer as its head: a copy is cheaper than one more entry for writev. */
const SMALL = 2048;

/** Where the door of the default stack is: SKBUS_SOCK, or the run folder of stack `a` of the project one works in. */
export function defaultDoorPath(env: Record<string, string | undefined> = process.env): string {
  return env['SKBUS_SOCK'] || `${env['SKBUS_RUN_DIR'] || '.run/a'}/skbus.sock`;
}

/** The way to a stack: what sockets, servers and `Sys` are made on. */
export interface Door {
  readonly closed: boolean;
  /** `holds`: the process stays alive until the answer is there. Returns an id for `cancel`. `reply` is never called at once. */
  request(call: DoorCall, data: readonly Uint8Array[] | undefined, reply: OnReply, holds?: boolean): number;
  /** The call answers with what it has done so far, or EINTR. */
  cancel(id: number): void;
  /** Runs once when the door has closed, whoever closed it; the result takes it back. */
  onClose(fn: () => void): () => void;
  /** Keeps the process alive, as an open handle does. */
  hold(): void;
  release(): void;
}

/**
 * One connection to the socket service. Requests go out in the order made, all of one turn of the event loop in one
 * write; each reply goes to whoever asked. When the connection ends, everything pending fails with ENETDOWN.
 */
export class UnixDoor implements Door {
  readonly path: string;
  closed = false;
  private readonly unix: UnixSocket;
  private readonly pending = new Map<number, { reply: OnReply; holds: boolean }>();
  private readonly closers = new Set<() => void>();
  private lastId = 0;
  private corked = false;
  private refs = 0;
  private why = 'the connection to the stack is closed';

  constructor(path = defaultDoorPath()) {
    this.path = path;
    this.unix = connect({ path });
    this.unix.unref();
    const reader = new FrameReader((pb, data) => this.onFrame(pb, data));
    this.unix.on('data', (chunk: Buffer) => {
      const wrong = reader.push(chunk);
      if (wrong !== undefined) this.fail(`no door of a stack answers at ${path}: ${wrong}`);
    });
    this.unix.on('error', (e: NodeJS.ErrnoException) => {
      const gone = e.code === 'ENOENT' || e.code === 'ECONNREFUSED';
      this.fail(gone ? `no stack listens at ${path}; start one with "skbus up", or set SKBUS_SOCK` : e.message);
    });
    this.unix.on('close', () => this.fail(this.why));
  }

  /** Resolves when the door is open. */
  opened(): Promise<this> {
    return new Promise((resolve, reject) => {
      if (this.closed) reject(new Error(this.why));
      else if (!this.unix.connecting) resolve(this);
      else {
        this.hold();
        this.unix.once('connect', () => resolve(this));
        this.onClose(() => reject(new Error(this.why)));
        this.unix.once('connect', () => this.release());
      }
    });
  }

  request(call: DoorCall, data: readonly Uint8Array[] | undefined, reply: OnReply, holds = false): number {
    if (this.closed) {
      process.nextTick(() => reply(downReply(this.why), []));
      return 0;
    }
    do {
      this.lastId = (this.lastId + 1) >>> 0;
    } while (this.lastId === 0 || this.pending.has(this.lastId));
    const id = this.lastId;
    this.pending.set(id, { reply, holds });
    if (holds) this.hold();
    this.send({ ...call, id }, data);
    return id;
  }

  cancel(id: number): void {
    if (this.pending.has(id)) this.send({ id, cancel: { id } }, undefined);
  }

  onClose(fn: () => void): () => void {
    this.closers.add(fn);
    return () => this.closers.delete(fn);
  }

  hold(): void {
    if (this.refs++ === 0) this.unix.ref();
  }

  release(): void {
    if (--this.refs === 0) this.unix.unref();
  }

  close(): void {
    this.fail('the door was closed');
  }

  private send(request: skbus.v1.DoorRequest.$Properties, data: readonly Uint8Array[] | undefined): void {
    let length = 0;
    if (data !== undefined) for (const d of data) length += d.length;
    const pb = messages.DoorRequest.encode(request).finish();
    if (!this.corked) {
      this.corked = true;
      this.unix.cork();
      process.nextTick(() => {
        this.corked = false;
        this.unix.uncork();
      });
    }
    if (data === undefined || length === 0) this.unix.write(frameHead(pb, 0));
    else if (length <= SMALL) this.unix.write(Buffer.concat([frameHead(pb, length), ...data]));
    else {
      this.unix.write(frameHead(pb, length));
      for (const d of data) this.unix.write(d);
    }
  }

  private onFrame(pb: Uint8Array, data: Uint8Array[]): void {
    let r: DoorReply;
    try {
      r = messages.DoorReply.decode(pb);
    } catch {
      this.fail(`no door of a stack answers at ${this.path}: no DoorReply`);
      return;
    }
    if (r.id === 0) {
      this.fail(r.error || 'the stack closed the connection');
      return;
    }
    const p = this.pending.get(r.id);
    if (p === undefined) return;
    this.pending.delete(r.id);
    if (p.holds) this.release();
    p.reply(r, data);
  }

  private fail(why: string): void {
    if (this.closed) return;
    this.closed = true;
    this.why = why;
    this.unix.destroy();
    const pending = [...this.pending.values()];
    this.pending.clear();
    // Sockets and servers first: each says once that the stack is gone, whatever it had asked.
    const closers = [...this.closers];
    this.closers.clear();
    for (const fn of closers) fn();
    for (const p of pending) {
      if (p.holds) this.release();
      p.reply(downReply(why), []);
    }
  }
}

let shared: UnixDoor | undefined;

/** The program's door to the default stack; opened on first use, and again when it was lost. */
export function defaultDoor(): Door {
  if (shared === undefined || shared.closed) shared = new UnixDoor();
  return shared;
}

/** A door of one's own, e.g. to another stack. */
export async function connectDoor(path?: string): Promise<UnixDoor> {
  return new UnixDoor(path).opened();
}

function downReply(error: string): DoorReply {
  return new messages.DoorReply({ errno: ERRNO.ENETDOWN, result: -1, error });
}
