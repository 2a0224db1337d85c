import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { isAlive, markOf } from './process-mark.ts';
import { RunFolder, type StackFile } from './run-folder.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'skbus-run-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const file = (over: Partial<StackFile> = {}): StackFile => ({
  stack: 'a',
  orchestrator: markOf(process.pid)!,
  api: 'http://127.0.0.1:1',
  apiTokenFile: '',
  apiCaFile: '',
  nats: '',
  backend: 'wire',
  peerNetns: '',
  madeNetns: false,
  kernelIfname: '',
  address: '',
  socksPort: 0,
  partOf: '',
  processes: {},
  ...over,
});

test('a process is told from a later one with the same id', () => {
  const me = markOf(process.pid)!;
  expect(isAlive(me)).toBe(true);
  expect(isAlive({ ...me, startTicks: '1' })).toBe(false);
  expect(isAlive({ pid: 0, startTicks: '' })).toBe(false);
  expect(markOf(2 ** 30)).toBeUndefined();
});

test('the folder is private, and locked by one', () => {
  const run = new RunFolder(join(dir, 'a'));
  run.create();
  expect(statSync(run.dir).mode & 0o777).toBe(0o700);
  run.lock('a');
  expect(() => run.lock('a')).toThrow(`stack a is already running (pid ${process.pid})`);
  run.unlock();
  run.lock('a');
});

test('a lock whose holder is dead is taken over, one that is just being written is not', () => {
  const run = new RunFolder(dir);
  writeFileSync(join(dir, 'orchestrator.pid'), JSON.stringify({ pid: process.pid, startTicks: '1' }));
  run.lock('a');
  writeFileSync(join(dir, 'orchestrator.pid'), '');
  expect(() => run.lock('a')).toThrow('is just being started');
  utimesSync(join(dir, 'orchestrator.pid'), 1, 1);
  run.lock('a');
});

test('what is no stack file is none; what was killed is seen', () => {
  const run = new RunFolder(dir);
  expect(run.read()).toBeUndefined();
  writeFileSync(join(dir, 'stack.json'), '{"stack":1}');
  expect(run.read()).toBeUndefined();
  run.write(file());
  expect(run.read()!.running).toBe(true);
  run.write(file({ orchestrator: { pid: process.pid, startTicks: '1' } }));
  expect(run.read()!.running).toBe(false);
  expect(JSON.parse(readFileSync(join(dir, 'stack.json'), 'utf8')).stack).toBe('a');
});

test('a path that no Unix socket can have is refused before anything is made', () => {
  expect(() => new RunFolder(join(dir, 'x'.repeat(120))).create()).toThrow('too long for a Unix socket');
});
