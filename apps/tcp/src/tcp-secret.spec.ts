import { expect, test } from '@jest/globals';
import { MemoryHub } from '@skbus/bus';
import { loadSecret } from './tcp-secret.ts';

test('made once, the same after a restart of the service, another one after a restart of the machine', async () => {
  const bus = new MemoryHub().bus();
  let n = 0;
  const random = (): number => n++;
  const first = await loadSecret(bus, 'a', random, 'boot 1');
  expect(first).toEqual(Uint8Array.from({ length: 16 }, (_, i) => i));
  expect(await loadSecret(bus, 'a', random, 'boot 1')).toEqual(first);
  expect(await loadSecret(bus, 'b', random, 'boot 1')).not.toEqual(first);
  expect(await loadSecret(bus, 'a', random, 'boot 2')).not.toEqual(first);
  await bus.close();
});
