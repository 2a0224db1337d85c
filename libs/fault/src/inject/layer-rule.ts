import { faultShape, flapTooFast, FLAP_MIN_MS, readFaultArgs, type FaultShape } from '../layer-faults.ts';
import type { FaultRule } from '../rule.ts';

/** What is wrong with a rule, and near which word: one by its text, or the nth after `layer`. */
export interface LayerRuleProblem {
  message: string;
  near: string | number;
}

/** What is wrong with a rule of the kind `layer`, as far as that is the same in every stack. */
export function layerRuleProblem(rule: FaultRule): LayerRuleProblem | undefined {
  const { action, at, limit } = rule;
  if (action.kind !== 'layer') {
    return limit.flapMs === undefined
      ? undefined
      : {
          near: 'flap',
          message: 'flap is for faults of a layer that are there for a time; packets have every, after and for',
        };
  }
  const args = readFaultArgs(at.layer, action.name, action.args);
  if (args.wrong !== undefined) return { near: args.wrong + 1, message: args.message };
  const shape = faultShape(at.layer, action.name)!;
  return shape.acts === 'time' ? standingProblem(rule, shape) : packetProblem(rule, shape);
}

function standingProblem(
  { action, at, match, limit }: FaultRule,
  { name, counts }: FaultShape,
): LayerRuleProblem | undefined {
  const place = at.func ?? at.dir ?? (match === '' ? undefined : 'match');
  if (action.kind === 'layer' && place !== undefined) {
    const near = at.func === undefined ? place : 'at';
    return { near, message: `${name} is there for a time, whatever passes: it takes no direction, function or match` };
  }
  const counted = (['nth', 'first', 'every', 'probability'] as const).find((k) => limit[k] !== undefined);
  const near = counted ?? (limit.oncePerConnection === true ? 'once' : undefined);
  if (counts !== true && near !== undefined)
    return { near, message: `${name} is there for a time, and nothing is counted: it takes after, for and flap` };
  if (limit.flapMs !== undefined && limit.flapMs < FLAP_MIN_MS) return { near: 'flap', message: flapTooFast };
  return undefined;
}

function packetProblem({ at, limit }: FaultRule, { name, acts }: FaultShape): LayerRuleProblem | undefined {
  if (limit.flapMs !== undefined)
    return { near: 'flap', message: `${name} happens to packets: it takes every, after and for` };
  if (at.dir === acts) return undefined;
  return {
    near: at.dir ?? at.layer,
    message: `${name} happens to packets on their way ${acts}: at ${at.layer} ${acts}`,
  };
}
