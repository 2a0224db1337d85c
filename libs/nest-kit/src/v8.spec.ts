import { expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

// In a process of its own, from the build: the flags are the process's.
const BUILT = new URL('../dist/v8.js', import.meta.url).href;

/** A layer's heap, quiet for a while, and then a gigabyte of payload: how many full collections that takes. */
const PROGRAM = `
import { constants, PerformanceObserver } from 'node:perf_hooks';
const { tuneV8 } = await import(${JSON.stringify(BUILT)});
tuneV8();
let full = 0;
const count = (l) => { for (const e of l.getEntries()) if (e.detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) full++; };
new PerformanceObserver(count).observe({ entryTypes: ['gc'] });
globalThis.heap = Array.from({ length: 200_000 }, (_, i) => ({ i, a: [i] }));
globalThis.kept = [];
for (let k = 0; k < 12; k++) {
  for (let i = 0; i < 2_000; i++) kept.push({ k, i });
  gc({ type: 'minor' });
  gc({ type: 'minor' });
  await new Promise((r) => setTimeout(r, 100));
  gc();
}
await new Promise((r) => setTimeout(r, 50));
full = 0;
const queue = [];
for (let n = 0; n < 400; n++) {
  for (let i = 0; i < 40; i++) {
    queue.push({ b: Buffer.allocUnsafeSlow(65_536) });
    if (queue.length > 64) queue.shift();
  }
  await new Promise(setImmediate);
}
await new Promise((r) => setTimeout(r, 50));
console.log(full);
`;

test('payload is no reason to look through the whole heap', async () => {
  const argv = ['--expose-gc', '--input-type=module', '-e', PROGRAM];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { timeout: 60_000 });
  // 2 or 3, and 9 to 11 with V8 as it is
  expect(Number(stdout)).toBeLessThan(6);
}, 70_000);
