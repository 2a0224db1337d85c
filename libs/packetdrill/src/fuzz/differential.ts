import { SeededRng } from '@skbus/skb';
import type { Target } from '../target.ts';
import { firstDifference, type Difference } from './compare.ts';
import { KNOWN } from './known.ts';
import { play, type Epoch } from './play.ts';
import { scenario, type Scenario } from './scenario.ts';
import { toScript } from './script.ts';

const STRETCH = 1.17;

export interface Finding {
  seed: number;
  scenario: Scenario;
  difference: Difference;
  /** A packetdrill script that the oracle passes. */
  script: string;
}

export interface DifferentialRun {
  /** Scenarios that both played, and on which the oracle agreed with itself. */
  compared: number;
  /** Differences that are meant to be. */
  known: { seed: number; why: string }[];
  /** Seeds whose oracle was not of one mind: a timer fell on a step. */
  unsteady: number[];
  findings: Finding[];
}

/** The oracle repeats itself, and they differ at the same step when the long gaps are a little longer. */
async function steady(oracle: Target, subject: Target, s: Scenario, expected: Epoch[], at: number): Promise<boolean> {
  if (firstDifference(await play(oracle, s), expected) !== undefined) return false;
  const e = await play(oracle, s, STRETCH);
  const a = await play(subject, s, STRETCH, e);
  return firstDifference(e, a)?.epoch === at;
}

/**
 * Plays scenarios on two targets and reports where the second does not do what the first does. A difference counts only
 * if the oracle repeats itself: in real time a timer may fall on either side of a step.
 */
export async function differential(
  oracle: Target,
  subject: Target,
  seeds: Iterable<number>,
  onFinding: (f: Finding) => void = () => {},
): Promise<DifferentialRun> {
  const run: DifferentialRun = { compared: 0, known: [], unsteady: [], findings: [] };
  for (const seed of seeds) {
    const s = scenario(seed, new SeededRng(seed));
    const expected = await play(oracle, s);
    const actual = await play(subject, s, 1, expected);
    const difference = firstDifference(expected, actual);
    if (difference !== undefined) {
      if (!(await steady(oracle, subject, s, expected, difference.epoch))) {
        run.unsteady.push(seed);
        continue;
      }
      const known = KNOWN.find((k) => k.matches(s, difference));
      if (known !== undefined) {
        run.known.push({ seed, why: known.why });
        run.compared++;
        continue;
      }
      const note = `${subject.name} differs from ${oracle.name} after step ${difference.epoch}`;
      const finding = { seed, scenario: s, difference, script: toScript(s, expected, note) };
      run.findings.push(finding);
      onFinding(finding);
    }
    run.compared++;
  }
  return run;
}
