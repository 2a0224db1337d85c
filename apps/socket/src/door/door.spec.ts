import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttp, get, request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { connect as connectUnix } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { decodeDoorReply, encodeDoorRequest } from '@skbus/contracts';
import {
  type DoorCall,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
  FrameReader,
  frameHead,
  MSG_PEEK,
  POLLIN,
  SOCK_DGRAM,
  SOCK_STREAM,
  Sys,
  UnixDoor,
  connector,
  dgram,
  httpAgent,
  net,
  serveHttp,
} from '@skbus/net';
import { Agent, fetch } from 'undici';
import { LoopStack } from '../testing/loop-stack.ts';
import { DoorServer } from './door-server.ts';

const HERE = '10.77.0.2';
let dir: string;
let stack: LoopStack;
let server: DoorServer;
let door: UnixDoor;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'skbus-'));
  stack = new LoopStack();
  server = new DoorServer(stack, join(dir, 'skbus.sock'));
  await server.listen();
  door = await new UnixDoor(server.path, { reconnectMs: 200 }).opened();
});

afterEach(() => {
  door.close();
  server.close();
  stack.close();
  rmSync(dir, { recursive: true });
});

test('epoll through the door: one descriptor for many sockets', async () => {
  const sys = new Sys(door);
  const listener = await sys.socket(2, SOCK_STREAM);
  await sys.bind(listener, { address: HERE, port: 80 });
  await sys.listen(listener);
  const ep = await sys.epollCreate(EPOLL_CLOEXEC);
  await expect(sys.epollCreate(1)).rejects.toMatchObject({ code: 'EINVAL' });
  await sys.epollCtl(ep, EPOLL_CTL_ADD, listener, { events: EPOLLIN, data: 2 ** 53 - 1 });
  await expect(sys.epollCtl(ep, EPOLL_CTL_ADD, listener)).rejects.toMatchObject({ code: 'EEXIST' });
  expect(await sys.epollWait(ep, 4, 0)).toEqual([]);
  const client = await sys.socket(2, SOCK_STREAM);
  await sys.epollCtl(ep, EPOLL_CTL_ADD, client, { events: EPOLLOUT | EPOLLET, data: 7 });
  const waiting = sys.epollWait(ep, 1, -1);
  await sys.connect(client, { address: HERE, port: 80 });
  await waiting;
  const { fd } = await sys.accept(listener);
  await sys.epollCtl(ep, EPOLL_CTL_MOD, client, { events: EPOLLIN | EPOLLOUT | EPOLLET, data: 8 });
  await sys.send(fd, Buffer.from('hello'));
  await sys.poll([{ fd: client, events: POLLIN }], -1);
  const ready = await sys.epollWait(ep, 4, -1);
  expect(ready).toEqual([{ events: EPOLLIN | EPOLLOUT, data: 8 }]);
  const abort = new AbortController();
  const cut = sys.epollWait(ep, 4, -1, { signal: abort.signal });
  abort.abort();
  await expect(cut).rejects.toMatchObject({ code: 'EINTR' });
  await sys.close(ep);
  await expect(sys.epollWait(ep, 4, -1)).rejects.toMatchObject({ code: 'EBADF' });
});

test('news of ten thousand sockets at once are understood', async () => {
  let tell: (news: { sk: number; sndGot: number }[]) => void = () => {};
  const gateway = Object.create(stack, {
    openSession: { value: (_p: number, _o: number, t: typeof tell) => (tell = t) },
  });
  const busy = new DoorServer(gateway as LoopStack, join(dir, 'busy.sock'));
  await busy.listen();
  const program = await new UnixDoor(busy.path, { reconnectMs: 0 }).opened();
  const sys = new Sys(program);
  const fd = await sys.socket(2, SOCK_STREAM);
  stack.run(() => tell(Array.from({ length: 10_000 }, (_, i) => ({ sk: 0xf000_0000 + i, sndGot: 2 ** 40 + i }))));
  await sys.close(fd);
  expect(program.closed).toBe(false);
  program.close();
  busy.close();
});

test('a program that is gone makes room for another', async () => {
  const small = new DoorServer(stack, join(dir, 'small.sock'), 1);
  await small.listen();
  const come = (): Promise<UnixDoor> => new UnixDoor(small.path, { reconnectMs: 0 }).opened();
  for (let i = 0; i < 3; i++) {
    const program = await come();
    await new Sys(program).socket(2, SOCK_STREAM);
    expect(small.programs).toBe(1);
    // a connection too many is closed before a word
    const another = await come();
    await expect(new Sys(another).socket(2, SOCK_STREAM)).rejects.toMatchObject({ code: 'ENETDOWN' });
    program.close();
    for (let turns = 0; small.programs > 0 && turns < 1_000; turns++) await new Promise((go) => setImmediate(go));
    expect(small.programs).toBe(0);
  }
  small.close();
});

test('a program that takes no answers for a while gets them all, and those to what it asks meanwhile', async () => {
  const unix = connectUnix(server.path);
  const reader = new FrameReader((pb, data, length) => {
    const r = decodeDoorReply(pb);
    expect([r.error, r.errno, data.reduce((n, d) => n + d.length, 0)]).toEqual(['', 0, length]);
    answers.set(r.id, { result: r.value?.num ?? r.result, length });
  });
  const answers = new Map<number, { result: number; length: number }>();
  unix.on('data', (chunk) => reader.push(chunk));
  const asked = async (n: number): Promise<void> => {
    while (answers.size < n) await new Promise((go) => setImmediate(go));
  };
  let id = 0;
  const ask = (call: DoorCall, data?: Uint8Array): void => {
    unix.write(frameHead(encodeDoorRequest(call, ++id, 0), data?.length ?? 0));
    if (data !== undefined) unix.write(data);
  };
  for (let i = 0; i < 2; i++) ask({ socket: { domain: 2, type: SOCK_DGRAM } });
  await asked(2);
  const [to, from] = [answers.get(1)!.result, answers.get(2)!.result];
  const addr = { family: 2, addr: 0x0a4d0002, port: 7 };
  ask({ bind: { fd: to, addr } });
  ask({ sendto: { fd: from, to: addr } }, new Uint8Array(60_000).fill(7));
  ask({ poll: { fds: [{ fd: to, events: POLLIN }], timeoutMs: -1 } });
  await asked(5);
  // 18 MB of answers, twice what the door keeps for a program
  unix.pause();
  const peek = { recvfrom: { fd: to, len: 60_000, flags: MSG_PEEK } };
  for (let i = 0; i < 300; i++) ask(peek);
  for (let turns = 0; turns < 100; turns++) await new Promise((go) => setImmediate(go));
  ask({ getsockopt: { fd: to, level: 1, name: 3 } });
  unix.resume();
  await asked(306);
  expect(answers.get(200)).toEqual({ result: 60_000, length: 60_000 });
  expect(answers.get(306)).toEqual({ result: SOCK_DGRAM, length: 0 });
  unix.destroy();
});

describe('sys', () => {
  test('connect, send, recv, close', async () => {
    const sys = new Sys(door);
    const l = await sys.socket(2, SOCK_STREAM);
    await sys.bind(l, { address: HERE, port: 7 });
    await sys.listen(l, 5);
    const c = await sys.socket(2, SOCK_STREAM);
    const accepted = sys.accept(l);
    await sys.connect(c, { address: HERE, port: 7 });
    const { fd, addr } = await accepted;
    expect(addr.address).toBe(HERE);
    expect(await sys.send(c, Buffer.from('hello'))).toBe(5);
    expect((await sys.recv(fd, 100, MSG_PEEK)).toString()).toBe('hello');
    expect((await sys.recv(fd, 2)).toString()).toBe('he');
    await sys.close(c);
    expect((await sys.recv(fd, 100)).toString()).toBe('llo');
    expect(await sys.recv(fd, 100)).toHaveLength(0);
    await expect(sys.connect(await sys.socket(2, SOCK_STREAM), { address: HERE, port: 9 })).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      errno: -111,
      syscall: 'connect',
      address: HERE,
      port: 9,
    });
    await expect(sys.recv(99, 1)).rejects.toMatchObject({ code: 'EBADF' });
  });

  test('a cancelled call ends with EINTR', async () => {
    const sys = new Sys(door);
    const fd = await sys.socket(2, SOCK_DGRAM);
    const stop = new AbortController();
    const waiting = sys.recvfrom(fd, 10, 0, { signal: stop.signal });
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'EINTR' });
  });
});

function echo(port: number): Promise<InstanceType<typeof net.Server>> {
  const s = net.createServer({ door, allowHalfOpen: true }, (c) => {
    c.on('error', () => {});
    c.pipe(c);
  });
  return new Promise((resolve) => s.listen(port, () => resolve(s)));
}

describe('net', () => {
  test('a megabyte comes back as it went, then both ends close', async () => {
    const s = await echo(7);
    const data = Buffer.alloc(3_000_000, 'abcdefghij');
    const c = net.connect({ port: 7, host: HERE, door });
    await once(c, 'connect');
    expect(c.remoteAddress).toBe(HERE);
    expect(c.localPort).toBeGreaterThan(0);
    c.end(data);
    const got: Buffer[] = [];
    for await (const d of c) got.push(d as Buffer);
    expect(Buffer.concat(got).equals(data)).toBe(true);
    expect(c.bytesRead).toBe(data.length);
    if (!c.closed) await once(c, 'close');
    s.close();
    await once(s, 'close');
    await new Promise((r) => setTimeout(r, 50));
    expect(stack.layer.gauges.sockets).toBe(0);
  });

  test('what was written before destroy() still arrives, however slow the reader; resetAndDestroy() drops it', async () => {
    const sockets: InstanceType<typeof net.Socket>[] = [];
    const s = net.createServer({ door, pauseOnConnect: true }, (c) => void sockets.push(c)).listen(8);
    await once(s, 'listening');
    const data = Buffer.alloc(200_000, 'abcdefghij');
    for (const end of ['destroy', 'resetAndDestroy'] as const) {
      const c = net.connect({ port: 8, host: HERE, door });
      await once(c, 'connect');
      while (sockets.length === 0) await once(s, 'connection');
      const peer = sockets.pop()!;
      await new Promise<void>((resolve) => c.write(data, () => resolve()));
      c[end]();
      const got: Buffer[] = [];
      const whole = (async () => {
        for await (const d of peer) got.push(d as Buffer);
      })();
      if (end === 'destroy') {
        await whole;
        expect(Buffer.concat(got).equals(data)).toBe(true);
      } else await expect(whole).rejects.toMatchObject({ code: 'ECONNRESET' });
    }
    s.close();
    await once(s, 'close');
  });

  test('a refused connection is the error Node gives', async () => {
    const d = net.connect({ port: 81, host: HERE, door });
    const [e] = await once(d, 'error');
    expect(e).toMatchObject({
      code: 'ECONNREFUSED',
      errno: -111,
      syscall: 'connect',
      address: HERE,
      port: 81,
      message: `connect ECONNREFUSED ${HERE}:81`,
    });
  });

  test('a port in use', async () => {
    const s = await echo(7);
    const t = net.createServer({ door });
    t.listen(7);
    const [e] = await once(t, 'error');
    expect(e).toMatchObject({ code: 'EADDRINUSE', syscall: 'bind', port: 7 });
    s.close();
  });

  test('when the stack goes away and nobody comes, sockets and servers say so', async () => {
    const s = await echo(7);
    const c = net.connect({ port: 7, host: HERE, door });
    await once(c, 'connect');
    const closed = new Promise((resolve) => c.once('close', resolve));
    const gone = Promise.all([once(s, 'error'), once(c, 'error')]);
    server.close();
    const [[e], [f]] = await gone;
    expect(await closed).toBe(true);
    expect(e).toMatchObject({ code: 'ENETDOWN' });
    expect(f).toMatchObject({ code: 'ECONNRESET' });
  });
});

describe('http', () => {
  test('http.Server, http.Agent and fetch work on it unchanged', async () => {
    const http = createHttp((req, res) => {
      let n = 0;
      req.on('data', (d: Buffer) => {
        n += d.length;
      });
      req.on('end', () => res.end(`${req.method} ${req.url} ${n}`));
    });
    const s = serveHttp(http, 80, { door });
    await once(s, 'listening');
    const agent = httpAgent({ door, keepAlive: true });
    const body = await new Promise<string>((resolve, reject) => {
      get({ host: HERE, port: 80, path: '/a', agent }, (res: IncomingMessage) => {
        let text = '';
        res.on('data', (d: Buffer) => {
          text += d.toString();
        });
        res.on('end', () => resolve(text));
      }).on('error', reject);
    });
    expect(body).toBe('GET /a 0');
    const dispatcher = new Agent({ connect: connector({ door }) as never });
    const answers = await Promise.all(
      [1, 2, 3].map(async (i) =>
        (await fetch(`http://${HERE}/${i}`, { method: 'POST', body: Buffer.alloc(500_000 * i), dispatcher })).text(),
      ),
    );
    expect(answers).toEqual(['POST /1 500000', 'POST /2 1000000', 'POST /3 1500000']);
    const put = await new Promise<number>((resolve) => {
      const r = request({ host: HERE, port: 80, path: '/b', method: 'PUT', agent }, (res) =>
        resolve(res.statusCode ?? 0),
      );
      r.end('x');
    });
    expect(put).toBe(200);
    await dispatcher.close();
    agent.destroy();
    s.close();
  });
});

describe('dgram', () => {
  test('a datagram goes there and back; a closed port is refused', async () => {
    const s = dgram.createSocket({ type: 'udp4', door });
    s.on('message', (m, from) => s.send(m, from.port, from.address));
    s.bind(7);
    await once(s, 'listening');
    const c = dgram.createSocket({ type: 'udp4', door });
    c.send('ping', 7, HERE);
    const [m, from] = await once(c, 'message');
    expect(String(m)).toBe('ping');
    expect(from).toMatchObject({ address: HERE, port: 7, size: 4 });
    c.connect(9, HERE);
    await once(c, 'connect');
    c.send('nobody');
    const [e] = await once(c, 'error');
    expect(e).toMatchObject({ code: 'ECONNREFUSED' });
    c.close();
    s.close();
  });
});

test('an answer that nobody waits for comes with the next one, or soon', async () => {
  const s = net.createServer({ door }, (peer) => void peer.resume()).listen(9);
  await once(s, 'listening');
  const c = net.connect({ port: 9, host: HERE, door });
  await once(c, 'connect');
  const fd = (c as unknown as { fd: number }).fd;
  const came: string[] = [];
  const ask = (call: DoorCall, name: string): Promise<unknown> =>
    new Promise<void>((resolve) => {
      door.request(call, call.sendto ? [Buffer.from('x')] : undefined, () => {
        came.push(name);
        resolve();
      });
    });
  const send = { sendto: { fd }, later: true };
  await Promise.all([ask(send, 'first'), ask({ getsockname: { fd } }, 'name')]);
  await ask(send, 'alone');
  expect(came).toEqual(['first', 'name', 'alone']);
  c.destroy();
  s.close();
  await once(s, 'close');
});

describe('garbage at the door', () => {
  test.each([
    ['a frame too long', Buffer.from('ffffffff00000000', 'hex'), /frame of 4294967295/],
    ['a message longer than its frame', Buffer.from('0000000800000080', 'hex'), /message of 128/],
    ['no protobuf', Buffer.from('00000006000000020fff', 'hex'), /no DoorRequest|holds no call|reserved/],
    ['no call', Buffer.from('00000006000000020801', 'hex'), /holds no call/],
  ])('%s: one frame that says so, then the end', async (_name, bytes, says) => {
    const { connect } = await import('node:net');
    const raw = connect({ path: server.path });
    raw.write(bytes);
    const got: Buffer[] = [];
    for await (const d of raw) got.push(d as Buffer);
    expect(Buffer.concat(got).toString('latin1')).toMatch(says);
  });
});

test('the example of docs/DOOR.md', async () => {
  const { connect } = await import('node:net');
  const raw = connect({ path: server.path });
  raw.write(Buffer.from('0000000c000000080801120408041002', 'hex'));
  const [answer] = await once(raw, 'data');
  expect((answer as Buffer).toString('hex')).toBe('000000080000000408011806');
  raw.destroy();
});
