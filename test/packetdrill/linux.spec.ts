import { join, relative } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { findScripts, LinuxTarget, runFile, whyNoLinux } from '@skbus/packetdrill';
import { root } from '../support/projects.ts';
import { givenScripts, sample } from './corpus.ts';

// The oracle keeps what we say of it: scripts pass on the kernel of this machine. A sample; all of them with SKBUS_PACKETDRILL_ALL=1.

const SAMPLE = 15;
const why = whyNoLinux();
const own = join(root, 'test/packetdrill/scripts');
const given = givenScripts();
const suite = why === undefined ? describe : describe.skip;

/** AccECN is in 6.18, but its tcp_ecn goes no higher than 2. */
const known = (file: string): boolean => !file.includes('/scripts/accecn/');

suite(`scripts on Linux itself (${why ?? 'in a namespace'})`, () => {
  const target = new LinuxTarget();
  afterAll(() => target.dispose());

  for (const dir of given === undefined ? [own] : [own, given]) {
    test.each(sample(findScripts([dir]).filter(known), SAMPLE).map((f) => [relative(dir, f), f]))(
      '%s',
      async (_name, file) => {
        // Once more if it failed: time is real, and the machine has other things to do.
        const first = await runFile(file, target);
        const { error } = first.passed ? first : await runFile(file, target);
        expect(error ?? '').toBe('');
      },
      60_000,
    );
  }
});
