import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { checkRule, parseRule } from '@skbus/fault';
import { readScenarios, runScenario } from '@skbus/scenario';
import { twoHosts } from '@skbus/sim';
import { root } from '../support/projects.ts';

// docs/FAULTS.md is the test: what it shows is what runs. Those that need processes are run by test/e2e/scenario.spec.ts.

const page = readFileSync(join(root, 'docs/FAULTS.md'), 'utf8');
const { plans, problems } = readScenarios(page, 'docs/FAULTS.md');

test('every scenario of the page can be read, has a name of its own, and there are enough of them', () => {
  expect(problems.map((p) => p.message)).toEqual([]);
  expect(new Set(plans.map((p) => p.name)).size).toBe(plans.length);
  expect(plans.length).toBeGreaterThanOrEqual(40);
});

describe('recipes', () => {
  test.each(plans.filter((p) => p.needs !== 'services').map((p) => [p.name, p] as const))('%s', async (_name, plan) => {
    const r = await runScenario(plan, 'sim', { nowMs: () => 0 });
    expect({ skipped: r.skipped, broken: r.broken }).toEqual({ skipped: undefined, broken: undefined });
    expect(r.verdicts.filter((v) => !v.passed)).toEqual([]);
  });
});

test('each layer has its recipe, and each kind of fault', () => {
  const rules = plans.flatMap((p) =>
    p.steps.flatMap(({ action: a }) => (a.kind === 'fault' ? parseRule(a.rule).rule! : [])),
  );
  expect([...new Set(rules.map((r) => r.at.layer))].toSorted()).toEqual(
    ['broker', 'ip', 'neigh', 'nic', 'socket', 'tcp', 'udp'].toSorted(),
  );
  const kinds = new Set(rules.map((r) => (r.action.kind === 'service' ? r.action.name : r.action.kind)));
  const netem = rules.flatMap((r) => (r.action.kind === 'netem' ? r.action.spec.split(' ') : []));
  for (const kind of ['drop', 'set', 'truncate', 'hold', 'kill', 'restart', 'hang', 'slow', 'cut'])
    expect(kinds).toContain(kind);
  for (const word of ['loss', 'delay', 'duplicate', 'corrupt', 'reorder', 'rate', 'gemodel'])
    expect(netem).toContain(word);
});

const commands = [...page.matchAll(/^skbus fault add (.+)$/gm)].map((m) => m[1]!);

test.each(commands)('skbus fault add %s', (text) => {
  const { rule, error } = parseRule(text, { id: 'x' });
  expect(error).toBeUndefined();
  expect(checkRule(text, rule!)).toBeUndefined();
  twoHosts().b.fault(text);
});
