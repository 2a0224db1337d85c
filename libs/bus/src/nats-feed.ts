import {
  AckPolicy,
  DeliverPolicy,
  type ConsumerConfig,
  type JetStreamClient,
  type JsMsg,
  type OrderedPushConsumerOptions,
  type PushConsumer,
} from '@nats-io/jetstream';
import type { KV } from '@nats-io/kv';

/** A key-value bucket, and the stream client that it is of. */
export interface Bucket {
  readonly name: string;
  readonly kv: KV;
  readonly js: JetStreamClient;
}

/** A key's last word; without a value when that is that it is gone. */
export interface KvEntry {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  readonly revision: number;
}

/**
 * Entries come in order of their revisions, and the newest is always some key's last word: who has seen it, or a later one, has
 * seen all. What the broker says of how many are still to come cannot be relied on: nats-server 2.9 counts wrong when a
 * key changes meanwhile, and then no entry ever is the last one. 0: the bucket is empty.
 */
export async function lastRevision({ kv }: Bucket): Promise<number> {
  const { messages, last_seq: last } = (await kv.status()).streamInfo.state;
  return messages === 0 ? 0 : last;
}

/**
 * What a bucket holds, key by key in the order of the revisions, and then each change. The consumer behind it lives in the
 * memory of the broker: the one that KV.watch() makes is written to disk, stays there for five minutes when its owner died, and a broker
 * that was killed reads all of them before it serves anybody.
 */
export class KvFeed {
  private readonly consumer: PushConsumer;
  private readonly end: () => void;
  /** Resolves when all has been told up to the revision that open() was given. */
  readonly complete: Promise<void>;

  private constructor(consumer: PushConsumer, end: () => void, complete: Promise<void>) {
    this.consumer = consumer;
    this.end = end;
    this.complete = complete;
  }

  static async open({ name, js }: Bucket, last: number, onEntry: (e: KvEntry) => void): Promise<KvFeed> {
    const prefix = `$KV.${name}.`;
    const options: Partial<OrderedPushConsumerOptions & ConsumerConfig> = {
      filter_subject: `${prefix}>`,
      deliver_policy: DeliverPolicy.LastPerSubject,
      ack_policy: AckPolicy.None,
      mem_storage: true,
    };
    const consumer = await js.consumers.getPushConsumer(`KV_${name}`, options);
    let reached!: () => void;
    const complete = new Promise<void>((r) => (reached = r));
    if (last === 0) reached();
    const callback = (m: JsMsg): void => {
      onEntry(entryOf(m, prefix));
      if (m.seq >= last) reached();
    };
    const messages = await consumer.consume({ callback });
    return new KvFeed(consumer, () => messages.stop(), complete);
  }

  /** Nothing comes after this. The broker is asked to forget it; one that is away has. */
  stop(): void {
    this.end();
    this.consumer.delete().catch(() => undefined);
  }
}

const entryOf = (m: JsMsg, prefix: string): KvEntry => ({
  key: m.subject.slice(prefix.length),
  // KV-Operation: DEL or PURGE; a value that was put has none
  value: m.headers?.get('KV-Operation') ? undefined : m.data,
  revision: m.seq,
});
