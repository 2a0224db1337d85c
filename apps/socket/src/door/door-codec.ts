import type { skbus } from '@skbus/contracts';
import { FRAME_DATA_MAX, type DoorCall } from '@skbus/net';
import type { FileNews, OptValue, SessionFile, SockAddr, SysReply, SysRequest } from '@skbus/socket';

type Reply = skbus.v1.DoorReply.$Properties;

const dataLen = (n: number | null | undefined): number => Math.min(n ?? 0, FRAME_DATA_MAX);

/** DoorRequest → the engine's call; undefined: it holds none. `data` is what came with the frame. */
export function toSysRequest(m: DoorCall, data: readonly Uint8Array[]): SysRequest | undefined {
  // The two that matter for speed first.
  if (m.recvfrom) {
    const { fd, len, flags } = m.recvfrom;
    return { call: 'recvfrom', fd: fd ?? 0, len: dataLen(len), flags: flags ?? 0 };
  }
  if (m.sendto)
    return {
      call: 'sendto',
      fd: m.sendto.fd ?? 0,
      flags: m.sendto.flags ?? 0,
      data,
      to: m.sendto.to ? addr(m.sendto.to) : undefined,
    };
  return rareRequest(m) ?? sessionRequest(m, data);
}

/** The engine's answer → DoorReply, without its data. */
export function toDoorReply(id: number, r: SysReply): Reply {
  const m: Reply = { id };
  if (r.errno !== 0) m.errno = r.errno;
  if (r.result !== 0) m.result = r.result;
  if (r.addr !== undefined) m.addr = r.addr;
  if (r.local !== undefined) m.local = r.local;
  if (r.msgFlags) m.msgFlags = r.msgFlags;
  if (r.inq !== undefined) m.inq = r.inq;
  if (r.sk !== undefined) m.sk = r.sk;
  if (r.rcvTo !== undefined) m.rcvTo = r.rcvTo;
  if (r.files !== undefined) m.files = r.files.map(toFileNews);
  if (r.value !== undefined) m.value = toValue(r.value);
  if (r.revents !== undefined) m.revents = [...r.revents];
  if (r.ready !== undefined) m.ready = r.ready.map((e) => ({ ...e, events: e.events >>> 0 }));
  return m;
}

export const toFileNews = (n: FileNews): skbus.v1.DoorFileNews.$Properties => ({ ...n });

const PHASES = ['unconnected', 'listening', 'connecting', 'connected'] as const;

function toFile(f: skbus.v1.DoorFile.$Properties): SessionFile {
  return {
    fd: f.fd ?? 0,
    sk: f.sk ?? 0,
    type: f.type ?? 0,
    phase: PHASES[f.phase ?? 0] ?? 'unconnected',
    nonblock: f.nonblock ?? false,
    bound: f.bound ? addr(f.bound) : undefined,
    peer: f.peer ? addr(f.peer) : undefined,
    backlog: f.backlog ?? 0,
    shut: (f.shut ?? 0) & 3,
    rcvTo: offset(f.rcvTo),
    sndTo: offset(f.sndTo),
    options: (f.options ?? []).map((o) => ({ level: o.level ?? 0, name: o.name ?? 0, value: fromValue(o.value) })),
  };
}

const offset = (n: number | null | undefined): number => (Number.isSafeInteger(n) && n! > 0 ? n! : 0);

/** The messages of sessions. */
function sessionRequest(m: DoorCall, data: readonly Uint8Array[]): SysRequest | undefined {
  if (m.resume) return { call: 'resume', files: (m.resume.files ?? []).map(toFile), last: m.resume.last ?? false };
  if (m.refill) return { call: 'refill', sk: m.refill.sk ?? 0, offset: offset(m.refill.offset), data };
  return undefined;
}

function rareRequest(m: DoorCall): SysRequest | undefined {
  if (m.accept)
    return { call: 'accept', fd: m.accept.fd ?? 0, flags: m.accept.flags ?? 0, recv: dataLen(m.accept.recv) };
  if (m.close) return { call: 'close', fd: m.close.fd ?? 0, drain: m.close.drain ?? false };
  if (m.socket)
    return { call: 'socket', domain: m.socket.domain ?? 0, type: m.socket.type ?? 0, protocol: m.socket.protocol ?? 0 };
  if (m.connect) return { call: 'connect', fd: m.connect.fd ?? 0, addr: addr(m.connect.addr) };
  if (m.shutdown)
    return { call: 'shutdown', fd: m.shutdown.fd ?? 0, how: m.shutdown.how ?? 0, drain: m.shutdown.drain ?? false };
  if (m.setsockopt) {
    const { fd, level, name, value } = m.setsockopt;
    return { call: 'setsockopt', fd: fd ?? 0, level: level ?? 0, name: name ?? 0, value: fromValue(value) };
  }
  if (m.getsockopt)
    return {
      call: 'getsockopt',
      fd: m.getsockopt.fd ?? 0,
      level: m.getsockopt.level ?? 0,
      name: m.getsockopt.name ?? 0,
    };
  if (m.bind) return { call: 'bind', fd: m.bind.fd ?? 0, addr: addr(m.bind.addr) };
  if (m.listen) return { call: 'listen', fd: m.listen.fd ?? 0, backlog: m.listen.backlog ?? 0 };
  if (m.getsockname) return { call: 'getsockname', fd: m.getsockname.fd ?? 0 };
  if (m.getpeername) return { call: 'getpeername', fd: m.getpeername.fd ?? 0 };
  if (m.ioctl) return { call: 'ioctl', fd: m.ioctl.fd ?? 0, request: m.ioctl.request ?? 0, arg: m.ioctl.arg ?? 0 };
  if (m.fcntl) return { call: 'fcntl', fd: m.fcntl.fd ?? 0, cmd: m.fcntl.cmd ?? 0, arg: m.fcntl.arg ?? 0 };
  if (m.poll) {
    const timeoutMs = m.poll.timeoutMs ?? 0;
    const fds = (m.poll.fds ?? []).map((f) => ({ fd: f.fd ?? 0, events: f.events ?? 0 }));
    return { call: 'poll', fds, timeoutMs: forEver(timeoutMs) };
  }
  return epollRequest(m);
}

function epollRequest({ epollCreate, epollCtl, epollWait }: DoorCall): SysRequest | undefined {
  if (epollCreate) return { call: 'epoll_create', flags: epollCreate.flags ?? 0, fd: epollCreate.fd ?? 0 };
  if (epollCtl) {
    const { epfd, op, fd, event } = epollCtl;
    const watch = { events: event?.events ?? 0, data: event?.data ?? 0 };
    return { call: 'epoll_ctl', epfd: epfd ?? 0, op: op ?? 0, fd: fd ?? 0, event: watch };
  }
  if (epollWait) {
    const { epfd, maxevents, timeoutMs } = epollWait;
    return { call: 'epoll_wait', epfd: epfd ?? 0, max: maxevents ?? 0, timeoutMs: forEver(timeoutMs ?? 0) };
  }
  return undefined;
}

const forEver = (timeoutMs: number): number => (Number.isFinite(timeoutMs) ? timeoutMs : -1);

function addr(a: skbus.v1.DoorAddr.$Properties | null | undefined): SockAddr {
  return { family: a?.family ?? 0, addr: a?.addr ?? 0, port: a?.port ?? 0 };
}

function fromValue(v: skbus.v1.DoorValue.$Properties | null | undefined): OptValue {
  if (v?.text != null) return v.text;
  if (v?.linger) return { onoff: v.linger.onoff ?? 0, linger: v.linger.linger ?? 0 };
  if (v?.timeval) return { sec: v.timeval.sec ?? 0, usec: v.timeval.usec ?? 0 };
  if (v?.raw) return v.raw;
  return v?.num ?? 0;
}

function toValue(v: OptValue): skbus.v1.DoorValue.$Properties {
  if (typeof v === 'number') return { num: v };
  if (typeof v === 'string') return { text: v };
  if (v instanceof Uint8Array) return { raw: v };
  return 'onoff' in v ? { linger: v } : { timeval: v };
}
