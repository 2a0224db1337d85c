import { describe, expect, test } from '@jest/globals';
import {
  AF_INET,
  AF_UNSPEC,
  ERRNO,
  F_GETFL,
  FIONREAD,
  IPPROTO_UDP,
  MSG_DONTWAIT,
  O_NONBLOCK,
  O_RDWR,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRNORM,
  SHUT_RD,
  SHUT_WR,
  SIOCOUTQ,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_ERROR,
  SO_RCVTIMEO,
  SO_SNDTIMEO,
} from '@skbus/skb';
import { Bench } from './testing/bench.ts';
import { HERE, at, connected, listening, name, poll, recv, send, tcp } from './testing/calls-kit.ts';
import type { SysRequest } from './types.ts';

describe('socket()', () => {
  test.each([
    [10, SOCK_STREAM, 0, 'EAFNOSUPPORT'],
    [AF_INET, 3, 0, 'ESOCKTNOSUPPORT'],
    [AF_INET, SOCK_STREAM, IPPROTO_UDP, 'EPROTONOSUPPORT'],
    [AF_INET, SOCK_STREAM, 300, 'EINVAL'],
    [AF_INET, SOCK_STREAM | 0x100, 0, 'EINVAL'],
    [AF_INET, SOCK_STREAM, 6, 3],
    [AF_INET, SOCK_DGRAM, 17, 3],
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
      b.tcp.reset(
        [...b.tcp.socks.values()].find((s) => s.rport === 80 && s.listener === 0)!,
        ERRNO.ECONNRESET,
        b.now,
      );
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
    fresh: {
      bind: 0,
      listen: 0,
      accept: 'EINVAL',
      connect: 'ECONNREFUSED',
      send: 'EPIPE',
      recv: 'ENOTCONN',
      'shutdown WR': 'ENOTCONN',
      getpeername: 'ENOTCONN',
      FIONREAD: 0,
      SIOCOUTQ: 0,
    },
    bound: {
      bind: 'EINVAL',
      listen: 0,
      accept: 'EINVAL',
      connect: 'ECONNREFUSED',
      send: 'EPIPE',
      recv: 'ENOTCONN',
      'shutdown WR': 'ENOTCONN',
      getpeername: 'ENOTCONN',
      FIONREAD: 0,
      SIOCOUTQ: 0,
    },
    listening: {
      bind: 'EINVAL',
      listen: 0,
      accept: 'sleeps',
      connect: 'EISCONN',
      send: 'EPIPE',
      recv: 'ENOTCONN',
      'shutdown WR': 0,
      getpeername: 'ENOTCONN',
      FIONREAD: 'EINVAL',
      SIOCOUTQ: 'EINVAL',
    },
    connecting: {
      bind: 'EINVAL',
      listen: 'EINVAL',
      accept: 'EINVAL',
      connect: 'EALREADY',
      send: 'EAGAIN',
      recv: 'EAGAIN',
      'shutdown WR': 0,
      getpeername: 'ENOTCONN',
      FIONREAD: 0,
      SIOCOUTQ: 0,
    },
    connected: {
      bind: 'EINVAL',
      listen: 'EINVAL',
      accept: 'EINVAL',
      connect: 'EISCONN',
      send: 1,
      recv: 'EAGAIN',
      'shutdown WR': 0,
      getpeername: 0,
      FIONREAD: 0,
      SIOCOUTQ: 0,
    },
    reset: {
      bind: 'EINVAL',
      listen: 'EINVAL',
      accept: 'EINVAL',
      connect: 'EISCONN',
      send: 'ECONNRESET',
      recv: 'ECONNRESET',
      'shutdown WR': 'ENOTCONN',
      getpeername: 'ENOTCONN',
      FIONREAD: 0,
      SIOCOUTQ: 0,
    },
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
    b.tcp.complete(
      [...b.tcp.socks.values()].find((s) => s.rport === 80)!,
      0,
      b.now,
    );
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
      b.start({ call: 'bind', fd, addr: at(80) }),
      b.start({ call: 'listen', fd, backlog: -1 }),
      b.start({ call: 'accept', fd, flags: 0 }),
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
    expect(b.sys({ call: 'accept', fd: l, flags: SOCK_NONBLOCK })).toMatchObject({
      errno: 0,
      result: c,
      local: { port: 80 },
    });
    expect(b.sys({ call: 'fcntl', fd: c, cmd: F_GETFL, arg: 0 }).result).toBe(O_RDWR | O_NONBLOCK);
  });
});
