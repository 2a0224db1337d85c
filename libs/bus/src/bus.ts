/**
 * What skbus needs of a message bus: publish and subscribe, request and reply, a watched key-value store. Two
 * implementations pass one compliance suite (test/compliance): NatsBus and MemoryBus.
 *
 * Delivery is at most once, and in order from one publisher to one subscription. Nothing here may throw across a layer:
 * publish() on a closed bus is a no-op, and a handler's exception is reported through `onError`.
 */
export interface Bus {
  /** Fire and forget. The bus may keep `data` until it has been written; the caller must not change it. */
  publish(subject: string, data: Uint8Array): void;
  /** `subject` may hold wildcards as in NATS: `*` for one token, `>` for the rest. */
  subscribe(subject: string, onMessage: (data: Uint8Array, subject: string) => void): Unsubscribe;
  /** Rejects with BusError. */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Answers requests. A handler that throws or rejects answers with an error that request() rejects with. */
  respond(subject: string, handler: Responder): Unsubscribe;
  /** Opens a bucket, making it if need be. */
  kv(bucket: string): Promise<KvStore>;
  /** Resolves when all that was published and subscribed before has reached the broker. */
  flush(): Promise<void>;
  close(): Promise<void>;
  /** Connection to the broker lost and regained; MemoryBus never calls it. */
  onStatus(listener: (status: BusStatus) => void): void;
}

export type Unsubscribe = () => void;
export type Responder = (data: Uint8Array, subject: string) => Uint8Array | Promise<Uint8Array>;
export type BusStatus = 'connected' | 'disconnected';

export interface KvStore {
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, value: Uint8Array): Promise<void>;
  delete(key: string): Promise<void>;
  entries(): Promise<Map<string, Uint8Array>>;
  /** Calls back for what is there now (before it resolves), then for every change; `undefined`: deleted. */
  watch(onChange: (key: string, value: Uint8Array | undefined) => void): Promise<Unsubscribe>;
}

export type BusErrorCode = 'NO_RESPONDERS' | 'TIMEOUT' | 'CLOSED' | 'REMOTE';

export class BusError extends Error {
  readonly code: BusErrorCode;

  constructor(code: BusErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BusError';
    this.code = code;
  }
}
