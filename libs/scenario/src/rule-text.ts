import { formatRule, parseRule } from '@skbus/fault';

/** A rule that has no seed gets the scenario's: the same seed, the same decisions. */
export function seeded(text: string, seed: number): string {
  const { rule } = parseRule(text, { seed });
  return rule === undefined ? text : formatRule(rule);
}
