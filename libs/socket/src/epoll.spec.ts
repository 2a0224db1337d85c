import { expect, test } from '@jest/globals';
import { POLLIN, POLLOUT } from '@skbus/skb';
import { Bench } from './testing/bench.ts';
import { connected, listening, name, recv, send, tcp } from './testing/calls-kit.ts';
import type { SysReply } from './types.ts';

const [ADD, DEL, MOD, EPOLLET] = [1, 2, 3, 1 << 31];
const ctl = (b: Bench, epfd: number, op: number, fd: number, events = POLLIN): string | number =>
  name(b.sys({ call: 'epoll_ctl', epfd, op, fd, event: { events, data: fd } }));
const wait = (b: Bench, epfd: number, max = 8): SysReply => b.sys({ call: 'epoll_wait', epfd, max, timeoutMs: 0 });

test('an instance is a descriptor: what it is not, what is none, and what is closed', () => {
  const b = new Bench();
  const ep = b.sys({ call: 'epoll_create' }).result;
  const fd = tcp(b);
  expect([ep, fd]).toEqual([3, 4]);
  expect([ctl(b, ep, ADD, 9), ctl(b, 9, ADD, fd), ctl(b, fd, ADD, fd)]).toEqual(['EBADF', 'EBADF', 'EINVAL']);
  expect([ctl(b, ep, DEL, fd), ctl(b, ep, MOD, fd), ctl(b, ep, 7, fd)]).toEqual(['ENOENT', 'ENOENT', 'EINVAL']);
  expect([ctl(b, ep, ADD, fd), ctl(b, ep, ADD, fd), ctl(b, ep, ADD, ep)]).toEqual([0, 'EEXIST', 'EINVAL']);
  expect(name(wait(b, ep, 0))).toBe('EINVAL');
  expect(name(b.sys(recv(ep)))).toBe('ENOTSOCK');
  // closing a socket ends its watch
  b.sys({ call: 'close', fd });
  expect(tcp(b)).toBe(fd);
  expect(ctl(b, ep, DEL, fd)).toBe('ENOENT');
  const sleeping = b.start({ call: 'epoll_wait', epfd: ep, max: 1, timeoutMs: -1 });
  expect(name(b.sys({ call: 'close', fd: ep }))).toBe(0);
  expect(name(sleeping.reply)).toBe('EBADF');
  expect(name(wait(b, ep))).toBe('EBADF');
});

test('a connection to accept, bytes to read; levels take turns', () => {
  const b = new Bench();
  const ep = b.sys({ call: 'epoll_create' }).result;
  const l = listening(b, 81);
  expect(ctl(b, ep, ADD, l)).toBe(0);
  const { c, s } = connected(b);
  expect([ctl(b, ep, ADD, s), ctl(b, ep, ADD, c, POLLIN | POLLOUT | EPOLLET)]).toEqual([0, 0]);
  expect(wait(b, ep).ready).toEqual([{ events: POLLOUT, data: c, fd: c }]);
  const sleeping = b.start({ call: 'epoll_wait', epfd: ep, max: 8, timeoutMs: 1000 });
  b.sys(send(c, 'hello'));
  b.run(50);
  expect(sleeping.reply?.ready).toEqual([{ events: POLLIN, data: s, fd: s }]);
  expect([wait(b, ep).result, wait(b, ep).result]).toEqual([1, 1]);
  b.sys(recv(s));
  expect(wait(b, ep).result).toBe(0);
  const slept = b.now;
  expect(b.sys({ call: 'epoll_wait', epfd: ep, max: 8, timeoutMs: 300 }).result).toBe(0);
  expect(b.now - slept).toBe(300);
});
