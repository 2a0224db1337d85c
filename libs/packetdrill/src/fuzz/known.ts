import { TCP_ACK } from '@skbus/wire';
import type { Difference } from './compare.ts';
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

const withoutSack = (shown: string): string => shown.replace(/ sack \S+/g, '');

export const KNOWN: readonly KnownDeviation[] = [
  {
    why: 'Linux 7.1, and stable kernels since, answer the ACK of what was not sent with a challenge ACK; 6.12, and we, say nothing',
    matches: (s, d) =>
      d.actual === 'nothing' &&
      /^\. ack -?\d+$/.test(d.expected) &&
      segments(s, d.epoch).some((x) => x.ack > sentBefore(s, d.epoch)),
  },
  {
    why: 'Linux 6.14 and later drop an old pure ACK that PAWS refuses without a word; 6.12, and we, send a duplicate ACK',
    matches: (s, d) =>
      d.expected === 'nothing' &&
      segments(s, d.epoch).some((x) => x.length === 0 && x.tsVal !== undefined && x.tsVal < 0),
  },
  {
    why: 'a SYN answered with an unacceptable ACK goes again after TCP_TIMEOUT_MIN, two ticks: 2 ms of ours, 8 and more with HZ=250',
    matches: (s, d) => {
      const expected = d.expected.split('; ');
      const more = d.actual.split('; ').filter((x) => !expected.includes(x));
      return (
        more.length === 1 &&
        more[0]!.startsWith('S 0:0 ') &&
        segments(s, d.epoch).some((x) => (x.flags & TCP_ACK) !== 0)
      );
    },
  },
  {
    why: 'of segments back to back, new data is acknowledged when the socket layer has it, duplicates are reported at once: the report may go first',
    matches: (s, d) =>
      / sack /.test(d.expected + d.actual) &&
      withoutSack(d.expected) === withoutSack(d.actual) &&
      segments(s, d.epoch).filter((x) => x.length > 0).length > 1,
  },
];
