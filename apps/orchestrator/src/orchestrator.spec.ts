import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { BOOT_TABLE } from '@skbus/boot';
import type { Orchestrator } from './orchestrator.ts';
import { fakeLayers } from './testing/fake-layers.ts';
import { inProcess } from './testing/in-process.ts';

let dir: string;
let running: Orchestrator | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'skbus-orch-'));
  running = undefined;
});
afterEach(async () => {
  await running?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const make = (fakes = fakeLayers(), env: Record<string, string> = {}): Orchestrator =>
  (running = inProcess(join(dir, 'test'), env, fakes));

async function call(
  o: Orchestrator,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: any }> {
  const r = await fetch(o.stacks[0]!.opts.apiUrl() + path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  return { status: r.status, json: await r.json() };
}

describe('a stack in one process', () => {
  test('boots every layer in the order of the table, and leaves nothing behind', async () => {
    const fakes = fakeLayers();
    const o = make(fakes);
    await o.start();
    expect(fakes.calls).toEqual(
      BOOT_TABLE.filter((e) => e.owner !== 'orchestrator').map((e) => `${e.owner} ${e.name}`),
    );
    const { json } = await call(o, 'GET', '/status');
    expect(json).toMatchObject({ stack: 'test', state: 'running', backend: 'wire', address: '10.77.0.2' });
    expect(json.services.map((s: { name: string; state: string }) => `${s.name} ${s.state}`)).toEqual([
      'nic running',
      'neigh running',
      'ip running',
      'udp running',
      'tcp running',
      'socket running',
    ]);
    expect(json.services[0].ledger).toEqual({
      received: 0,
      created: 0,
      passed: 0,
      consumed: 0,
      queued: 0,
      dropped: {},
      imbalance: 0,
    });
    const log = (await call(o, 'GET', '/dmesg')).json.map((r: { text: string }) => r.text);
    expect(log[0]).toMatch(/^Linux version 6\.12\.0-skbus-0\.0\.0/);
    expect(log).toContain('tcp_init of tcp');
    const boot = (await call(o, 'GET', '/boot')).json;
    expect(boot.state).toBe('up');
    expect(boot.trace[0].point).toBe('start_kernel');
    await o.stop();
    expect(readdirSync(join(dir, 'test')).filter((f) => !f.endsWith('.log'))).toEqual([]);
  });

  test('an initcall that fails is named, with what to do', async () => {
    const o = make(fakeLayers({ tun_init: { errno: 16, message: 'skb0: the device is busy; stop who has it' } }));
    await expect(o.start()).rejects.toThrow(
      'boot stopped: tun_init of the nic service failed with EBUSY: skb0: the device is busy; stop who has it',
    );
  });

  test('a second one in the same run folder is refused in one sentence', async () => {
    await make().start();
    const first = running!;
    const second = make();
    await expect(second.start()).rejects.toThrow(
      /stack test is already running \(pid \d+\); stop it with "skbus down --stack test"/,
    );
    // It must not take away what belongs to the first.
    await second.stop();
    expect(readdirSync(join(dir, 'test'))).toContain('stack.json');
    running = first;
  });

  test('a port in use is named with its option', async () => {
    await make().start();
    const first = running!;
    const port = new URL(first.stacks[0]!.opts.apiUrl()).port;
    const second = make(fakeLayers(), { SKBUS_RUN_DIR: join(dir, 'other'), SKBUS_API_PORT: port });
    await expect(second.start()).rejects.toThrow(
      `port ${port} on 127.0.0.1 is in use; choose another one with --api-port`,
    );
    await second.stop();
    running = first;
  });
});

describe('control API', () => {
  test('a body that is wrong is refused with the field', async () => {
    const o = make();
    await o.start();
    for (const [method, path, body, field] of [
      ['POST', '/addr', { address: '10.0.0.1/33', dev: 'skb0' }, 'address'],
      ['POST', '/addr', { address: '10.0.0.1/24', dev: 'skb0', colour: 1 }, 'colour'],
      ['POST', '/addr', {}, 'address'],
      ['POST', '/route', { dst: '10.0.0.0/8', metric: -1 }, 'metric'],
      ['PATCH', '/link/skb0', { mtu: 20 }, 'mtu'],
      ['POST', '/neigh', { address: '10.0.0.1', dev: 'skb0', lladdr: 'xx' }, 'lladdr'],
      ['POST', '/expose', { port: 0, host: 'x', targetPort: 1 }, 'port'],
      ['POST', '/ping', { address: 'localhost' }, 'address'],
      ['PUT', '/sysctl', { name: 'a b', value: '1' }, 'name'],
      ['GET', '/route/get?to=nowhere', undefined, 'to'],
      ['GET', '/dmesg?since=x', undefined, 'since'],
    ] as const) {
      const { status, json } = await call(o, method, path, body);
      expect([path, status, json.field]).toEqual([path, 400, field]);
      expect(json.message).toContain(field);
    }
  });

  test('a service without an answer is a 503 that says so', async () => {
    const o = make();
    await o.start();
    const { status, json } = await call(o, 'GET', '/addr');
    expect(status).toBe(503);
    expect(json.message).toMatch(/the (ip|nic) service does not answer/);
  });

  test('describes itself', async () => {
    const o = make();
    await o.start();
    const { json } = await call(o, 'GET', '/api-json');
    expect(Object.keys(json.paths)).toEqual(
      expect.arrayContaining(['/status', '/addr', '/route/get', '/trace', '/expose', '/shutdown']),
    );
    expect(json.paths['/addr'].post.requestBody.content['application/json'].schema.required).toEqual([
      'address',
      'dev',
    ]);
  });

  test('answers nobody but this machine', async () => {
    const o = make();
    await o.start();
    const url = o.stacks[0]!.opts.apiUrl();
    const r = await fetch(`${url}/shutdown`, { method: 'POST', headers: { origin: 'https://example.com' } });
    expect(r.status).toBe(403);
  });
});
