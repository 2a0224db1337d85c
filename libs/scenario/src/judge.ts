import type { Observation } from './observation.ts';
import type { Expectation, Metric, Op, Plan } from './plan.ts';

export interface Verdict {
  /** As it was written. */
  expected: string;
  actual: string;
  passed: boolean;
}

/** One verdict per expectation; and one more where the programs did not come to their end and nobody expected that. */
export function judge(plan: Plan, seen: Observation): Verdict[] {
  const verdicts = plan.expect.map((e) => judgeOne(e, seen));
  const incomplete = plan.expect.some(({ metric: m }) => m.kind === 'stream' && !m.whole);
  if (!seen.done && !incomplete)
    verdicts.push({
      expected: 'the workload comes to its end',
      actual: `not within ${ms(plan.withinMs)}`,
      passed: false,
    });
  return verdicts;
}

function judgeOne(e: Expectation, seen: Observation): Verdict {
  const { metric } = e;
  if (metric.kind === 'stream') return stream(e.text, metric.whole, seen);
  if (metric.kind === 'neighbour') {
    const state = seen.sides[metric.host].neighbours[metric.address] ?? 'not there';
    return { expected: e.text, actual: state, passed: state === metric.state };
  }
  const value = valueOf(metric, seen);
  return { expected: e.text, actual: shown(metric, value, seen), passed: COMPARE[e.op](value, e.value) };
}

function stream(expected: string, whole: boolean, { streams }: Observation): Verdict {
  const broken = streams.find((s) => !s.right || s.got !== s.expected);
  const actual =
    broken === undefined
      ? `${streams.length} intact, ${sum(streams.map((s) => s.got))} bytes`
      : `${broken.name}: ${broken.got} of ${broken.expected} bytes${broken.right ? '' : ', wrong ones among them'}`;
  return { expected, actual, passed: whole ? broken === undefined && streams.length > 0 : broken !== undefined };
}

function valueOf(m: Exclude<Metric, { kind: 'stream' } | { kind: 'neighbour' }>, seen: Observation): number {
  const { stack, peer } = seen.sides;
  switch (m.kind) {
    case 'rst':
      return seen.rsts;
    case 'retransmits':
      return (stack.counters.TcpRetransSegs ?? 0) + (peer.counters.TcpRetransSegs ?? 0);
    case 'recover':
      return seen.recoverMs;
    case 'duration':
      return seen.durationMs;
    case 'replies':
      return seen.replies;
    case 'rtt':
      return seen.rttMs;
    case 'error':
      return m.name === undefined ? seen.errors.length : seen.errors.filter((e) => e === m.name).length;
    case 'counter':
      return seen.sides[m.host].counters[m.name] ?? 0;
    case 'drop':
      return of(seen.sides[m.host].drops, m.reason);
    case 'hits':
      return of(seen.hits, m.rule);
    case 'restarts':
      return seen.restarts[m.layer] ?? 0;
    default:
      return seen.sides[m.host].connections[m.state] ?? 0;
  }
}

function shown(m: Metric, value: number, seen: Observation): string {
  switch (m.kind) {
    case 'recover':
    case 'duration':
    case 'rtt':
      return ms(value);
    case 'error':
      return seen.errors.length === 0 ? 'none' : tally(seen.errors);
    case 'drop': {
      const all = Object.entries(seen.sides[m.host].drops).filter(([, n]) => n > 0);
      return `${value}${all.length === 0 ? '' : ` (${all.map(([r, n]) => `${r} ${n}`).join(', ')})`}`;
    }
    default:
      return String(value);
  }
}

const of = (counts: Record<string, number>, key: string | undefined): number =>
  key === undefined ? sum(Object.values(counts)) : (counts[key] ?? 0);

const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);

function tally(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const n of names) counts.set(n, (counts.get(n) ?? 0) + 1);
  return [...counts].map(([n, c]) => (c === 1 ? n : `${n} ${c} times`)).join(', ');
}

export const ms = (value: number): string =>
  value >= 1_000 ? `${Number((value / 1000).toFixed(3))} s` : `${Number(value.toFixed(3))} ms`;

const COMPARE: Readonly<Record<Op, (a: number, b: number) => boolean>> = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};
