import type { Plan } from './plan.ts';
import { runPlan } from './run.ts';

/**
 * The smallest part of a failing scenario's faults that still makes it fail: halves are left out, then quarters … (ddmin,
 * Zeller and Hildebrandt 2002); then flows, one by one.
 */
export function shrink(plan: Plan, fails: (p: Plan) => boolean = (p) => runPlan(p).problems.length > 0): Plan {
  let best = { ...plan, faults: least(plan.faults, (faults) => fails({ ...plan, faults })) };
  for (let i = best.flows.length - 1; i >= 0 && best.flows.length > 1; i--) {
    const fewer = { ...best, flows: best.flows.filter((_, k) => k !== i) };
    if (fails(fewer)) best = fewer;
  }
  return best;
}

function least<T>(all: readonly T[], fails: (some: T[]) => boolean): T[] {
  if (fails([])) return [];
  let kept = [...all];
  for (let parts = 2; kept.length > 1;) {
    const size = Math.ceil(kept.length / parts);
    let smaller: T[] | undefined;
    for (let at = 0; at < kept.length && smaller === undefined; at += size) {
      const rest = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (fails(rest)) smaller = rest;
    }
    if (smaller !== undefined) {
      kept = smaller;
      parts = Math.max(2, parts - 1);
    } else if (parts >= kept.length) break;
    else parts = Math.min(kept.length, parts * 2);
  }
  return kept;
}
