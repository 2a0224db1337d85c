import type { FaultRule } from '../rule.ts';
import { words, type RuleError } from '../text/lexer.ts';
import { activate } from './active-rule.ts';
import { faultTools } from './fault-tools.ts';

/** What parseRule() cannot see: what is wrong inside a filter, a netem or a field, and where in the rule's text that is. */
export function checkRule(text: string, rule: FaultRule): RuleError | undefined {
  const { problem } = activate(faultTools, rule, { order: 0, sinceMs: 0 });
  if (problem === undefined) return undefined;
  const { column, length, message } = problem;
  const list = words(text);
  if (problem.part === 'match') {
    const filter = list[list.findIndex((w) => w.text === 'match' && !w.quoted) + 1]!;
    return { column: filter.column + (filter.quoted ? 1 : 0) + column, length, message };
  }
  if (problem.part === 'netem' && rule.action.kind === 'netem') {
    const from = text.indexOf(rule.action.spec);
    return from < 0 ? { column: 0, length: 1, message } : { column: from + column, length, message };
  }
  const { near = rule.action.kind } = problem;
  const at =
    typeof near === 'string'
      ? list.find((w) => w.text === near || w.text.startsWith(`${near}.`) || w.text.startsWith(`${near}:`))
      : list[list.findIndex((w) => w.text === 'layer') + 1 + near];
  const end = text.trimEnd().length;
  return { column: at?.column ?? end, length: at?.length ?? 1, message };
}
