// Runs the tests: first everything that needs no machine of its own, on two workers; then e2e, one file at a time, because
// each brings up whole stacks. Arguments go to Jest: `node tools/test.mjs libs/tcp -t handshake`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = process.argv.slice(2);
const tmp = mkdtempSync(join(tmpdir(), 'skbus-test-'));
const total = { passed: 0, failed: 0, skipped: 0 };
let ok = true;

function jest(name, jestArgs) {
  const out = join(tmp, `${name}.json`);
  const r = spawnSync(
    process.execPath,
    ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js', '--forceExit', '--json', `--outputFile=${out}`, ...jestArgs],
    // Jest's JSON goes to the file; its report to stderr.
    { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  try {
    const result = JSON.parse(readFileSync(out, 'utf8'));
    total.passed += result.numPassedTests;
    total.failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
    total.skipped += result.numPendingTests + result.numTodoTests;
    ok &&= result.success && r.status === 0;
  } catch {
    ok = false;
    total.failed++;
    process.stderr.write(`jest (${name}) ended with ${r.status ?? r.signal} and wrote no result\n`);
  }
}

try {
  if (args.length > 0) {
    jest('chosen', ['--runInBand', ...args]);
  } else {
    jest('fast', ['--maxWorkers=2', '--testPathIgnorePatterns', '/node_modules/', '<rootDir>/test/e2e/']);
    jest('e2e', ['--runInBand', '<rootDir>/test/e2e/']);
  }
} finally {
  rmSync(tmp, { recursive: true, force: true });
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = ok && total.failed === 0 && total.passed > 0 ? 0 : 1;
