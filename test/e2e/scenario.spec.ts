import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInThisContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readScenarios } from '@skbus/scenario';
import { stack as testing } from '@skbus/testing';
import { root } from '../support/projects.ts';
import { eventually, Stack, whyNoTap, type ServiceStatus } from '../support/stack.ts';

const why = whyNoTap();
const suite = why ? describe.skip : describe;

const PAGE = 'docs/FAULTS.md';
const page = readFileSync(join(root, PAGE), 'utf8');
const { plans } = readScenarios(page, PAGE);

interface Report {
  results: {
    name: string;
    passed: boolean;
    broken?: string;
    verdicts: { expected: string; actual: string; passed: boolean }[];
  }[];
}

suite('scenarios on running services', () => {
  let stack: Stack;
  const file = join(tmpdir(), `skbus-scenario-${process.pid}.yaml`);
  const junit = `${file}.xml`;
  beforeAll(async () => {
    stack = await Stack.up('e2e-scenario');
  }, 90_000);
  afterAll(async () => {
    await stack?.down();
    rmSync(file, { force: true });
    rmSync(junit, { force: true });
  }, 30_000);

  const ready = (): Promise<void> =>
    eventually('all layers run, and a spare process waits', async () => {
      const { services } = await stack.json<{ services: ServiceStatus[] }>('status');
      return services.every((s) => s.state === (s.name === 'spare' ? 'ready' : 'running'));
    });
  const run = async (...args: string[]): Promise<Report['results']> => {
    const r = await stack.skbus('scenario', 'run', '--target', 'services', '--json', ...args);
    if (r.stdout === '') throw new Error(r.stderr);
    return (JSON.parse(r.stdout) as Report).results;
  };

  const onServices = plans.filter((p) => p.needs === 'services').map((p) => p.name);
  test.each(onServices)(
    `${PAGE}: %s`,
    async (name) => {
      await ready();
      const [result] = await run('--only', name, join(root, PAGE));
      expect(result!.verdicts.filter((v) => !v.passed)).toEqual([]);
      expect(result).toMatchObject({ name, passed: true });
    },
    90_000,
  );

  test('every kind of work, by either side; what it leaves behind is nothing', async () => {
    writeFileSync(
      file,
      `name: all kinds
setup: { latency: 1ms, mtu: 1400, sysctl: { net.ipv4.tcp_sack: 0 } }
workload:
  - download 2MB
  - upload 1MB
  - download 1MB by stack
  - upload 1MB by stack
  - echo 3
  - echo 3 udp by stack
  - ping 2 every 100ms
  - ping 2 every 100ms by stack
  - connect 2 to port 81
after 1MB: fault id few at ip rx loss 1%
expect: stream intact, RST == 2, error ECONNREFUSED == 2, errors == 2, replies >= 8, TcpInSegs >= 100, peer TcpInSegs >= 100, connections LISTEN >= 2
`,
    );
    const [result] = await run('--junit', junit, file);
    expect(result).toMatchObject({ name: 'all kinds', passed: true });
    expect(readFileSync(junit, 'utf8')).toContain('<testsuites tests="8" failures="0" errors="0" skipped="0">');
    expect(await stack.json('fault', 'ls')).toEqual([]);
    expect(await stack.json('sysctl', 'net.ipv4.tcp_sack')).toEqual({ 'net.ipv4.tcp_sack': '1' });
    const links = await stack.json<{ ifname: string; mtu: number }[]>('ip', 'link');
    expect(links.find((l) => l.ifname === 'skb0')!.mtu).toBe(1500);
  }, 90_000);

  test(`${PAGE}: from tests`, async () => {
    const block = /```ts\nimport \{ stack \} from '@skbus\/testing';\n([\s\S]+?)```/.exec(page)![1]!;
    const body = block.replace('// … what is tested …', 'await tested();');
    expect(body).not.toBe(block);
    const example = runInThisContext(`(async (stack, expect, tested) => {${body}})`) as (
      ...given: unknown[]
    ) => Promise<void>;
    await example(
      () => testing(stack.api),
      expect,
      () => stack.peer('curl', '-sS', '-m', '20', 'http://10.77.0.2/'),
    );
    expect(await stack.json('fault', 'ls')).toEqual([]);
  }, 60_000);

  test('a failed expectation is exit status 1, a mistake in the file 2 with its place', async () => {
    writeFileSync(file, 'name: x\nworkload: ping 1\nexpect: no error, replies == 2\n');
    const failed = await stack.skbus('scenario', 'run', '--target', 'services', file);
    expect([failed.code, failed.stdout]).toEqual([1, expect.stringContaining('FAILED  replies == 2: 1')]);
    writeFileSync(file, 'name: x\nworkload: ping 1\nat 1s: hang tpc 2s\nexpect: no error\n');
    const wrong = await stack.skbus('scenario', 'run', '--target', 'services', file);
    expect([wrong.code, wrong.stderr]).toEqual([
      2,
      expect.stringContaining(`${file}:3:13: at 1s: "tpc" is no service`),
    ]);
  }, 60_000);
});
