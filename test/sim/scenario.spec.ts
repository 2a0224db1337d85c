import { execFileSync, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { planOf, runPlan, shrink, type Plan } from '@skbus/sim';
import { readFileSync } from 'node:fs';

const SIM = fileURLToPath(new URL('sim.mjs', import.meta.url));
const MUTANTS = JSON.parse(readFileSync(new URL('mutants.json', import.meta.url), 'utf8')) as object;
const failing = (seed: number): { seed: number; problems: string[] } => ({
  seed,
  problems: runPlan(planOf(seed)).problems,
});

// Always the same ones, and a few that nobody has seen; a failure names its seed: npm run sim -- --seed N.
const fresh = Array.from({ length: 3 }, () => randomInt(1_000_000, 2 ** 31));
process.stderr.write(`sim: fresh seeds ${fresh.join(' ')}\n`);

test.each([...Array.from({ length: 12 }, (_, i) => i + 1), ...fresh])('scenario %i', (seed) => {
  expect(failing(seed)).toEqual({ seed, problems: [] });
});

test('the same seed is the same run, event by event', () => {
  expect(runPlan(planOf(7))).toEqual(runPlan(planOf(7)));
  expect(planOf(7)).toEqual(planOf(7));
  expect(planOf(7)).not.toEqual(planOf(8));
});

test('what can go wrong does', () => {
  const kindOf = (text: string): string => /^at (\w+ layer [\w-]+|(?:nic|ip|neigh|tcp):\w+ drop)/.exec(text)?.[1] ?? '';
  const acted = new Set<string>();
  // small, and much happens to it
  for (let seed = 1; seed <= 40; seed++) {
    const outcome = runPlan(planOf(seed, { faults: 100, bytes: 100_000 }));
    expect(outcome.problems).toEqual([]);
    for (const text of outcome.acted) acted.add(kindOf(text));
  }
  expect(acted.size).toBeGreaterThan(20);
  expect([...acted]).toEqual(
    expect.arrayContaining([
      'neigh layer arp-poison',
      'ip layer mtu-black-hole',
      'tcp layer zero-window',
      'nic layer carrier-off',
    ]),
  );
});

test('a failing plan is cut down to what it takes', () => {
  const plan = planOf(3);
  const [culprit, accomplice] = [plan.faults[4]!, plan.faults[15]!];
  const fails = (p: Plan): boolean => p.faults.includes(culprit) && p.faults.includes(accomplice) && p.flows.length > 0;
  const small = shrink(plan, fails);
  expect(small.faults).toEqual([culprit, accomplice]);
  expect(small.flows).toHaveLength(1);
});

// The checks are checked: an engine that is broken in one place is found within a hundred scenarios.
test.each(Object.entries(MUTANTS))(
  '%s: an engine that does not hold is caught',
  (name) => {
    const r = spawnSync(process.execPath, [SIM, '--seeds', '100', '--mutant', name, '--json'], { encoding: 'utf8' });
    expect([r.status, r.stderr]).toEqual([1, '']);
    const { failures } = JSON.parse(r.stdout) as { failures: { outcome: { problems: string[] } }[] };
    expect(failures[0]!.outcome.problems.length).toBeGreaterThan(0);
  },
  120_000,
);

test('the command: a seed again in detail, many at once, a mistake', () => {
  const out = execFileSync(process.execPath, [SIM, '--seed', '5'], { encoding: 'utf8' });
  expect(JSON.parse(out.slice(0, out.lastIndexOf('}') + 1))).toEqual(planOf(5));
  expect(out).toMatch(/\n1 scenarios from seed 5, 0 failed; \d+ events, \d+ faults, /);
  const wrong = spawnSync(process.execPath, [SIM, '--mutant', 'x'], { encoding: 'utf8' });
  expect([wrong.status, wrong.stderr]).toEqual([2, `sim: --mutant x: there are ${Object.keys(MUTANTS).join(', ')}\n`]);
}, 60_000);
