import { join, relative } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { findScripts, runFile, ServicesTarget } from '@skbus/packetdrill';

import { givenScripts, sample } from '../packetdrill/corpus.ts';
import { root } from '../support/projects.ts';
import { installed } from '../support/stack.ts';

// Scripts against the running services: what virtual time cannot show. A sample; all of them with SKBUS_PACKETDRILL_ALL=1.

const SAMPLE = 25;
const suite = installed('nats-server') ? describe : describe.skip;
const own = join(root, 'test/packetdrill/scripts');
const given = givenScripts();

suite('packetdrill scripts on the running services', () => {
  const target = new ServicesTarget();
  afterAll(() => target.dispose(), 30_000);

  for (const dir of given === undefined ? [own] : [own, given]) {
    test.each(sample(findScripts([dir]), SAMPLE).map((f) => [relative(dir, f), f]))(
      '%s',
      async (_name, file) => {
        // Once more if it failed: time is real, and the machine has other things to do.
        const first = await runFile(file, target);
        const { error } = first.passed ? first : await runFile(file, target);
        expect(error ?? '').toBe('');
      },
      // handshake/syn-ack-retransmits.pkt alone takes 64 s
      150_000,
    );
  }
});
