import { TCP_ACK, TCP_RST } from '@skbus/wire';
import type { Comparable, Difference } from './compare.ts';
import type { Scenario, Segment } from './scenario.ts';

/** A difference between the subject and the oracle that is meant to be, and how to tell it. */
export interface KnownDeviation {
  why: string;
  matches(s: Scenario, d: Difference): boolean;
}

/** SND.NXT at most: what the program has sent by then, its SYN and its FIN. */
function sentBefore(s: Scenario, epoch: number): number {
  let sent = 2;
  for (let e = 0; e < epoch; e++)
    for (const x of stepsOf(s, e)) if (x.kind === 'call' && x.name === 'send') sent += x.arg;
  return sent;
}

/** The step after which the difference showed, with those that came without a pause. */
function stepsOf(s: Scenario, epoch: number): Scenario['steps'] {
  let at = 0;
  return s.steps.filter((step) => {
    if (step.gapUs > 0) at++;
    return at === epoch;
  });
}

const segments = (s: Scenario, epoch: number): Segment[] => stepsOf(s, epoch).filter((x) => x.kind === 'segment');

/** How far the peer has let the stack send: the right edge of the window it offered last. */
function windowEdge(s: Scenario, epoch: number): number {
  const scale = s.handshake.wscale ?? 0;
  let edge = 1 + s.handshake.win;
  for (let e = 0; e <= epoch; e++)
    for (const x of segments(s, e))
      if ((x.flags & (TCP_ACK | TCP_RST)) === TCP_ACK && x.ack > 0 && x.ack <= sentBefore(s, e))
        edge = x.ack + x.win * 2 ** scale;
  return edge;
}

const silent = (c: Comparable): boolean => c.events.length === 0 && c.ack === undefined;
const onlyAck = (c: Comparable): boolean => c.events.length === 0 && c.ack?.sack.length === 0;
const sameEvents = (a: Comparable, b: Comparable): boolean => a.events.join('\n') === b.events.join('\n');

/** The one event that `more` has and `less` has not, if all others are the same. */
function oneMore(more: Comparable, less: Comparable): string | undefined {
  const at = more.events.findIndex((x, i) => x !== less.events[i]);
  const rest = more.events.filter((_, i) => i !== at);
  return rest.join('\n') === less.events.join('\n') ? more.events[at] : undefined;
}

/** The report of a duplicate (RFC 2883), and what else the ACK reports. */
function duplicate({ ack }: Comparable): { dsack: [number, number] | undefined; others: string } {
  const first = ack?.sack[0];
  const dsack = first !== undefined && first[0] < ack!.to ? first : undefined;
  return { dsack, others: (ack?.sack ?? []).filter((x) => x !== dsack).join(' ') };
}

export const KNOWN: readonly KnownDeviation[] = [
  {
    why: 'Linux 7.1, and stable kernels since, answer the ACK of what was not sent with a challenge ACK; 6.12, and we, say nothing',
    matches: (s, d) =>
      silent(d.actual) && onlyAck(d.expected) && segments(s, d.epoch).some((x) => x.ack > sentBefore(s, d.epoch)),
  },
  {
    why: 'Linux 6.14 and later drop an old pure ACK that PAWS refuses without a word; 6.12, and we, send a duplicate ACK',
    matches: (s, d) =>
      silent(d.expected) &&
      onlyAck(d.actual) &&
      segments(s, d.epoch).some((x) => x.length === 0 && x.tsVal !== undefined && x.tsVal < 0),
  },
  {
    why: 'a SYN answered with an unacceptable ACK goes again after TCP_TIMEOUT_MIN, two ticks: 2 ms of ours, 8 and more with HZ=250',
    matches: (s, d) =>
      s.handshake.how === 'asked' &&
      oneMore(d.actual, d.expected)?.startsWith('S 0:0 ') === true &&
      segments(s, d.epoch).some((x) => (x.flags & TCP_ACK) !== 0 && x.ack !== 1),
  },
  {
    why: "RACK's timer waits for TCP_TIMEOUT_MIN, too: what is late goes again a few ms sooner than with HZ=250",
    matches: (s, d) =>
      s.handshake.sackOk &&
      oneMore(d.actual, d.expected)?.startsWith('. ') === true &&
      [d.epoch - 1, d.epoch].some((e) => segments(s, e).some((x) => x.sack !== undefined)),
  },
  {
    why: 'of segments back to back, new data is acknowledged when the socket layer has it, duplicates are reported at once: the last ACK may be without the report',
    matches: (s, d) => {
      const [e, a] = [duplicate(d.expected), duplicate(d.actual)];
      const data = segments(s, d.epoch).filter((x) => x.length > 0);
      const report = e.dsack ?? a.dsack;
      return (
        sameEvents(d.expected, d.actual) &&
        d.expected.ack?.to === d.actual.ack?.to &&
        e.others === a.others &&
        report !== undefined &&
        (e.dsack === undefined || a.dsack === undefined) &&
        data.some((x) => x.seq === report[0]) &&
        data.some((x) => x.seq !== report[0])
      );
    },
  },
  {
    why: 'the ACK of what fills the window may be delayed like that of one segment alone: we probe for the tail 200 ms later than Linux, and the timeout that follows comes later, too',
    matches: (s, d) =>
      s.handshake.sackOk &&
      oneMore(d.expected, d.actual)?.startsWith('. ') === true &&
      sentBefore(s, d.epoch + 1) > windowEdge(s, d.epoch),
  },
];
