import {
  LayerEnv,
  RTN_LOCAL,
  RTN_UNICAST,
  SeededRng,
  SkBuff,
  type Millis,
  type ProtoData,
  type ProtoView,
  type RouteQuery,
  type SkCmd,
  type SkEvt,
  type SkOptions,
  type SkView,
  type TraceEvent,
} from '@skbus/skb';
import {
  emitIpv4Header,
  emitTcp,
  emitTcpOptions,
  IPV4_HLEN,
  parseTcp,
  parseTcpOptions,
  TCP_ACK,
  TCP_AE,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_HLEN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
  tcpOptionsLen,
  type TcpOptions,
} from '@skbus/wire';
import { TcpStack, type TcpStackOptions } from '../stack.ts';
import { pinIsn } from './pin-isn.ts';

export const US = 0x0a4d0002;
export const THEM = 0x0a4d0001;

/** A segment as the scripted peer sees or sends it. `seq` and `ack` count from each side's ISN, like packetdrill. */
export interface Seg {
  flags: string;
  seq: number;
  ack: number;
  win: number;
  len: number;
  /** The urgent pointer. */
  urgent: number;
  /** What the driver will cut it to, 0: it stays whole. */
  gsoSize: number;
  /** Of the IP header. */
  tos: number;
  opts: TcpOptions;
}

const LETTERS: readonly (readonly [string, number])[] = [
  ['S', TCP_SYN],
  ['F', TCP_FIN],
  ['R', TCP_RST],
  ['U', TCP_URG],
  ['P', TCP_PSH],
  ['.', TCP_ACK],
  ['E', TCP_ECE],
  ['W', TCP_CWR],
  ['A', TCP_AE],
];

const flagBits = (text: string): number => LETTERS.reduce((n, [c, bit]) => (text.includes(c) ? n | bit : n), 0);
const flagText = (bits: number): string =>
  LETTERS.filter(([, bit]) => (bits & bit) !== 0)
    .map(([c]) => c)
    .join('');

/** One stack, a peer that sends what a test says, and the socket layer's end of the seam in the test's hands. */
export class Scripted {
  now: Millis = 10_000;
  readonly env: LayerEnv;
  readonly tcp: TcpStack;
  readonly out: Seg[] = [];
  readonly events: SkEvt[] = [];
  readonly trace: string[] = [];
  /** The peer's ISN and ours, on the wire. */
  theirIsn: number;
  ourIsn = 0;
  ourPort = 0;
  theirPort = 40_000;
  /** What the FIB says. */
  routeErrno = 0;
  /** What goes down has left at once; else the test says so (env.orphan). */
  driverSends = true;
  private sawSyn = false;

  constructor(
    opts: {
      sysctl?: TcpStackOptions['sysctl'];
      isn?: number;
      theirIsn?: number;
      seed?: number;
      childIdBase?: number;
      probeFloorMs?: TcpStackOptions['probeFloorMs'];
    } = {},
  ) {
    this.theirIsn = opts.theirIsn ?? 0;
    this.env = new LayerEnv({
      layer: 'tcp',
      rng: new SeededRng(opts.seed ?? 7),
      out: { pass: (_to, skb) => this.capture(skb) },
    });
    this.tcp = new TcpStack(this.env, {
      emit: (e) => this.events.push(e),
      ask: (q) => this.route(q),
      sysctl: opts.sysctl,
      childIdBase: opts.childIdBase,
      probeFloorMs: opts.probeFloorMs,
    });
    if (opts.isn !== undefined) pinIsn(this.tcp, opts.isn);
  }

  startTrace(): void {
    this.trace.length = 0;
    this.env.setTraceSink((e: TraceEvent) => this.trace.push(e.point));
  }

  /** The next SYN of ours belongs to another connection. */
  forgetIsn(): void {
    this.sawSyn = false;
  }

  cmd(c: Partial<SkCmd> & { sk: number }): void {
    this.tcp.onCommand({ opSeq: 0, ...c }, this.now);
    this.tcp.flush(this.now);
  }

  view(sk: number, v: Partial<SkView>): void {
    this.cmd({ sk, view: { sndTo: 0, rcvGot: 0, rcvRead: 0, finGot: false, haveChild: true, accepted: true, ...v } });
  }

  /** The peer sends a segment. */
  inject(
    flags: string,
    seq: number,
    ack: number,
    o: Partial<{
      len: number;
      urgent: number;
      win: number;
      opts: TcpOptions;
      sport: number;
      dport: number;
      gsoSize: number;
      tos: number;
      rawOpts: Uint8Array;
      data: Uint8Array;
      noFlush: boolean;
    }> = {},
  ): void {
    const payload = o.data ?? new Uint8Array(o.len ?? 0).fill(seq & 255);
    this.env.ledger.received++;
    this.tcp.onSegment(this.build(flagBits(flags), seq, ack, payload, o), this.now);
    if (o.noFlush !== true) this.tcp.flush(this.now);
  }

  /** An ICMP error that quotes a segment of ours with this sequence number. */
  icmp(type: number, code: number, seq: number, mtu = 0): void {
    const skb = SkBuff.alloc(0, IPV4_HLEN + TCP_HLEN);
    skb.put(IPV4_HLEN + TCP_HLEN);
    ip(skb.buf, US, THEM, 500);
    emitTcp(
      {
        sport: this.ourPort,
        dport: this.theirPort,
        seq: (this.ourIsn + seq) >>> 0,
        ack: 0,
        hlen: TCP_HLEN,
        flags: 0,
        window: 0,
        urgent: 0,
      },
      skb.buf,
      IPV4_HLEN,
    );
    skb.mark = (type << 8) | code;
    skb.rtMtu = mtu;
    this.env.ledger.received++;
    this.tcp.onIcmpError(skb, this.now);
    this.tcp.flush(this.now);
  }

  /** Time goes by; timers run when they are due. */
  wait(ms: Millis): void {
    const until = this.now + ms;
    for (let i = 0; i < 10_000; i++) {
      const t = this.tcp.pollTimeout();
      if (t > until) break;
      this.now = Math.max(this.now, t);
      this.tcp.handleTimeout(this.now);
      this.tcp.flush(this.now);
    }
    this.now = until;
  }

  /** Takes what was sent since the last call. */
  sent(): Seg[] {
    return this.out.splice(0);
  }

  /** As short text: `S. 0:0 ack 1`. */
  sentText(): string[] {
    return this.sent().map(
      (s) => `${s.flags} ${s.seq}:${s.seq + s.len}${s.flags.includes('.') ? ` ack ${s.ack}` : ''}`,
    );
  }

  lastView(sk: number): ProtoView {
    const v = this.events.findLast((e) => e.sk === sk && e.view)?.view;
    if (!v) throw new Error('no view');
    return v;
  }

  data(sk: number): ProtoData[] {
    return this.events.filter((e) => e.sk === sk && e.data).map((e) => e.data!);
  }

  state(sk: number): number {
    return this.tcp.tcpInfo(sk)?.state ?? 0;
  }

  private capture(skb: SkBuff): void {
    if (this.driverSends) this.env.orphan(skb);
    const b = skb.bytes();
    const h = parseTcp(b, 0, b.length)!;
    if ((h.flags & TCP_SYN) !== 0 && !this.sawSyn) {
      this.sawSyn = true;
      this.ourIsn = h.seq;
      this.ourPort = h.sport;
    }
    this.out.push({
      flags: flagText(h.flags),
      seq: (h.seq - this.ourIsn) | 0,
      ack: (h.ack - this.theirIsn) | 0,
      win: h.window,
      len: b.length - h.hlen,
      urgent: h.urgent,
      gsoSize: skb.gsoSize,
      tos: skb.flow!.tos,
      opts: parseTcpOptions(b, TCP_HLEN, h.hlen),
    });
  }

  private route(q: RouteQuery): void {
    this.tcp.onRouteReply(
      {
        id: q.id,
        errno: this.routeErrno,
        daddr: q.daddr,
        saddr: q.saddr || US,
        oif: 2,
        mtu: 1500,
        gateway: 0,
        type: q.daddr === US ? RTN_LOCAL : RTN_UNICAST,
      },
      this.now,
    );
  }

  private build(
    flags: number,
    seq: number,
    ack: number,
    payload: Uint8Array,
    o: {
      win?: number;
      urgent?: number;
      opts?: TcpOptions;
      sport?: number;
      dport?: number;
      gsoSize?: number;
      tos?: number;
      rawOpts?: Uint8Array;
    },
  ): SkBuff {
    const hlen = TCP_HLEN + (o.rawOpts?.length ?? tcpOptionsLen(o.opts ?? {}));
    const skb = SkBuff.alloc(0, IPV4_HLEN + hlen + payload.length);
    skb.put(IPV4_HLEN + hlen + payload.length);
    ip(skb.buf, THEM, US, Math.min(65_535, skb.buf.length), o.tos);
    emitTcp(
      {
        sport: o.sport ?? this.theirPort,
        dport: o.dport ?? this.ourPort,
        seq: (this.theirIsn + seq) >>> 0,
        ack: (flags & TCP_ACK) !== 0 ? (this.ourIsn + ack) >>> 0 : 0,
        hlen,
        flags,
        window: o.win ?? 32_792,
        urgent: o.urgent ?? 0,
      },
      skb.buf,
      IPV4_HLEN,
    );
    if (o.rawOpts) skb.buf.set(o.rawOpts, IPV4_HLEN + TCP_HLEN);
    else emitTcpOptions(o.opts ?? {}, skb.buf, IPV4_HLEN + TCP_HLEN);
    skb.buf.set(payload, IPV4_HLEN + hlen);
    skb.networkHeader = 0;
    skb.data = IPV4_HLEN;
    skb.ipSummed = 1;
    if (o.gsoSize !== undefined) {
      skb.gsoSize = o.gsoSize;
      skb.gsoSegs = Math.ceil(payload.length / o.gsoSize);
    }
    return skb;
  }
}

function ip(b: Uint8Array, saddr: number, daddr: number, totalLen: number, tos = 0): void {
  emitIpv4Header(
    {
      hlen: IPV4_HLEN,
      tos,
      totalLen,
      id: 0,
      df: true,
      mf: false,
      fragOffset: 0,
      ttl: 64,
      proto: 6,
      saddr,
      daddr,
    },
    b,
    0,
  );
}

export const SK = 2;

/** A listener on port 80; the peer's SYN has no options unless given. Returns the child's id. */
export function passiveOpen(t: Scripted, synOpts: TcpOptions = { mss: 1000 }, backlog = 8): number {
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog } });
  return handshake(t, synOpts);
}

/** One more connection to port 80, from another port of the peer. */
export function handshake(t: Scripted, synOpts: TcpOptions = { mss: 1000 }): number {
  const before = t.events.length;
  t.inject('S', 0, 0, { opts: synOpts });
  const synAck = t.sent().at(-1)!;
  const ts = synAck.opts.tsVal === undefined ? {} : { tsVal: (synOpts.tsVal ?? 1) + 1, tsEcr: synAck.opts.tsVal };
  t.inject('.', 1, 1, { opts: ts });
  const child = t.events.slice(before).find((e) => e.child);
  if (child === undefined) throw new Error('no child');
  t.view(child.sk, {});
  t.sent();
  return child.sk;
}

/** connect() to port 8080 was called, and the SYN is out. */
export function calling(t: Scripted, options?: SkOptions): void {
  t.theirPort = 8080;
  t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 }, ...(options ? { options } : {}) });
  t.sent();
}

/** An active connection, sk 2; options of the peer's SYN-ACK as given, `rttMs` after the SYN. */
export function activeOpen(
  t: Scripted,
  synAckOpts: TcpOptions = { mss: 1000 },
  win = 32_792,
  rttMs: Millis = 0,
  options?: SkOptions,
): number {
  calling(t, options);
  t.wait(rttMs);
  t.inject('S.', 0, 1, { opts: synAckOpts, win });
  t.sent();
  return SK;
}
