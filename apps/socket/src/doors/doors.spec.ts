import { once } from 'node:events';
import { createServer as createHttp, request } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket as TcpSocket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { net, serveHttp } from '@skbus/net';
import { LocalDoor } from '../door/local-door.ts';
import { LoopStack } from '../testing/loop-stack.ts';
import { Admission, type DoorLimits } from './admission.ts';
import { Exposer } from './expose.ts';
import { HttpConnectDoor } from './http-connect.ts';
import { SocksDoor } from './socks.ts';

const HERE = '10.77.0.2';
let stack: LoopStack;
let door: LocalDoor;
const open: { close(): void }[] = [];
const said: string[] = [];
const admission = (limits: Partial<DoorLimits> = {}): Admission =>
  new Admission({
    door: 'a door',
    limits: { connections: 100, halfOpen: 100, ...limits },
    say: (line) => said.push(line),
    now: () => 0,
  });

beforeEach(() => {
  said.length = 0;
  stack = new LoopStack();
  door = new LocalDoor(stack);
});

afterEach(() => {
  for (const o of open.splice(0)) o.close();
  door.close();
  stack.close();
});

async function eventually(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise((r) => setTimeout(r, 10));
  expect(holds()).toBe(true);
}

async function freePort(): Promise<number> {
  const s = createServer().listen(0, '127.0.0.1');
  await once(s, 'listening');
  const { port } = s.address() as AddressInfo;
  s.close();
  await once(s, 'close');
  return port;
}

async function stackHttp(): Promise<void> {
  const http = createHttp((req, res) => {
    let n = 0;
    req.on('data', (d: Buffer) => {
      n += d.length;
    });
    req.on('end', () => res.end(`${req.url} ${n}`));
  });
  const s = serveHttp(http, 80, { door });
  open.push({ close: () => http.closeAllConnections() }, s);
  await once(s, 'listening');
}

async function read(s: TcpSocket): Promise<Buffer> {
  const got: Buffer[] = [];
  for await (const d of s) got.push(d as Buffer);
  return Buffer.concat(got);
}

function socksRequest(host: string, port: number): Buffer {
  return Buffer.concat([
    Buffer.from([5, 1, 0, 5, 1, 0, 3, host.length]),
    Buffer.from(host),
    Buffer.from([port >> 8, port & 255]),
  ]);
}

describe('SOCKS5', () => {
  let port: number;
  beforeEach(async () => {
    const socks = new SocksDoor(door, admission());
    port = await freePort();
    await socks.listen(port, '127.0.0.1');
    open.push(socks);
  });

  test('a request with everything in one segment, and half-close', async () => {
    await stackHttp();
    const c = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    c.write(socksRequest(HERE, 80));
    c.end(`PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello`);
    const all = await read(c);
    expect([...all.subarray(0, 12)]).toEqual([5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    expect(all.toString()).toMatch(/\/x 5$/);
  });

  test.each([
    ['refused', HERE, 81, 5],
    ['no such name', 'no-such-host.invalid', 80, 4],
    ['an IPv6 address', '::1', 80, 8],
  ])('%s: the reply says so', async (_name, host, to, status) => {
    const c = connect({ port, host: '127.0.0.1' });
    c.write(socksRequest(host, to));
    const all = await read(c);
    expect(all[0]).toBe(5);
    expect(all[3]).toBe(status);
  });

  test('garbage and hang-ups do no harm', async () => {
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from([5]),
      Buffer.from([5, 0]),
      Buffer.alloc(3000, 255),
    ]) {
      const c = connect({ port, host: '127.0.0.1' });
      c.on('error', () => {});
      c.end(bytes);
      await new Promise((resolve) => c.once('close', resolve));
    }
    await stackHttp();
    const c = connect({ port, host: '127.0.0.1' });
    c.write(socksRequest(HERE, 80));
    c.write('GET /y HTTP/1.0\r\n\r\n');
    expect((await read(c)).toString()).toMatch(/\/y 0$/);
  });

  test('a port in use is one sentence', async () => {
    await expect(new SocksDoor(door, admission()).listen(port, '127.0.0.1')).rejects.toThrow(
      /SOCKS5: port \d+ on 127\.0\.0\.1 is in use; free it or choose another/,
    );
  });
});

describe('HTTP CONNECT', () => {
  let port: number;
  beforeEach(async () => {
    const d = new HttpConnectDoor(door, admission());
    port = await freePort();
    await d.listen(port, '127.0.0.1');
    open.push(d);
  });

  test('a tunnel, with what the client sent ahead', async () => {
    await stackHttp();
    const c = connect({ port, host: '127.0.0.1' });
    c.write(`CONNECT ${HERE}:80 HTTP/1.1\r\nHost: ${HERE}:80\r\n\r\nGET /z HTTP/1.0\r\n\r\n`);
    const text = (await read(c)).toString();
    expect(text).toMatch(/^HTTP\/1\.1 200 Connection Established\r\n\r\nHTTP\/1\.1 200 OK/);
    expect(text).toMatch(/\/z 0$/);
  });

  test.each([
    [`${HERE}:81`, 502],
    ['nonsense', 400],
    [`${HERE}:99999`, 400],
  ])('CONNECT %s: %d', async (path, status) => {
    const r = request({ port, host: '127.0.0.1', method: 'CONNECT', path }).end();
    const [res] = await once(r, 'connect');
    expect((res as { statusCode: number }).statusCode).toBe(status);
  });
});

describe('expose', () => {
  let real: Server;
  beforeEach(async () => {
    real = createServer({ allowHalfOpen: true }, (c) => c.on('error', () => {}).pipe(c)).listen(0, '127.0.0.1');
    open.push(real);
    await once(real, 'listening');
  });

  test('connections to the port go to the real server, half-close included', async () => {
    const exposer = new Exposer(door, admission());
    await exposer.add({ port: 8080, host: '127.0.0.1', targetPort: (real.address() as AddressInfo).port });
    const data = Buffer.alloc(2_000_000, 'skbus ');
    const c = net.connect({ port: 8080, host: HERE, door, allowHalfOpen: true });
    c.end(data);
    expect(exposer.list()).toMatchObject([{ port: 8080, host: '127.0.0.1' }]);
    expect((await read(c as unknown as TcpSocket)).equals(data)).toBe(true);
    await expect(exposer.add({ port: 8080, host: '127.0.0.1', targetPort: 1 })).resolves.toBeUndefined();
    const d = net.connect({ port: 8080, host: HERE, door });
    const [e] = await once(d, 'error');
    expect(e).toMatchObject({ code: 'ECONNRESET' });
    expect(exposer.remove(8080)).toBe(true);
    expect(exposer.remove(8080)).toBe(false);
    await new Promise((r) => setTimeout(r, 50));
    expect(stack.layer.gauges.sockets).toBe(0);
  });

  test('a port in use is refused', async () => {
    await stackHttp();
    await expect(
      new Exposer(door, admission()).add({ port: 80, host: '127.0.0.1', targetPort: 1 }),
    ).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
  });
});

describe('limits', () => {
  /** Nobody answers a connection to it, and nobody refuses. */
  const NOWHERE = '10.77.0.9';

  async function closed(c: TcpSocket): Promise<void> {
    c.resume();
    if (!c.closed) await new Promise((resolve) => c.once('close', resolve));
  }

  function client(port: number): TcpSocket {
    const c = connect({ port, host: '127.0.0.1' });
    return c.on('error', () => {});
  }

  test('SOCKS5: who is one too many is hung up on, and a place that is free again is given to the next', async () => {
    await stackHttp();
    const a = admission({ connections: 2 });
    const socks = new SocksDoor(door, a);
    const port = await freePort();
    await socks.listen(port, '127.0.0.1');
    open.push(socks);
    const inside: TcpSocket[] = [];
    for (let i = 0; i < 2; i++) {
      const c = client(port);
      c.write(socksRequest(HERE, 80));
      await once(c, 'data');
      inside.push(c);
    }
    await eventually(() => a.open === 2 && a.halfOpen === 0);
    await closed(client(port));
    expect(a).toMatchObject({ open: 2, refused: 1 });
    expect(said).toEqual(['skbus: a door: 2 connections are open, which is the limit: refused 1 (1 in all)']);
    inside[0]!.destroy();
    await eventually(() => a.open === 1);
    const c = client(port);
    c.write(Buffer.concat([socksRequest(HERE, 80), Buffer.from('GET /y HTTP/1.0\r\n\r\n')]));
    expect((await read(c)).toString()).toMatch(/\/y 0$/);
    inside[1]!.destroy();
    await eventually(() => a.open === 0 && a.halfOpen === 0);
  });

  test('SOCKS5: clients that say nothing take the places of the half-open only', async () => {
    await stackHttp();
    const a = admission({ halfOpen: 2 });
    const socks = new SocksDoor(door, a);
    const port = await freePort();
    await socks.listen(port, '127.0.0.1');
    open.push(socks);
    const settled = client(port);
    settled.write(socksRequest(HERE, 80));
    await once(settled, 'data');
    await eventually(() => a.halfOpen === 0);
    const silent = [client(port), client(port)];
    await eventually(() => a.halfOpen === 2);
    await closed(client(port));
    await closed(client(port));
    expect(a).toMatchObject({ open: 3, halfOpen: 2, refused: 2 });
    expect(said).toEqual(['skbus: a door: 2 connections are half-open, which is the limit: refused 1 (1 in all)']);
    for (const c of [settled, ...silent]) c.destroy();
    await eventually(() => a.open === 0 && a.halfOpen === 0);
  });

  test('HTTP CONNECT: 503, and a tunnel that waits for the other side is half-open', async () => {
    const a = admission({ halfOpen: 1 });
    const d = new HttpConnectDoor(door, a);
    const port = await freePort();
    await d.listen(port, '127.0.0.1');
    open.push(d);
    const waiting = client(port);
    waiting.write(`CONNECT ${NOWHERE}:80 HTTP/1.1\r\n\r\n`);
    await eventually(() => a.halfOpen === 1);
    const second = client(port);
    second.write(`CONNECT ${HERE}:80 HTTP/1.1\r\n\r\n`);
    expect((await read(second)).toString()).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
    expect(a).toMatchObject({ open: 1, refused: 1 });
    waiting.destroy();
    await eventually(() => a.open === 0);
  });

  test('expose: one too many is reset', async () => {
    const real = createServer((c) => c.on('error', () => {})).listen(0, '127.0.0.1');
    open.push(real);
    await once(real, 'listening');
    const a = admission({ connections: 1 });
    const exposer = new Exposer(door, a);
    await exposer.add({ port: 8080, host: '127.0.0.1', targetPort: (real.address() as AddressInfo).port });
    const first = net.connect({ port: 8080, host: HERE, door });
    await eventually(() => a.open === 1 && a.halfOpen === 0);
    const [e] = await once(net.connect({ port: 8080, host: HERE, door }), 'error');
    expect(e).toMatchObject({ code: 'ECONNRESET' });
    expect(a.refused).toBe(1);
    first.destroy();
    await eventually(() => a.open === 0);
    exposer.close();
  });

  test('many refusals are one line each ten seconds', () => {
    let now = 0;
    const a = new Admission({
      door: 'a door',
      limits: { connections: 1, halfOpen: 1 },
      say: (l) => said.push(l),
      now: () => now,
    });
    const place = a.enter()!;
    place.opened();
    for (let i = 0; i < 1000; i++) a.enter();
    now = 10_000;
    a.enter();
    expect(said.map((l) => l.slice(l.indexOf('refused')))).toEqual([
      'refused 1 (1 in all)',
      'refused 1000 (1001 in all)',
    ]);
    place.left();
    place.left();
    expect(a).toMatchObject({ open: 0, halfOpen: 0 });
  });
});
