import type { KvStore, Unsubscribe } from './bus.ts';
import { KvFeed, lastRevision, type Bucket, type KvEntry } from './nats-feed.ts';
import type { Outage } from './outage.ts';

type OnChange = (key: string, value: Uint8Array | undefined) => void;

/** A JetStream key-value bucket. Operations wait for a broker that is away; watches begin anew when it is back. */
export class NatsKv implements KvStore {
  private readonly bucket: Bucket;
  private readonly outage: Outage;
  private readonly onError: (error: unknown) => void;
  private readonly watches = new Set<Watch>();

  constructor(bucket: Bucket, outage: Outage, onError: (error: unknown) => void) {
    this.bucket = bucket;
    this.outage = outage;
    this.onError = onError;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const e = await this.outage.retrying(() => this.bucket.kv.get(key));
    return e && e.operation === 'PUT' ? e.value : undefined;
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.outage.retrying(() => this.bucket.kv.put(key, value));
  }

  async delete(key: string): Promise<void> {
    await this.outage.retrying(() => this.bucket.kv.delete(key));
  }

  entries(): Promise<Map<string, Uint8Array>> {
    let feed: KvFeed | undefined;
    const read = this.outage.retrying(async () => {
      feed?.stop();
      const rows = new Map<string, Uint8Array>();
      const last = await lastRevision(this.bucket);
      if (last === 0) return rows;
      feed = await KvFeed.open(this.bucket, last, (e) => {
        if (e.value === undefined) rows.delete(e.key);
        else rows.set(e.key, e.value);
      });
      await feed.complete;
      return rows;
    });
    return read.finally(() => feed?.stop());
  }

  async watch(onChange: OnChange): Promise<Unsubscribe> {
    const w = new Watch(this.bucket, this.outage, onChange, this.onError);
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
 * One watch over any number of broker lifetimes. The consumer of a watch lives in the memory of the broker; the client would
 * notice by missing heartbeats, after a minute.
 */
class Watch {
  private readonly bucket: Bucket;
  private readonly outage: Outage;
  private readonly onChange: OnChange;
  private readonly onError: (error: unknown) => void;
  /** Key → revision, of what the watcher has been told is there. */
  private readonly known = new Map<string, number>();
  private feed: KvFeed | undefined = undefined;
  /** Which of the feeds counts; an older one may still have something to say. */
  private life = 0;
  private starting: Promise<void> | undefined = undefined;
  private stopped = false;

  constructor(bucket: Bucket, outage: Outage, onChange: OnChange, onError: (error: unknown) => void) {
    this.bucket = bucket;
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
    this.life++;
    this.feed?.stop();
  }

  private async begin(): Promise<void> {
    this.feed?.stop();
    this.feed = undefined;
    const life = ++this.life;
    const last = await lastRevision(this.bucket);
    const seen = new Set<string>();
    const feed = await KvFeed.open(this.bucket, last, (e) => {
      if (life !== this.life) return;
      seen.add(e.key);
      this.take(e);
    });
    if (this.stopped || life !== this.life) {
      feed.stop();
      return;
    }
    this.feed = feed;
    await feed.complete;
    if (life !== this.life) return;
    for (const key of this.known.keys()) if (!seen.has(key)) this.gone(key);
  }

  private take({ key, value, revision }: KvEntry): void {
    if (value === undefined) this.gone(key);
    else if (this.known.get(key) !== revision) {
      this.known.set(key, revision);
      this.tell(key, value);
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
