import { filterField } from '../filter/fields.ts';
import type { FaultOp, FaultRule } from '../rule.ts';
import { isTraceFunc, TRACE_STOPS, traceStop } from '../trace-stops.ts';

/** What is wrong with a rule at a trace point: there a function is in the middle of its work, and few things are possible. */
export function traceRuleProblem({ at, action }: FaultRule): { message: string; near: string } | undefined {
  if (at.func === undefined || !isTraceFunc(at.func)) return undefined;
  switch (action.kind) {
    case 'drop':
      return dropProblem(at.layer, at.func, action.reason);
    case 'set':
      return Object.keys(action.fields).every(isOwn) ? undefined : { near: 'set', message: POSSIBLE };
    case 'script':
      return [...action.steps.values()].flat().every(isPossible) ? undefined : { near: 'script', message: POSSIBLE };
    case 'service':
      return undefined;
    default:
      return { near: action.kind === 'netem' ? action.spec.split(' ')[0]! : action.kind, message: POSSIBLE };
  }
}

const POSSIBLE =
  'in the middle of a function a packet can be dropped and its skb.mark set, and a service can suffer; what delays, holds or changes packets sits where they are handed over';

function dropProblem(layer: string, func: string, reason: string): { message: string; near: string } | undefined {
  const stop = traceStop(layer, func);
  const point = func.slice(1);
  if (stop === undefined) {
    const others = Object.keys(TRACE_STOPS[layer] ?? {}).join(', ');
    return { near: 'drop', message: `${point} cannot fail; in ${layer} these can: ${others}` };
  }
  if (stop === 'memory' && reason !== 'NOMEM')
    return { near: 'drop', message: `${point} can fail for want of memory alone: drop NOMEM` };
  return undefined;
}

/** A field of the skb, not of a header. */
const isOwn = (name: string): boolean => filterField(name)?.put !== undefined;

const isPossible = (op: FaultOp): boolean =>
  op.op === 'drop' || op.op === 'service' || (op.op === 'set' && Object.keys(op.fields).every(isOwn));
