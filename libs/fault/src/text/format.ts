import type { FaultAction, FaultLimit, FaultRule, SeamPattern } from '../rule.ts';
import { isTraceFunc } from '../trace-stops.ts';
import { quote } from './lexer.ts';
import { formatSet, formatSteps } from './ops.ts';
import { formatMillis, formatProbability } from './values.ts';

/** The one text of a rule. Its id is not part of it. */
export function formatRule(r: FaultRule): string {
  const { at, action } = r;
  // `service kill tcp` says where by itself
  const implied = action.kind === 'service' && at.layer === action.args[0] && !at.dir && !at.func;
  const parts = implied ? [] : [`at ${formatPlace(at)}`];
  if (r.match !== '') parts.push(`match ${quote(r.match)}`);
  parts.push(formatAction(action), ...formatLimit(r.limit));
  if (r.seed !== 0) parts.push(`seed ${r.seed}`);
  return parts.join(' ');
}

export const formatPlace = (at: SeamPattern): string =>
  `${at.layer}${at.func === undefined ? '' : isTraceFunc(at.func) ? at.func : `.${at.func}`}${at.dir === undefined ? '' : ` ${at.dir}`}`;

function formatAction(a: FaultAction): string {
  switch (a.kind) {
    case 'netem':
      return a.spec;
    case 'drop':
      return a.reason === 'FAULT_INJECTED' ? 'drop' : `drop ${a.reason}`;
    case 'truncate':
      return `truncate ${a.bytes}`;
    case 'set':
      return formatSet(a.fields, a.csum);
    case 'hold':
      return 'hold';
    case 'script':
      return `script ${quote(formatSteps(a.steps))}`;
    default:
      return [a.kind, a.name, ...a.args].join(' ');
  }
}

function formatLimit(l: FaultLimit): string[] {
  const out: string[] = [];
  if (l.nth !== undefined) out.push(`nth ${l.nth.join(',')}`);
  if (l.first !== undefined) out.push(`first ${l.first}`);
  if (l.every !== undefined) out.push(`every ${l.every}`);
  if (l.probability !== undefined) out.push(`probability ${formatProbability(l.probability)}`);
  if (l.oncePerConnection === true) out.push('once per connection');
  if (l.afterMs !== undefined) out.push(`after ${formatMillis(l.afterMs)}`);
  if (l.forMs !== undefined) out.push(`for ${formatMillis(l.forMs)}`);
  if (l.flapMs !== undefined) out.push(`flap ${formatMillis(l.flapMs)}`);
  return out;
}
