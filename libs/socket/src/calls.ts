import {
  AF_INET,
  EPOLL_CLOEXEC,
  ERRNO,
  INADDR_ANY,
  type Millis,
  NEVER,
  TCP_CLOSE,
  TCP_LISTEN,
  AF_UNSPEC,
  FIONBIO,
  FIONREAD,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  MSG_DONTWAIT,
  O_NONBLOCK,
  O_RDWR,
  POLLERR,
  POLLHUP,
  POLLNVAL,
  SIOCATMARK,
  SIOCOUTQ,
  SIOCOUTQNSD,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from '@skbus/skb';
import type { DgramSock } from './dgram-sock.ts';
import { Epoll } from './epoll.ts';
import { sendTcp } from './fastopen-calls.ts';
import { getsockopt, setsockopt } from './options.ts';
import type { Process } from './process.ts';
import type { Sock } from './sock.ts';
import { StreamSock } from './stream-sock.ts';
import { atMark, readable } from './oob.ts';
import * as stream from './stream-calls.ts';
import { recv } from './stream-recv.ts';
import {
  type PollFd,
  type SessionFile,
  type SockAddr,
  type SysReply,
  type SysRequest,
  fail,
  ok,
  okLocal,
} from './types.ts';
import { type Park, type WaitQueue, nothingDone } from './wait.ts';

/** What calls need from the layer besides the sockets. */
export interface CallHost {
  readonly congestion: readonly string[];
  socket(p: Process, domain: number, type: number, protocol: number): SysReply;
  resume(p: Process, files: readonly SessionFile[], last: boolean): SysReply | Park;
  refill(p: Process, sk: number, offset: number, data: readonly Uint8Array[]): SysReply;
}

type AnySock = StreamSock | DgramSock;
const E = ERRNO;

/** One system call of one program: the answer, or how to sleep for it. */
export function dispatch(host: CallHost, p: Process, req: SysRequest, now: Millis): SysReply | Park {
  if (req.call === 'socket') return host.socket(p, req.domain, req.type, req.protocol);
  if (req.call === 'poll') return poll(p, req.fds, req.timeoutMs);
  if (req.call === 'epoll_create') return epollCreate(p, req.flags ?? 0, req.fd ?? 0);
  if (req.call === 'epoll_wait') return p.epoll(req.epfd)?.wait(req.max, req.timeoutMs) ?? noEpoll(p, req.epfd);
  if (req.call === 'resume') return host.resume(p, req.files, req.last);
  if (req.call === 'refill') return host.refill(p, req.sk, req.offset, req.data);
  const s = p.get(req.fd) as AnySock | undefined;
  if (req.call === 'epoll_ctl') {
    if (s === undefined) return fail(p.epoll(req.fd) === undefined ? E.EBADF : E.EINVAL);
    return p.epoll(req.epfd)?.ctl(req.op, req.fd, s, req.event, now) ?? noEpoll(p, req.epfd);
  }
  if (s === undefined) return notSocket(p, req);
  switch (req.call) {
    case 'bind':
      return bind(s, req.addr);
    case 'listen':
      s.trace('__sys_listen');
      return s.proto === 'tcp' ? stream.listen(s, req.backlog) : fail(E.EOPNOTSUPP);
    case 'accept':
      return accept(p, s, req.flags, req.recv ?? 0);
    case 'connect':
      s.trace('__sys_connect');
      return s.proto === 'tcp' ? stream.connect(s, req.addr, now) : s.connect(req.addr);
    case 'sendto':
      s.trace('__sys_sendto');
      s.trace('__sock_sendmsg');
      s.trace('inet_sendmsg');
      return s.proto === 'tcp' ? sendTcp(s, req.data, req.flags, now, req.to) : s.sendto(req.data, req.flags, req.to);
    case 'recvfrom':
      return recvfrom(s, req.len, req.flags);
    case 'shutdown':
      s.trace('__sys_shutdown');
      return s.proto === 'tcp' ? stream.shutdown(s, req.how, req.drain ?? false, now) : s.shutdown(req.how, now);
    case 'close':
      return close(p, s, req.drain ?? false, now);
    case 'getsockopt':
      return getsockopt(s, req.level, req.name);
    case 'setsockopt':
      return setsockopt(s, req.level, req.name, req.value, host.congestion);
    case 'ioctl':
      return ioctl(s, req.request, req.arg);
    case 'fcntl':
      return fcntl(s, req.cmd, req.arg);
    case 'getsockname':
      return { errno: 0, result: 0, addr: { family: AF_INET, addr: s.laddr, port: s.lport } };
    default:
      return getpeername(s);
  }
}

/** epoll_create1(); `at`: the number that it had with a service before this one, 0: any. */
function epollCreate(p: Process, flags: number, at: number): SysReply {
  if (flags & ~EPOLL_CLOEXEC) return fail(E.EINVAL);
  if (at !== 0) return p.addAt(at, new Epoll()) ? ok(at) : fail(E.EBADF);
  const fd = p.add(new Epoll());
  return fd < 0 ? fail(E.EMFILE) : ok(fd);
}

const noEpoll = (p: Process, fd: number): SysReply => fail(p.get(fd) === undefined ? E.EBADF : E.EINVAL);

/** Of an epoll instance only close() makes sense. */
function notSocket(p: Process, req: SysRequest & { fd: number }): SysReply {
  const epoll = p.epoll(req.fd);
  if (epoll === undefined) return fail(E.EBADF);
  if (req.call !== 'close') return fail(E.ENOTSOCK);
  p.drop(req.fd);
  epoll.close();
  return ok();
}

/** inet_bind(). */
function bind(s: AnySock, to: SockAddr): SysReply | Park {
  s.trace('__sys_bind');
  s.trace('inet_bind');
  // "Compat games": AF_UNSPEC with INADDR_ANY is taken for AF_INET.
  if (to.family !== AF_INET && !(to.family === AF_UNSPEC && to.addr === INADDR_ANY)) return fail(E.EAFNOSUPPORT);
  if (to.port < 0 || to.port > 65535) return fail(E.EINVAL);
  if (s.proto === 'udp') return s.hasPort ? fail(E.EINVAL) : s.bindOp(to.addr, to.port);
  if (s.resumed && s.boundTo === undefined && s.lport !== 0 && (to.port === 0 || to.port === s.lport)) {
    s.boundTo = { addr: to.addr, port: to.port };
    return okLocal(s);
  }
  if (s.state !== TCP_CLOSE || s.boundTo !== undefined || s.lport !== 0) return fail(E.EINVAL);
  s.boundTo = { addr: to.addr, port: to.port };
  let answer: number | undefined;
  s.pushOp({ bind: s.boundTo }, (errno, now) => {
    answer = errno;
    if (errno !== 0) s.boundTo = undefined;
    s.wakeAll(now);
  });
  return {
    on: [s.connectors],
    timeoutMs: NEVER,
    stop: nothingDone,
    attempt: () => (answer === undefined ? undefined : answer === 0 ? okLocal(s) : fail(answer)),
  };
}

function accept(p: Process, s: AnySock, flags: number, recvLen: number): SysReply | Park {
  s.trace('__sys_accept4');
  if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) return fail(E.EINVAL);
  if (p.full) return fail(E.EMFILE);
  if (s.proto === 'udp') return fail(E.EOPNOTSUPP);
  const install = (child: StreamSock): number => {
    child.nonblock = (flags & SOCK_NONBLOCK) !== 0;
    return p.install(child);
  };
  return stream.accept(s, install, (child) => {
    if (recvLen <= 0 || child.rcv.length === 0) return undefined;
    const received = recvfrom(child, recvLen, MSG_DONTWAIT);
    return 'errno' in received ? received : undefined;
  });
}

function recvfrom(s: AnySock, len: number, flags: number): SysReply | Park {
  s.trace('__sys_recvfrom');
  if (len < 0) return fail(E.EINVAL);
  s.trace('sock_recvmsg');
  s.trace('inet_recvmsg');
  return s.proto === 'tcp' ? recv(s, len, flags) : s.recvfrom(len, flags);
}

/** The fd is gone at once, calls that sleep on it end with EBADF; with `drain` when the sends among them are through. */
function close(p: Process, s: AnySock, drain: boolean, now: Millis): SysReply | Park {
  if (!drain || s.proto === 'udp' || stream.drained(s)) return release(p, s, now);
  const attempt = (at: Millis): SysReply | undefined => {
    if (!stream.drained(s)) return undefined;
    release(p, s, at);
    return ok();
  };
  return { on: [s.wr, s.connectors], attempt, timeoutMs: NEVER, stop: nothingDone };
}

/** __fput() */
function release(p: Process, s: AnySock, now: Millis): SysReply | Park {
  s.trace('sock_close');
  s.trace('__sock_release');
  s.trace('inet_release');
  p.remove(s);
  for (const q of [s.rd, s.wr, s.pollers]) q.stopAll(E.EBADF);
  if (s.proto === 'tcp') {
    s.connectors.stopAll(E.EBADF);
    return stream.close(s, now);
  }
  s.close(now);
  return ok();
}

function getpeername(s: AnySock): SysReply {
  const gone = s.proto === 'tcp' && (s.state === TCP_CLOSE || s.opening || s.state === TCP_LISTEN);
  if (s.rport === 0 || gone) return fail(E.ENOTCONN);
  return { errno: 0, result: 0, addr: { family: AF_INET, addr: s.raddr, port: s.rport } };
}

/** do_poll(): the events that are there now, or sleep on all of them. */
function poll(p: Process, fds: readonly PollFd[], timeoutMs: Millis): SysReply | Park {
  const look = (): SysReply => {
    let ready = 0;
    const revents = fds.map(({ fd, events }) => {
      if (fd < 0) return 0;
      const s = p.get(fd);
      const r = s === undefined ? POLLNVAL : s.pollMask() & (events | POLLERR | POLLHUP);
      if (r !== 0) ready++;
      return r;
    });
    return { errno: 0, result: ready, revents };
  };
  const now = look();
  if (now.result > 0 || timeoutMs === 0) return now;
  const on: WaitQueue[] = [];
  for (const { fd } of fds) {
    const s: Sock | undefined = fd < 0 ? undefined : p.get(fd);
    if (s !== undefined) on.push(s.pollers);
  }
  return {
    on,
    timeoutMs: timeoutMs < 0 ? NEVER : timeoutMs,
    attempt: () => {
      const r = look();
      return r.result > 0 ? r : undefined;
    },
    // Time up: nothing is ready, which is no error. A close of one of the fds ends up here, too, and shows as POLLNVAL.
    stop: (errno) => (errno === E.EINTR ? fail(errno) : look()),
  };
}

/** sock_ioctl(), tcp_ioctl(), udp_ioctl(). */
function ioctl(s: AnySock, request: number, arg: number): SysReply {
  switch (request) {
    case FIONBIO:
      s.nonblock = arg !== 0;
      return ok();
    case FIONREAD:
      if (s.proto === 'udp') return { ...ok(), value: s.nextLength };
      return s.state === TCP_LISTEN ? fail(E.EINVAL) : { ...ok(), value: readable(s) };
    case SIOCATMARK:
      return s.proto === 'tcp' ? { ...ok(), value: atMark(s) ? 1 : 0 } : fail(E.ENOTTY);
    case SIOCOUTQ:
      if (s.proto === 'udp') return { ...ok(), value: 0 };
      return s.state === TCP_LISTEN ? fail(E.EINVAL) : { ...ok(), value: s.snd.outq.unacked };
    case SIOCOUTQNSD:
      if (s.proto === 'udp') return fail(E.ENOTTY);
      return s.state === TCP_LISTEN ? fail(E.EINVAL) : { ...ok(), value: s.snd.outq.unsent };
    default:
      return fail(E.ENOTTY);
  }
}

function fcntl(s: AnySock, cmd: number, arg: number): SysReply {
  switch (cmd) {
    case F_GETFL:
      return ok(O_RDWR | (s.nonblock ? O_NONBLOCK : 0));
    case F_SETFL:
      s.nonblock = (arg & O_NONBLOCK) !== 0;
      return ok();
    case F_GETFD:
      return ok(0);
    case F_SETFD:
      return ok();
    default:
      return fail(E.EINVAL);
  }
}
