import type { EndFault, FaultCase, Millis } from '@skbus/skb';
import type { Filter, FilterError } from '../filter/filter.ts';
import type { Netem } from '../netem/netem.ts';
import type { FaultRule } from '../rule.ts';
import { faultShape } from '../layer-faults.ts';
import { carriesSkbs } from '../seams.ts';
import { isTraceFunc } from '../trace-stops.ts';
import { layerRuleProblem } from './layer-rule.ts';
import { traceRuleProblem } from './trace-rule.ts';
import { LimitState, type RuleCounters } from './limit.ts';
import type { FaultTools } from './tools.ts';

/** A rule at work: compiled, with its memory. */
export interface ActiveRule {
  readonly rule: FaultRule;
  /** Its place in the pipeline. */
  readonly order: number;
  sinceMs: Millis;
  /** Absent: everything matches. */
  readonly filter: Filter | undefined;
  /** The filter asks about the socket. */
  readonly asksSk: boolean;
  readonly netem: Netem | undefined;
  readonly limit: LimitState;
  removed: boolean;
  /** A fault of the layer itself that is there now. */
  endFault: EndFault | undefined;
  /** How an engine sees the rule; made when it is first needed. */
  faultCase: FaultCase | undefined;
}

/** A fault of a layer or a service that is there for a time waits for nothing that passes. */
export function actsOnTraffic({ action, at, match }: FaultRule): boolean {
  if (action.kind === 'layer') return faultShape(at.layer, action.name)?.acts !== 'time';
  return action.kind !== 'service' || at.dir !== undefined || at.func !== undefined || match !== '';
}

export interface RuleProblem {
  /** Which part of the rule, and where in it. */
  part: 'match' | 'netem' | 'rule';
  column: number;
  length: number;
  message: string;
  /** For `rule`: near which word, by its text, or the nth after `layer`. */
  near?: string | number;
}

/** Compiles a rule, or says what is wrong with its filter, its netem or its fields. */
export function activate(
  tools: FaultTools,
  rule: FaultRule,
  at: { order: number; sinceMs: Millis; past?: RuleCounters | undefined },
): { active?: ActiveRule; problem?: RuleProblem } {
  const misfit = layerRuleProblem(rule) ?? traceRuleProblem(rule);
  if (misfit !== undefined) return { problem: { part: 'rule', column: 0, length: 1, ...misfit } };
  let filter: Filter | undefined;
  if (rule.match !== '') {
    const f = tools.filter(rule.match);
    if (f.error !== undefined) return { problem: problem('match', f.error) };
    ({ filter } = f);
  }
  let netem: Netem | undefined;
  const { action } = rule;
  if (action.kind === 'netem') {
    const n = tools.netem(action.spec, rule.seed);
    if (n.error !== undefined) return { problem: problem('netem', n.error) };
    ({ netem } = n);
  }
  if (action.kind === 'set') {
    const wrong = tools.checkFields(action.fields);
    if (wrong !== undefined) return { problem: { part: 'rule', column: 0, length: 1, message: wrong } };
  }
  const changes = action.kind === 'set' || action.kind === 'truncate';
  if (changes && !isTraceFunc(rule.at.func ?? '') && !carriesSkbs(rule.at)) {
    const message = `${action.kind} changes packets, and there are none at ${rule.at.layer}.${rule.at.func ?? '*'}: drop, hold and netem work on messages`;
    return { problem: { part: 'rule', column: 0, length: 1, message } };
  }
  const limit = new LimitState(rule.limit, rule.seed, at.sinceMs, at.past);
  const { order, sinceMs } = at;
  const fresh = { removed: false, endFault: undefined, faultCase: undefined };
  const asksSk = /\bsk\./.test(rule.match);
  return { active: { rule, order, sinceMs, filter, asksSk, netem, limit, ...fresh } };
}

const problem = (part: 'match' | 'netem', e: FilterError): RuleProblem => ({
  part,
  column: e.column,
  length: e.length,
  message: e.message,
});
