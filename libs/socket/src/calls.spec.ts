import { describe, expect, test } from '@jest/globals';
import {
  AF_INET, AF_UNSPEC, ERRNO, F_GETFL, F_SETFL, FIONBIO, FIONREAD, IPPROTO_UDP, MSG_DONTWAIT, MSG_MORE, MSG_OOB, MSG_PEEK,
  MSG_TRUNC, MSG_WAITALL, O_NONBLOCK, O_RDWR, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND,
  POLLWRNORM, SHUT_RD, SHUT_RDWR, SHUT_WR, SIOCOUTQ, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET, SOL_TCP, SO_ERROR,
  SO_LINGER, SO_RCVTIMEO, SO_SNDTIMEO, TCP_CORK, TCP_NODELAY, errnoName,
} from '@skbus/skb';
import { Bench } from './testing/bench.ts';
import type { SockAddr, SysReply, SysRequest } from './types.ts';

const HERE = 0x0a4d0002;
const at = (port: number): SockAddr => ({ family: AF_INET, addr: HERE, port });
const name = (r: SysReply | undefined): string | number => (r === undefined ? 'sleeps' : r.errno === 0 ? r.result : errnoName(r.errno));

function tcp(b: Bench, type = SOCK_STREAM): number {
  return b.sys({ call: 'socket', domain: AF_INET, type, protocol: 0 }).result;
}

function listening(b: Bench, port = 80): number {
  const fd = tcp(b);
  expect(name(b.sys({ call: 'bind', fd, addr: at(port) }))).toBe(0);
  expect(name(b.sys({ call: 'listen', fd, backlog: 5 }))).toBe(0);
  return fd;
}

function connected(b: Bench): { l: number; c: number; s: number } {
  const l = listening(b);
  const c = tcp(b);
  expect(name(b.sys({ call: 'connect', fd: c, addr: at(80) }))).toBe(0);
  return { l, c, s: b.sys({ call: 'accept', fd: l, flags: 0 }).result };
}

const send = (fd: number, text: string, flags = 0): SysRequest =>
  ({ call: 'sendto', fd, data: [Uint8Array.from(text, (c) => c.charCodeAt(0))], flags, to: undefined });
const recv = (fd: number, len = 100, flags = 0): SysRequest => ({ call: 'recvfrom', fd, len, flags });
const text = (r: SysReply): string => String.fromCharCode(...(r.data ?? []).flatMap((d) => [...d]));
const pollAll = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLWRBAND | POLLRDHUP;
const poll = (b: Bench, fd: number): number => b.sys({ call: 'poll', fds: [{ fd, events: pollAll }], timeoutMs: 0 }).revents![0]!;

describe('socket()', () => {
  test.each([
    [10, SOCK_STREAM, 0, 'EAFNOSUPPORT'], [AF_INET, 3, 0, 'ESOCKTNOSUPPORT'], [AF_INET, SOCK_STREAM, IPPROTO_UDP, 'EPROTONOSUPPORT'],
    [AF_INET, SOCK_STREAM, 300, 'EINVAL'], [AF_INET, SOCK_STREAM | 0x100, 0, 'EINVAL'], [AF_INET, SOCK_STREAM, 6, 3], [AF_INET, SOCK_DGRAM, 17, 3],
  ])('domain %d, type %d, protocol %d: %s', (domain, type, protocol, want) => {
    expect(name(new Bench().sys({ call: 'socket', domain, type, protocol }))).toBe(want);
  });

  test('fds: the lowest free one, EMFILE at the limit, EBADF for what is none', () => {
    const b = new Bench(1, { maxFds: 3 });
    expect([tcp(b), tcp(b), tcp(b)]).toEqual([3, 4, 5]);
    expect(name(b.sys({ call: 'socket', domain: AF_INET, type: SOCK_STREAM, protocol: 0 }))).toBe('EMFILE');
    b.sys({ call: 'close', fd: 4 });
    expect(tcp(b)).toBe(4);
    for (const fd of [-1, 0, 6, 1e9]) expect(name(b.sys(recv(fd)))).toBe('EBADF');
    expect(name(b.sys({ call: 'close', fd: 9 }))).toBe('EBADF');
  });

  test('before inet_init nothing can be made', () => {
    const b = new Bench(1, { booted: false });
    const ask: SysRequest = { call: 'socket', domain: AF_INET, type: SOCK_STREAM, protocol: 0 };
    expect(name(b.sys(ask))).toBe('EAFNOSUPPORT');
    b.layer.sockRegister(AF_INET);
    expect(name(b.sys(ask))).toBe('ESOCKTNOSUPPORT');
    b.layer.inetRegisterProtosw(SOCK_STREAM, 6);
    expect(name(b.sys(ask))).toBe(3);
  });
});

/** What a call answers in each state, as Linux does. */
describe('errno by call and state', () => {
  const STATES: Record<string, (b: Bench) => number> = {
    fresh: (b) => tcp(b),
    bound: (b) => {
      const fd = tcp(b);
      b.sys({ call: 'bind', fd, addr: at(1000) });
      return fd;
    },
    listening: (b) => listening(b),
    connecting: (b) => {
      b.tcp.holdConnects = true;
      const fd = tcp(b, SOCK_STREAM | SOCK_NONBLOCK);
      expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('EINPROGRESS');
      return fd;
    },
    connected: (b) => connected(b).c,
    reset: (b) => {
      const { c } = connected(b);
      b.tcp.reset([...b.tcp.socks.values()].find((s) => s.rport === 80 && s.listener === 0)!, ERRNO.ECONNRESET, b.now);
      b.run(1);
      return c;
    },
  };
  const CALLS: Record<string, (fd: number) => SysRequest> = {
    bind: (fd) => ({ call: 'bind', fd, addr: at(2000) }),
    listen: (fd) => ({ call: 'listen', fd, backlog: 1 }),
    accept: (fd) => ({ call: 'accept', fd, flags: 0 }),
    connect: (fd) => ({ call: 'connect', fd, addr: at(80) }),
    send: (fd) => send(fd, 'x', MSG_DONTWAIT),
    recv: (fd) => recv(fd, 1, MSG_DONTWAIT),
    'shutdown WR': (fd) => ({ call: 'shutdown', fd, how: SHUT_WR }),
    getpeername: (fd) => ({ call: 'getpeername', fd }),
    FIONREAD: (fd) => ({ call: 'ioctl', fd, request: FIONREAD, arg: 0 }),
    SIOCOUTQ: (fd) => ({ call: 'ioctl', fd, request: SIOCOUTQ, arg: 0 }),
  };
  const WANT: Record<string, Record<string, string | number>> = {
    fresh: { bind: 0, listen: 0, accept: 'EINVAL', connect: 'ECONNREFUSED', send: 'EPIPE', recv: 'ENOTCONN', 'shutdown WR': 'ENOTCONN', getpeername: 'ENOTCONN', FIONREAD: 0, SIOCOUTQ: 0 },
    bound: { bind: 'EINVAL', listen: 0, accept: 'EINVAL', connect: 'ECONNREFUSED', send: 'EPIPE', recv: 'ENOTCONN', 'shutdown WR': 'ENOTCONN', getpeername: 'ENOTCONN', FIONREAD: 0, SIOCOUTQ: 0 },
    listening: { bind: 'EINVAL', listen: 0, accept: 'sleeps', connect: 'EISCONN', send: 'EPIPE', recv: 'ENOTCONN', 'shutdown WR': 0, getpeername: 'ENOTCONN', FIONREAD: 'EINVAL', SIOCOUTQ: 'EINVAL' },
    connecting: { bind: 'EINVAL', listen: 'EINVAL', accept: 'EINVAL', connect: 'EALREADY', send: 'EAGAIN', recv: 'EAGAIN', 'shutdown WR': 0, getpeername: 'ENOTCONN', FIONREAD: 0, SIOCOUTQ: 0 },
    connected: { bind: 'EINVAL', listen: 'EINVAL', accept: 'EINVAL', connect: 'EISCONN', send: 1, recv: 'EAGAIN', 'shutdown WR': 0, getpeername: 0, FIONREAD: 0, SIOCOUTQ: 0 },
    reset: { bind: 'EINVAL', listen: 'EINVAL', accept: 'EINVAL', connect: 'EISCONN', send: 'ECONNRESET', recv: 'ECONNRESET', 'shutdown WR': 'ENOTCONN', getpeername: 'ENOTCONN', FIONREAD: 0, SIOCOUTQ: 0 },
  };
  for (const [state, wants] of Object.entries(WANT)) {
    test.each(Object.entries(wants))(`${state}: %s → %s`, (call, want) => {
      const b = new Bench();
      const fd = STATES[state]!(b);
      const box = b.start(CALLS[call]!(fd));
      b.run(10);
      expect(name(box.reply)).toBe(want);
    });
  }
});

describe('connect()', () => {
  test('refused: the error once, then the socket can be used again', () => {
    const b = new Bench();
    const fd = tcp(b);
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('ECONNREFUSED');
    listening(b);
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe(0);
  });

  test('non-blocking: EINPROGRESS, EALREADY, then POLLOUT and 0', () => {
    const b = new Bench();
    listening(b);
    b.tcp.holdConnects = true;
    const fd = tcp(b, SOCK_STREAM | SOCK_NONBLOCK);
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('EINPROGRESS');
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('EALREADY');
    expect(poll(b, fd)).toBe(0);
    const waiting = b.start({ call: 'poll', fds: [{ fd, events: POLLOUT }], timeoutMs: -1 });
    b.tcp.complete([...b.tcp.socks.values()].find((s) => s.rport === 80)!, 0, b.now);
    b.run(1);
    expect(waiting.reply).toMatchObject({ result: 1, revents: [POLLOUT] });
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe(0);
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('EISCONN');
  });

  test('non-blocking and refused: POLLERR and SO_ERROR once; or the second connect() tells', () => {
    for (const how of ['SO_ERROR', 'connect']) {
      const b = new Bench();
      b.tcp.holdConnects = true;
      const fd = tcp(b, SOCK_STREAM | SOCK_NONBLOCK);
      b.sys({ call: 'connect', fd, addr: at(80) });
      b.tcp.complete([...b.tcp.socks.values()][0]!, ERRNO.ECONNREFUSED, b.now);
      b.run(1);
      expect(poll(b, fd)).toBe(POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM | POLLERR | POLLHUP);
      if (how === 'SO_ERROR') {
        expect(b.sys({ call: 'getsockopt', fd, level: SOL_SOCKET, name: SO_ERROR }).value).toBe(ERRNO.ECONNREFUSED);
        expect(b.sys({ call: 'getsockopt', fd, level: SOL_SOCKET, name: SO_ERROR }).value).toBe(0);
        expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('ECONNABORTED');
      } else expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('ECONNREFUSED');
      b.sys({ call: 'close', fd });
      b.run(5000);
      expect(b.layer.gauges.sockets).toBe(0);
      expect(b.tcp.socks.size).toBe(0);
    }
  });

  test('no route is said at once, also to a non-blocking socket', () => {
    const b = new Bench();
    b.tcp.connectErrno = ERRNO.ENETUNREACH;
    const fd = tcp(b, SOCK_STREAM | SOCK_NONBLOCK);
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('ENETUNREACH');
    expect(name(b.sys({ call: 'connect', fd, addr: { ...at(80), addr: 0xffffffff } }))).toBe('ENETUNREACH');
    expect(name(b.sys({ call: 'connect', fd, addr: { ...at(80), family: 10 } }))).toBe('EAFNOSUPPORT');
  });

  test('a transport that is away does not hold up a non-blocking connect; it is found when it comes', () => {
    const b = new Bench();
    listening(b);
    b.faults = { loss: 1, duplicate: 0, jitterMs: 0 };
    const fd = tcp(b, SOCK_STREAM | SOCK_NONBLOCK);
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('EINPROGRESS');
    expect(b.now).toBe(200);
    b.faults.loss = 0;
    b.run(2000);
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe(0);
  });

  test('SO_SNDTIMEO ends the wait with EINPROGRESS', () => {
    const b = new Bench();
    b.tcp.holdConnects = true;
    const fd = tcp(b);
    b.sys({ call: 'setsockopt', fd, level: SOL_SOCKET, name: SO_SNDTIMEO, value: { sec: 3, usec: 0 } });
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('EINPROGRESS');
    expect(b.now).toBe(3000);
    expect(name(b.sys({ call: 'connect', fd, addr: at(80) }))).toBe('EALREADY');
  });

  test('AF_UNSPEC: the connection is gone, the socket is like new', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    expect(name(b.sys({ call: 'connect', fd: c, addr: { family: AF_UNSPEC, addr: 0, port: 0 } }))).toBe(0);
    expect(name(b.sys(recv(s)))).toBe('ECONNRESET');
    expect(name(b.sys({ call: 'getpeername', fd: c }))).toBe('ENOTCONN');
    expect(name(b.sys({ call: 'connect', fd: c, addr: at(80) }))).toBe(0);
  });
});

describe('bind() and listen()', () => {
  test('EADDRINUSE, EAFNOSUPPORT, AF_UNSPEC with INADDR_ANY', () => {
    const b = new Bench();
    listening(b);
    const fd = tcp(b);
    expect(name(b.sys({ call: 'bind', fd, addr: at(80) }))).toBe('EADDRINUSE');
    expect(name(b.sys({ call: 'bind', fd, addr: { ...at(81), family: 10 } }))).toBe('EAFNOSUPPORT');
    expect(name(b.sys({ call: 'bind', fd, addr: { family: AF_UNSPEC, addr: HERE, port: 81 } }))).toBe('EAFNOSUPPORT');
    const r = b.sys({ call: 'bind', fd, addr: { family: AF_UNSPEC, addr: 0, port: 0 } });
    expect(r.local!.port).toBeGreaterThan(0);
    expect(b.sys({ call: 'getsockname', fd }).addr).toEqual(r.local);
  });

  test('calls made without waiting run in order', () => {
    const b = new Bench();
    const fd = tcp(b);
    const boxes = [
      b.start({ call: 'bind', fd, addr: at(80) }), b.start({ call: 'listen', fd, backlog: -1 }), b.start({ call: 'accept', fd, flags: 0 }),
    ];
    b.run(1);
    expect(boxes.map((x) => name(x.reply))).toEqual([0, 0, 'sleeps']);
    expect(b.layer.sockets()[0]).toMatchObject({ state: 10, sendQ: 4096 });
  });

  test('shutdown of a listener wakes accept with EINVAL and resets who waits', () => {
    const b = new Bench();
    const l = listening(b);
    const c = tcp(b);
    b.sys({ call: 'connect', fd: c, addr: at(80) });
    b.sys({ call: 'shutdown', fd: l, how: SHUT_RD });
    expect(name(b.sys({ call: 'accept', fd: l, flags: 0 }))).toBe('EINVAL');
    expect(name(b.sys(recv(c)))).toBe('ECONNRESET');
  });

  test('SO_RCVTIMEO and O_NONBLOCK of accept; EMFILE leaves the connection in the queue', () => {
    const b = new Bench(1, { maxFds: 2 });
    const l = listening(b);
    b.sys({ call: 'setsockopt', fd: l, level: SOL_SOCKET, name: SO_RCVTIMEO, value: { sec: 0, usec: 500_000 } });
    expect(name(b.sys({ call: 'accept', fd: l, flags: 0 }))).toBe('EAGAIN');
    expect(b.now).toBe(500);
    expect(name(b.sys({ call: 'accept', fd: l, flags: 1 }))).toBe('EINVAL');
    const c = tcp(b);
    b.sys({ call: 'connect', fd: c, addr: at(80) });
    expect(name(b.sys({ call: 'accept', fd: l, flags: 0 }))).toBe('EMFILE');
    expect(poll(b, l)).toBe(POLLIN | POLLRDNORM);
    b.sys({ call: 'close', fd: c });
    expect(b.sys({ call: 'accept', fd: l, flags: SOCK_NONBLOCK })).toMatchObject({ errno: 0, result: c, local: { port: 80 } });
    expect(b.sys({ call: 'fcntl', fd: c, cmd: F_GETFL, arg: 0 }).result).toBe(O_RDWR | O_NONBLOCK);
  });
});

describe('recv() and send()', () => {
  test('MSG_PEEK, MSG_TRUNC, MSG_WAITALL, FIONREAD', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.sys(send(c, 'abcdef'));
    expect(text(b.sys(recv(s, 3, MSG_PEEK)))).toBe('abc');
    expect(b.sys({ call: 'ioctl', fd: s, request: FIONREAD, arg: 0 }).value).toBe(6);
    expect(b.sys(recv(s, 2, MSG_TRUNC))).toMatchObject({ result: 2, data: [] });
    const all = b.start(recv(s, 6, MSG_WAITALL));
    b.run(1);
    expect(all.reply).toBeUndefined();
    b.sys(send(c, 'gh'));
    b.run(1);
    expect(text(all.reply!)).toBe('cdefgh');
    expect(name(b.sys(recv(s, 1, MSG_OOB)))).toBe('EINVAL');
    expect(name(b.sys(send(c, 'x', MSG_OOB)))).toBe('EOPNOTSUPP');
  });

  test('MSG_WAITALL ends early with what there is when the peer closes', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.sys(send(c, 'ab'));
    const all = b.start(recv(s, 6, MSG_WAITALL));
    b.sys({ call: 'close', fd: c });
    b.run(1);
    expect(text(all.reply!)).toBe('ab');
    expect(name(b.sys(recv(s)))).toBe(0);
    expect(poll(b, s)).toBe(POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM);
  });

  test('SHUT_RD: what came can be read, then 0; SHUT_WR: EPIPE, and the peer reads 0', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.sys(send(c, 'ab'));
    b.run(1);
    b.sys({ call: 'shutdown', fd: s, how: SHUT_RD });
    expect(text(b.sys(recv(s)))).toBe('ab');
    expect(name(b.sys(recv(s)))).toBe(0);
    b.sys({ call: 'shutdown', fd: c, how: SHUT_WR });
    expect(name(b.sys(send(c, 'x')))).toBe('EPIPE');
    expect(name(b.sys({ call: 'shutdown', fd: c, how: 3 }))).toBe('EINVAL');
    b.sys({ call: 'shutdown', fd: s, how: SHUT_RDWR });
    b.run(1);
    expect(name(b.sys(recv(c)))).toBe(0);
    expect(poll(b, c) & (POLLHUP | POLLERR)).toBe(POLLHUP);
  });

  test('a full send buffer: the blocking writer sleeps, the other gets what fitted, then EAGAIN', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.sys({ call: 'setsockopt', fd: c, level: SOL_SOCKET, name: 7, value: 4096 });
    b.tcp.stalled = true;
    const big = (flags: number): SysRequest => ({ call: 'sendto', fd: c, data: [new Uint8Array(20_000)], flags, to: undefined });
    expect(name(b.sys(big(MSG_DONTWAIT)))).toBe(8192);
    expect(name(b.sys(big(MSG_DONTWAIT)))).toBe('EAGAIN');
    expect(poll(b, c)).toBe(0);
    const waiting = b.start(big(0));
    b.run(5000);
    expect(waiting.reply).toBeUndefined();
    b.tcp.stalled = false;
    let got = 0;
    while (got < 28_192) got += b.sys(recv(s, 65_536)).result;
    expect(name(waiting.reply)).toBe(20_000);
    b.sys({ call: 'setsockopt', fd: c, level: SOL_SOCKET, name: SO_SNDTIMEO, value: { sec: 1, usec: 0 } });
    b.tcp.stalled = true;
    expect(name(b.sys(big(0)))).toBe(8192);
    expect(name(b.sys(big(0)))).toBe('EAGAIN');
  });

  test('MSG_MORE holds a short tail for 200 ms, or until something pushes it', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    const sent = (): number => b.tcpCmds.reduce((n, x) => n + (x.data?.data.length ?? 0), 0);
    b.sys(send(c, 'ab', MSG_MORE));
    b.run(199);
    expect(sent()).toBe(0);
    b.run(1);
    expect(text(b.sys(recv(s)))).toBe('ab');
    b.sys(send(c, 'cd', MSG_MORE));
    b.sys(send(c, 'ef'));
    expect(text(b.sys(recv(s)))).toBe('cdef');
    b.sys(send(c, 'gh', MSG_MORE));
    b.sys({ call: 'setsockopt', fd: c, level: SOL_TCP, name: TCP_NODELAY, value: 1 });
    expect(text(b.sys(recv(s)))).toBe('gh');
    b.sys(send(c, 'x'.repeat(3000), MSG_MORE));
    b.run(1);
    expect(sent()).toBe(6 + 2920);
    b.sys({ call: 'setsockopt', fd: c, level: SOL_TCP, name: TCP_CORK, value: 0 });
    b.run(1);
    expect(sent()).toBe(6 + 3000);
  });

  test('an iovec goes out whole, small pieces put together', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    const data = Array.from({ length: 1000 }, (_, i) => Uint8Array.of(i & 255, i >> 8));
    expect(name(b.sys({ call: 'sendto', fd: c, data, flags: 0, to: undefined }))).toBe(2000);
    b.run(1);
    expect(b.tcpCmds.filter((x) => x.data).length).toBeLessThan(4);
    expect(b.sys(recv(s, 5000, MSG_WAITALL | MSG_DONTWAIT)).data!.flatMap((d) => [...d])).toEqual(data.flatMap((d) => [...d]));
  });

  test('cancel: EINTR, or what was done', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    const waiting = b.start(recv(s));
    waiting.cancel();
    expect(name(waiting.reply)).toBe('EINTR');
    b.sys(send(c, 'ab'));
    b.run(1);
    const all = b.start(recv(s, 10, MSG_WAITALL));
    all.cancel();
    expect(text(all.reply!)).toBe('ab');
  });
});

describe('close()', () => {
  test('with unread data the peer is reset (RFC 2525 2.17)', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.sys(send(c, 'ab'));
    b.run(1);
    b.sys({ call: 'close', fd: s });
    expect(name(b.sys(recv(c)))).toBe('ECONNRESET');
    expect(name(b.sys(recv(c)))).toBe(0);
    expect(name(b.sys(send(c, 'x')))).toBe('EPIPE');
  });

  test('SO_LINGER 0 resets; SO_LINGER 5 waits for the peer, at most 5 s', () => {
    const b = new Bench();
    const { l, c, s } = connected(b);
    b.sys({ call: 'setsockopt', fd: s, level: SOL_SOCKET, name: SO_LINGER, value: { onoff: 1, linger: 0 } });
    b.sys({ call: 'close', fd: s });
    expect(name(b.sys(recv(c)))).toBe('ECONNRESET');
    b.sys({ call: 'close', fd: c });
    const d = tcp(b);
    b.sys({ call: 'connect', fd: d, addr: at(80) });
    const e = b.sys({ call: 'accept', fd: l, flags: 0 }).result;
    b.sys({ call: 'setsockopt', fd: d, level: SOL_SOCKET, name: SO_LINGER, value: { onoff: 1, linger: 5 } });
    b.tcp.stalled = true;
    b.sys(send(d, 'never'));
    const before = b.now;
    expect(name(b.sys({ call: 'close', fd: d }))).toBe(0);
    expect(b.now - before).toBe(5000);
    b.tcp.stalled = false;
    expect(text(b.sys(recv(e)))).toBe('never');
    const f = tcp(b);
    b.sys({ call: 'connect', fd: f, addr: at(80) });
    b.sys({ call: 'accept', fd: l, flags: 0 });
    b.sys({ call: 'setsockopt', fd: f, level: SOL_SOCKET, name: SO_LINGER, value: { onoff: 1, linger: 5 } });
    const then = b.now;
    expect(name(b.sys({ call: 'close', fd: f }))).toBe(0);
    expect(b.now - then).toBeLessThan(100);
  });

  test('calls that sleep on the fd end with EBADF; a program that goes away closes everything', () => {
    const b = new Bench();
    const { l, c, s } = connected(b);
    const waiting = b.start(recv(s));
    const polling = b.start({ call: 'poll', fds: [{ fd: s, events: POLLIN }], timeoutMs: -1 });
    b.sys({ call: 'close', fd: s });
    expect(name(waiting.reply)).toBe('EBADF');
    expect(polling.reply).toMatchObject({ result: 1, revents: [POLLNVAL] });
    b.start({ call: 'accept', fd: l, flags: 0 });
    b.start(recv(c, 1000, MSG_WAITALL));
    b.layer.closeProcess(b.proc, b.now);
    b.layer.flush(b.now);
    b.run(10_000);
    expect(b.layer.gauges).toEqual({ sockets: 0, processes: 0, timers: 0 });
    expect(b.tcp.socks.size).toBe(0);
  });
});

describe('poll()', () => {
  test.each([
    ['fresh', POLLOUT | POLLWRNORM | POLLHUP, (b: Bench) => tcp(b)],
    ['listening', 0, (b: Bench) => listening(b)],
    ['connected', POLLOUT | POLLWRNORM, (b: Bench) => connected(b).c],
    ['UDP', POLLOUT | POLLWRNORM | POLLWRBAND, (b: Bench) => tcp(b, SOCK_DGRAM)],
  ])('%s', (_name, want, make) => {
    const b = new Bench();
    expect(poll(b, make(b))).toBe(want);
  });

  test('several fds, bad ones among them; the time runs out', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    expect(b.sys({ call: 'poll', fds: [{ fd: c, events: POLLIN }, { fd: -1, events: POLLIN }, { fd: 99, events: POLLIN }], timeoutMs: -1 }))
      .toMatchObject({ result: 1, revents: [0, 0, POLLNVAL] });
    expect(b.sys({ call: 'poll', fds: [{ fd: c, events: POLLIN }], timeoutMs: 250 })).toMatchObject({ errno: 0, result: 0, revents: [0] });
    expect(b.now).toBe(250);
    const waiting = b.start({ call: 'poll', fds: [{ fd: c, events: POLLIN }, { fd: s, events: POLLIN }], timeoutMs: -1 });
    b.sys(send(c, 'x'));
    b.run(1);
    expect(waiting.reply).toMatchObject({ result: 1, revents: [0, POLLIN] });
  });

  test('O_NONBLOCK by fcntl and FIONBIO', () => {
    const b = new Bench();
    const { s } = connected(b);
    b.sys({ call: 'fcntl', fd: s, cmd: F_SETFL, arg: O_NONBLOCK });
    expect(name(b.sys(recv(s)))).toBe('EAGAIN');
    b.sys({ call: 'ioctl', fd: s, request: FIONBIO, arg: 0 });
    expect(b.start(recv(s)).reply).toBeUndefined();
    expect(name(b.sys({ call: 'ioctl', fd: s, request: 1, arg: 0 }))).toBe('ENOTTY');
    expect(name(b.sys({ call: 'fcntl', fd: s, cmd: 99, arg: 0 }))).toBe('EINVAL');
  });
});
