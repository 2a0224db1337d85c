import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Toxiproxy } from 'toxiproxy-node-client';
import { ProxyCollection } from './collection.ts';
import type { SeamRules } from './seam-proxy.ts';
import { serveToxiproxy, type ToxiproxyServer } from './server.ts';
import { realWorld } from './world.ts';

// The published client against the API, with this machine in place of the stack: nothing of a proxy knows the difference.

let upstream: Server;
let server: ToxiproxyServer;
let toxiproxy: Toxiproxy;
let there: string;
/** Rules in force, as the stack would have them. */
let rules: Map<string, string>;

const seams: SeamRules = {
  set: async (id, text) => {
    if (text.includes('999')) throw new Error('the stack does not like it');
    rules.set(id, text);
  },
  remove: async (id) => void rules.delete(id),
  ids: async () => [...rules.keys()],
};

beforeEach(async () => {
  rules = new Map();
  upstream = createServer({ allowHalfOpen: true }, (s) => s.on('error', () => {}).pipe(s)).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  there = `127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const world = realWorld({ door: undefined as never, addresses: [], random: () => 0.5 });
  const here = { ...world, dial: (to: Parameters<typeof world.dial>[0]) => world.dial({ ...to, stack: false }) };
  server = await serveToxiproxy(new ProxyCollection(here, seams), 0, '127.0.0.1');
  toxiproxy = new Toxiproxy(server.url);
});

afterEach(async () => {
  await server.close();
  upstream.close();
});

const api = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
  const r = await fetch(`${server.url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await r.text();
  return { status: r.status, body: text === '' ? undefined : JSON.parse(text) };
};

async function dial(listen: string): Promise<Socket> {
  const [host, port] = listen.split(':');
  const s = connect({ host: host!, port: Number(port), allowHalfOpen: true });
  await once(s, 'connect');
  return s;
}

/** Says something, ends, and reads to the end; or the code of what went wrong. */
async function echo(listen: string, text: string): Promise<string> {
  const s = await dial(listen);
  let got = '';
  s.setEncoding('utf8').on('data', (d: string) => (got += d));
  s.end(text);
  return new Promise((resolve) => {
    s.once('error', (e: NodeJS.ErrnoException) => resolve(e.code!));
    s.once('close', () => resolve(got));
  });
}

describe('the client of its README', () => {
  test('a proxy that limits a connection to 1000 KB/s', async () => {
    const proxyBody = { listen: 'localhost:0', name: 'redis', upstream: there };
    const proxy = await toxiproxy.createProxy(proxyBody);
    const toxicBody = { attributes: { rate: 1000 }, type: 'bandwidth' as const };
    const toxic = await proxy.addToxic(toxicBody as never);
    expect(toxic.toJson()).toEqual({
      attributes: { rate: 1000 },
      name: 'bandwidth_downstream',
      stream: 'downstream',
      toxicity: 1,
      type: 'bandwidth',
    });
    expect(proxy.listen).toMatch(/^(127\.0\.0\.1|\[::1\]):\d+$/);
  });

  test('get, update, toxics, remove, reset, populate, version', async () => {
    const made = await toxiproxy.populate([
      { name: 'a', listen: '127.0.0.1:0', upstream: there },
      { name: 'b', listen: '127.0.0.1:0', upstream: there, enabled: false } as never,
    ]);
    expect(Object.keys(made)).toEqual(['a', 'b']);
    const a = await toxiproxy.get('a');
    expect(await echo(a.listen, 'hello')).toBe('hello');
    const toxic = await a.addToxic({ type: 'limit_data', attributes: { bytes: 3 } } as never);
    expect(await echo(a.listen, 'hello')).toBe('hel');
    await toxic.update({ attributes: { bytes: 4 } } as never);
    expect((await a.getToxic('limit_data_downstream')).attributes).toEqual({ bytes: 4 });
    expect(await echo(a.listen, 'hello')).toBe('hell');
    const off = await a.update({ enabled: false, listen: a.listen, upstream: a.upstream });
    expect(off.enabled).toBe(false);
    await expect(dial(a.listen)).rejects.toThrow('ECONNREFUSED');
    await toxiproxy.reset();
    expect(await echo(a.listen, 'hello')).toBe('hello');
    expect((await toxiproxy.get('b')).enabled).toBe(true);
    await expect(toxic.remove()).rejects.toThrow(/404/);
    await a.remove();
    await expect(toxiproxy.get('a')).rejects.toThrow(/404/);
    expect(Object.keys(await toxiproxy.getAll())).toEqual(
      expect.arrayContaining(['b', 'seam-tcp', 'seam-nic', 'seam-ip', 'seam-socket']),
    );
    expect(JSON.parse(await toxiproxy.getVersion())).toEqual({ version: expect.stringMatching(/^\d/) });
  });
});

test('populating twice keeps what is the same, and leads elsewhere what is not', async () => {
  const first = (await api('POST', '/populate', [{ name: 'a', upstream: there }])).body as {
    proxies: [{ listen: string }];
  };
  const { listen } = first.proxies[0];
  const again = { name: 'a', listen, upstream: there };
  expect(await api('POST', '/populate', [again])).toMatchObject({ status: 201, body: { proxies: [{ listen }] } });
  expect(await echo(listen, 'x')).toBe('x');
  const gone = { ...again, upstream: '127.0.0.1:1' };
  expect((await api('POST', '/populate', [gone])).body).toMatchObject({ proxies: [gone] });
  // as a real one: accepted, and closed when nobody answers
  expect(await echo(listen, 'x')).toMatch(/^(ECONNRESET)?$/);
});

test('toxics of running connections: reset_peer, timeout taken away', async () => {
  const { listen } = await toxiproxy.createProxy({ name: 'a', listen: '127.0.0.1:0', upstream: there });
  const s = await dial(listen);
  s.write('x');
  await once(s, 'data');
  await api('POST', '/proxies/a/toxics', { type: 'reset_peer', stream: 'upstream' });
  s.write('y');
  const [e] = (await once(s, 'error')) as [NodeJS.ErrnoException];
  expect(e.code).toBe('ECONNRESET');
  await toxiproxy.reset();
  const t = await dial(listen);
  t.write('x');
  await once(t, 'data');
  await api('POST', '/proxies/a/toxics', { type: 'timeout', name: 'hole' });
  t.write('lost');
  expect((await api('DELETE', '/proxies/a/toxics/hole')).status).toBe(204);
  t.resume();
  await once(t, 'end');
  t.destroy();
});

test.each<[string, string, unknown, number, string | RegExp]>([
  ['POST', '/proxies', { upstream: 'x:1' }, 400, 'missing required field: name'],
  ['POST', '/proxies', { name: 'n' }, 400, 'missing required field: upstream'],
  ['POST', '/proxies', [], 400, /^bad request body: /],
  ['POST', '/proxies', { name: 'n', upstream: 'nowhere' }, 400, 'upstream: "nowhere" is not host:port'],
  ['POST', '/proxies', { name: 'n', upstream: 'x:1', listen: 'x' }, 400, 'listen: "x" is not host:port'],
  ['POST', '/proxies', { name: 'old', upstream: 'x:1' }, 409, 'proxy already exists'],
  ['POST', '/proxies', { name: 'seam-tcp', upstream: 'x:1' }, 409, 'proxy already exists'],
  [
    'POST',
    '/populate',
    [{ name: 'n', upstream: 'x:1' }, { name: 'm' }],
    400,
    'missing required field: upstream at proxy 2',
  ],
  ['GET', '/proxies/none', undefined, 404, 'proxy not found'],
  ['DELETE', '/proxies/none', undefined, 404, 'proxy not found'],
  ['GET', '/proxies/old/toxics/none', undefined, 404, 'toxic not found'],
  ['POST', '/proxies/old/toxics', { type: 'sugar' }, 400, 'invalid toxic type'],
  ['POST', '/proxies/old/toxics', { type: 'latency', stream: 'side' }, 400, /^stream was invalid/],
  ['POST', '/proxies/old/toxics', { type: 'latency', attributes: { latency: 'x' } }, 400, /^bad request body: latency/],
  ['POST', '/proxies/old/toxics', { type: 'latency', toxicity: 2 }, 400, /^bad request body: toxicity/],
  ['POST', '/proxies/old/toxics', { type: 'packet_loss' }, 400, /add it to a seam/],
  ['POST', '/proxies/seam-tcp/toxics', { type: 'slicer' }, 400, /add it to a proxy/],
  ['POST', '/proxies/seam-tcp/toxics', { type: 'timeout', attributes: { timeout: 5 } }, 400, /use timeout 0/],
  ['POST', '/proxies/seam-tcp/toxics', { type: 'latency', attributes: { latency: 999 } }, 400, /does not like it$/],
  ['POST', '/proxies/seam-tcp', { listen: 'x:1' }, 400, /cannot be led elsewhere/],
  ['GET', '/nothing', undefined, 404, /./],
])('%s %s %j: %d %s', async (method, path, body, status, error) => {
  await api('POST', '/proxies', { name: 'old', upstream: there });
  const r = await api(method, path, body);
  expect(r).toEqual({ status, body: expect.objectContaining({ status, error: expect.stringMatching(error) }) });
});

test('no browser, no garbage, no port that is taken', async () => {
  const browser = await fetch(`${server.url}/proxies`, { headers: { 'user-agent': 'Mozilla/5.0' } });
  expect([browser.status, await browser.json()]).toEqual([403, { error: 'User agent not allowed', status: 403 }]);
  const garbage = await fetch(`${server.url}/proxies`, { method: 'POST', body: '{' });
  expect([garbage.status, await garbage.json()]).toEqual([
    400,
    { error: expect.stringMatching(/^bad request body: /), status: 400 },
  ]);
  expect(await api('POST', '/proxies', { name: 'n', upstream: 'x:1', listen: there })).toEqual({
    status: 500,
    body: { error: `listen tcp ${there}: bind: address already in use`, status: 500 },
  });
});

test('toxics of a seam are fault rules', async () => {
  const tcp = await toxiproxy.get('seam-tcp');
  await tcp.addToxic({ type: 'latency', attributes: { latency: 100, jitter: 10 } } as never);
  await tcp.addToxic({ type: 'bandwidth', stream: 'upstream', attributes: { rate: 125 }, toxicity: 0.5 } as never);
  await api('POST', '/proxies/seam-nic/toxics', { type: 'packet_loss', name: 'l', attributes: { loss_rate: 0.015 } });
  expect([...rules]).toEqual([
    ['seam-tcp-latency_downstream', 'at tcp rx delay 100ms 10ms'],
    ['seam-tcp-bandwidth_upstream', 'at tcp tx rate 1000kbit probability 0.5'],
    ['seam-nic-l', 'at nic rx loss 1.5%'],
  ]);
  await (await tcp.getToxic('latency_downstream')).update({ attributes: { latency: 50 } } as never);
  expect(rules.get('seam-tcp-latency_downstream')).toBe('at tcp rx delay 50ms 10ms');
  await tcp.update({ enabled: false, listen: tcp.listen, upstream: tcp.upstream });
  expect([...rules.keys()]).toEqual(expect.arrayContaining(['seam-tcp-rx-off', 'seam-tcp-tx-off']));
  await toxiproxy.reset();
  expect([...rules]).toEqual([]);
});

test('names that come to the same rule id have a rule each', async () => {
  const long = 'x'.repeat(80);
  for (const name of ['a.b', 'a b', 'rx-off', long, `${long}y`])
    await api('POST', '/proxies/seam-ip/toxics', { name, type: 'latency', attributes: { latency: 1 } });
  expect([...rules.keys()]).toEqual([
    'seam-ip-a_b',
    'seam-ip-a_b-2',
    'seam-ip-rx-off-2',
    `seam-ip-${'x'.repeat(56)}`,
    `seam-ip-${'x'.repeat(54)}-2`,
  ]);
  await api('DELETE', '/proxies/seam-ip/toxics/a.b');
  expect([...rules.keys()]).toContain('seam-ip-a_b-2');
  expect([...rules.keys()]).not.toContain('seam-ip-a_b');
});

test('a reset takes away what a server that was killed has left, and no rule of anybody else', async () => {
  rules.set('seam-udp-latency_upstream', 'at udp tx delay 1ms').set('f1', 'at tcp rx drop nth 3');
  await toxiproxy.reset();
  expect([...rules.keys()]).toEqual(['f1']);
});

test('a wrong address changes nothing, and one that cannot listen keeps no other from its reset', async () => {
  await api('POST', '/proxies', { name: 'a', listen: '127.0.0.1:0', upstream: there });
  const before = await api('GET', '/proxies/a');
  expect(await api('POST', '/proxies/a', { listen: 'junk' })).toMatchObject({ status: 400 });
  expect(await api('GET', '/proxies/a')).toEqual(before);
  await api('POST', '/proxies/a', { listen: there });
  await api('POST', '/proxies', { name: 'b', listen: '127.0.0.1:0', upstream: there, enabled: false });
  await api('POST', '/proxies/b/toxics', { type: 'latency' });
  expect(await api('POST', '/reset')).toMatchObject({
    status: 500,
    body: { error: expect.stringMatching(/already in use/) },
  });
  expect(await api('GET', '/proxies/b')).toMatchObject({ body: { enabled: true, toxics: [] } });
});
