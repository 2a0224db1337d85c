import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { TRACEPOINTS } from '@skbus/skb';
import { filesBelow, root } from '../support/projects.ts';

const read = (f: string): string => readFileSync(join(root, f), 'utf8');
const code = ['apps', 'libs', 'test', 'tools'].flatMap((d) => filesBelow(d, /\.(ts|tsx|mjs)$/));
const engines = filesBelow('libs', /\.ts$/).filter((f) => !/\.spec\.ts$|\/testing\//.test(f));

test('no file has more than 500 lines', () => {
  expect(code.map((f) => [f, read(f).split('\n').length] as const).filter(([, n]) => n > 501)).toEqual([]);
});

test('no left-over markers, no skipped or focused tests', () => {
  const marker = new RegExp(['TO-DO', 'FIX-ME', 'XX-X'].map((m) => `\\b${m.replace('-', '')}\\b`).join('|'));
  const focus = /\b(?:it|test|describe)\.only\(|\bf(?:it|describe)\(/;
  expect(code.filter((f) => marker.test(read(f)) || focus.test(read(f)))).toEqual([]);
});

test('every trace point in the table is emitted somewhere', () => {
  // The table itself names every point, and a test that expects one does not emit it.
  const emitters = [...engines, ...filesBelow('apps', /\.ts$/)].filter(
    (f) => !/\.spec\.ts$|\/testing\/|tracepoints\.ts$/.test(f),
  );
  const all = emitters.map(read).join('\n');
  const silent = Object.keys(TRACEPOINTS).filter((p) => !new RegExp(`['"\`]${p}['"\`]`).test(all));
  expect(silent).toEqual([]);
});
