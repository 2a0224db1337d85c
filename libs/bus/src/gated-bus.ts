import type { Bus, Responder, Unsubscribe } from './bus.ts';
import { BusOver } from './bus-over.ts';

/** Messages that wait for a gate to open, in bytes; the oldest go first, as they would have been lost without the gate. */
const BACKLOG_MAX_BYTES = 64 * 1024 * 1024;

interface Waiting {
  data: Uint8Array;
  subject: string;
  onMessage: (data: Uint8Array, subject: string) => void;
}

/**
 * The bus of one service, with a gate for what comes in. Two processes of the same layer can so stand side by side for a moment:
 * the new one listens behind a closed gate and keeps what it hears, the old one shuts its own, and what neither has
 * handled passes when the new gate opens. Requests are answered by the one whose gate is open.
 */
export class GatedBus extends BusOver {
  private state: 'waiting' | 'open' | 'shut';
  private answers: boolean;
  private backlog: Waiting[] = [];
  private backlogBytes = 0;
  private readonly responders: (() => void)[] = [];
  private readonly undo = new Set<Unsubscribe>();

  constructor(inner: Bus, open: boolean) {
    super(inner);
    this.state = open ? 'open' : 'waiting';
    this.answers = open;
  }

  /** Requests are answered from now on; what was published still waits. */
  answer(): void {
    this.answers = true;
    for (const respond of this.responders.splice(0)) respond();
  }

  /** What has waited is handled now, but for what `done` says has been handled elsewhere. */
  open(done: (data: Uint8Array, subject: string) => boolean): void {
    if (this.state !== 'waiting') return;
    this.state = 'open';
    this.answer();
    const backlog = this.backlog;
    this.backlog = [];
    this.backlogBytes = 0;
    for (const m of backlog) if (!done(m.data, m.subject)) m.onMessage(m.data, m.subject);
  }

  /** From here on nothing comes in. */
  shut(): void {
    this.state = 'shut';
    for (const off of this.undo) off();
    this.undo.clear();
  }

  publish(subject: string, data: Uint8Array): void {
    this.inner.publish(subject, data);
  }

  subscribe(subject: string, onMessage: (data: Uint8Array, subject: string) => void): Unsubscribe {
    const off = this.inner.subscribe(subject, (data, from) => {
      if (this.state === 'open') onMessage(data, from);
      else if (this.state === 'waiting') this.keep({ data, subject: from, onMessage });
    });
    return this.undoable(off);
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.inner.request(subject, data, timeoutMs);
  }

  respond(subject: string, handler: Responder): Unsubscribe {
    if (this.answers) return this.undoable(this.inner.respond(subject, handler));
    let off: Unsubscribe | undefined;
    let wanted = true;
    this.responders.push(() => {
      if (wanted) off = this.undoable(this.inner.respond(subject, handler));
    });
    return () => {
      wanted = false;
      off?.();
    };
  }

  private undoable(off: Unsubscribe): Unsubscribe {
    const once = (): void => {
      if (this.undo.delete(once)) off();
    };
    this.undo.add(once);
    return once;
  }

  private keep(m: Waiting): void {
    this.backlog.push(m);
    this.backlogBytes += m.data.length;
    while (this.backlogBytes > BACKLOG_MAX_BYTES) this.backlogBytes -= this.backlog.shift()!.data.length;
  }
}
