import { type Ipv4Addr, POLLNVAL } from '@skbus/skb';
import type { skbus } from '@skbus/contracts';
import { type AddressInfo, fromDoorAddr, literal, toDoorAddr } from './address.ts';
import { defaultDoor } from './default-door.ts';
import type { Door, DoorCall, DoorReply } from './door.ts';
import { argError, sysError } from './errors.ts';
import { FRAME_DATA_MAX } from './frame.ts';

/** struct sockaddr_in; the address as dotted quad or number. */
export interface SysAddr {
  address: string | Ipv4Addr;
  port: number;
  /** AF_INET unless said; AF_UNSPEC dissolves a connect(). */
  family?: number;
}

/** struct epoll_event: EPOLL* events (as poll()'s), and a whole number of the program's own that comes back with them. */
export interface SysEpollEvent {
  events: number;
  data: number;
}

export interface SysPollFd {
  fd: number;
  events: number;
}

/** An option's value: an int (or boolean), a name, struct linger, struct timeval, or bytes. */
export type SysOptValue =
  | number
  | boolean
  | string
  | { onoff: number; linger: number }
  | { sec: number; usec: number }
  | Uint8Array;

/** Calls that can block take a signal: aborted, they answer with what they did so far, or fail with EINTR. */
export interface SysCallOptions {
  signal?: AbortSignal;
}

/** The BSD socket calls, each a promise; fds, flags, options and errnos are Linux's. They fail with a SysError. */
export class Sys {
  private readonly door: () => Door;

  constructor(door: Door | (() => Door)) {
    this.door = typeof door === 'function' ? door : () => door;
  }

  async socket(domain: number, type: number, protocol = 0): Promise<number> {
    return (await this.call('socket', { socket: { domain, type, protocol } })).reply.result;
  }

  async bind(fd: number, addr: SysAddr): Promise<void> {
    await this.call('bind', { bind: { fd, addr: sockaddr(addr) } }, addr);
  }

  async listen(fd: number, backlog = 511): Promise<void> {
    await this.call('listen', { listen: { fd, backlog } });
  }

  /** accept4(): the new fd and its peer. */
  async accept(fd: number, flags = 0, opts?: SysCallOptions): Promise<{ fd: number; addr: AddressInfo }> {
    const { reply } = await this.call('accept', { accept: { fd, flags } }, undefined, undefined, opts);
    return { fd: reply.result, addr: fromDoorAddr(reply.addr)! };
  }

  async connect(fd: number, addr: SysAddr, opts?: SysCallOptions): Promise<void> {
    await this.call('connect', { connect: { fd, addr: sockaddr(addr) } }, addr, undefined, opts);
  }

  /** Up to 1 MiB per call; returns how many bytes the stack took. */
  send(fd: number, data: Uint8Array, flags = 0, opts?: SysCallOptions): Promise<number> {
    return this.sendto(fd, data, flags, undefined, opts);
  }

  async sendto(
    fd: number,
    data: Uint8Array,
    flags: number,
    addr: SysAddr | undefined,
    opts?: SysCallOptions,
  ): Promise<number> {
    const sendto = addr === undefined ? { fd, flags } : { fd, flags, to: sockaddr(addr) };
    const bytes = data.length > FRAME_DATA_MAX ? data.subarray(0, FRAME_DATA_MAX) : data;
    return (await this.call('send', { sendto }, addr, bytes, opts)).reply.result;
  }

  /** An empty buffer is the end of the stream. */
  async recv(fd: number, length: number, flags = 0, opts?: SysCallOptions): Promise<Buffer> {
    return (await this.recvfrom(fd, length, flags, opts)).data;
  }

  /** `result`: the call's return value, which MSG_TRUNC makes larger than the data. */
  async recvfrom(
    fd: number,
    length: number,
    flags = 0,
    opts?: SysCallOptions,
  ): Promise<{
    data: Buffer;
    result: number;
    addr: AddressInfo | undefined;
    flags: number;
    /** With TCP_INQ: bytes left to read. */
    inq: number | undefined;
  }> {
    const call = { recvfrom: { fd, len: length, flags } };
    const { reply, data } = await this.call('recv', call, undefined, undefined, opts);
    return {
      data: join(data),
      result: reply.result,
      addr: fromDoorAddr(reply.addr),
      flags: reply.msgFlags,
      inq: reply.inq ?? undefined,
    };
  }

  async shutdown(fd: number, how: number): Promise<void> {
    await this.call('shutdown', { shutdown: { fd, how } });
  }

  async close(fd: number): Promise<void> {
    await this.call('close', { close: { fd } });
  }

  async getsockopt(fd: number, level: number, name: number): Promise<Exclude<SysOptValue, boolean>> {
    const v = (await this.call('getsockopt', { getsockopt: { fd, level, name } })).reply.value;
    return fromValue(v);
  }

  async setsockopt(fd: number, level: number, name: number, value: SysOptValue): Promise<void> {
    await this.call('setsockopt', { setsockopt: { fd, level, name, value: toValue(value) } });
  }

  /** revents of each fd, in order; a negative timeout waits for ever. */
  async poll(fds: readonly SysPollFd[], timeoutMs: number, opts?: SysCallOptions): Promise<number[]> {
    const { reply } = await this.call('poll', { poll: { fds: [...fds], timeoutMs } }, undefined, undefined, opts);
    return fds.map((_, i) => reply.revents[i] ?? POLLNVAL);
  }

  /** epoll_create1(): the instance's fd; close() ends it. */
  async epollCreate(flags = 0): Promise<number> {
    return (await this.call('epoll_create1', { epollCreate: { flags } })).reply.result;
  }

  /** `event` is not looked at by EPOLL_CTL_DEL. */
  async epollCtl(epfd: number, op: number, fd: number, event: SysEpollEvent = { events: 0, data: 0 }): Promise<void> {
    const { events, data } = event;
    await this.call('epoll_ctl', { epollCtl: { epfd, op, fd, event: { events: events >>> 0, data } } });
  }

  /** Up to `maxEvents` of what is ready; none when the time is up. A negative timeout waits for ever. */
  async epollWait(epfd: number, maxEvents: number, timeoutMs: number, opts?: SysCallOptions): Promise<SysEpollEvent[]> {
    const call = { epollWait: { epfd, maxevents: maxEvents, timeoutMs } };
    const { reply } = await this.call('epoll_wait', call, undefined, undefined, opts);
    return reply.ready.map(({ events, data }) => ({ events: events ?? 0, data: data ?? 0 }));
  }

  /** FIONREAD, SIOCOUTQ and the like: the number asked for. */
  async ioctl(fd: number, request: number, arg = 0): Promise<number> {
    return (await this.call('ioctl', { ioctl: { fd, request, arg } })).reply.value?.num ?? 0;
  }

  async fcntl(fd: number, cmd: number, arg = 0): Promise<number> {
    return (await this.call('fcntl', { fcntl: { fd, cmd, arg } })).reply.result;
  }

  async getsockname(fd: number): Promise<AddressInfo> {
    return fromDoorAddr((await this.call('getsockname', { getsockname: { fd } })).reply.addr)!;
  }

  async getpeername(fd: number): Promise<AddressInfo> {
    return fromDoorAddr((await this.call('getpeername', { getpeername: { fd } })).reply.addr)!;
  }

  private call(
    syscall: string,
    call: DoorCall,
    addr?: SysAddr,
    data?: Uint8Array,
    opts?: SysCallOptions,
  ): Promise<{ reply: DoorReply; data: Uint8Array[] }> {
    return new Promise((resolve, reject) => {
      const door = this.door();
      const signal = opts?.signal;
      const abort = (): void => door.cancel(id);
      const id = door.request(
        call,
        data && [data],
        (reply, got) => {
          signal?.removeEventListener('abort', abort);
          if (reply.errno === 0) resolve({ reply, data: got });
          else {
            const at = addr === undefined ? undefined : String(addr.address);
            reject(sysError(reply.errno, syscall, at, addr?.port, reply.error));
          }
        },
        true,
      );
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
  }
}

/** The calls on the default stack. */
export const sys = new Sys(defaultDoor);

function sockaddr(a: SysAddr): skbus.v1.DoorAddr.$Properties {
  const addr = typeof a.address === 'number' ? a.address : literal(a.address);
  if (addr === undefined) throw argError(`${String(a.address)} is no IPv4 address; the calls take no names`);
  return { ...toDoorAddr(addr, a.port), ...(a.family === undefined ? {} : { family: a.family }) };
}

function toValue(v: SysOptValue): skbus.v1.DoorValue.$Properties {
  if (typeof v === 'boolean') return { num: v ? 1 : 0 };
  if (typeof v === 'number') return { num: v };
  if (typeof v === 'string') return { text: v };
  if (v instanceof Uint8Array) return { raw: v };
  return 'onoff' in v ? { linger: v } : { timeval: v };
}

function fromValue(v: skbus.v1.DoorValue.$Properties | null | undefined): Exclude<SysOptValue, boolean> {
  if (v?.text != null) return v.text;
  if (v?.linger) return { onoff: v.linger.onoff ?? 0, linger: v.linger.linger ?? 0 };
  if (v?.timeval) return { sec: v.timeval.sec ?? 0, usec: v.timeval.usec ?? 0 };
  if (v?.raw) return v.raw;
  return v?.num ?? 0;
}

function join(parts: readonly Uint8Array[]): Buffer {
  const [one] = parts;
  if (one === undefined) return Buffer.alloc(0);
  return parts.length === 1 ? Buffer.from(one.buffer, one.byteOffset, one.length) : Buffer.concat(parts);
}
