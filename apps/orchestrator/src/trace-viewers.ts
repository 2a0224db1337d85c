import type { Bus, Unsubscribe } from '@skbus/bus';
import { pb, subjects, type skbus } from '@skbus/contracts';

/** Services stop tracing by themselves this long after the last renewal. */
const TRACE_FOR_MS = 6_000;
const RENEW_MS = 2_000;

type Sink = (list: { lost: number; events: readonly skbus.v1.TraceEvent.$Properties[] }) => void;

/** Tracing is on while somebody looks. */
export class TraceViewers {
  private readonly bus: Bus;
  private readonly netns: string;
  private readonly viewers = new Map<symbol, { follow: number; sink: Sink }>();
  private timer: NodeJS.Timeout | undefined = undefined;
  private unsubscribe: Unsubscribe | undefined = undefined;

  constructor(bus: Bus, netns: string) {
    this.bus = bus;
    this.netns = netns;
  }

  /** `follow`: one skb and its children; 0: all. Returns how to look away. */
  add(follow: number, sink: Sink): () => void {
    const key = Symbol('viewer');
    this.viewers.set(key, { follow, sink });
    this.unsubscribe ??= this.bus.subscribe(`trace.v1.${this.netns}.>`, (data) => this.onEvents(data));
    this.renew();
    return () => {
      if (!this.viewers.delete(key)) return;
      if (this.viewers.size === 0) this.off();
      else this.renew();
    };
  }

  close(): void {
    if (this.viewers.size === 0) return;
    this.viewers.clear();
    this.off();
  }

  private onEvents(data: Uint8Array): void {
    const list = pb.TraceEventList.decode(data);
    for (const { follow, sink } of this.viewers.values()) {
      if (follow === 0) sink(list);
      else {
        const events = list.events.filter((e) => e.skb === follow || e.parent === follow);
        if (events.length > 0) sink({ lost: list.lost, events });
      }
    }
  }

  private renew(): void {
    clearTimeout(this.timer);
    const all = [...this.viewers.values()];
    // One filter for all layers: two viewers of different skbs get everything, sorted out here.
    const follow = all.every((v) => v.follow === all[0]!.follow) ? all[0]!.follow : 0;
    this.set({ on: true, follow, forMs: TRACE_FOR_MS });
    this.timer = setTimeout(() => this.renew(), RENEW_MS);
  }

  private off(): void {
    clearTimeout(this.timer);
    this.set({ on: false, follow: 0, forMs: 0 });
    this.unsubscribe?.();
    this.unsubscribe = undefined;
  }

  private set(t: skbus.v1.TraceSet.$Properties): void {
    this.bus.publish(subjects.all(this.netns, 'trace_set'), pb.TraceSet.encode(t).finish());
  }
}
