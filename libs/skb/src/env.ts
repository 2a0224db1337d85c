import type { DropReason } from './drop-reason.ts';
import { Ledger } from './ledger.ts';
import { Mib } from './mib.ts';
import type { Rng } from './rng.ts';
import { SkBuff } from './skbuff.ts';
import type { Millis } from './time.ts';
import type { Tracepoint } from './tracepoints.ts';

/** Facts that go with a trace point; kept flat so that any printer can show them. */
export type TraceDetail = Record<string, string | number | boolean>;

/** One trace point hit. `skb` is only valid during the call. */
export interface TraceEvent {
  readonly point: Tracepoint;
  readonly skb: SkBuff | undefined;
  readonly detail: TraceDetail | undefined;
}

export type TraceSink = (event: TraceEvent) => void;

/** True: what goes on at this point ends there. */
export type TraceProbe = (point: Tracepoint, skb: SkBuff | undefined) => boolean;

/**
 * Where an skb goes when a layer hands it on: the kernel function that takes it over. Each is one bus subject,
 * `skb.v1.<netns>.<handOver>[.<instance>]`.
 */
export const HAND_OVERS = [
  'ip_rcv',
  'arp_rcv', // device → the registered packet_type.func
  'tcp_v4_rcv',
  'udp_rcv', // IP → the registered net_protocol.handler
  'tcp_v4_err',
  'udp_err', // ICMP → net_protocol.err_handler; data at the quoted IP header, `mark` = type << 8 | code
  'ip_queue_xmit', // TCP → IP: data at the TCP header, `flow` set
  'ip_send_skb', // UDP → IP: data at the UDP header, `flow` set
  'icmp_send', // UDP → IP: a received datagram nobody wants; data at its IP header, `mark` = type << 8 | code
  'ipv4_link_failure', // neighbour → IP: could not be resolved; data at its IP header
  'neigh_output', // IP → neighbour: data at the IP header, `nextHop` and `ifindex` set
  'dev_queue_xmit', // IP or neighbour → device: data at the Ethernet header; instance = ifindex
] as const;
export type HandOver = (typeof HAND_OVERS)[number];

/** The one way out for skbs. The shell collects them into one list per destination; a test into an array. */
export interface SkbOut {
  pass(to: HandOver, skb: SkBuff, instance: number): void;
}

/** Takes what would pass, and lets it go on, changed or later or not at all. */
export type SkbGate = (skb: SkBuff, now: Millis, go: (skb: SkBuff, now: Millis) => void) => void;

/** What an engine gets from outside (DESIGN 1.1): randomness, tracing, counters, the ledger, somewhere to hand skbs. */
export class LayerEnv {
  readonly mib = new Mib();
  readonly ledger: Ledger;
  /** True while somebody listens to the trace; test it before building a detail object. */
  tracing = false;
  /** Fault rules sit where skbs leave (libs/fault). Each gate is absent while none does, and then costs one comparison. */
  outGate: ((to: HandOver, skb: SkBuff, instance: number) => void) | undefined = undefined;
  /** The same between a device and its driver. */
  wireRxGate: SkbGate | undefined = undefined;
  wireTxGate: SkbGate | undefined = undefined;
  /**
   * The destructor of skbs that their socket waits for (tcp_wfree); the shell of each layer sets it. It hears of an skb
   * that ends here, whether it was sent or dropped.
   */
  wfree: ((sk: number, wmem: number) => void) | undefined = undefined;
  private sink: TraceSink | undefined = undefined;
  private probe: TraceProbe | undefined = undefined;
  /** Who is told of trace points; absent while nobody is. */
  private hook: ((point: Tracepoint, skb?: SkBuff, detail?: TraceDetail) => boolean) | undefined = undefined;
  private lastId: number;
  readonly layer: string;
  readonly rng: Rng;
  private readonly out: SkbOut;
  /** Kernel log lines (`printk`); the shell forwards them to the orchestrator's dmesg. */
  readonly printk: (line: string) => void;

  constructor(opts: {
    layer: string;
    rng: Rng;
    out: SkbOut;
    /** Where this instance's skb ids start; shells of different services get different ranges. */
    firstId?: number;
    /** Goes on with the books of an instance before this one. */
    ledger?: Ledger;
    printk?: (line: string) => void;
  }) {
    this.layer = opts.layer;
    this.rng = opts.rng;
    this.out = opts.out;
    this.ledger = opts.ledger ?? new Ledger();
    this.lastId = (opts.firstId ?? 1) - 1;
    this.printk = opts.printk ?? (() => {});
  }

  setTraceSink(sink: TraceSink | undefined): void {
    this.sink = sink;
    this.hooked();
  }

  /** Fault rules at trace points. Absent: there are none. */
  setProbe(probe: TraceProbe | undefined): void {
    this.probe = probe;
    this.hooked();
  }

  private hooked(): void {
    const { sink, probe } = this;
    this.tracing = sink !== undefined || probe !== undefined;
    if (sink === undefined && probe === undefined) this.hook = undefined;
    else {
      this.hook = (point, skb, detail) => {
        sink?.({ point, skb, detail });
        return probe?.(point, skb) === true;
      };
    }
  }

  /** Emits a typed trace point; costs one comparison while nobody listens. */
  trace(point: Tracepoint, skb?: SkBuff, detail?: TraceDetail): void {
    if (this.hook !== undefined) this.hook(point, skb, detail);
  }

  /**
   * A trace point at which a fault rule can make the function fail (libs/fault: TRACE_STOPS says how). True: it does; where the
   * rule takes the packet, that is gone.
   */
  fails(point: Tracepoint, skb?: SkBuff, detail?: TraceDetail): boolean {
    return this.hook !== undefined && this.hook(point, skb, detail);
  }

  nextId(): number {
    this.lastId = (this.lastId + 1) >>> 0;
    if (this.lastId === 0) this.lastId = 1;
    return this.lastId;
  }

  /** A new skb with an id of its own, entered in the ledger. */
  alloc(headroom: number, size: number, now: Millis): SkBuff {
    return this.adopt(SkBuff.alloc(headroom, size), now);
  }

  /** Enters an skb that this layer built itself (a clone, a segment, a frame just read) in the ledger. */
  adopt(skb: SkBuff, now: Millis): SkBuff {
    skb.id = this.nextId();
    skb.tstampMs = now;
    this.ledger.created++;
    return skb;
  }

  /** Hands the skb on and gives up its ownership. */
  pass(to: HandOver, skb: SkBuff, instance = 0): void {
    if (this.outGate === undefined) this.leave(to, skb, instance);
    else this.outGate(to, skb, instance);
  }

  /** What a gate lets go leaves by this. */
  leave(to: HandOver, skb: SkBuff, instance: number): void {
    this.ledger.passed++;
    this.out.pass(to, skb, instance);
  }

  /** skb_orphan(): as far as its socket is concerned, the skb is gone. */
  orphan(skb: SkBuff): void {
    if (skb.sk === 0) return;
    const { sk } = skb;
    skb.sk = 0;
    this.wfree?.(sk, skb.wmem);
  }

  /** The good end of an skb (net/core/skbuff.c:consume_skb). */
  consume(skb: SkBuff): void {
    this.ledger.consumed++;
    if (skb.sk !== 0) this.orphan(skb);
    this.trace('consume_skb', skb);
  }

  /** The other end (net/core/skbuff.c:sk_skb_reason_drop, shown as kfree_skb). */
  drop(skb: SkBuff, reason: DropReason): void {
    this.ledger.dropped(reason);
    if (skb.sk !== 0) this.orphan(skb);
    if (this.hook !== undefined) this.hook('kfree_skb', skb, { reason });
  }
}
