import { expect, test } from '@jest/globals';
import { junitOf } from './junit.ts';
import type { Target } from './plan.ts';
import { readScenarios } from './read.ts';
import { passed, runScenario, type ScenarioResult } from './run.ts';

async function run(text: string, target: Target = 'sim'): Promise<ScenarioResult & { lines: string[] }> {
  const { plans, problems } = readScenarios(text, 'f.yaml');
  expect(problems).toEqual([]);
  const lines: string[] = [];
  const tell = (at: number, what: string): void => void lines.push(`${at} ${what}`);
  return { ...(await runScenario(plans[0]!, target, { nowMs: () => 0, tell })), lines };
}

const DIES = `name: tcp dies
setup: { latency: 5ms, rate: 20mbit }
workload: download 1MB
at 100ms: kill tcp
after 500kB: restart ip
`;

test('both ways of saying when, and what is expected', async () => {
  const r = await run(
    `${DIES}expect: no RST, stream intact, recover < 1s, restarts tcp == 1, restarts ip == 1, no error`,
  );
  expect([r.broken, r.verdicts.filter((v) => !v.passed)]).toEqual([undefined, []]);
  expect(r.lines).toContain('100 at 100ms: kill tcp');
  expect(r.lines.some((l) => l.endsWith('after 500kB: restart ip'))).toBe(true);
});

test('again and again, until the work is over', async () => {
  const r = await run(`name: each in turn
setup: { rate: 10mbit }
workload: download 5MB
at 500ms every 2s: kill ip
at 1500ms every 2s: kill nic
expect: stream intact, no RST, restarts ip >= 2, restarts nic >= 2
`);
  expect([r.broken, r.verdicts.filter((v) => !v.passed)]).toEqual([undefined, []]);
  const [over] = r.lines.filter((l) => l.endsWith('download 5MB: over')).map(parseFloat);
  const kills = r.lines.filter((l) => l.includes(': kill')).map(parseFloat);
  const due = Array.from({ length: kills.length + 1 }, (_, i) => 500 + i * 1000);
  expect(kills).toEqual(due.slice(0, -1));
  expect(over).toBeLessThanOrEqual(due.at(-1)!);
});

test('the same plan, the same run; another seed, another one', async () => {
  const noisy = (seed: number): string =>
    `name: n\nseed: ${seed}\nworkload: download 300kB\nat 0: netem loss 3%\nexpect: stream intact, hits netem, IpInReceives\n`;
  const first = await run(noisy(1));
  expect((await run(noisy(1))).verdicts).toEqual(first.verdicts);
  expect((await run(noisy(2))).verdicts).not.toEqual(first.verdicts);
});

test('what is not as expected, with what it was', async () => {
  const r = await run(
    `${DIES}expect: RST, recover < 1ms, stream incomplete, error ECONNRESET, neighbour 10.77.0.1 FAILED`,
  );
  expect(passed(r)).toBe(false);
  expect(r.verdicts.map((v) => v.passed)).toEqual([false, false, false, false, false]);
  expect(r.verdicts.map((v) => v.actual)).toEqual([
    '0',
    expect.stringMatching(/ ms$/),
    '1 intact, 1000000 bytes',
    'none',
    expect.stringMatching(/^(REACHABLE|DELAY|STALE)$/),
  ]);
  const xml = junitOf([r], 'sim');
  expect(xml).toContain('tests="5" failures="5"');
  expect(xml).toContain('expected error ECONNRESET, got none');
});

test('what does not come to its end within its time is reported, and fails', async () => {
  const r = await run(`name: hole
workload: download 1MB
within: 5s
at 0: fault at nic tx match 'frame.len > 500' drop
expect: no error
`);
  expect(r.verdicts).toEqual([
    { expected: 'no error', actual: 'none', passed: true },
    { expected: 'the workload comes to its end', actual: 'not within 5 s', passed: false },
  ]);
});

test('what only the other target can do is skipped, and says so', async () => {
  const r = await run(`${DIES}at 1s: cut tcp 2s\nexpect: stream intact`);
  expect(r.skipped).toBe(
    'needs the target services: "at 1s: cut tcp 2s": a simulated layer has no connection to be cut off from',
  );
  const peer = await run(`${DIES}at 1s: on peer kill tcp\nexpect: stream intact`, 'services');
  expect(peer.skipped).toContain('opposite running services is a Linux kernel');
  expect(junitOf([r], 'sim')).toContain('skipped="1"');
});

test('a step that cannot be done breaks the run', async () => {
  const r = await run(`${DIES}at 1ms: sysctl net.ipv4.tcp_sac=1\nexpect: stream intact`);
  expect(r.broken).toBe('no such key: net.ipv4.tcp_sac');
  expect(junitOf([r], 'sim')).toContain('errors="1"');
});
