import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, afterEach, expect, test } from '@jest/globals';
import { NatsBus, type Bus } from '@skbus/bus';
import { freePort, startBroker, type TestBroker } from '../support/nats-server.ts';
import { until } from './bus-suite.ts';

// A broker that is killed and started again on its port and store.

let dir: string;
let broker: TestBroker;
let a: Bus;
let b: Bus;
const bytes = (...v: number[]): Uint8Array => Uint8Array.from(v);

beforeAll(() => void (dir = mkdtempSync(join(tmpdir(), 'skbus-nats-'))));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
beforeEach(async () => {
  broker = await startBroker({ port: await freePort(), store: dir });
  const open = (): Promise<Bus> => NatsBus.connect({ url: broker.url, name: 'test', onError: () => {} });
  [a, b] = await Promise.all([open(), open()]);
});
afterEach(async () => {
  await Promise.all([a.close(), b.close()]);
  await broker.stop();
});

/** Kills it, does something meanwhile, and starts it again; resolves when both participants are back. */
async function restart(meanwhile: () => void = () => {}): Promise<void> {
  const up = [a, b].map((bus) => new Promise<void>((back) => bus.onStatus((s) => s === 'connected' && back())));
  const down = [a, b].map((bus) => new Promise<void>((lost) => bus.onStatus((s) => s === 'disconnected' && lost())));
  await broker.kill();
  await Promise.all(down);
  meanwhile();
  broker = await startBroker({ port: Number(new URL(broker.url).port), store: dir });
  await Promise.all(up);
}

test('subscriptions and responders are back', async () => {
  const got: number[] = [];
  b.subscribe('skb.v1.t.ip_rcv', (d) => got.push(d[0]!));
  b.respond('ctl.v1.t.double', (d) => bytes(d[0]! * 2));
  await b.flush();
  await restart();
  // Back on one connection is not yet back on both.
  await until(() => {
    a.publish('skb.v1.t.ip_rcv', bytes(7));
    return got.includes(7);
  }, 'a message over the new broker');
  expect([...(await a.request('ctl.v1.t.double', bytes(4), 5_000))]).toEqual([8]);
});

test('who waits for an answer is told at once that it will not come', async () => {
  b.respond('ctl.v1.t.never', () => new Promise<Uint8Array>(() => {}));
  await b.flush();
  const began = performance.now();
  const asked = a.request('ctl.v1.t.never', bytes(), 60_000).catch((e: unknown) => e);
  await restart();
  expect(await asked).toMatchObject({ code: 'CLOSED' });
  expect(performance.now() - began).toBeLessThan(30_000);
});

test('a store is as it was, operations wait for it, and a watch sees what was changed meanwhile', async () => {
  const kv = await a.kv('skbus_t_r');
  await kv.put('x', bytes(1));
  await kv.put('y', bytes(1));
  const seen: [string, number | undefined][] = [];
  const off = await (await b.kv('skbus_t_r')).watch((k, v) => seen.push([k, v?.[0]]));
  expect(new Map(seen)).toEqual(
    new Map([
      ['x', 1],
      ['y', 1],
    ]),
  );
  let put: Promise<unknown> = Promise.resolve();
  await restart(() => {
    put = kv.put('x', bytes(2)).then(() => kv.delete('y'));
  });
  await put;
  expect([...(await kv.get('x'))!]).toEqual([2]);
  await until(() => seen.length >= 4, 'the watch to go on');
  // Each change once, and nothing again that was known.
  expect(seen.slice(2)).toEqual([
    ['x', 2],
    ['y', undefined],
  ]);
  await kv.put('z', bytes(3));
  await until(() => seen.length >= 5, 'one more change');
  expect(seen[4]).toEqual(['z', 3]);
  // One that was killed reads what it wrote before it serves anybody: the entries, and nothing of who watched them.
  const stored = readdirSync(dir, { recursive: true, encoding: 'utf8' });
  expect(stored.some((f) => f.includes('KV_skbus_t_r/msgs/'))).toBe(true);
  expect(stored.filter((f) => f.includes('/obs/'))).toEqual([]);
  off();
});

test('one that is cut off alone comes back, whether its connections end or stand still', async () => {
  const pairs = new Set<[Socket, Socket]>();
  const proxy = createServer((near) => {
    const far = connect(Number(new URL(broker.url).port), '127.0.0.1');
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    near.pipe(far).pipe(near);
    for (const s of pair) {
      s.on('error', () => {});
      s.on('close', () => {
        pairs.delete(pair);
        near.destroy();
        far.destroy();
      });
    }
  });
  await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening));
  const url = `nats://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const cut = await NatsBus.connect({ url, name: 'cut', onError: () => {} });
  const got: number[] = [];
  cut.subscribe('skb.v1.t.ip_rcv', (d) => got.push(d[0]!));
  await cut.flush();

  for (const [s] of pairs) s.pause().unpipe();
  for (const [, s] of pairs) s.pause().unpipe();
  a.publish('skb.v1.t.ip_rcv', bytes(1));
  await a.flush();
  expect(got).toEqual([]);
  for (const [near, far] of pairs) near.pipe(far).pipe(near);
  await until(() => got.length === 1, 'what was held up');

  for (const [near] of pairs) near.destroy();
  await until(() => {
    a.publish('skb.v1.t.ip_rcv', bytes(2));
    return got.includes(2);
  }, 'a message over a new connection');
  await cut.close();
  proxy.close();
});
