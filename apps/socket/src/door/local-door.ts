import { pb as messages } from '@skbus/contracts';
import type { Door, DoorCall, DoorReply, OnReply } from '@skbus/net';
import { ERRNO } from '@skbus/skb';
import type { CallHandle, ProcId } from '@skbus/socket';
import { toDoorReply, toSysRequest } from './door-codec.ts';
import type { Gateway } from './gateway.ts';

/** A door for programs inside this service (SOCKS, HTTP CONNECT, expose): the same calls, without a socket or a codec between. */
export class LocalDoor implements Door {
  closed = false;
  private readonly gateway: Gateway;
  private readonly proc: ProcId;
  private readonly calls = new Map<number, CallHandle>();
  private readonly closers = new Set<(why: string) => void>();
  private lastId = 0;
  private done: (() => void)[] = [];

  constructor(gateway: Gateway) {
    this.gateway = gateway;
    this.proc = gateway.openProcess();
  }

  request(call: DoorCall, data: readonly Uint8Array[] | undefined, reply: OnReply): number {
    const id = (this.lastId = (this.lastId + 1) >>> 0 || 1);
    const request = this.closed ? undefined : toSysRequest(call, data ?? []);
    if (request === undefined) {
      const errno = this.closed ? ERRNO.ENETDOWN : ERRNO.EINVAL;
      this.later(() => reply(new messages.DoorReply({ id, errno, result: -1 }), []));
      return id;
    }
    this.gateway.run((now) => {
      let answered = false;
      const handle = this.gateway.call(this.proc, request, now, (r) => {
        answered = true;
        this.calls.delete(id);
        this.later(() => reply(new messages.DoorReply(toDoorReply(id, r)) as DoorReply, [...(r.data ?? [])]));
      });
      if (!answered) this.calls.set(id, handle);
    });
    return id;
  }

  cancel(id: number): void {
    this.gateway.run(() => this.gateway.cancel(this.calls.get(id)));
  }

  onClose(fn: (why: string) => void): () => void {
    this.closers.add(fn);
    return () => this.closers.delete(fn);
  }

  /** The service lives as long as its bus does; sockets of its own don't keep it. */
  hold(): void {}

  release(): void {}

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.gateway.run((now) => this.gateway.closeProcess(this.proc, now));
    for (const fn of this.closers) fn('the stack is gone');
  }

  /** Replies come after the batch that made them, so that what they lead to is a batch of its own. */
  private later(fn: () => void): void {
    this.done.push(fn);
    if (this.done.length > 1) return;
    process.nextTick(() => {
      const { done } = this;
      this.done = [];
      // One batch for all of them: the calls they make leave together.
      this.gateway.run(() => {
        for (const f of done) f();
      });
    });
  }
}
