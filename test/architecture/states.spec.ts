import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { transitionsDiagram } from '@skbus/tcp';
import { root } from '../support/projects.ts';

test('docs/TCP.md shows the state changes as they are (else: node tools/states.mjs)', () => {
  expect(readFileSync(join(root, 'docs/TCP.md'), 'utf8')).toContain(transitionsDiagram());
});

test('the generator agrees', () => {
  execFileSync(process.execPath, [join(root, 'tools/states.mjs'), '--check'], { cwd: root });
});
