import { subjectMatches } from '@skbus/contracts';
import { BusError, type Bus, type BusStatus, type KvStore, type Responder, type Unsubscribe } from './bus.ts';

interface Sub {
  pattern: string[];
  subject: string;
  deliver: (data: Uint8Array, subject: string) => void;
}

/**
 * The "broker" of MemoryBus: subscriptions, responders and buckets of one process. Messages are delivered in the order of
 * publishing, never from inside publish(): a layer finishes its batch before the next one runs, as over NATS.
 */
export class MemoryHub {
  private readonly wild: Sub[] = [];
  private readonly exact = new Map<string, Sub[]>();
  private readonly responders = new Map<string, Responder>();
  private readonly buckets = new Map<string, MemoryKv>();
  private queue: (() => void)[] = [];
  private scheduled = false;
  private readonly schedule: (run: () => void) => void;
  readonly onError: (error: unknown) => void;

  /** `schedule` runs the queue later; tests with a virtual clock hand in their own. */
  constructor(opts: { schedule?: (run: () => void) => void; onError?: (error: unknown) => void } = {}) {
    this.schedule = opts.schedule ?? ((run) => setImmediate(run));
    this.onError = opts.onError ?? ((e) => console.error(e));
  }

  bus(): MemoryBus {
    return new MemoryBus(this);
  }

  publish(subject: string, data: Uint8Array): void {
    const targets = [...(this.exact.get(subject) ?? [])];
    if (this.wild.length > 0) {
      const tokens = subject.split('.');
      for (const s of this.wild) if (subjectMatches(s.pattern, tokens)) targets.push(s);
    }
    for (const t of targets) this.later(() => t.deliver(data, subject));
  }

  subscribe(subject: string, deliver: Sub['deliver']): Unsubscribe {
    let live = true;
    const sub: Sub = { subject, pattern: subject.split('.'), deliver: (d, s) => live && deliver(d, s) };
    const list = /[*>]/.test(subject) ? this.wild : this.listOf(subject);
    list.push(sub);
    return () => {
      live = false;
      const i = list.indexOf(sub);
      if (i >= 0) list.splice(i, 1);
    };
  }

  respond(subject: string, handler: Responder): Unsubscribe {
    this.responders.set(subject, handler);
    return () => {
      if (this.responders.get(subject) === handler) this.responders.delete(subject);
    };
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const handler = this.responders.get(subject);
    if (!handler) return Promise.reject(new BusError('NO_RESPONDERS', `nobody answers on ${subject}`));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new BusError('TIMEOUT', `no answer on ${subject} within ${timeoutMs} ms`)),
        timeoutMs,
      );
      const settle = (run: () => void): void =>
        this.later(() => {
          clearTimeout(timer);
          run();
        });
      this.later(() => {
        Promise.resolve()
          .then(() => handler(data, subject))
          .then(
            (answer) => settle(() => resolve(answer)),
            (e: unknown) => settle(() => reject(new BusError('REMOTE', e instanceof Error ? e.message : String(e)))),
          );
      });
    });
  }

  kv(bucket: string): MemoryKv {
    let b = this.buckets.get(bucket);
    if (!b) this.buckets.set(bucket, (b = new MemoryKv((run) => this.later(run))));
    return b;
  }

  private listOf(subject: string): Sub[] {
    let l = this.exact.get(subject);
    if (!l) this.exact.set(subject, (l = []));
    return l;
  }

  private later(run: () => void): void {
    this.queue.push(run);
    if (this.scheduled) return;
    this.scheduled = true;
    this.schedule(() => this.drain());
  }

  /** Runs what is queued now; what that queues runs in the next round, so that timers and I/O get their turn. */
  private drain(): void {
    const batch = this.queue;
    this.queue = [];
    this.scheduled = false;
    for (const run of batch) {
      try {
        run();
      } catch (e) {
        this.onError(e);
      }
    }
  }
}

class MemoryKv implements KvStore {
  private readonly rows = new Map<string, Uint8Array>();
  private readonly watchers = new Set<(key: string, value: Uint8Array | undefined) => void>();
  private readonly later: (run: () => void) => void;

  constructor(later: (run: () => void) => void) {
    this.later = later;
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.rows.get(key));
  }

  put(key: string, value: Uint8Array): Promise<void> {
    this.rows.set(key, value.slice());
    this.tell(key, value);
    return Promise.resolve();
  }

  delete(key: string): Promise<void> {
    if (this.rows.delete(key)) this.tell(key, undefined);
    return Promise.resolve();
  }

  entries(): Promise<Map<string, Uint8Array>> {
    return Promise.resolve(new Map(this.rows));
  }

  watch(onChange: (key: string, value: Uint8Array | undefined) => void): Promise<Unsubscribe> {
    for (const [k, v] of this.rows) onChange(k, v);
    this.watchers.add(onChange);
    return Promise.resolve(() => void this.watchers.delete(onChange));
  }

  private tell(key: string, value: Uint8Array | undefined): void {
    for (const w of this.watchers) this.later(() => this.watchers.has(w) && w(key, value));
  }
}

/** One participant's view of a hub. */
export class MemoryBus implements Bus {
  private readonly hub: MemoryHub;
  private readonly undo = new Set<Unsubscribe>();
  private closed = false;

  constructor(hub: MemoryHub) {
    this.hub = hub;
  }

  publish(subject: string, data: Uint8Array): void {
    if (!this.closed) this.hub.publish(subject, data);
  }

  subscribe(subject: string, onMessage: (data: Uint8Array, subject: string) => void): Unsubscribe {
    return this.remember(this.hub.subscribe(subject, onMessage));
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.closed) return Promise.reject(new BusError('CLOSED', 'the bus is closed'));
    return this.hub.request(subject, data, timeoutMs);
  }

  respond(subject: string, handler: Responder): Unsubscribe {
    return this.remember(this.hub.respond(subject, handler));
  }

  kv(bucket: string): Promise<KvStore> {
    return Promise.resolve(this.hub.kv(bucket));
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.closed = true;
    for (const u of this.undo) u();
    this.undo.clear();
    return Promise.resolve();
  }

  onStatus(_listener: (status: BusStatus) => void): void {}

  private remember(u: Unsubscribe): Unsubscribe {
    const once = (): void => {
      this.undo.delete(once);
      u();
    };
    this.undo.add(once);
    return once;
  }
}
