import { expect, test } from '@jest/globals';
import { BusError, type Bus } from '@skbus/bus';
import type { Layer } from '@skbus/contracts';
import { RollCall } from './roll-call.ts';

test('who is not on the bus is said to be gone, once; who is silent, or everybody without a broker, is not', async () => {
  const why = new Map<Layer, 'NO_RESPONDERS' | 'TIMEOUT' | 'CLOSED'>([
    ['ip', 'NO_RESPONDERS'],
    ['tcp', 'TIMEOUT'],
    ['udp', 'CLOSED'],
  ]);
  const asked: string[] = [];
  const gone: Layer[] = [];
  const bus: Partial<Bus> = {
    request: (subject) => {
      asked.push(subject);
      const code = why.get(subject.split('.')[3] as Layer);
      return code === undefined ? Promise.resolve(new Uint8Array(0)) : Promise.reject(new BusError(code, 'no'));
    },
  };
  let rounds = 0;
  const until = new Promise<void>((done) => {
    const roll = new RollCall(bus as Bus, 't', {
      onGone: (l) => gone.push(l),
      isAbsent: (l) => {
        if (l === 'socket' && ++rounds === 4) {
          roll.stop();
          done();
        }
        return gone.includes(l);
      },
    });
    roll.start();
  });
  await until;
  expect(gone).toEqual(['ip']);
  expect(asked.filter((s) => s.includes('.ip.'))).toHaveLength(1);
  expect(asked.filter((s) => s.includes('.tcp.')).length).toBeGreaterThan(1);
});
