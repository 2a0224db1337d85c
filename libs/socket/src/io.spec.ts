import { describe, expect, test } from '@jest/globals';
import {
  F_SETFL,
  FIONBIO,
  FIONREAD,
  MSG_DONTWAIT,
  MSG_EOR,
  MSG_MORE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  O_NONBLOCK,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_DGRAM,
  SOL_SOCKET,
  SO_LINGER,
  SO_SNDBUF,
  SO_SNDTIMEO,
  TCP_ESTABLISHED,
  type SkCmd,
} from '@skbus/skb';
import { Bench } from './testing/bench.ts';
import { at, connected, HERE, listening, name, poll, recv, send, tcp, text } from './testing/calls-kit.ts';
import type { SysRequest } from './types.ts';

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
    expect(name(b.sys(send(c, 'x', MSG_OOB)))).toBe(1);
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
    const big = (flags: number): SysRequest => ({
      call: 'sendto',
      fd: c,
      data: [new Uint8Array(20_000)],
      flags,
      to: undefined,
    });
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

  test.each([
    ['whole', [51_000]],
    ['in the pieces that the door read', [16_219, 20_000, 14_781]],
    ['in small ones', Array.from({ length: 51 }, () => 1000)],
  ])('a send takes no more than fills the skb that it began: %s', (_how, pieces) => {
    const b = new Bench();
    b.tcp.stalled = true;
    b.tcp.sndGoal = 20_000;
    b.tcp.sndBurst = 10_000;
    const { c } = connected(b);
    b.sys({ call: 'setsockopt', fd: c, level: SOL_SOCKET, name: SO_SNDBUF, value: 20_000 });
    const data = pieces.map((n) => new Uint8Array(n));
    // 10000 leave, and then skbs of 20000 while any of SO_SNDBUF's twice 20000 is free
    expect(b.sys({ call: 'sendto', fd: c, data, flags: MSG_DONTWAIT, to: undefined }).result).toBe(50_000);
  });

  test('sends stay in order: a later one does not take the room that an earlier one waits for', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    const write = (n: number, byte: number) =>
      b.start({ call: 'sendto', fd: c, data: [new Uint8Array(n).fill(byte)], flags: 0, to: undefined });
    b.sys({ call: 'setsockopt', fd: c, level: SOL_SOCKET, name: 7, value: 4096 });
    b.sys({ call: 'setsockopt', fd: s, level: SOL_SOCKET, name: 8, value: 2048 });
    const sent: [number, number][] = [];
    let byte = 0;
    const got: number[] = [];
    for (let i = 0; i < 120; i++) {
      // never fewer than one asleep; what is read frees less than the writer is woken for
      const n = 500 + ((i * 977) % 5000);
      sent.push([++byte & 255, n]);
      write(n, byte & 255);
      got.push(...(b.sys(recv(s, 700)).data ?? []).flatMap((d) => Array.from(d)));
      b.run(1);
    }
    for (let n = -1; n !== 0; b.run(1)) {
      const d = (b.sys(recv(s, 65_536, MSG_DONTWAIT)).data ?? []).flatMap((x) => Array.from(x));
      got.push(...d);
      n = d.length;
    }
    const want = sent.flatMap(([v, n]) => Array<number>(n).fill(v));
    expect(got).toHaveLength(want.length);
    expect(want.findIndex((x, i) => x !== got[i])).toBe(-1);
  });

  test('shutdown() ends a send that sleeps with EPIPE; with `drain` it waits for it', () => {
    for (const drain of [false, true]) {
      const b = new Bench();
      const { c, s } = connected(b);
      b.sys({ call: 'setsockopt', fd: c, level: SOL_SOCKET, name: 7, value: 4096 });
      b.tcp.stalled = true;
      const sends = [20_000, 10].map((n) =>
        b.start({ call: 'sendto', fd: c, data: [new Uint8Array(n)], flags: 0, to: undefined }),
      );
      const end = b.start({ call: 'shutdown', fd: c, how: SHUT_WR, drain });
      b.run(1);
      expect(end.reply === undefined).toBe(drain);
      b.tcp.stalled = false;
      let got = 0;
      for (let n = -1; n !== 0; got += n) n = b.sys(recv(s, 65_536)).result;
      expect(sends.map((x) => name(x.reply))).toEqual(drain ? [20_000, 10] : [8192, 'EPIPE']);
      expect(got).toBe(drain ? 20_010 : 8192);
      expect(name(end.reply)).toBe(0);
    }
  });

  test('close() with `drain` waits for sends that sleep, and unread bytes call for a reset only after what was written', () => {
    for (const unread of [false, true]) {
      const b = new Bench();
      const { c, s } = connected(b);
      b.sys({ call: 'setsockopt', fd: c, level: SOL_SOCKET, name: 7, value: 4096 });
      if (unread) b.sys(send(s, 'not read'));
      b.run(1);
      b.tcp.stalled = true;
      const sends = (unread ? [100] : [20_000, 10]).map((n) =>
        b.start({ call: 'sendto', fd: c, data: [new Uint8Array(n)], flags: 0, to: undefined }),
      );
      const end = b.start({ call: 'close', fd: c, drain: true });
      b.run(1);
      expect(end.reply).toBeUndefined();
      b.tcp.stalled = false;
      let got = 0;
      let r = b.sys(recv(s, 65_536));
      for (; r.result > 0; r = b.sys(recv(s, 65_536))) got += r.result;
      expect(sends.map((x) => name(x.reply))).toEqual(unread ? [100] : [20_000, 10]);
      expect([got, name(r)]).toEqual(unread ? [100, 'ECONNRESET'] : [20_010, 0]);
      expect(name(end.reply)).toBe(0);
    }
  });

  test('accept() brings along what has come with the connection, if asked', () => {
    for (const ask of [0, 4, 100]) {
      const b = new Bench();
      const l = listening(b);
      const accepting = b.start({ call: 'accept', fd: l, flags: 0, recv: ask });
      const listener = b.layer.sockets()[0]!.sk;
      const from = { opAck: 0, opErrno: 0, sk: 99 };
      const offsets = { sndGot: 0, sndUna: 0, sndLimit: 1000, rcvNxt: 8, finRcvd: false, finAcked: false };
      const addrs = { laddr: HERE, lport: 80, raddr: HERE, rport: 4000 };
      const view = { state: TCP_ESTABLISHED, ...addrs, ...offsets, err: 0, softErr: 0 };
      b.layer.onTcpEvent({ ...from, child: { listener }, view }, b.now);
      b.layer.onTcpEvent({ ...from, data: { offset: 0, data: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]) } }, b.now);
      b.layer.flush(b.now);
      const { data = [], result, addr } = accepting.reply!;
      expect(addr).toMatchObject({ addr: HERE, port: 4000 });
      const first = data.flatMap((d) => [...d]);
      expect(first).toHaveLength(Math.min(ask, 8));
      const rest = b.sys(recv(result, 100, MSG_DONTWAIT)).data ?? [];
      expect([...first, ...rest.flatMap((d) => [...d])]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    }
  });

  test('that a connection is accepted is told with what the program answers, or soon', () => {
    for (const answers of [true, false]) {
      const b = new Bench();
      const l = listening(b);
      const accepting = b.start({ call: 'accept', fd: l, flags: 0 });
      const c = tcp(b);
      b.sys({ call: 'connect', fd: c, addr: at(80) });
      b.sys(send(c, 'question'));
      const s = accepting.reply!.result;
      expect(text(b.sys(recv(s)))).toBe('question');
      const child = (): SkCmd[] => b.tcpCmds.filter((x) => x.sk % 2 === 1);
      expect(child()).toEqual([]);
      if (answers) b.start(send(s, 'answer'));
      else b.run(3);
      expect(child()).toMatchObject([{ view: { accepted: true, haveChild: true, rcvGot: 8 } }]);
      expect(child()[0]!.data === undefined).toBe(!answers);
    }
  });

  test('a listener that is closed takes with it what nobody has accepted, and nothing else', () => {
    const b = new Bench();
    const l = listening(b);
    const ends = [tcp(b), tcp(b)];
    for (const fd of ends) b.sys({ call: 'connect', fd, addr: at(80) });
    const [, second] = [...b.tcp.socks.values()].filter((s) => s.id % 2 === 1);
    const s = b.sys({ call: 'accept', fd: l, flags: 0 }).result;
    b.sys({ call: 'close', fd: l });
    const aborted = b.tcpCmds.filter((x) => x.close?.abort).map((x) => x.sk);
    expect(aborted).toEqual([second!.id]);
    b.sys(send(s, 'still here'));
    b.run(10);
    expect(text(b.sys(recv(ends[0]!)))).toBe('still here');
    expect(name(b.sys(recv(ends[1]!)))).toBe('ECONNRESET');
  });

  test('MSG_MORE is told to TCP, with the last bytes written', () => {
    const b = new Bench();
    const { c } = connected(b);
    const said = (): [number, boolean][] =>
      b.tcpCmds.flatMap((x) => (x.data ? [[x.data.data.length, x.data.more === true] as [number, boolean]] : []));
    b.sys(send(c, 'ab', MSG_MORE));
    b.run(1);
    b.sys(send(c, 'cd'));
    b.run(1);
    b.sys(send(c, 'x'.repeat(3000), MSG_MORE));
    b.run(1);
    expect(said()).toEqual([
      [2, true],
      [2, false],
      [3000, true],
    ]);
  });

  test('MSG_EOR: TCP hears where each record ends', () => {
    const b = new Bench();
    const { c } = connected(b);
    const before = b.tcpCmds.length;
    const data = ['ab', 'c'].map((s) => new TextEncoder().encode(s));
    const sends = [
      b.start(send(c, 'ab')),
      b.start({ call: 'sendto', fd: c, data, flags: MSG_EOR, to: undefined }),
      b.start(send(c, 'def', MSG_EOR)),
      b.start(send(c, 'gh')),
    ];
    b.run(1);
    expect(sends.map((x) => name(x.reply))).toEqual([2, 3, 3, 2]);
    const said = b.tcpCmds
      .slice(before)
      .flatMap((x) => (x.data ? [[x.data.offset, x.data.data.length, x.data.eor]] : []));
    expect(said).toEqual([
      [0, 2, undefined],
      [2, 3, true],
      [5, 3, true],
      [8, 2, undefined],
    ]);
  });

  test('an iovec goes out whole, small pieces put together', () => {
    const b = new Bench();
    const { c, s } = connected(b);
    const data = Array.from({ length: 1000 }, (_, i) => Uint8Array.of(i & 255, i >> 8));
    expect(name(b.sys({ call: 'sendto', fd: c, data, flags: 0, to: undefined }))).toBe(2000);
    b.run(1);
    expect(b.tcpCmds.filter((x) => x.data).length).toBeLessThan(4);
    expect(b.sys(recv(s, 5000, MSG_WAITALL | MSG_DONTWAIT)).data!.flatMap((d) => [...d])).toEqual(
      data.flatMap((d) => [...d]),
    );
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
    expect(b.layer.gauges).toEqual({ sockets: 0, processes: 0, timers: 0, loose_records: 0 });
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
    expect(
      b.sys({
        call: 'poll',
        fds: [
          { fd: c, events: POLLIN },
          { fd: -1, events: POLLIN },
          { fd: 99, events: POLLIN },
        ],
        timeoutMs: -1,
      }),
    ).toMatchObject({ result: 1, revents: [0, 0, POLLNVAL] });
    expect(b.sys({ call: 'poll', fds: [{ fd: c, events: POLLIN }], timeoutMs: 250 })).toMatchObject({
      errno: 0,
      result: 0,
      revents: [0],
    });
    expect(b.now).toBe(250);
    const waiting = b.start({
      call: 'poll',
      fds: [
        { fd: c, events: POLLIN },
        { fd: s, events: POLLIN },
      ],
      timeoutMs: -1,
    });
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
