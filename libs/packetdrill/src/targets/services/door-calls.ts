import { SO_LINGER, SOL_SOCKET, Sys, type SysError, type SysOptValue, type UnixDoor } from '@skbus/net';
import type { SysOpt } from '../../sys.ts';
import type { SysCalls, SysResult, SysTicket } from '../../target.ts';
import { inqControl } from '../control.ts';
import { Ticket } from '../ticket.ts';
import type { WallClock } from '../wall-clock.ts';

type Pending = Promise<Partial<SysResult>>;
type Addr = { address: string; port: number } | undefined;

/** The script's system calls on a door of the stack, as any program makes them. */
export interface DoorCalls {
  calls: SysCalls;
  /** Closes what the script left open, by a reset where there is a connection. */
  abort(): Promise<void>;
}

/** `ready`: what a call must wait for before it is made; calls are made in the order they were asked for. */
export function doorCalls(door: () => UnixDoor, clock: WallClock, ready: () => Promise<void>): DoorCalls {
  const sys = new Sys(door);
  let made = Promise.resolve();
  const open = new Set<number>();
  const opened = (fd: number): number => {
    open.add(fd);
    return fd;
  };
  const call = (make: () => Pending): SysTicket => {
    const ticket = new Ticket();
    made = made.then(ready).then(() => {
      make().then(
        (r) => ticket.settle({ ret: 0, errno: 0, ...r }, clock.now()),
        (e: SysError) => ticket.settle({ ret: -1, errno: -e.errno }, clock.now()),
      );
    });
    return ticket;
  };
  const calls: SysCalls = {
    socket: (domain, type, protocol) =>
      call(() => sys.socket(domain, type, protocol).then((fd) => ({ ret: opened(fd) }))),
    bind: (fd, addr) => call(() => sys.bind(fd, door4(addr)).then(nothing)),
    listen: (fd, backlog) => call(() => sys.listen(fd, backlog).then(nothing)),
    accept: (fd, flags) => call(() => sys.accept(fd, flags).then((r) => ({ ret: opened(r.fd), ...named(r.addr) }))),
    connect: (fd, addr) => call(() => sys.connect(fd, door4(addr)).then(nothing)),
    send: (fd, data, flags, to) => call(() => sys.sendto(fd, data, flags, to && door4(to)).then((ret) => ({ ret }))),
    recv: (fd, count, flags) => call(() => sys.recvfrom(fd, count, flags).then(received)),
    recvmsg: (fd, count, flags) =>
      call(() =>
        sys.recvfrom(fd, count, flags).then((r) => ({ ...received(r), msgFlags: r.flags, ...inqControl(r.inq) })),
      ),
    shutdown: (fd, how) => call(() => sys.shutdown(fd, how).then(nothing)),
    close: (fd) => {
      open.delete(fd);
      return call(() => sys.close(fd).then(nothing));
    },
    getsockname: (fd) => call(() => sys.getsockname(fd).then(named)),
    getpeername: (fd) => call(() => sys.getpeername(fd).then(named)),
    getsockopt: (fd, level, name, len) =>
      call(() => sys.getsockopt(fd, level, name).then((v) => ({ opt: layOut(v).subarray(0, len) }))),
    setsockopt: (fd, level, name, value) => call(() => sys.setsockopt(fd, level, name, optValue(value)).then(nothing)),
    fcntl: (fd, cmd, arg) => call(() => sys.fcntl(fd, cmd, arg).then((ret) => ({ ret, value: ret }))),
    ioctl: (fd, request, arg) => call(() => sys.ioctl(fd, request, arg).then((value) => ({ value }))),
    epollCreate: (flags) => call(() => sys.epollCreate(flags).then((fd) => ({ ret: opened(fd) }))),
    epollCtl: (epfd, op, fd, event) => call(() => sys.epollCtl(epfd, op, fd, event).then(nothing)),
    epollWait: (epfd, max, timeoutMs) =>
      call(() => sys.epollWait(epfd, max, timeoutMs).then((ready) => ({ ret: ready.length, ready }))),
    poll: (fds, timeoutMs) =>
      call(() => sys.poll(fds, timeoutMs).then((revents) => ({ ret: revents.filter((r) => r !== 0).length, revents }))),
  };
  const abort = async (): Promise<void> => {
    const fds = [...open];
    open.clear();
    const drop = (fd: number): Promise<void> =>
      sys
        .setsockopt(fd, SOL_SOCKET, SO_LINGER, { onoff: 1, linger: 0 })
        // an epoll instance has no options
        .catch(() => {})
        .then(() => sys.close(fd));
    await Promise.allSettled(fds.map(drop));
  };
  return { calls, abort };
}

const nothing = (): Partial<SysResult> => ({});
const door4 = ({ ip, port }: { ip: string; port: number }): { address: string; port: number } => ({
  address: ip,
  port,
});
const named = (a: Addr): Partial<SysResult> => (a === undefined ? {} : { addr: { ip: a.address, port: a.port } });

const received = (r: { result: number; data: Uint8Array; addr: Addr }): Partial<SysResult> => ({
  ret: r.result,
  data: Uint8Array.from(r.data),
  ...named(r.addr),
});

function optValue(o: SysOpt): SysOptValue {
  switch (o.kind) {
    case 'linger':
      return { onoff: o.onoff, linger: o.linger };
    case 'timeval':
      return { sec: o.sec, usec: o.usec };
    default:
      return o.value;
  }
}

/** A value as C lays it out on a 64-bit little-endian machine. */
function layOut(v: SysOptValue): Uint8Array {
  if (v instanceof Uint8Array) return v;
  if (typeof v === 'string') return new TextEncoder().encode(`${v}\0`);
  if (typeof v !== 'object') return new Uint8Array(Int32Array.of(Number(v)).buffer);
  const words = 'onoff' in v ? Int32Array.of(v.onoff, v.linger) : BigInt64Array.of(BigInt(v.sec), BigInt(v.usec));
  return new Uint8Array(words.buffer);
}
