#!/usr/bin/env node
// Runs the tests: first everything that may run side by side, then test/e2e and test/compose one after the other, as those need the whole
// machine. Arguments go to Jest. After a run of everything each test that docs/conformance.json names must have passed. The
// last line sums up: `N passed, N failed, N skipped`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const given = process.argv.slice(2);
const workers = given.some((a) => /^(-i|--runInBand|-w|--maxWorkers)/.test(a)) ? [] : ['--maxWorkers=2'];
const dir = mkdtempSync(join(tmpdir(), 'skbus-test-'));
/** @type {string[]} */
const written = [];
const sum = { passed: 0, failed: 0, skipped: 0 };
let ok = true;

jest('rest', [...workers, '--testPathIgnorePatterns', '/node_modules/', '/test/e2e/', '/test/compose/']);
jest('e2e', ['--runInBand', '--testMatch', '**/test/{e2e,compose}/**/*.spec.ts']);
if (given.length === 0) ok &&= conformance();
rmSync(dir, { recursive: true, force: true });
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
process.exitCode = ok && sum.failed === 0 ? 0 : 1;

function jest(name, options) {
  const out = join(dir, `${name}.json`);
  const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js'];
  const argv = [...node, '--forceExit', '--passWithNoTests', '--json', `--outputFile=${out}`, ...given, ...options];
  const { status } = spawnSync(process.execPath, argv, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  let r;
  try {
    r = JSON.parse(readFileSync(out, 'utf8'));
  } catch {
    // Jest itself came to no result.
    sum.failed++;
    return;
  }
  written.push(out);
  ok &&= status === 0;
  sum.passed += r.numPassedTests;
  // A file that does not even load has no tests to count.
  sum.failed += r.numFailedTests + r.numRuntimeErrorTestSuites;
  sum.skipped += r.numPendingTests + r.numTodoTests;
}

/** The requirement ledger rests on tests that ran. */
function conformance() {
  const { status } = spawnSync(process.execPath, ['tools/conformance.mjs', '--ran', ...written], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return status === 0;
}
