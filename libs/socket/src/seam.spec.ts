import { describe, expect, test } from '@jest/globals';
import {
  AF_INET,
  ERRNO,
  MSG_DONTWAIT,
  SOCK_STREAM,
  type SkCmd,
  type SkEvt,
  SOL_SOCKET,
  SOL_TCP,
  SO_RCVBUF,
  SO_REUSEADDR,
  TCP_ESTABLISHED,
  TCP_NODELAY,
  errnoName,
} from '@skbus/skb';
import { Bench } from './testing/bench.ts';
import type { SockAddr, SysReply, SysRequest } from './types.ts';

const HERE = 0x0a4d0002;
const at = (port: number): SockAddr => ({ family: AF_INET, addr: HERE, port });
const name = (r: SysReply | undefined): string | number =>
  r === undefined ? 'sleeps' : r.errno === 0 ? r.result : errnoName(r.errno);
const tcp = (b: Bench): number => b.sys({ call: 'socket', domain: AF_INET, type: SOCK_STREAM, protocol: 0 }).result;
const send = (fd: number, n: number): SysRequest => ({
  call: 'sendto',
  fd,
  data: [new Uint8Array(n)],
  flags: 0,
  to: undefined,
});
const recv = (fd: number, len = 100_000): SysRequest => ({ call: 'recvfrom', fd, len, flags: 0 });

function listening(b: Bench): number {
  const fd = tcp(b);
  b.sys({ call: 'setsockopt', fd, level: SOL_SOCKET, name: SO_REUSEADDR, value: 1 });
  b.sys({ call: 'bind', fd, addr: at(80) });
  b.sys({ call: 'listen', fd, backlog: 5 });
  return fd;
}

function connected(b: Bench): { l: number; c: number; s: number } {
  const l = listening(b);
  const c = tcp(b);
  b.sys({ call: 'connect', fd: c, addr: at(80) });
  return { l, c, s: b.sys({ call: 'accept', fd: l, flags: 0 }).result };
}

/** What a command says, for comparing. */
const gist = (c: SkCmd): string =>
  [
    `${c.opSeq}`,
    ...(['options', 'bind', 'listen', 'connect', 'shutdown', 'close', 'data'] as const).filter((k) => c[k]),
  ].join(' ');

describe('commands', () => {
  test('the first operation carries the options; later changes are operations of their own, joined while they wait', () => {
    const b = new Bench();
    const fd = listening(b);
    expect(b.tcpCmds.map(gist)).toEqual(['1 options bind', '2 listen']);
    expect(b.tcpCmds[0]!.options).toEqual({ reuseAddr: true });
    b.layer.call(b.proc, { call: 'setsockopt', fd, level: SOL_TCP, name: TCP_NODELAY, value: 1 }, b.now, () => {});
    b.layer.call(
      b.proc,
      { call: 'setsockopt', fd, level: SOL_SOCKET, name: SO_RCVBUF, value: 10_000 },
      b.now,
      () => {},
    );
    b.layer.flush(b.now);
    expect(b.tcpCmds.at(-1)).toMatchObject({ opSeq: 3, options: { nodelay: true, rcvbuf: 20_000 } });
  });

  test('a request and its answer cost few messages: one view per batch, data with its view', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.run(5000);
    b.tcpCmds.length = 0;
    const waiting = b.start(recv(s));
    b.sys(send(c, 1));
    b.run(0);
    expect(name(waiting.reply)).toBe(1);
    b.sys(send(s, 1));
    b.run(0);
    // the answer took the confirmation of the request along
    expect(b.tcpCmds.map(gist)).toEqual(['0 data', '0 data']);
    b.run(60_000);
    // nobody answered the answer: its confirmation went alone, two milliseconds later
    expect(b.tcpCmds.map(gist)).toEqual(['0 data', '0 data', '0']);
    b.sys(recv(c));
    b.run(60_000);
    expect(b.tcpCmds.map(gist)).toEqual(['0 data', '0 data', '0', '0']);
  });

  test('a program that never answers is not waited for: what it got is confirmed at once', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.run(5000);
    const delays = [1, 2, 3, 4].map(() => {
      const waiting = b.start(recv(s));
      b.tcpCmds.length = 0;
      b.sys(send(c, 1));
      b.run(0);
      expect(name(waiting.reply)).toBe(1);
      const atOnce = b.tcpCmds.length;
      b.run(60_000);
      return b.tcpCmds.length - atOnce;
    });
    expect(delays).toEqual([1, 0, 0, 0]);
  });

  test('an idle connection is quiet', () => {
    const b = new Bench();
    connected(b);
    b.run(60_000);
    const before = b.messages;
    b.run(3_600_000);
    expect(b.messages).toBe(before);
    expect(b.layer.pollTimeout()).toBe(Infinity);
  });

  test('repeats back off from 200 ms to 1 s while nobody answers, and resume where TCP is', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.run(5000);
    b.faults.loss = 1;
    b.tcpCmds.length = 0;
    const start = b.now;
    const times: number[] = [];
    b.start(send(c, 500_000));
    b.run(0);
    while (times.length < 6) {
      const n = b.tcpCmds.length;
      if (!b.step(Infinity)) break;
      if (b.tcpCmds.length > n) times.push(b.now - start);
    }
    expect(times).toEqual([200, 600, 1400, 2400, 3400, 4400]);
    // Each time one piece at most, not all that is unconfirmed.
    expect(b.tcpCmds.slice(-5).every((x) => (x.data?.data.length ?? 0) <= 262_144)).toBe(true);
    b.faults.loss = 0;
    let got = 0;
    while (got < 500_000) got += b.sys(recv(s)).result;
    expect(got).toBe(500_000);
  });
});

test('bytes that were lost are sent again though the program goes on to write, and to hear', () => {
  const b = new Bench();
  const { c, s } = connected(b);
  b.run(1_000);
  b.faults.loss = 1;
  b.sys(send(c, 100));
  b.faults.loss = 0;
  let got = 0;
  for (let i = 0; i < 100 && got < 100; i++) {
    b.sys(send(c, 10));
    b.sys(send(s, 10));
    b.run(10);
    got += Math.max(0, b.sys({ call: 'recvfrom', fd: s, len: 100_000, flags: MSG_DONTWAIT }).result);
  }
  expect(b.now).toBeLessThan(1_000 + 300);
  expect(got).toBeGreaterThanOrEqual(100);
});

describe('a transport that lost its memory', () => {
  test('a listener listens again with its options, connections are reset, waiting accepts go on', () => {
    const b = new Bench();
    const { l, c, s } = connected(b);
    const waiting = b.start({ call: 'accept', fd: l, flags: 0 });
    b.tcp.restart();
    b.layer.onTcpEvent({ sk: 0, opAck: 0, opErrno: 0, hello: 7 }, b.now);
    b.layer.flush(b.now);
    b.run(100);
    expect(name(b.sys(recv(c)))).toBe('ECONNRESET');
    expect(name(b.sys(send(s, 1)))).toBe('ECONNRESET');
    expect(name(waiting.reply)).toBe('sleeps');
    const d = tcp(b);
    expect(name(b.sys({ call: 'connect', fd: d, addr: at(80) }))).toBe(0);
    b.run(1);
    expect(waiting.reply).toMatchObject({ errno: 0 });
    for (const fd of [l, c, s, d, waiting.reply!.result]) b.sys({ call: 'close', fd });
    b.run(60_000);
    expect(b.layer.gauges.sockets).toBe(0);
    expect(b.tcp.socks.size).toBe(0);
  });

  test('a connect in flight is made again', () => {
    const b = new Bench();
    b.tcp.holdConnects = true;
    const c = tcp(b);
    const box = b.start({ call: 'connect', fd: c, addr: at(80) });
    b.run(1);
    b.tcp.restart();
    b.tcp.holdConnects = false;
    listening(b);
    b.layer.onTcpEvent({ sk: 0, opAck: 0, opErrno: 0, hello: 7 }, b.now);
    b.layer.flush(b.now);
    b.run(3000);
    expect(name(box.reply)).toBe(0);
  });

  test('a close it has forgotten is a close done', () => {
    const b = new Bench();
    const { l, c, s } = connected(b);
    b.faults.loss = 1;
    for (const fd of [l, c, s]) b.sys({ call: 'close', fd });
    b.tcp.restart();
    b.faults.loss = 0;
    b.run(5000);
    expect(b.layer.gauges.sockets).toBe(0);
  });
});

describe('late and stray events', () => {
  const view = (state: number, over = {}): NonNullable<SkEvt['view']> => ({
    state,
    laddr: HERE,
    lport: 80,
    raddr: HERE,
    rport: 40_000,
    sndGot: 0,
    sndUna: 0,
    sndLimit: 0,
    rcvNxt: 0,
    finRcvd: false,
    finAcked: false,
    err: 0,
    softErr: 0,
    ...over,
  });

  test('a view from before does not turn a connection back', () => {
    const b = new Bench();
    const { c } = connected(b);
    const { sk } = b.layer.sockets().find((x) => x.fd === c)!;
    b.layer.onTcpEvent({ sk, opAck: 0, opErrno: 0, view: view(7) }, b.now);
    b.layer.onTcpEvent({ sk, opAck: 1, opErrno: 0, view: view(2) }, b.now);
    expect(name(b.sys(send(c, 1)))).toBe(1);
  });

  test('offsets nobody sent are not believed', () => {
    const b = new Bench();
    const { c } = connected(b);
    const { sk } = b.layer.sockets().find((x) => x.fd === c)!;
    b.layer.onTcpEvent({ sk, opAck: 1, opErrno: 0, view: view(TCP_ESTABLISHED, { sndGot: 1e9, sndUna: 1e9 }) }, b.now);
    expect(name(b.sys(send(c, 3)))).toBe(3);
    expect(b.layer.sockets().find((x) => x.fd === c)!.sendQ).toBe(3);
    b.layer.onTcpEvent({ sk, opAck: 1, opErrno: 0, data: { offset: 5, data: new Uint8Array(3) } }, b.now);
    expect(b.layer.sockets().find((x) => x.fd === c)!.recvQ).toBe(0);
  });

  test("a child of a listener that is gone, and a socket nobody knows, are closed; answers don't echo", () => {
    const b = new Bench();
    b.layer.onTcpEvent({ sk: 77, opAck: 0, opErrno: 0, view: view(TCP_ESTABLISHED), child: { listener: 2 } }, 0);
    expect(b.tcpCmds).toEqual([{ sk: 77, opSeq: 1, close: { abort: true } }]);
    for (let i = 0; i < 20; i++) b.layer.onTcpEvent({ sk: 77, opAck: 0, opErrno: 0, view: view(TCP_ESTABLISHED) }, 1);
    expect(b.tcpCmds).toHaveLength(1);
    b.layer.onTcpEvent({ sk: 77, opAck: 0, opErrno: 0, view: view(TCP_ESTABLISHED) }, 300);
    b.layer.onTcpEvent({ sk: 77, opAck: 1, opErrno: 0, view: view(7) }, 600);
    b.layer.onTcpEvent({ sk: 77, opAck: 0, opErrno: 0, unknown: true }, 900);
    expect(b.tcpCmds).toHaveLength(2);
    expect(b.layer.gauges.sockets).toBe(0);
  });

  test('a message that raises a closed socket from the dead has it closed again', () => {
    const b = new Bench();
    const { c } = connected(b);
    const first = b.tcpCmds.find((x) => x.connect)!;
    b.sys({ call: 'close', fd: c });
    b.run(60_000);
    b.tcp.socks.delete(first.sk);
    b.tcp.onCmd({ ...first }, b.now);
    b.run(10_000);
    expect(b.tcp.socks.has(first.sk)).toBe(false);
  });
});

describe("trace points in the kernel's order (KERNEL.md E2, E3, E6, E6b)", () => {
  const path = (b: Bench, req: SysRequest, ms = 1): string[] => {
    b.trace.length = 0;
    const box = b.start(req);
    b.run(ms);
    expect(box.reply?.errno).toBe(0);
    return [...b.trace];
  };

  test('socket, bind, listen, accept', () => {
    const b = new Bench();
    const fd = 3;
    expect(path(b, { call: 'socket', domain: AF_INET, type: SOCK_STREAM, protocol: 0 })).toEqual([
      '__sys_socket',
      'inet_create',
    ]);
    expect(path(b, { call: 'bind', fd, addr: at(80) })).toEqual(['__sys_bind', 'inet_bind']);
    expect(path(b, { call: 'listen', fd, backlog: 1 })).toEqual(['__sys_listen', 'inet_listen']);
    const box = b.start({ call: 'accept', fd, flags: 0 });
    expect(b.trace.slice(2)).toEqual(['__sys_accept4', 'inet_accept', 'inet_csk_accept', 'inet_csk_wait_for_connect']);
    const c = tcp(b);
    // The model completes the handshake before it answers the connect, so accept's sk_data_ready comes first.
    expect(path(b, { call: 'connect', fd: c, addr: at(80) })).toEqual([
      '__sys_connect',
      'inet_stream_connect',
      'sk_data_ready',
      'inet_wait_for_connect',
    ]);
    expect(box.reply!.errno).toBe(0);
  });

  test('send, recv, close', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    b.trace.length = 0;
    const box = b.start(recv(s));
    expect(b.trace).toEqual([
      '__sys_recvfrom',
      'sock_recvmsg',
      'inet_recvmsg',
      'tcp_recvmsg',
      'tcp_recvmsg_locked',
      'sk_wait_data',
    ]);
    expect(path(b, send(c, 5))).toEqual([
      '__sys_sendto',
      '__sock_sendmsg',
      'inet_sendmsg',
      'tcp_sendmsg',
      'tcp_sendmsg_locked',
      'sk_data_ready',
      'tcp_rcv_space_adjust',
      'tcp_cleanup_rbuf',
    ]);
    expect(name(box.reply)).toBe(5);
    expect(path(b, { call: 'close', fd: c }, 0).slice(0, 4)).toEqual([
      'sock_close',
      '__sock_release',
      'inet_release',
      'tcp_close',
    ]);
  });

  test('nothing is made while nobody listens', () => {
    const b = new Bench();
    b.layer.env.setTraceSink(undefined);
    connected(b);
    expect(b.trace).toEqual([]);
  });
});

test('a refused listen leaves the socket as it was', () => {
  const b = new Bench();
  listening(b);
  const fd = tcp(b);
  expect(name(b.sys({ call: 'bind', fd, addr: at(80) }))).toBe(errnoName(ERRNO.EADDRINUSE));
  expect(name(b.sys({ call: 'bind', fd, addr: at(81) }))).toBe(0);
  expect(name(b.sys({ call: 'listen', fd, backlog: 1 }))).toBe(0);
});
