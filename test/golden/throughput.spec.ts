import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

// A change of this table is no error by itself: look at it, then node test/sim/throughput.mjs --write.
test('throughput by loss, delay and congestion control is what it was', () => {
  const program = fileURLToPath(new URL('../sim/throughput.mjs', import.meta.url));
  const golden = readFileSync(new URL('throughput.txt', import.meta.url), 'utf8');
  expect(execFileSync(process.execPath, [program], { encoding: 'utf8' })).toBe(golden);
}, 120_000);
