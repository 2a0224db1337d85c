import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const PROGRAM = fileURLToPath(new URL('programs/engine.mjs', import.meta.url));

/** What one case of `npm run bench -- tcp` says after a very short run. */
function measure(name: string, size: number): number {
  const out = execFileSync(process.execPath, ['--expose-gc', PROGRAM, name, `${size}`, '5'], { encoding: 'utf8' });
  return (JSON.parse(out) as { value: number }).value;
}

describe('the bench of the TCP engine', () => {
  test.each([
    ['receive', 1],
    ['linear', 1],
    ['send', 1],
    ['requests', 20],
    ['connections', 20],
    ['outstanding', 100],
    ['holes', 100],
  ])('%s runs', (name, size) => {
    expect(measure(name, size)).toBeGreaterThan(0);
  });

  test('an idle connection that has been used takes 4 KiB at most', () => {
    const heap = measure('memory', 3000);
    expect(heap).toBeGreaterThan(500);
    expect(heap).toBeLessThanOrEqual(4096);
  });
});
