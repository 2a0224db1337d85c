import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { compileFilter, FILTER_FIELDS } from '@skbus/fault';
import { root } from '../support/projects.ts';

const doc = readFileSync(join(root, 'docs/FILTER.md'), 'utf8');

test('docs/FILTER.md lists the fields as they are (else: node tools/fields.mjs)', () => {
  const rows = [...doc.matchAll(/^\| `([^`]+)` \| [^|]+ \| (set)? *\| (.+) \|$/gm)].map((m) => [
    m[1],
    m[2] ?? '',
    m[3],
  ]);
  expect(rows).toEqual(FILTER_FIELDS.map((f) => [f.name, f.place ? 'set' : '', f.about]));
});

test('its examples are filters', () => {
  const examples = /```\n([^`]+)```/
    .exec(doc)![1]!
    .trim()
    .split('\n')
    .map((l) => l.split(/ {4,}/)[0]!);
  expect(examples.length).toBeGreaterThan(4);
  expect(examples.filter((e) => compileFilter(e).error !== undefined)).toEqual([]);
});
