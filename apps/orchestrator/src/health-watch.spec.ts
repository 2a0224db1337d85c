import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { BusError, type Bus } from '@skbus/bus';
import type { Layer } from '@skbus/contracts';
import { HealthWatch } from './health-watch.ts';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** A bus on which some layers do not answer; the time goes on with jest's clock. */
function watch(killAfterMs: number): {
  health: HealthWatch;
  silent: Set<Layer>;
  broker: { there: boolean };
  killed: Layer[];
  lines: string[];
} {
  const silent = new Set<Layer>();
  const broker = { there: true };
  const killed: Layer[] = [];
  const lines: string[] = [];
  const never = new Promise<never>(() => {});
  const bus: Partial<Bus> = {
    flush: () => (broker.there ? Promise.resolve() : never),
    request: (subject, _data, ms) =>
      broker.there && !silent.has(subject.split('.')[3] as Layer)
        ? Promise.resolve(new Uint8Array(0))
        : new Promise((_, reject) => setTimeout(() => reject(new BusError('TIMEOUT', 'late')), ms)),
  };
  const health = new HealthWatch({
    bus: bus as Bus,
    netns: 't',
    killAfterMs,
    processOf: () => ({ uptimeMs: 1_000, running: true }),
    kill: (l) => killed.push(l),
    say: (l) => lines.push(l),
  });
  health.start();
  return { health, silent, broker, killed, lines };
}

test('a layer that does not answer is said to hang, and is killed once after its time', async () => {
  const w = watch(10_000);
  await jest.advanceTimersByTimeAsync(3_000);
  expect(w.lines).toEqual([]);
  w.silent.add('ip');
  await jest.advanceTimersByTimeAsync(5_000);
  expect(w.health.isHung('ip')).toBe(true);
  expect(w.health.isHung('tcp')).toBe(false);
  expect(w.killed).toEqual([]);
  await jest.advanceTimersByTimeAsync(20_000);
  expect(w.killed).toEqual(['ip']);
  w.health.stop();
});

test('a pause of two seconds is none, and without a time nothing is killed', async () => {
  const w = watch(0);
  w.silent.add('ip');
  await jest.advanceTimersByTimeAsync(2_000);
  w.silent.delete('ip');
  await jest.advanceTimersByTimeAsync(3_000);
  expect(w.lines).toEqual([]);
  w.silent.add('tcp');
  await jest.advanceTimersByTimeAsync(60_000);
  w.silent.delete('tcp');
  await jest.advanceTimersByTimeAsync(3_000);
  expect(w.lines).toEqual(['skbus: tcp: hangs: no answer for 3 s', 'skbus: tcp: answers again']);
  expect(w.killed).toEqual([]);
  w.health.stop();
});

test('a broker that does not answer says nothing of the layers', async () => {
  const w = watch(5_000);
  w.broker.there = false;
  await jest.advanceTimersByTimeAsync(60_000);
  expect([w.lines, w.killed]).toEqual([[], []]);
  w.health.stop();
});
