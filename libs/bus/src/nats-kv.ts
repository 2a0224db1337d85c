import type { KV, KvWatchEntry } from '@nats-io/kv';
import type { QueuedIterator } from '@nats-io/transport-node';
import type { KvStore, Unsubscribe } from './bus.ts';
import type { Outage } from './outage.ts';

type OnChange = (key: string, value: Uint8Array | undefined) => void;

/** A JetStream key-value bucket. Operations wait for a broker that is away; watches begin anew when it is back. */
export class NatsKv implements KvStore {
  private readonly kv: KV;
  private readonly outage: Outage;
  private readonly onError: (error: unknown) => void;
  private readonly watches = new Set<Watch>();

  constructor(kv: KV, outage: Outage, onError: (error: unknown) => void) {
    this.kv = kv;
    this.outage = outage;
    this.onError = onError;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const e = await this.outage.retrying(() => this.kv.get(key));
    return e && e.operation === 'PUT' ? e.value : undefined;
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.outage.retrying(() => this.kv.put(key, value));
  }

  async delete(key: string): Promise<void> {
    await this.outage.retrying(() => this.kv.delete(key));
  }

  entries(): Promise<Map<string, Uint8Array>> {
    return this.outage.retrying(async () => {
      const rows = new Map<string, Uint8Array>();
      const last = await lastRevision(this.kv);
      if (last === 0) return rows;
      for await (const e of await this.kv.watch()) {
        if (e.operation === 'PUT') rows.set(e.key, e.value);
        else rows.delete(e.key);
        if (e.revision >= last) break;
      }
      return rows;
    });
  }

  async watch(onChange: OnChange): Promise<Unsubscribe> {
    const w = new Watch(this.kv, this.outage, onChange, this.onError);
    this.watches.add(w);
    await w.start();
    return () => {
      this.watches.delete(w);
      w.stop();
    };
  }

  /** The broker is back: what a watch was told before is compared with what is there now. */
  resume(): void {
    for (const w of this.watches) w.start().catch(this.onError);
  }
}

/**
 * Entries come in order of their revisions, and the newest is always some key's last word: who has seen it, or a later one, has
 * seen all. What the broker says of how many are still to come cannot be relied on: nats-server 2.9 counts wrong when a
 * key changes meanwhile, and then no entry ever is the last one.
 */
async function lastRevision(kv: KV): Promise<number> {
  const { messages, last_seq: last } = (await kv.status()).streamInfo.state;
  return messages === 0 ? 0 : last;
}

/**
 * One watch over any number of broker lifetimes. The consumer of a watch lives in the memory of the broker; the client would
 * notice by missing heartbeats, after ten seconds.
 */
class Watch {
  private readonly kv: KV;
  private readonly outage: Outage;
  private readonly onChange: OnChange;
  private readonly onError: (error: unknown) => void;
  /** Key → revision, of what the watcher has been told is there. */
  private readonly known = new Map<string, number>();
  private iter: QueuedIterator<KvWatchEntry> | undefined = undefined;
  private starting: Promise<void> | undefined = undefined;
  private stopped = false;

  constructor(kv: KV, outage: Outage, onChange: OnChange, onError: (error: unknown) => void) {
    this.kv = kv;
    this.outage = outage;
    this.onChange = onChange;
    this.onError = onError;
  }

  /** Resolves when the watcher knows all that is there now. */
  start(): Promise<void> {
    // One that has been cut off while starting begins again by itself.
    this.starting ??= this.outage.retrying(() => this.begin()).finally(() => (this.starting = undefined));
    return this.starting;
  }

  stop(): void {
    this.stopped = true;
    this.iter?.stop();
  }

  private async begin(): Promise<void> {
    this.iter?.stop();
    const last = await lastRevision(this.kv);
    const iter = await this.kv.watch();
    if (this.stopped) {
      iter.stop();
      return;
    }
    this.iter = iter;
    const seen = new Set<string>();
    let complete!: () => void;
    const initial = new Promise<void>((r) => (complete = r));
    void this.follow(iter, seen, (revision) => revision >= last && complete());
    if (last === 0) complete();
    await initial;
    if (iter !== this.iter) return;
    for (const key of this.known.keys()) if (!seen.has(key)) this.gone(key);
  }

  private async follow(
    iter: QueuedIterator<KvWatchEntry>,
    seen: Set<string>,
    reached: (revision: number) => void,
  ): Promise<void> {
    for await (const e of iter) {
      if (iter !== this.iter) return;
      seen.add(e.key);
      if (e.operation !== 'PUT') this.gone(e.key);
      else if (this.known.get(e.key) !== e.revision) {
        this.known.set(e.key, e.revision);
        this.tell(e.key, e.value);
      }
      reached(e.revision);
    }
  }

  private gone(key: string): void {
    if (this.known.delete(key)) this.tell(key, undefined);
  }

  private tell(key: string, value: Uint8Array | undefined): void {
    try {
      this.onChange(key, value);
    } catch (e) {
      this.onError(e);
    }
  }
}
