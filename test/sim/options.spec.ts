import { describe, expect, test } from '@jest/globals';
import * as K from '@skbus/skb';
import { errnoName, POLLIN, POLLPRI } from '@skbus/skb';
import { Program, twoHosts } from '@skbus/sim';
import type { SysReply } from '@skbus/socket';

interface Pair {
  a: Program;
  b: Program;
  c: number;
  s: number;
  two: ReturnType<typeof twoHosts>;
}

function connected(seed = 1, loss = 0): Pair {
  const two = twoHosts({ latencyMs: 5, loss }, { seed });
  const [a, b] = [two.onA, two.onB];
  const l = b.listen(80);
  const { fd: c } = a.connect('10.77.0.2', 80);
  const s = b.must({ call: 'accept', fd: l, flags: 0 });
  return { a, b, c, s, two };
}

const text = (r: SysReply): string => new TextDecoder().decode(Buffer.concat(r.data as Uint8Array[]));
const send = (p: Program, fd: number, data: string, flags = 0): SysReply =>
  p.sys({ call: 'sendto', fd, data: [new TextEncoder().encode(data)], flags, to: undefined });
const recv = (p: Program, fd: number, flags = 0, len = 100): SysReply => p.sys({ call: 'recvfrom', fd, len, flags });
const get = (p: Program, fd: number, level: number, name: number): SysReply['value'] => {
  const r = p.sys({ call: 'getsockopt', fd, level, name });
  return r.errno === 0 ? r.value : (errnoName(r.errno) as string);
};
const set = (p: Program, fd: number, level: number, name: number, value: number): number =>
  p.sys({ call: 'setsockopt', fd, level, name, value }).errno;
const atMark = (p: Program, fd: number): unknown => p.sys({ call: 'ioctl', fd, request: K.SIOCATMARK, arg: 0 }).value;

describe('urgent data', () => {
  test('MSG_OOB: the last byte is out of band, reads stop at the mark, POLLPRI says so', () => {
    const { a, b, c, s } = connected();
    expect(send(a, c, 'abcX', K.MSG_OOB).result).toBe(4);
    expect(send(a, c, 'def').result).toBe(3);
    const poll = b.sys({ call: 'poll', fds: [{ fd: s, events: POLLPRI }], timeoutMs: -1 });
    expect(poll.revents).toEqual([POLLPRI]);
    a.net.runFor(50);
    expect(b.sys({ call: 'ioctl', fd: s, request: K.FIONREAD, arg: 0 }).value).toBe(3);
    expect(text(recv(b, s, K.MSG_PEEK | K.MSG_OOB))).toBe('X');
    expect(recv(b, s, K.MSG_OOB)).toMatchObject({ result: 1, msgFlags: K.MSG_OOB });
    expect(errnoName(recv(b, s, K.MSG_OOB).errno)).toBe('EINVAL');
    expect(atMark(b, s)).toBe(0);
    expect(text(recv(b, s))).toBe('abc');
    expect(atMark(b, s)).toBe(1);
    expect(text(recv(b, s, K.MSG_PEEK))).toBe('def');
    expect(text(recv(b, s))).toBe('def');
    expect(atMark(b, s)).toBe(0);
    expect(b.sys({ call: 'poll', fds: [{ fd: s, events: POLLPRI | POLLIN }], timeoutMs: 0 }).revents).toEqual([0]);
  });

  test('SO_OOBINLINE: the byte stays in the stream, and the mark is before it', () => {
    const { a, b, c, s } = connected();
    expect(set(b, s, K.SOL_SOCKET, K.SO_OOBINLINE, 1)).toBe(0);
    send(a, c, 'abcX', K.MSG_OOB);
    send(a, c, 'def');
    a.net.runFor(50);
    expect(errnoName(recv(b, s, K.MSG_OOB).errno)).toBe('EINVAL');
    expect(text(recv(b, s))).toBe('abc');
    expect(atMark(b, s)).toBe(1);
    expect(text(recv(b, s))).toBe('Xdef');
  });

  test('a second urgent byte makes the first one ordinary, unless the reader stood before it', () => {
    const { a, b, c, s } = connected();
    send(a, c, 'aX', K.MSG_OOB);
    a.net.runFor(50);
    send(a, c, 'bY', K.MSG_OOB);
    a.net.runFor(50);
    expect(text(recv(b, s))).toBe('aXb');
    expect(text(recv(b, s, K.MSG_OOB))).toBe('Y');
    send(a, c, 'cZ', K.MSG_OOB);
    a.net.runFor(50);
    expect(text(recv(b, s))).toBe('c');
  });

  test.each([1, 2, 3])('through loss, seed %i', (seed) => {
    const { a, b, c, s } = connected(seed, 0.2);
    for (let i = 0; i < 20; i++) {
      send(a, c, `abc${i % 10}`, K.MSG_OOB);
      expect(b.sys({ call: 'poll', fds: [{ fd: s, events: POLLPRI }], timeoutMs: -1 }).revents).toEqual([POLLPRI]);
      expect(text(recv(b, s, K.MSG_OOB))).toBe(`${i % 10}`);
      expect(text(recv(b, s))).toBe('abc');
    }
  });
});

describe('getsockopt that TCP answers', () => {
  test('struct tcp_info, all 280 bytes', () => {
    const { a, c, b, s } = connected();
    send(a, c, 'x'.repeat(5000));
    b.net.runFor(200);
    const info = get(a, c, K.SOL_TCP, K.TCP_INFO) as Uint8Array;
    expect(info).toHaveLength(280);
    const v = new DataView(info.buffer, info.byteOffset);
    expect(info[0]).toBe(1);
    expect(info[5]! & 7).toBe(7);
    expect(info[6]).toBe(0x77);
    expect(v.getUint32(68, true) / 1000).toBeGreaterThan(9.9);
    expect(v.getUint32(68, true) / 1000).toBeLessThan(30);
    expect(v.getUint32(16, true)).toBe(1448);
    expect(v.getUint32(80, true)).toBeGreaterThanOrEqual(10);
    expect(Number(v.getBigUint64(120, true))).toBe(5001);
    expect(Number(v.getBigUint64(200, true))).toBe(5000);
    expect(v.getUint32(60, true)).toBe(1500);
    const other = get(b, s, K.SOL_TCP, K.TCP_INFO) as Uint8Array;
    expect(Number(new DataView(other.buffer, other.byteOffset).getBigUint64(128, true))).toBe(5000);
  });

  test('what was set is what is asked for, in order; the rest are the sysctls', () => {
    const { a, c } = connected();
    const fd = a.socket(K.SOCK_STREAM);
    expect(get(a, fd, K.SOL_TCP, K.TCP_KEEPIDLE)).toBe(7200);
    set(a, fd, K.SOL_TCP, K.TCP_KEEPIDLE, 5);
    expect(get(a, fd, K.SOL_TCP, K.TCP_KEEPIDLE)).toBe(5);
    expect(get(a, fd, K.SOL_TCP, K.TCP_KEEPCNT)).toBe(9);
    expect(get(a, fd, K.SOL_TCP, K.TCP_MAXSEG)).toBe(536);
    expect(get(a, c, K.SOL_TCP, K.TCP_MAXSEG)).toBe(1448);
    expect(get(a, c, K.SOL_IP, K.IP_MTU)).toBe(1500);
    expect(get(a, fd, K.SOL_IP, K.IP_MTU)).toBe('ENOTCONN');
    expect((get(a, fd, K.SOL_TCP, K.TCP_INFO) as Uint8Array)[0]).toBe(K.TCP_CLOSE);
    set(a, c, K.SOL_TCP, K.TCP_QUICKACK, 0);
    expect(get(a, c, K.SOL_TCP, K.TCP_QUICKACK)).toBe(0);
    set(a, c, K.SOL_TCP, K.TCP_QUICKACK, 1);
    expect(get(a, c, K.SOL_TCP, K.TCP_QUICKACK)).toBe(1);
  });

  test('TCP_CONGESTION: what the connection has, from its sysctl, its listener or its program', () => {
    const { two } = connected();
    const { onA: a, onB: b } = two;
    const congestion = (p: Program, fd: number) => get(p, fd, K.SOL_TCP, K.TCP_CONGESTION);
    const choose = (p: Program, fd: number, value: string) =>
      p.sys({ call: 'setsockopt', fd, level: K.SOL_TCP, name: K.TCP_CONGESTION, value }).errno;
    const l = b.listen(81);
    expect(congestion(b, l)).toBe('cubic');
    two.a.tcp.setSysctl({ tcpCongestionControl: 'bbr' });
    const { fd: c } = a.connect('10.77.0.2', 81);
    expect(congestion(a, c)).toBe('bbr');
    two.a.tcp.setSysctl({ tcpCongestionControl: 'reno' });
    expect(congestion(a, c)).toBe('bbr');
    expect(congestion(b, b.must({ call: 'accept', fd: l, flags: 0 }))).toBe('cubic');
    expect(choose(b, l, 'dctcp')).toBe(0);
    a.connect('10.77.0.2', 81);
    expect(congestion(b, b.must({ call: 'accept', fd: l, flags: 0 }))).toBe('dctcp');
    const fresh = a.socket(K.SOCK_STREAM);
    for (const name of K.CONGESTION_CONTROLS) {
      expect(choose(a, fresh, name)).toBe(0);
      expect(congestion(a, fresh)).toBe(name);
    }
    for (const name of ['vegas', 'ren', 'renoo', 'Reno', 'a'.repeat(40)])
      expect(choose(a, c, name)).toBe(K.ERRNO.ENOENT);
    expect(choose(a, c, '')).toBe(K.ERRNO.EINVAL);
    expect(congestion(a, c)).toBe('bbr');
  });

  test('TCP_INQ: each read says what is left', () => {
    const { a, b, c, s } = connected();
    set(b, s, K.SOL_TCP, K.TCP_INQ, 1);
    send(a, c, 'abcdef');
    a.net.runFor(50);
    expect(recv(b, s, 0, 2)).toMatchObject({ result: 2, inq: 4 });
  });
});
