import { expect } from '@jest/globals';
import {
  AF_INET,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
  SOCK_STREAM,
  errnoName,
} from '@skbus/skb';
import type { SockAddr, SysReply, SysRequest } from '../types.ts';
import type { Bench } from './bench.ts';

// What the tests of system calls share.

export const HERE = 0x0a4d0002;
export const at = (port: number): SockAddr => ({ family: AF_INET, addr: HERE, port });
export const name = (r: SysReply | undefined): string | number =>
  r === undefined ? 'sleeps' : r.errno === 0 ? r.result : errnoName(r.errno);

export function tcp(b: Bench, type = SOCK_STREAM): number {
  return b.sys({ call: 'socket', domain: AF_INET, type, protocol: 0 }).result;
}

export function listening(b: Bench, port = 80): number {
  const fd = tcp(b);
  expect(name(b.sys({ call: 'bind', fd, addr: at(port) }))).toBe(0);
  expect(name(b.sys({ call: 'listen', fd, backlog: 5 }))).toBe(0);
  return fd;
}

export function connected(b: Bench): { l: number; c: number; s: number } {
  const l = listening(b);
  const c = tcp(b);
  expect(name(b.sys({ call: 'connect', fd: c, addr: at(80) }))).toBe(0);
  return { l, c, s: b.sys({ call: 'accept', fd: l, flags: 0 }).result };
}

export const send = (fd: number, text: string, flags = 0): SysRequest => ({
  call: 'sendto',
  fd,
  data: [Uint8Array.from(text, (c) => c.charCodeAt(0))],
  flags,
  to: undefined,
});
export const recv = (fd: number, len = 100, flags = 0): SysRequest => ({ call: 'recvfrom', fd, len, flags });
export const text = (r: SysReply): string => String.fromCharCode(...(r.data ?? []).flatMap((d) => [...d]));
export const pollAll = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLWRBAND | POLLRDHUP;
export const poll = (b: Bench, fd: number): number =>
  b.sys({ call: 'poll', fds: [{ fd, events: pollAll }], timeoutMs: 0 }).revents![0]!;
