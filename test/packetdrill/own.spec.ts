import { join } from 'node:path';
import { describe } from '@jest/globals';
import { root } from '../support/projects.ts';
import { testScripts, variations } from './corpus.ts';

describe.each(variations)('our own scripts, %s', (variation) => {
  testScripts(join(root, 'test/packetdrill/scripts'), variation);
});
