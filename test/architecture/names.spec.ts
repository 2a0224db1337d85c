import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { TRACEPOINTS } from '@skbus/skb';
import { root } from '../support/projects.ts';

const doc = readFileSync(join(root, 'docs/NAMES.md'), 'utf8');

/** The part of the page below a heading. */
function section(heading: string): string {
  const from = doc.indexOf(`\n## ${heading}\n`);
  expect([heading, from]).not.toEqual([heading, -1]);
  const to = doc.indexOf('\n## ', from + 1);
  return doc.slice(from, to < 0 ? doc.length : to);
}

test('docs/NAMES.md lists the trace points as they are (else: node tools/names.mjs)', () => {
  execFileSync(process.execPath, [join(root, 'tools/names.mjs'), '--check']);
});

test('its links lead somewhere', () => {
  const links = [...doc.matchAll(/\]\((\.\.?\/[^)#]+|[A-Za-z0-9-]+\.md)(?:#[^)]*)?\)/g)].map((m) => m[1]!);
  expect(links.length).toBeGreaterThan(100);
  expect([...new Set(links)].filter((l) => !existsSync(join(root, 'docs', l)))).toEqual([]);
});

test('names that no kernel has are no trace points', () => {
  const rows = section('Names that no kernel has')
    .split('\n')
    .filter((l) => l.startsWith('| `'));
  const names = rows.map((r) => /`([a-z0-9_]+)/.exec(r)![1]!);
  expect(names).toEqual(expect.arrayContaining(['net_init', 'tcp_v4_send_syn', 'arp_send_request']));
  expect(names.filter((n) => n in TRACEPOINTS)).toEqual([]);
});
