import type { SkBuff } from '@skbus/skb';
import { SkBuff as Skb } from '@skbus/skb';
import { emitIpv4Header, emitTcp, fold, IPV4_HLEN, pseudoHeaderSum, put16, sumSlices, TCP_HLEN } from '@skbus/wire';
import { activeOpen, passiveOpen, Scripted, SK, THEM, US, type Seg } from '../../libs/tcp/src/testing/peer.ts';
import type { TcpOptions } from '@skbus/wire';

export {
  activeOpen,
  calling,
  handshake,
  passiveOpen,
  Scripted,
  SK,
  THEM,
  US,
} from '../../libs/tcp/src/testing/peer.ts';
export type { Seg } from '../../libs/tcp/src/testing/peer.ts';

/** For the requirements of RFC 9293 and the RFCs around it: one stack in virtual time, and a peer that sends anything. */

export type Sysctl = NonNullable<ConstructorParameters<typeof Scripted>[0]>;

/** An active connection of SK. */
export function established(opts: TcpOptions = { mss: 1000 }, win = 32_792, so: Sysctl = {}): Scripted {
  const t = new Scripted(so);
  activeOpen(t, opts, win);
  return t;
}

/** A connection that the peer opened; its id is the second of the pair. */
export function accepted(opts: TcpOptions = { mss: 1000 }, so: Sysctl = {}): [Scripted, number] {
  const t = new Scripted(so);
  return [t, passiveOpen(t, opts)];
}

/** The application writes `n` bytes at stream offset `offset`. */
export function write(t: Scripted, offset: number, n: number, sk = SK): void {
  t.cmd({ sk, data: { offset, data: new Uint8Array(n).fill(7) } });
}

/** The application has got, and read, everything below `offset`. */
export function readTo(t: Scripted, offset: number, sk = SK): void {
  t.view(sk, { rcvGot: offset, rcvRead: offset });
}

export const bytesOf = (segs: readonly Seg[]): number => segs.reduce((n, s) => n + s.len, 0);

/** What was sent since the last call, as far as it carried data. */
export const dataSent = (t: Scripted): Seg[] => t.sent().filter((s) => s.len > 0);

/** SACK blocks counted from our ISN. */
export const sack = (t: Scripted, ...blocks: [number, number][]): { opts: TcpOptions } => ({
  opts: { sack: blocks.map(([l, r]) => [(l + t.ourIsn) >>> 0, (r + t.ourIsn) >>> 0]) },
});

/** Runs until `done`, in steps of `stepMs`, at most `withinMs`. Returns how long it took. */
export function until(t: Scripted, done: () => boolean, stepMs: number, withinMs: number): number {
  const start = t.now;
  while (!done()) {
    if (t.now - start > withinMs) throw new Error(`not within ${withinMs} ms`);
    t.wait(stepMs);
  }
  return t.now - start;
}

/** Every skb that goes down to IP from now on, as it is at that moment. */
export function tapOutput(t: Scripted): SkBuff[] {
  const out: SkBuff[] = [];
  const pass = t.env.pass.bind(t.env);
  t.env.pass = (to, skb, instance) => {
    out.push(skb);
    pass(to, skb, instance);
  };
  return out;
}

/** Header of what was tapped: the option bytes. */
export const optionBytes = (skb: SkBuff): Uint8Array => {
  const b = skb.bytes();
  return b.subarray(TCP_HLEN, (b[12]! >>> 4) * 4);
};

export interface Raw {
  flags: number;
  seq: number;
  ack?: number;
  window?: number;
  urgent?: number;
  /** The option area, byte by byte; padded with zeros to a multiple of four. */
  options?: readonly number[];
  data?: Uint8Array;
  /** Added to the right checksum; the stack verifies it when this is given. */
  csumOff?: number;
  pktType?: number;
}

/** Sends a segment that no well-behaved encoder would make. Sequence numbers count from each side's ISN. */
export function injectRaw(t: Scripted, r: Raw): void {
  const options = r.options ?? [];
  const hlen = TCP_HLEN + ((options.length + 3) & ~3);
  const data = r.data ?? new Uint8Array(0);
  const skb = Skb.alloc(0, IPV4_HLEN + hlen + data.length);
  skb.put(IPV4_HLEN + hlen + data.length);
  const { buf } = skb;
  const ip = { hlen: IPV4_HLEN, tos: 0, totalLen: buf.length, id: 0, df: true, mf: false, fragOffset: 0 };
  emitIpv4Header({ ...ip, ttl: 64, proto: 6, saddr: THEM, daddr: US }, buf, 0);
  const tcp = { sport: t.theirPort, dport: t.ourPort, hlen, flags: r.flags, window: r.window ?? 32_792 };
  const seq = (t.theirIsn + r.seq) >>> 0;
  const ack = r.ack === undefined ? 0 : (t.ourIsn + r.ack) >>> 0;
  emitTcp({ ...tcp, seq, ack, urgent: r.urgent ?? 0 }, buf, IPV4_HLEN);
  buf.set(options, IPV4_HLEN + TCP_HLEN);
  buf.set(data, IPV4_HLEN + hlen);
  const segment = buf.subarray(IPV4_HLEN);
  const sum = fold(sumSlices([segment], pseudoHeaderSum(THEM, US, 6, segment.length)));
  put16(buf, IPV4_HLEN + 16, (~sum + (r.csumOff ?? 0)) & 0xffff);
  skb.networkHeader = 0;
  skb.data = IPV4_HLEN;
  skb.ipSummed = r.csumOff === undefined ? 1 : 0;
  skb.pktType = r.pktType ?? 0;
  t.env.ledger.received++;
  t.tcp.onSegment(skb, t.now);
  t.tcp.flush(t.now);
}
