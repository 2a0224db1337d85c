import type { SkBuff } from '@skbus/skb';
import { get16, get32, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '@skbus/wire';

/** One direction of a connection, as its segments show it. Positions count from the first sequence number that was seen. */
interface Direction {
  scale: number;
  /** Sequence number of the SYN. */
  isn: number;
  /** There was a connection of this name before. */
  again: boolean;
  sndMax: number;
  ack: number;
  edge: number;
  fin: boolean;
}

/** `a4d0001:4000>a4d0002:80` */
type Name = string;

/**
 * Listens to what TCP engines hand to IP and knows TCP's promises to the other side, from outside: no acknowledgement and
 * no right edge of a window is ever taken back, nothing is acknowledged that was not sent, nothing is sent beyond the
 * window, no FIN and no RST comes unasked. (On the cable the faults of the layers between would be seen, too.)
 */
export class SegmentWatch {
  readonly problems: string[] = [];
  /** Whether the program behind this end has closed its side of the stream; asked when a FIN is seen. */
  mayFin: (source: Name) => boolean = () => true;
  /** Whether somebody gave a reason for a RST from this end. */
  mayReset: (source: Name) => boolean = () => true;
  rsts = 0;
  private readonly directions = new Map<Name, Direction>();

  /** A segment on its way to IP: data at the TCP header, `flow` set. */
  onSegment(skb: SkBuff): void {
    const { buf: bytes, data: at, flow } = skb;
    if (flow === undefined) return;
    const name = (a: number, p: number): string => `${a.toString(16)}:${p}`;
    const from = name(flow.saddr, get16(bytes, at));
    const to = name(flow.daddr, get16(bytes, at + 2));
    const hlen = (bytes[at + 12]! >> 4) * 4;
    this.segment(`${from}>${to}`, `${to}>${from}`, {
      seq: get32(bytes, at + 4),
      ack: get32(bytes, at + 8),
      flags: bytes[at + 13]!,
      window: get16(bytes, at + 14),
      len: skb.len - hlen,
      scale: scaleOf(bytes, at + 20, at + hlen),
    });
  }

  private segment(us: Name, them: Name, s: Segment): void {
    if (s.flags & TCP_RST) {
      this.rsts++;
      if (!this.mayReset(us)) this.problems.push(`${us}: a RST that nobody asked for`);
      return;
    }
    if (s.flags & TCP_SYN) {
      // A new connection of the same name, or the SYN again.
      const before = this.directions.get(us);
      if (before?.isn !== s.seq) this.directions.set(us, begins(s, before !== undefined));
      return;
    }
    const d = this.directions.get(us);
    const other = this.directions.get(them);
    if (d === undefined || other === undefined || !(s.flags & TCP_ACK)) return;
    this.sent(us, d, other, s);
    this.acknowledged(us, d, other, s);
  }

  private sent(us: Name, d: Direction, other: Direction, s: Segment): void {
    const end = offset(s.seq, d.isn) + s.len + (s.flags & TCP_FIN ? 1 : 0);
    // What a FIN takes is no byte of the window; neither is a probe of a closed one.
    if (s.len > 1 && other.edge > 0 && offset(s.seq, d.isn) + s.len > other.edge + 1 && end > d.sndMax)
      this.problems.push(`${us}: sends up to ${end}, beyond the window's edge ${other.edge}`);
    d.sndMax = Math.max(d.sndMax, end);
    if (s.flags & TCP_FIN && !d.fin) {
      d.fin = true;
      if (!this.mayFin(us)) this.problems.push(`${us}: a FIN before its program has closed`);
    }
  }

  private acknowledged(us: Name, d: Direction, other: Direction, s: Segment): void {
    const ack = offset(s.ack, other.isn);
    // A SYN that was late has made the other end begin once more, and this is the answer of who knows only the connection
    // that was (RFC 9293 3.10.7.4, "in TIME-WAIT"): it acknowledges that one's bytes, and is reset for it.
    if (other.again && other.sndMax === 1 && ack > 1) return;
    const edge = ack + s.window * 2 ** d.scale;
    if (ack < d.ack) this.problems.push(`${us}: acknowledges ${ack} after ${d.ack}`);
    if (ack > other.sndMax) this.problems.push(`${us}: acknowledges ${ack}, which was not sent (${other.sndMax})`);
    // One that closes for want of memory takes back all there was (tcp_select_window with ICSK_ACK_NOMEM).
    if (s.window === 0) return;
    // The unit of a scaled window is all that may be lost to rounding (RFC 7323 2.4).
    if (edge < d.edge - 2 ** d.scale)
      this.problems.push(`${us}: the window's edge goes back from ${d.edge} to ${edge}`);
    d.ack = Math.max(d.ack, ack);
    d.edge = Math.max(d.edge, edge);
  }
}

interface Segment {
  seq: number;
  ack: number;
  flags: number;
  window: number;
  len: number;
  scale: number;
}

const begins = ({ scale, seq }: Segment, again: boolean): Direction => ({
  scale,
  isn: seq,
  again,
  sndMax: 1,
  ack: 0,
  edge: 0,
  fin: false,
});

const offset = (seq: number, isn: number): number => (seq - isn) >>> 0;

function scaleOf(b: Uint8Array, from: number, to: number): number {
  for (let i = from; i < to;) {
    if (b[i] === 0) return 0;
    if (b[i] === 1) i++;
    else {
      if (b[i] === 3) return b[i + 2] ?? 0;
      i += Math.max(2, b[i + 1] ?? 2);
    }
  }
  return 0;
}
