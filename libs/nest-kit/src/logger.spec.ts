import { expect, test } from '@jest/globals';
import { serviceLogger } from './logger.ts';

test.each([
  ['a text', 'bus: gone', 'bus: gone'],
  ['an object', { verb: 'x' }, '{"verb":"x"}'],
  ['an error', new TypeError('permissions violation'), 'TypeError: permissions violation'],
])('%s is logged as something that can be read', (_what, said, read) => {
  const log = serviceLogger('ip', 'error');
  const lines: string[] = [];
  log.pino.error = ((m: string) => void lines.push(m)) as never;
  log.error(said);
  expect(lines).toEqual([expect.stringContaining(read)]);
});
