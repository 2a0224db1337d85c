import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { root } from '../support/projects.ts';

interface Row {
  id: string;
  rfc: number;
  section: string;
  level: string;
  text: string;
  status: 'met' | 'deviates' | 'not-applicable' | 'open';
  why?: string;
  tests: { file: string; name: string }[];
}

const rows = JSON.parse(readFileSync(join(root, 'docs/conformance.json'), 'utf8')) as Row[];
const of9293 = rows.filter((r) => r.rfc === 9293);
const upTo = (kind: string, n: number): string[] => Array.from({ length: n }, (_, i) => `${kind}-${i + 1}`);

test('the ledger is in order, each test it names stands in the sources, and the page is made from it', () => {
  execFileSync(process.execPath, [join(root, 'tools/conformance.mjs'), '--check']);
});

test("all of RFC 9293's 119 ids are there", () => {
  const ids = [...upTo('MUST', 69), ...upTo('SHLD', 31), ...upTo('MAY', 18), 'REC-1'];
  expect(new Set(of9293.map((r) => r.id))).toEqual(new Set(ids));
});

test('each MUST of RFC 9293 that asks something of us rests on a test', () => {
  const musts = of9293.filter((r) => r.id.startsWith('MUST-') && r.status !== 'not-applicable' && r.status !== 'open');
  expect(musts.filter((r) => r.tests.length === 0).map((r) => r.id)).toEqual([]);
});

describe('tools/conformance.mjs', () => {
  const dir = mkdtempSync(join(tmpdir(), 'skbus-conformance-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const sample = {
    id: 'X-1',
    rfc: 9293,
    section: '3.1',
    level: 'MUST',
    text: 'Something.',
    status: 'met',
    tests: [{ file: 'libs/tcp/src/pair.spec.ts', name: 'across the wrap, ISN %i' }],
  };
  const run = (ledger: object, ...args: string[]): string => {
    const file = join(dir, 'ledger.json');
    writeFileSync(file, JSON.stringify([ledger]));
    const argv = [join(root, 'tools/conformance.mjs'), ...args, '--ledger', file];
    return spawnSync(process.execPath, argv, { encoding: 'utf8' }).stderr;
  };
  const after = (results: { title: string; status: string }[]): string => {
    const file = join(dir, 'run.json');
    const assertionResults = results.map((r) => ({ ancestorTitles: ['two hosts'], ...r }));
    const name = join(root, 'libs/tcp/src/pair.spec.ts');
    writeFileSync(file, JSON.stringify({ testResults: [{ name, assertionResults }] }));
    return run(sample, '--ran', file);
  };

  test.each([
    ['a file that is not there', { tests: [{ file: 'libs/tcp/src/no.spec.ts', name: 'x' }] }, 'does not exist'],
    ['a title nobody has', { tests: [{ file: 'libs/tcp/src/pair.spec.ts', name: 'nothing' }] }, 'has no test'],
    ['met without a test', { tests: [] }, 'no test shows it'],
    ['open without a reason', { status: 'open', tests: [] }, 'not why'],
    ['a level of its own', { level: 'WILL' }, 'level WILL'],
  ])('refuses %s', (_what, change, message) => {
    expect(run({ ...sample, ...change }, '--check')).toContain(message);
  });

  test('wants every row of a named test to have run and passed', () => {
    const passed = { title: 'across the wrap, ISN 4294967295', status: 'passed' };
    expect(after([passed])).toBe('');
    expect(after([])).toContain('did not run');
    expect(after([{ title: 'something else', status: 'passed' }])).toContain('did not run');
    expect(after([passed, { title: 'across the wrap, ISN 5', status: 'failed' }])).toContain('did not pass');
    expect(after([{ ...passed, status: 'pending' }])).toContain('did not pass');
  });
});
