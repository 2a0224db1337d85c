import type { SysCmsg, SysOpt, SysPollFd } from '../../sys.ts';
import type { SysAddr, SysCalls, SysResult } from '../../target.ts';
import { EINTR, errno, libcCalls as sys, memory, pinned } from './libc.ts';
import { parseSockaddr, sockaddr } from './sockaddr.ts';

/** Calls by name, each with what SysCalls passes; a call that can block runs in a thread of the pool. */
export type Calls = {
  [K in keyof SysCalls]-?: (...args: Parameters<NonNullable<SysCalls[K]>>) => Promise<SysResult>;
};

const ADDR_MAX = 28;
const CONTROL_MAX = 1024;
const CMSG_HDR = 16;
/** struct epoll_event is packed on x86-64 alone. */
const EPOLL_DATA = process.arch === 'x64' ? 4 : 8;
const EPOLL_EVENT_LEN = EPOLL_DATA + 8;

/** struct socklen_t in and out. */
function lengthWord(n: number): { buf: Uint8Array; value: () => number } {
  const buf = memory(4);
  const view = new DataView(buf.buffer);
  view.setInt32(0, n, true);
  return { buf, value: () => view.getInt32(0, true) };
}

/** What a call in this thread gave. */
const here = (ret: number): SysResult => ({ ret, errno: ret < 0 ? errno() : 0 });

/** Calls in a thread of the pool; one that a signal broke is made again, as libc's SA_RESTART would. */
function inPool(start: (done: (e: Error | null, ret: number) => void) => void): Promise<SysResult> {
  return new Promise((resolve, reject) => {
    const go = (): void =>
      start((e, ret) => {
        if (e !== null) reject(e);
        else if (ret < 0 && errno() === EINTR) go();
        else resolve(here(ret));
      });
    go();
  });
}

export const calls: Calls = {
  socket: async (domain, type, protocol) => here(sys.socket(domain, type, protocol)),
  bind: async (fd, addr) => {
    const a = sockaddr(addr);
    return here(sys.bind(fd, a.buf, a.len));
  },
  listen: async (fd, backlog) => here(sys.listen(fd, backlog)),
  shutdown: async (fd, how) => here(sys.shutdown(fd, how)),
  getsockname: async (fd) => named(fd, sys.getsockname),
  getpeername: async (fd) => named(fd, sys.getpeername),
  setsockopt: async (fd, level, name, value) => {
    const bytes = optBytes(value);
    const buf = memory(bytes.length);
    buf.set(bytes);
    return here(sys.setsockopt(fd, level, name, buf, bytes.length));
  },
  getsockopt: async (fd, level, name, len) => {
    const buf = memory(len);
    const size = lengthWord(len);
    const r = here(sys.getsockopt(fd, level, name, buf, size.buf));
    return r.ret < 0 ? r : { ...r, opt: buf.slice(0, size.value()) };
  },
  fcntl: async (fd, cmd, arg) => {
    const r = here(sys.fcntl(fd, cmd, arg));
    return { ...r, value: r.ret };
  },
  ioctl: async (fd, request, arg) => {
    const word = lengthWord(arg);
    const r = here(sys.ioctl(fd, request, word.buf));
    return { ...r, value: word.value() };
  },
  accept: async (fd, flags) => {
    const buf = memory(ADDR_MAX);
    const len = lengthWord(ADDR_MAX);
    return addressed(await inPool((done) => sys.accept4.async(fd, buf, len.buf, flags, done)), buf);
  },
  connect: (fd, addr) => {
    const a = sockaddr(addr);
    return inPool((done) => sys.connect.async(fd, a.buf, a.len, done));
  },
  send: (fd, data, flags, to) => {
    const buf = memory(data.length);
    buf.set(data);
    const a = to === undefined ? { buf: null, len: 0 } : sockaddr(to);
    return inPool((done) => sys.sendto.async(fd, buf, data.length, flags, a.buf, a.len, done));
  },
  recv: async (fd, count, flags) => {
    const buf = memory(count);
    const addr = memory(ADDR_MAX);
    const len = lengthWord(ADDR_MAX);
    const r = await inPool((done) => sys.recvfrom.async(fd, buf, count, flags, addr, len.buf, done));
    if (r.ret < 0) return r;
    // MSG_TRUNC returns more than there was room for.
    return addressed({ ...r, data: buf.slice(0, Math.min(r.ret, count)) }, addr);
  },
  close: (fd) => inPool((done) => sys.close.async(fd, done)),
  poll: async (fds, timeoutMs) => {
    const buf = memory(8 * fds.length);
    const view = new DataView(buf.buffer);
    fds.forEach((f: SysPollFd, i) => {
      view.setInt32(8 * i, f.fd, true);
      view.setInt16(8 * i + 4, f.events, true);
    });
    const r = await inPool((done) => sys.poll.async(buf, fds.length, timeoutMs, done));
    return { ...r, revents: fds.map((_, i) => view.getInt16(8 * i + 6, true)) };
  },
  recvmsg: (fd, count, flags) => recvmsg(fd, count, flags),
  epollCreate: async (flags) => here(sys.epoll_create1(flags)),
  epollCtl: async (epfd, op, fd, event) => {
    const buf = memory(EPOLL_EVENT_LEN);
    const view = new DataView(buf.buffer);
    view.setUint32(0, event.events, true);
    view.setUint32(EPOLL_DATA, event.data, true);
    return here(sys.epoll_ctl(epfd, op, fd, buf));
  },
  epollWait: async (epfd, max, timeoutMs) => {
    const buf = memory(EPOLL_EVENT_LEN * max);
    const view = new DataView(buf.buffer);
    const r = await inPool((done) => sys.epoll_wait.async(epfd, buf, max, timeoutMs, done));
    const ready = Array.from({ length: Math.max(0, r.ret) }, (_, i) => ({
      events: view.getUint32(EPOLL_EVENT_LEN * i, true),
      data: view.getUint32(EPOLL_EVENT_LEN * i + EPOLL_DATA, true),
    }));
    return { ...r, ready };
  },
};

/** struct msghdr with one buffer, an address and room for control messages. */
async function recvmsg(fd: number, count: number, flags: number): Promise<SysResult> {
  const [data, addr, control, iov] = [pinned(Math.max(1, count)), pinned(ADDR_MAX), pinned(CONTROL_MAX), pinned(16)];
  const msg = memory(56);
  const view = new DataView(msg.buffer);
  const word = new DataView(iov.bytes.buffer);
  word.setBigUint64(0, data.address, true);
  word.setBigUint64(8, BigInt(count), true);
  view.setBigUint64(0, addr.address, true);
  view.setUint32(8, ADDR_MAX, true);
  view.setBigUint64(16, iov.address, true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, control.address, true);
  view.setBigUint64(40, BigInt(CONTROL_MAX), true);
  try {
    const r = await inPool((done) => sys.recvmsg.async(fd, msg, flags, done));
    if (r.ret < 0) return r;
    const got = {
      ...r,
      data: data.bytes.slice(0, Math.min(r.ret, count)),
      msgFlags: view.getInt32(48, true),
      control: cmsgs(control.bytes.slice(0, Number(view.getBigUint64(40, true)))),
    };
    return view.getUint32(8, true) === 0 ? got : addressed(got, addr.bytes.slice());
  } finally {
    for (const m of [data, addr, control, iov]) m.free();
  }
}

function cmsgs(b: Uint8Array): SysCmsg[] {
  const view = new DataView(b.buffer);
  const found: SysCmsg[] = [];
  for (let at = 0; at + CMSG_HDR <= b.length;) {
    const len = Number(view.getBigUint64(at, true));
    if (len < CMSG_HDR || at + len > b.length) break;
    const [level, type] = [view.getInt32(at + 8, true), view.getInt32(at + 12, true)];
    found.push({ level, type, data: b.slice(at + CMSG_HDR, at + len) });
    at += (len + 7) & ~7;
  }
  return found;
}

function named(fd: number, get: (fd: number, addr: Uint8Array, len: Uint8Array) => number): SysResult {
  const buf = memory(ADDR_MAX);
  return addressed(here(get(fd, buf, lengthWord(ADDR_MAX).buf)), buf);
}

function addressed(r: SysResult, buf: Uint8Array): SysResult {
  const addr: SysAddr | undefined = r.ret < 0 ? undefined : parseSockaddr(buf);
  return addr === undefined ? r : { ...r, addr };
}

/** A socket option as C lays it out on a 64-bit little-endian machine. */
export function optBytes(o: SysOpt): Uint8Array {
  if (o.kind === 'bytes') return o.value;
  if (o.kind === 'string') return new TextEncoder().encode(`${o.value}\0`);
  const words =
    o.kind === 'int'
      ? Int32Array.of(o.value)
      : o.kind === 'linger'
        ? Int32Array.of(o.onoff, o.linger)
        : BigInt64Array.of(BigInt(o.sec), BigInt(o.usec));
  return new Uint8Array(words.buffer);
}
