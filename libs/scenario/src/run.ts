import { judge, type Verdict } from './judge.ts';
import { needsOf } from './needs.ts';
import type { Observation, Tell } from './observation.ts';
import type { Plan, Target } from './plan.ts';
import { runInSim } from './sim/run.ts';

export interface ScenarioResult {
  plan: Plan;
  verdicts: Verdict[];
  /** Why it was not run. */
  skipped: string | undefined;
  /** It could not be run to its end. */
  broken: string | undefined;
  /** How long it took, by the clock of who was watching. */
  tookMs: number;
}

export const passed = (r: ScenarioResult): boolean =>
  r.skipped === undefined && r.broken === undefined && r.verdicts.every((v) => v.passed);

/** Plays a plan on running services. */
export type ServicesRunner = (plan: Plan, tell: Tell) => Promise<Observation>;

/** Runs a plan on a target. Without `services` that target cannot be had. */
export async function runScenario(
  plan: Plan,
  target: Target,
  o: { tell?: Tell; services?: ServicesRunner; nowMs: () => number },
): Promise<ScenarioResult> {
  const result: ScenarioResult = { plan, verdicts: [], skipped: whyNot(plan, target), broken: undefined, tookMs: 0 };
  if (result.skipped !== undefined) return result;
  const began = o.nowMs();
  try {
    if (target === 'services') result.verdicts = judge(plan, await o.services!(plan, o.tell ?? (() => {})));
    else {
      const { seen, problems } = runInSim(plan, o.tell);
      result.verdicts = judge(plan, seen);
      if (problems.length > 0) result.broken = `the simulation's own checks: ${problems.join('; ')}`;
    }
  } catch (e) {
    result.broken = e instanceof Error ? e.message : String(e);
  }
  result.tookMs = o.nowMs() - began;
  return result;
}

/** A sentence: why this target cannot run it. */
function whyNot(plan: Plan, target: Target): string | undefined {
  if (plan.needs !== undefined && plan.needs !== target) return `its target is ${plan.needs}`;
  const need = needsOf(plan).find((n) => n.target !== target);
  return need === undefined ? undefined : `needs the target ${need.target}: ${need.why}`;
}
