import type { Bus, BusStatus, KvStore, Responder, Unsubscribe } from './bus.ts';

/** A bus that does something of its own with messages and leaves the rest to another one. */
export abstract class BusOver implements Bus {
  protected readonly inner: Bus;

  constructor(inner: Bus) {
    this.inner = inner;
  }

  abstract publish(subject: string, data: Uint8Array): void;
  abstract subscribe(subject: string, onMessage: (data: Uint8Array, subject: string) => void): Unsubscribe;
  abstract request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  abstract respond(subject: string, handler: Responder): Unsubscribe;

  kv(bucket: string): Promise<KvStore> {
    return this.inner.kv(bucket);
  }

  flush(): Promise<void> {
    return this.inner.flush();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  onStatus(listener: (status: BusStatus) => void): void {
    this.inner.onStatus(listener);
  }
}
