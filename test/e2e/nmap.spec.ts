import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Stack, whyNoTap } from '../support/stack.ts';

const why = whyNoTap('nmap');
if (why) process.stderr.write(`nmap's fingerprint: skipped (${why})\n`);

/** `T5(R=Y%DF=Y%T=40…)` → { T5: { R: 'Y', DF: 'Y', … } }; a test that was run twice keeps its first result. */
function parseFingerprint(text: string): Record<string, Record<string, string>> {
  const tests: Record<string, Record<string, string>> = {};
  for (const [, name, body] of text.replaceAll(/\nOS:|^OS:/g, '').matchAll(/([A-Z0-9]+)\(([^)]*)\)/g))
    tests[name!] ??= Object.fromEntries(body!.split('%').map((f) => f.split('=') as [string, string]));
  return tests;
}

// What Nmap's second generation OS detection sees (nmap.org/book/osdetect-methods.html). The fields that RFC 9293, 1122 and
// 6864 fix, and those that tell Linux from others.
(why ? describe.skip : describe)('nmap -O from the Linux peer', () => {
  let stack: Stack;
  let fp: Record<string, Record<string, string>>;

  beforeAll(async () => {
    stack = await Stack.up('e2e-nmap');
    const xml = join(stack.tmp, 'nmap.xml');
    await stack.peer('nmap', '-n', '-Pn', '-O', '-d', '-p', '80,81', '-oX', xml, '10.77.0.2');
    const shown = /<osfingerprint fingerprint="([^"]*)"/.exec(readFileSync(xml, 'utf8'))?.[1] ?? '';
    fp = parseFingerprint(shown.replaceAll('&#xa;', '\n'));
  }, 120_000);
  afterAll(async () => {
    await stack?.down();
  }, 30_000);

  test.each([
    ['T1', { R: 'Y', DF: 'Y', S: 'O', A: 'S+', F: 'AS', RD: '0', Q: '' }],
    ['T2', { R: 'N' }],
    ['T3', { R: 'N' }],
    ['T4', { R: 'Y', DF: 'Y', W: '0', S: 'A', A: 'Z', F: 'R', O: '', RD: '0', Q: '' }],
    ['T5', { R: 'Y', DF: 'Y', W: '0', S: 'Z', A: 'S+', F: 'AR', O: '', RD: '0', Q: '' }],
    ['T6', { R: 'Y', DF: 'Y', W: '0', S: 'A', A: 'Z', F: 'R', O: '', RD: '0', Q: '' }],
    ['T7', { R: 'Y', DF: 'Y', W: '0', S: 'Z', A: 'S+', F: 'AR', O: '', RD: '0', Q: '' }],
    ['ECN', { R: 'Y', DF: 'Y', T: '40', O: 'M5B4NNSNW7', CC: 'Y', Q: '' }],
    ['U1', { R: 'Y', DF: 'N', T: '40', IPL: '164', UN: '0', RIPL: 'G', RID: 'G', RIPCK: 'G', RUCK: 'G', RUD: 'G' }],
    ['IE', { R: 'Y', DFI: 'N', T: '40', CD: 'S' }],
    // Five differences of random numbers now and then have 2 or 3 in common; nmap's own entries for Linux say 1-6.
    ['SEQ', { GCD: expect.stringMatching(/^[1-6]$/), TI: 'Z', CI: 'Z', TS: 'A' }],
    ['WIN', { W1: 'FE88', W2: 'FE88', W3: 'FE88', W4: 'FE88', W5: 'FE88', W6: 'FE88' }],
    ['OPS', { O1: 'M5B4ST11NW7', O3: 'M5B4NNT11NW7', O6: 'M5B4ST11' }],
  ])('%s', (name, expected) => {
    expect(fp[name]).toMatchObject(expected);
  });

  test("the identification of echo replies grows as Linux's does", () => {
    // ip_idents_reserve() adds a random part of the ticks since the last one: nmap calls steps below 10 incremental, and says
    // nothing of those up to 1000, which a busy machine has between two probes.
    expect([undefined, 'I', 'RI']).toContain(fp['SEQ']!['II']);
  });

  test('initial sequence numbers are hard to guess', () => {
    expect(parseInt(fp['SEQ']!['SP']!, 16)).toBeGreaterThan(200);
    expect(parseInt(fp['SEQ']!['ISR']!, 16)).toBeGreaterThan(200);
  });
});
