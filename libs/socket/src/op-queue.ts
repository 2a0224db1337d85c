import type { Millis, SkBind, SkClose, SkConnect, SkListen, SkOptions, SkShutdown } from '@skbus/skb';

/** What an operation carries: one of these. */
export interface OpBody {
  options?: SkOptions;
  bind?: SkBind;
  listen?: SkListen;
  connect?: SkConnect;
  shutdown?: SkShutdown;
  close?: SkClose;
}

/** Called once with the transport's answer. */
export type OpDone = (errno: number, now: Millis) => void;

export interface Op {
  readonly seq: number;
  readonly body: OpBody;
  done: OpDone | undefined;
}

/**
 * Rule 1 of the seam: operations are numbered per socket and run one at a time; the one at the front is repeated until
 * the transport has acknowledged its number.
 */
export class OpQueue {
  private readonly queue: Op[] = [];
  private lastSeq = 0;
  /** The number of the newest operation the transport has run. */
  acked = 0;
  /** The front operation has yet to be sent (again). */
  unsent = false;
  private sentSeq = 0;

  push(body: OpBody, done?: OpDone): number {
    const op: Op = { seq: ++this.lastSeq, body, done };
    this.queue.push(op);
    if (this.queue.length === 1) this.unsent = true;
    return op.seq;
  }

  /** Options changed again before the operation that carries them went out: it takes the new ones along. */
  mergeOptions(options: SkOptions): boolean {
    const last = this.queue.at(-1);
    if (last?.body.options === undefined || (this.queue.length === 1 && !this.unsent)) return false;
    Object.assign(last.body.options, options);
    return true;
  }

  get current(): Op | undefined {
    return this.queue[0];
  }

  /** The front operation, marked as sent. */
  takeUnsent(): Op | undefined {
    const op = this.queue[0];
    if (op === undefined || !this.unsent) return undefined;
    this.unsent = false;
    this.sentSeq = op.seq;
    return op;
  }

  get idle(): boolean {
    return this.queue.length === 0;
  }

  get last(): number {
    return this.lastSeq;
  }

  get lastIsClose(): boolean {
    return this.queue.at(-1)?.body.close !== undefined;
  }

  /** Takes an event's opAck; true if it ended the front operation. An operation that was never sent cannot be acknowledged. */
  onAck(opAck: number, opErrno: number, now: Millis): boolean {
    const op = this.queue[0];
    if (op === undefined || opAck !== op.seq || this.sentSeq < op.seq) return false;
    this.queue.shift();
    this.acked = op.seq;
    this.unsent = this.queue.length > 0;
    op.done?.(opErrno, now);
    return true;
  }

  /** The transport has run that many, for a socket layer before this one. */
  adopt(opAck: number): void {
    this.lastSeq = this.acked = this.sentSeq = opAck;
  }

  /** Whoever waits for queued operations; these will not hear of them any more. */
  takeDone(): OpDone[] {
    const waiting: OpDone[] = [];
    for (const op of this.queue) {
      if (op.done) waiting.push(op.done);
      op.done = undefined;
    }
    return waiting;
  }

  /** What is still queued, for a new incarnation of the socket; this queue is empty afterwards. */
  takeAll(): Op[] {
    this.lastSeq = 0;
    this.acked = 0;
    this.sentSeq = 0;
    this.unsent = false;
    return this.queue.splice(0);
  }
}
