import { EventEmitter } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { SupervisedChild } from './child.ts';

let processes: EventEmitter[];
let child: SupervisedChild;

beforeEach(() => {
  jest.useFakeTimers();
  processes = [];
  child = new SupervisedChild({
    name: 'ip',
    command: '',
    args: [],
    env: {},
    cwd: '/',
    logFile: '/dev/null',
    takeOver: () => {
      const p = new EventEmitter();
      processes.push(p);
      return p as ChildProcess;
    },
    onChange: () => {},
  });
  child.start();
});

afterEach(() => void jest.useRealTimers());

const die = (): void => void processes.at(-1)!.emit('exit', null, 'SIGKILL');

/** How long it takes until there is another process, which is tried for 10 s. */
function pauseMs(): number {
  const had = processes.length;
  for (let ms = 0; ms <= 10_000; ms += 10) {
    if (processes.length > had) return ms;
    jest.advanceTimersByTime(10);
  }
  return Infinity;
}

function restart(): number {
  const had = processes.length;
  die();
  return processes.length > had ? 0 : pauseMs();
}

test('one that keeps ending is started ever later, up to every 5 s', () => {
  expect(Array.from({ length: 10 }, restart)).toEqual([0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
});

test('one that says it works and ends again at once is no better', () => {
  const pauses = Array.from({ length: 5 }, () => {
    child.running();
    jest.advanceTimersByTime(900);
    return restart();
  });
  expect(pauses).toEqual([0, 0, 100, 200, 400]);
});

test('one that has worked for a second comes back at once, however often it is killed', () => {
  const pauses = Array.from({ length: 20 }, () => {
    jest.advanceTimersByTime(500);
    child.running();
    child.running();
    jest.advanceTimersByTime(1_000);
    return restart();
  });
  expect(pauses).toEqual(Array.from({ length: 20 }, () => 0));
  expect(child.restarts).toBe(20);
});

test('alive is not proven: one that never says that it works counts as one that keeps ending', () => {
  for (let i = 0; i < 3; i++) {
    jest.advanceTimersByTime(60_000);
    restart();
  }
  jest.advanceTimersByTime(60_000);
  expect(restart()).toBe(200);
});

test('the end of a process that was replaced is nobody’s concern', () => {
  const old = processes.at(-1)!;
  child.replaceBy(new EventEmitter() as ChildProcess);
  old.emit('exit', 0, null);
  expect([child.restarts, child.state]).toEqual([0, 'starting']);
});
