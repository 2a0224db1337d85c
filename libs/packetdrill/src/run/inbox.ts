import { TCP_CWR, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from '@skbus/wire';
import type { Us } from '../lang/ast.ts';
import type { Target } from '../target.ts';
import { decodePacket } from '../wire/codec.ts';
import type { LivePacket, LiveTcp } from '../wire/live.ts';
import type { Conn, Conns } from './conn.ts';

/** A packet of the stack under test, and whose it is. */
export interface Arrived {
  atUs: Us;
  packet: LivePacket;
  conn: Conn;
}

/** A packet no stack may send. */
export class BadPacket extends Error {
  override name = 'BadPacket';
  readonly atUs: Us;

  constructor(atUs: Us, what: string) {
    super(what);
    this.atUs = atUs;
  }
}

/** What the stack sent and nobody expected yet. */
export class Inbox {
  /** Packets of connections that are not under test any more, passed over. */
  readonly skipped: Arrived[] = [];
  private readonly target: Target;
  private readonly conns: Conns;
  private readonly mtu: number;
  /** What is left of a packet after its beginning was taken. */
  private rest: Arrived | undefined = undefined;

  constructor(target: Target, conns: Conns, mtu: number) {
    this.target = target;
    this.conns = conns;
    this.mtu = mtu;
  }

  /** The next packet that belongs to a connection of the script. */
  async next(deadline: Us): Promise<Arrived | undefined> {
    const { rest } = this;
    if (rest !== undefined) {
      this.rest = undefined;
      return rest;
    }
    for (;;) {
      const sniffed = await this.target.nextPacket(deadline);
      if (sniffed === undefined) return undefined;
      const packet = decodePacket(sniffed.bytes);
      if (typeof packet === 'string') throw new BadPacket(sniffed.atUs, packet);
      const conn = this.conns.ofLive(packet);
      if (conn !== undefined) return { atUs: sniffed.atUs, packet, conn };
    }
  }

  /**
   * The next packet of `conn`, made as long as the script expects: a train of contiguous segments is one packet, and one
   * that is larger than the MTU (the driver would have cut it) gives as much as is asked for.
   */
  async nextFor(conn: Conn, wanted: number, deadline: Us): Promise<Arrived | undefined> {
    let first = await this.next(deadline);
    while (first !== undefined && first.conn !== conn) {
      this.skipped.push(first);
      first = await this.next(deadline);
    }
    if (first === undefined || first.packet.proto !== 'tcp') return first;
    let whole: Arrived & { packet: LiveTcp } = first as Arrived & { packet: LiveTcp };
    while (whole.packet.payload.length > 0 && whole.packet.payload.length < wanted) {
      const more = await this.next(deadline);
      if (more === undefined) break;
      const joined = more.conn === conn && more.packet.proto === 'tcp' ? join(whole.packet, more.packet) : undefined;
      if (joined === undefined) {
        this.rest = more;
        break;
      }
      whole = { ...whole, packet: { ...whole.packet, ...joined } };
    }
    return this.cut(whole, wanted);
  }

  private cut(a: Arrived & { packet: LiveTcp }, wanted: number): Arrived {
    const { payload } = a.packet;
    if (wanted === 0 || payload.length <= wanted || 40 + payload.length <= this.mtu) return a;
    const { packet } = a;
    this.rest = { ...a, packet: { ...packet, seq: (packet.seq + wanted) >>> 0, payload: payload.subarray(wanted) } };
    const flags = packet.flags & ~(TCP_PSH | TCP_FIN);
    return { ...a, packet: { ...packet, flags, payload: payload.subarray(0, wanted) } };
  }
}

/**
 * Two segments that follow each other as one, with the header of the last but for CWR, as in the original (aggregate_packets):
 * PSH means that the train ends with it. Undefined: they do not belong together.
 */
function join(a: LiveTcp, b: LiveTcp): LiveTcp | undefined {
  const stop = TCP_SYN | TCP_RST | TCP_FIN;
  if ((a.flags & stop) !== 0 || (b.flags & (TCP_SYN | TCP_RST)) !== 0) return undefined;
  if (b.seq !== (a.seq + a.payload.length) >>> 0 || b.payload.length === 0) return undefined;
  const payload = new Uint8Array(a.payload.length + b.payload.length);
  payload.set(a.payload);
  payload.set(b.payload, a.payload.length);
  return { ...b, seq: a.seq, options: a.options, flags: (b.flags & ~TCP_CWR) | (a.flags & TCP_CWR), payload };
}
