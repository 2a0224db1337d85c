import type { FaultOp, FaultRule } from '../rule.ts';
import { actsOnTraffic } from './active-rule.ts';
import type { FaultDecision } from './decision.ts';

/**
 * Rules that do to the same ordinals what a log says was done to them: each rule's dice are replaced by what they showed.
 * What was held goes on after the time that it was held; what was changed meanwhile is changed before. `rules`: those that
 * the log speaks of. A rule that did nothing is left out: nothing is what it does again.
 */
export function replayOf(log: readonly FaultDecision[], rules: readonly FaultRule[]): FaultRule[] {
  const out: FaultRule[] = [];
  for (const r of rules) {
    const mine = log.filter((d) => d.rule === r.id);
    if (r.action.kind === 'layer') {
      out.push(...layerAgain(r, mine));
      continue;
    }
    if (mine.length === 0) continue;
    const steps = new Map<number, FaultOp[]>();
    for (const d of mine) steps.set(d.ordinal, then(steps.get(d.ordinal) ?? [], d.op));
    out.push({ ...r, action: { kind: 'script', steps }, limit: {} });
  }
  return out;
}

/** A fault of a layer is there at the same times, or changes the same ordinals: those that its limits let it. */
function layerAgain(r: FaultRule, mine: readonly FaultDecision[]): FaultRule[] {
  if (mine.length === 0) return [];
  const nth = mine.filter((d) => d.op.op === 'layer' && d.ordinal > 0).map((d) => d.ordinal);
  const { afterMs, forMs, flapMs } = r.limit;
  const time = {
    ...(afterMs === undefined ? {} : { afterMs }),
    ...(forMs === undefined ? {} : { forMs }),
    ...(flapMs === undefined ? {} : { flapMs }),
  };
  if (!actsOnTraffic(r)) return [{ ...r, limit: nth.length === 0 ? time : { ...time, nth } }];
  return nth.length === 0 ? [] : [{ ...r, limit: { nth } }];
}

/** A hold that ended is a delay; edits before it come first. */
function then(ops: readonly FaultOp[], op: FaultOp): FaultOp[] {
  const held = ops.findIndex((o) => o.op === 'hold');
  if (held < 0) return [...ops, op];
  const rest = ops.filter((_, i) => i !== held);
  return op.op === 'send' ? [...rest, op] : [...rest, op, ops[held]!];
}
