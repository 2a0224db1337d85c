import {
  LayerEnv,
  NEVER,
  RTN_LOCAL,
  RTN_UNICAST,
  SeededRng,
  SkBuff,
  type HandOver,
  type Millis,
  type RouteQuery,
  type Rng,
  type SkCmd,
  type SkEvt,
} from '@skbus/skb';
import { emitIpv4Header, IPV4_HLEN } from '@skbus/wire';
import { TcpStack, type TcpStackOptions } from '../stack.ts';
import { MiniSocketLayer } from './mini-socket.ts';
import { pinIsn } from './pin-isn.ts';

/** What happens to what is sent; probabilities. */
export interface Faults {
  loss?: number;
  dup?: number;
  reorder?: number;
}

export interface PairOptions {
  seed?: number;
  latencyMs?: Millis;
  net?: Faults;
  /** On the seam between TCP and the socket layer, both ways. */
  seam?: Faults;
  seamLatencyMs?: Millis;
  mtu?: number;
  sysctl?: TcpStackOptions['sysctl'];
  startMs?: Millis;
  /** All connections start with this initial sequence number. */
  isn?: number;
  /** Segments above the MSS stay whole up to the receiver (GRO); else the link cuts them. */
  gro?: boolean;
}

export const ADDR_A = 0x0a4d0002;
export const ADDR_B = 0x0a4d0003;

interface Event {
  at: Millis;
  order: number;
  run: () => void;
}

/** A TCP stack with a socket layer, on the virtual clock of a Pair. */
export class Host {
  readonly env: LayerEnv;
  readonly tcp: TcpStack;
  readonly socks: MiniSocketLayer;
  readonly addr: number;
  /** Called for each segment that leaves, before the link has it; return false to lose it. */
  tap: ((skb: SkBuff) => boolean) | undefined = undefined;
  sent = 0;
  /** A queue on the way from here: whether it marks this wire packet, which carries ECT (RFC 3168 5). */
  marks: (() => boolean) | undefined = undefined;

  constructor(pair: Pair, addr: number, opts: PairOptions, seed: number) {
    this.addr = addr;
    this.env = new LayerEnv({
      layer: 'tcp',
      rng: new SeededRng(seed),
      out: { pass: (to: HandOver, skb: SkBuff) => pair.transmit(this, to, skb) },
    });
    this.tcp = new TcpStack(this.env, {
      emit: (e: SkEvt) => pair.seam(() => this.socks.onEvent(e)),
      ask: (q: RouteQuery) => pair.after(0, () => this.answer(q, opts.mtu ?? 1500, pair.now)),
      sysctl: opts.sysctl,
    });
    if (opts.isn !== undefined) pinIsn(this.tcp, opts.isn);
    this.socks = new MiniSocketLayer((cmd: SkCmd) => pair.seam(() => this.tcp.onCommand(cmd, pair.now)));
  }

  private answer(q: RouteQuery, mtu: number, now: Millis): void {
    const local = q.daddr === this.addr;
    this.tcp.onRouteReply(
      {
        id: q.id,
        errno: 0,
        daddr: q.daddr,
        saddr: q.saddr !== 0 ? q.saddr : this.addr,
        oif: 2,
        mtu,
        gateway: 0,
        type: local ? RTN_LOCAL : RTN_UNICAST,
      },
      now,
    );
  }
}

/**
 * Two hosts back to back in virtual time. step() jumps to the next thing that happens: a message arrives or a timer
 * fires. The same seed gives the same run.
 */
export class Pair {
  now: Millis;
  readonly a: Host;
  readonly b: Host;
  /** May be changed in the middle of a run. */
  net: Faults;
  seamFaults: Faults;
  private readonly rng: Rng;
  private readonly latencyMs: Millis;
  private readonly seamLatencyMs: Millis;
  private readonly gro: boolean;
  private events: Event[] = [];
  private order = 0;
  steps = 0;

  constructor(opts: PairOptions = {}) {
    this.now = opts.startMs ?? 1000;
    this.rng = new SeededRng(opts.seed ?? 1);
    this.latencyMs = opts.latencyMs ?? 1;
    this.seamLatencyMs = opts.seamLatencyMs ?? 0;
    this.net = opts.net ?? {};
    this.seamFaults = opts.seam ?? {};
    this.gro = opts.gro ?? true;
    this.a = new Host(this, ADDR_A, opts, (opts.seed ?? 1) * 2 + 1);
    this.b = new Host(this, ADDR_B, opts, (opts.seed ?? 1) * 2 + 2);
  }

  after(ms: Millis, run: () => void): void {
    const e: Event = { at: this.now + ms, order: this.order++, run };
    let i = this.events.length;
    while (i > 0 && this.events[i - 1]!.at > e.at) i--;
    this.events.splice(i, 0, e);
  }

  /** A message on a seam. */
  seam(run: () => void): void {
    this.unreliable(this.seamFaults, this.seamLatencyMs, run);
  }

  transmit(from: Host, to: HandOver, skb: SkBuff): void {
    if (to !== 'ip_queue_xmit') throw new Error(`unexpected hand-over ${to}`);
    from.sent++;
    from.env.orphan(skb);
    if (from.tap !== undefined && !from.tap(skb)) return;
    const peer = from === this.a ? this.b : this.a;
    const ect = (skb.flow!.tos & 3) !== 0;
    for (const wire of this.cut(skb)) {
      const tos = ect && from.marks?.() === true ? skb.flow!.tos | 3 : skb.flow!.tos;
      this.unreliable(this.net, this.latencyMs, () => {
        peer.env.ledger.received++;
        peer.tcp.onSegment(arrive(wire, skb, tos), this.now);
      });
    }
  }

  /** One thing that happens; false: nothing ever will. */
  step(untilMs: Millis = NEVER): boolean {
    const hosts = [this.a, this.b];
    let at = this.events[0]?.at ?? NEVER;
    for (const h of hosts) at = Math.min(at, h.tcp.pollTimeout(), h.socks.nextTick());
    if (at === NEVER || at > untilMs) return false;
    this.now = Math.max(this.now, at);
    this.steps++;
    while (this.events.length > 0 && this.events[0]!.at <= this.now) this.events.shift()!.run();
    for (const h of hosts) {
      if (h.tcp.pollTimeout() <= this.now) h.tcp.handleTimeout(this.now);
      h.socks.tick(this.now);
      h.tcp.flush(this.now);
    }
    return true;
  }

  /** Until `done`, or nothing happens any more, or too much does. */
  run(done: () => boolean, most = 100_000): void {
    for (let i = 0; i < most; i++) {
      if (done()) return;
      if (!this.step()) break;
    }
    if (!done()) throw new Error(`not done at ${this.now} ms after ${this.steps} steps`);
  }

  /** Everything that happens in the next `ms`. */
  runFor(ms: Millis): void {
    const until = this.now + ms;
    let steps = 0;
    while (this.step(until)) if (++steps > 500_000) throw new Error(`livelock at ${this.now} ms`);
    this.now = until;
  }

  private unreliable(f: Faults, latencyMs: Millis, run: () => void): void {
    if (this.chance(f.loss)) return;
    const times = this.chance(f.dup) ? 2 : 1;
    for (let i = 0; i < times; i++) {
      const extra = this.chance(f.reorder) ? 0.5 + 3 * (latencyMs + 0.1) * (this.rng.u32() / 2 ** 32) : 0;
      this.after(latencyMs + extra, run);
    }
  }

  private chance(p: number | undefined): boolean {
    return p !== undefined && p > 0 && this.rng.u32() / 2 ** 32 < p;
  }

  /** The driver's segmentation: one wire packet per MSS, or the whole thing when the receiver merges them again. */
  private cut(skb: SkBuff): Wire[] {
    const b = skb.bytes();
    const hlen = (b[12]! >>> 4) * 4;
    if (this.gro || skb.gsoSize === 0) return [{ tcp: b, gsoSize: skb.gsoSize, gsoSegs: skb.gsoSegs }];
    const out: Wire[] = [];
    for (let at = hlen; at < b.length; at += skb.gsoSize) {
      const end = Math.min(at + skb.gsoSize, b.length);
      const one = new Uint8Array(hlen + end - at);
      one.set(b.subarray(0, hlen), 0);
      one.set(b.subarray(at, end), hlen);
      const seq = (((b[4]! << 24) | (b[5]! << 16) | (b[6]! << 8) | b[7]!) + at - hlen) >>> 0;
      one[4] = seq >>> 24;
      one[5] = seq >>> 16;
      one[6] = seq >>> 8;
      one[7] = seq;
      if (end < b.length) one[13] = one[13]! & ~0x09; // FIN and PSH belong to the last one
      out.push({ tcp: one, gsoSize: 0, gsoSegs: 0 });
    }
    return out;
  }
}

interface Wire {
  tcp: Uint8Array;
  gsoSize: number;
  gsoSegs: number;
}

/** The segment as the peer's IP layer hands it up. */
function arrive(wire: Wire, sent: SkBuff, tos: number): SkBuff {
  const flow = sent.flow!;
  const skb = SkBuff.alloc(0, IPV4_HLEN + wire.tcp.length);
  skb.put(IPV4_HLEN + wire.tcp.length);
  emitIpv4Header(
    {
      hlen: IPV4_HLEN,
      tos,
      totalLen: Math.min(65_535, IPV4_HLEN + wire.tcp.length),
      id: 0,
      df: true,
      mf: false,
      fragOffset: 0,
      ttl: 64,
      proto: 6,
      saddr: flow.saddr,
      daddr: flow.daddr,
    },
    skb.buf,
    0,
  );
  skb.buf.set(wire.tcp, IPV4_HLEN);
  skb.networkHeader = 0;
  skb.transportHeader = IPV4_HLEN;
  skb.data = IPV4_HLEN;
  skb.ipSummed = 1; // as a device with receive checksumming says
  skb.gsoSize = wire.gsoSize;
  skb.gsoSegs = wire.gsoSegs;
  return skb;
}
