import { TCP_ACK, TCP_PSH } from '@skbus/wire';
import type { Packet, Us } from '../lang/ast.ts';
import type { LivePacket } from '../wire/live.ts';
import type { Conn } from './conn.ts';
import { differences } from './match.ts';

/** TCP_DELACK_MIN: whoever allows this much cannot tell a delayed ACK from one that was sent at once. */
const DELACK_MIN_US = 40_000;

/**
 * ACKs of new data that a later packet acknowledges as well. Linux sends the first ones of a connection at once, another
 * stack waits and lets the next packet carry them (RFC 9293 3.8.6.3 allows both); a script whose tolerance covers the
 * delay expects the second kind and means either.
 */
export class EarlyAcks {
  private readonly allowed: boolean;
  /** Up to where each connection has acknowledged, as on the wire. */
  private readonly acked = new Map<Conn, number>();

  constructor(toleranceUs: Us) {
    this.allowed = toleranceUs >= DELACK_MIN_US;
  }

  /** The stack sent this packet. */
  note(conn: Conn, live: LivePacket): void {
    if (live.proto === 'tcp' && (live.flags & TCP_ACK) !== 0) this.acked.set(conn, live.ack);
  }

  /** Is this one sent early, and not the one that the script expects? */
  is(
    expected: Packet,
    actual: Packet,
    conn: Conn,
    live: LivePacket,
    differs = () => differences(expected, actual, live.ip).length > 0,
  ): boolean {
    if (!this.allowed || expected.proto !== 'tcp' || actual.proto !== 'tcp' || live.proto !== 'tcp') return false;
    const before = this.acked.get(conn);
    const pure = (live.flags & ~TCP_PSH) === TCP_ACK && live.payload.length === 0;
    if (!pure || before === undefined || live.options.some((o) => o.kind === 'sack')) return false;
    const ofNew = ((live.ack - before) | 0) > 0;
    const covered = expected.ack === undefined || ((expected.ack - (actual.ack ?? 0)) | 0) >= 0;
    return ofNew && covered && differs();
  }
}
