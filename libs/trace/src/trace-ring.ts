import { pb, type skbus } from '@skbus/contracts';
import type { LayerEnv, TraceEvent } from '@skbus/skb';
import { tupleOf } from './tuple.ts';

/** Events kept between two flushes; more are counted as lost rather than slowing the packet path. */
const RING_MAX = 8_192;
const FLUSH_MS = 20;

/** Collects one layer's trace points and publishes them in lists, while somebody looks. */
export class TraceRing {
  private events: skbus.v1.TraceEvent.$Properties[] = [];
  private lost = 0;
  private timer: NodeJS.Timeout | undefined;
  private publish: ((list: Uint8Array) => void) | undefined;
  private readonly env: LayerEnv;
  private readonly now: () => number;

  constructor(env: LayerEnv, now: () => number) {
    this.env = env;
    this.now = now;
  }

  /** `follow`: only this skb and its children; 0: all. Calling it again while on only renews. */
  start(follow: number, publish: (list: Uint8Array) => void): void {
    this.publish = publish;
    this.env.setTraceSink((e) => {
      if (follow === 0 || e.skb?.id === follow || e.skb?.parent === follow) this.add(e);
    });
  }

  stop(): void {
    this.env.setTraceSink(undefined);
    this.flush();
    this.publish = undefined;
  }

  private add({ point, skb, detail }: TraceEvent): void {
    if (this.events.length >= RING_MAX) {
      this.lost++;
      return;
    }
    const e: skbus.v1.TraceEvent.$Properties = { timeMs: this.now(), layer: this.env.layer, point };
    if (skb) {
      e.skb = skb.id;
      e.parent = skb.parent;
      e.len = skb.len;
      e.ifindex = skb.ifindex;
      e.protocol = skb.protocol;
      e.mark = skb.mark;
      e.tuple = tupleOf(skb);
    }
    if (detail) e.detail = Object.fromEntries(Object.entries(detail).map(([k, v]) => [k, String(v)]));
    this.events.push(e);
    this.timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.events.length === 0 || !this.publish) return;
    this.publish(pb.TraceEventList.encode({ lost: this.lost, events: this.events }).finish());
    this.events = [];
    this.lost = 0;
  }
}
