import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { freePort } from '../support/nats-server.ts';
import { root } from '../support/projects.ts';
import { run, installed, type Result } from '../support/stack.ts';

// Two machines on one wire: each with a run root of its own, and between them the broker of the first, by TLS.

const CLI = join(root, 'tools/skbus.mjs');
const dir = mkdtempSync(join(tmpdir(), 'skbus-hosts-'));
const host = (name: string): Record<string, string> => ({
  SKBUS_RUN_ROOT: join(dir, name),
  SKBUS_STACK: name,
  SKBUS_API: '',
});
const skbus = (name: string, ...args: string[]): Promise<Result> =>
  run(process.execPath, [CLI, ...args], { env: host(name), timeoutMs: 60_000 });
const up = async (name: string, ...args: string[]): Promise<Result> => {
  const ports = ['--api-port', String(await freePort()), '--socks-port', '0'];
  return skbus(name, 'up', '-d', '--nic', 'wire', '--stack', name, '--no-spare', ...ports, ...args);
};

const suite = installed('nats-server') ? describe : describe.skip;

suite('two machines on one wire', () => {
  afterAll(async () => {
    for (const name of ['d', 'c']) await skbus(name, 'down');
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);

  test('who is admitted joins by TLS with the folder that was made, and nobody else', async () => {
    const port = String(await freePort());
    const first = await up('c', '--nats-host', '0.0.0.0', '--nats-port', port);
    expect([first.code, first.stderr]).toEqual([0, expect.stringContaining('skbus is up')]);
    expect((await skbus('c', 'status')).stdout).toContain(`nats tls://127.0.0.1:${port}`);
    const keys = (await skbus('c', 'admit', 'd')).stdout.trim();
    const address = ['--append', 'ip=10.77.0.7::10.77.0.1:255.255.255.0::skb0:off'];
    const join = (url: string, ...more: string[]): Promise<Result> =>
      up('d', '--nats-url', url, '--nats-keys', keys, ...address, ...more);

    const clear = await join(`nats://127.0.0.1:${port}`);
    expect([clear.code, clear.stderr]).toEqual([2, expect.stringContaining('by TLS only')]);
    const second = await join(`tls://127.0.0.1:${port}`);
    expect([second.code, second.stderr]).toEqual([0, expect.stringContaining('skbus is up')]);
    expect((await skbus('d', 'ping', '-c', '2', '-i', '0.2', '10.77.0.2')).stdout).toContain('2 received');
    expect((await skbus('c', 'ping', '-c', '1', '10.77.0.7')).stdout).toContain('1 received');
  }, 120_000);
});
