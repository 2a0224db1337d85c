import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { spawnNats } from './nats-tuning.ts';

const SLACK = '/proc/self/timerslack_ns';
const onLinux = existsSync(SLACK) ? test : test.skip;

onLinux('what is started as the broker has slack, its parent has its own again', () => {
  const ours = readFileSync(SLACK, 'latin1');
  const { stdout } = spawnNats(() => spawnSync('cat', [SLACK], { encoding: 'utf8' }));
  expect(stdout).toBe('1000000\n');
  expect(readFileSync(SLACK, 'latin1')).toBe(ours);
  const failing = (): never => {
    throw new Error('no such program');
  };
  expect(() => spawnNats(failing)).toThrow('no such program');
  expect(readFileSync(SLACK, 'latin1')).toBe(ours);
});
