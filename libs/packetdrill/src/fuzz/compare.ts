import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, type TcpOptions } from '@skbus/wire';
import type { Epoch, Reply } from './play.ts';

// Two runs of one scenario, made comparable. What may differ: timestamps, IP ids, the size of a window that is open, how
// data is cut into segments, and whether plain new data is acknowledged at once or a little later.

/** A line per thing that must be the same. */
export interface Comparable {
  /** Everything but pure acknowledgements, in order. */
  events: string[];
  /** The last pure ACK of the epoch: how far, and the SACK blocks. */
  ack: { to: number; sack: [number, number][] } | undefined;
}

export interface Difference {
  /** Index of the epoch; 0 is the handshake. */
  epoch: number;
  expected: Comparable;
  actual: Comparable;
}

export function comparable(epoch: Epoch): Comparable {
  const merged: Reply[] = [];
  let ack: Comparable['ack'];
  for (const r of epoch.replies) {
    if (isPureAck(r)) {
      ack = { to: r.ack, sack: [...r.sack] };
      continue;
    }
    const last = merged.at(-1);
    if (last !== undefined && continues(last, r)) {
      merged[merged.length - 1] = { ...last, length: last.length + r.length, flags: last.flags | r.flags };
    } else merged.push(r);
  }
  const events = [...merged.map(text), ...epoch.answers.map((a) => `${a.name}() = ${a.ret} errno ${a.errno}`)];
  return { events, ack };
}

/** The first difference, or `undefined`. */
export function firstDifference(expected: readonly Epoch[], actual: readonly Epoch[]): Difference | undefined {
  const acked = [1, 1];
  for (let i = 0; i < expected.length; i++) {
    const [e, a] = [comparable(expected[i]!), comparable(actual[i]!)];
    const differs = e.events.join('\n') !== a.events.join('\n') || !sameAck(e.ack, a.ack, acked);
    if (differs) return { epoch: i, expected: e, actual: a };
    if (e.ack !== undefined) acked[0] = e.ack.to;
    if (a.ack !== undefined) acked[1] = a.ack.to;
  }
  return undefined;
}

/** An ACK that only the one has sent so far must be of new data alone: the other may still wait for its timer. */
function sameAck(e: Comparable['ack'], a: Comparable['ack'], acked: readonly number[]): boolean {
  if (e !== undefined && a !== undefined) return e.to === a.to && sackText(e.sack) === sackText(a.sack);
  const delayed = (x: Comparable['ack'], before: number): boolean =>
    x === undefined || (x.sack.length === 0 && x.to > before);
  return delayed(e, acked[0]!) && delayed(a, acked[1]!);
}

const isPureAck = (r: Reply): boolean =>
  r.length === 0 && (r.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) === TCP_ACK;

const continues = (last: Reply, r: Reply): boolean =>
  last.length > 0 &&
  (r.length > 0 || (r.flags & TCP_FIN) !== 0) &&
  r.seq === last.seq + last.length &&
  r.ack === last.ack &&
  ((last.flags | r.flags) & (TCP_SYN | TCP_RST)) === 0 &&
  (last.flags & TCP_FIN) === 0;

function text(r: Reply): string {
  const flags = r.flags & ~TCP_PSH;
  const names = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W', 'A'].filter((_, i) => flags & (1 << i)).join('');
  const ack = r.flags & TCP_ACK ? ` ack ${r.ack}` : '';
  const closed = r.win === 0 && !(r.flags & TCP_RST) ? ' win 0' : '';
  const urgent = r.urgent > 0 ? ` urg ${r.urgent}` : '';
  const echo = r.ecr === undefined ? '' : ` ecr ${r.ecr}`;
  const options = r.synOptions === undefined ? '' : synText(r.synOptions);
  return `${names || '-'} ${r.seq}:${r.seq + r.length}${ack}${closed}${urgent}${sackText(r.sack)}${echo}${options}${r.tos > 0 ? ` tos ${r.tos}` : ''}`;
}

const sackText = (sack: readonly (readonly [number, number])[]): string =>
  sack.map(([a, b]) => ` sack ${a}:${b}`).join('');

const synText = (o: TcpOptions): string =>
  ` mss ${o.mss}${o.sackPermitted ? ' sackOK' : ''}${o.wscale === undefined ? '' : ` wscale ${o.wscale}`}`;

/** One side of a difference in words. */
export function showSide(c: Comparable): string {
  const ack = c.ack === undefined ? [] : [`. ack ${c.ack.to}${sackText(c.ack.sack)}`];
  return [...c.events, ...ack].join('; ') || 'nothing';
}
