import { expect, test } from '@jest/globals';
import { progressOf } from './progress.ts';

const from = (text: string): { lines: string[]; complaint: string } => {
  const lines: string[] = [];
  const p = progressOf('skbus-b', (l) => lines.push(l));
  // As a pipe delivers it.
  for (let i = 0; i < text.length; i += 7) p.take(text.slice(i, i + 7));
  return { lines, complaint: p.complaint() };
};

test('a line for each step that is done, once', () => {
  const { lines, complaint } = from(`#1 [tcp internal] load build definition from Dockerfile
#12 [ip build  9/10] RUN node tools/setup.mjs --no-system
#12 3.101 proto: 9 files
#12 [tcp build  9/10] RUN node tools/setup.mjs --no-system
 Network skbus-b_bus Created
 Container skbus-b-nats-1 Creating
 Container skbus-b-nats-1 Started
 Container skbus-b-nats-1 Waiting
 Container skbus-b-nats-1 Healthy
 Container skbus-b-nats-1 Healthy
 Container skbus-b-keys-1 Exited
`);
  expect(lines).toEqual(['image: RUN node tools/setup.mjs --no-system', 'nats started', 'nats healthy', 'keys done']);
  expect(complaint).toBe('');
});

test('why it failed', () => {
  const { complaint } = from(` Container skbus-b-nats-1 Starting
Error response from daemon: driver failed: bind for 127.0.0.1:1080 failed: port is already allocated`);
  expect(complaint).toBe('driver failed: bind for 127.0.0.1:1080 failed: port is already allocated');
});
