import { AF_INET, type Ipv4Addr, type Millis, type SkId } from '@skbus/skb';

/** A program that owns fds: one door connection. */
export type ProcId = number;

/** struct sockaddr_in; family AF_INET, or AF_UNSPEC where Linux gives that a meaning. */
export interface SockAddr {
  family: number;
  addr: Ipv4Addr;
  port: number;
}
/** struct linger; `linger` in seconds. */
export interface Linger {
  onoff: number;
  linger: number;
}
/** struct timeval. */
export interface Timeval {
  sec: number;
  usec: number;
}
export interface PollFd {
  fd: number;
  events: number;
}

/** struct epoll_event: EPOLL* and the program's own number. */
export interface EpollEvent {
  events: number;
  data: number;
}

/** What epoll_wait() found, and of which descriptor: a program that has to watch it again elsewhere cannot tell by `data`. */
export interface EpollReady extends EpollEvent {
  fd: number;
}

/** What a socket option holds: an int, a name (TCP_CONGESTION), a struct, or the bytes of one (TCP_INFO). */
export type OptValue = number | string | Linger | Timeval | Uint8Array;

/**
 * One system call; `data` is an iovec (sendmsg). `send` is `sendto` without `to`, `recv` is `recvfrom`, `accept4` is `accept` with flags:
 * as in the kernel.
 */
export type SysRequest =
  | { call: 'socket'; domain: number; type: number; protocol: number }
  | { call: 'bind'; fd: number; addr: SockAddr }
  | { call: 'listen'; fd: number; backlog: number }
  | { call: 'accept'; fd: number; flags: number; recv?: number }
  | { call: 'connect'; fd: number; addr: SockAddr }
  | { call: 'sendto'; fd: number; data: readonly Uint8Array[]; flags: number; to: SockAddr | undefined }
  | { call: 'recvfrom'; fd: number; len: number; flags: number }
  | { call: 'shutdown'; fd: number; how: number; drain?: boolean }
  | { call: 'close'; fd: number; drain?: boolean }
  | { call: 'getsockopt'; fd: number; level: number; name: number }
  | { call: 'setsockopt'; fd: number; level: number; name: number; value: OptValue }
  | { call: 'poll'; fds: readonly PollFd[]; timeoutMs: Millis }
  | { call: 'epoll_create'; flags?: number; fd?: number }
  | { call: 'epoll_ctl'; epfd: number; op: number; fd: number; event: EpollEvent }
  | { call: 'epoll_wait'; epfd: number; max: number; timeoutMs: Millis }
  | { call: 'ioctl'; fd: number; request: number; arg: number }
  | { call: 'fcntl'; fd: number; cmd: number; arg: number }
  | { call: 'getsockname'; fd: number }
  | { call: 'getpeername'; fd: number }
  | { call: 'resume'; files: readonly SessionFile[]; last: boolean }
  | { call: 'refill'; sk: SkId; offset: number; data: readonly Uint8Array[] };

/** A socket as a session remembers it (DoorFile in door.proto). */
export interface SessionFile {
  /** Negative: closed. */
  fd: number;
  sk: SkId;
  type: number;
  phase: 'unconnected' | 'listening' | 'connecting' | 'connected';
  nonblock: boolean;
  bound: SockAddr | undefined;
  peer: SockAddr | undefined;
  backlog: number;
  shut: number;
  rcvTo: number;
  sndTo: number;
  options: readonly { level: number; name: number; value: OptValue }[];
}

/** What a session must know of a socket (DoorFileNews in door.proto). */
export interface FileNews {
  sk: SkId;
  sndGot: number;
  gone?: boolean;
  newSk?: SkId;
}

/** What a system call came to. Absent fields do not apply to the call. */
export interface SysReply {
  /** ERRNO.*, 0: success. */
  errno: number;
  /** The call's return value: an fd, a number of bytes, how many fds are ready, flags. */
  result: number;
  /** recvfrom: the bytes, as views; their sum is `result`, or less with MSG_TRUNC. accept: those that it was to receive, too. */
  data?: readonly Uint8Array[];
  /** accept: the peer; recvfrom: the sender; getsockname, getpeername. */
  addr?: SockAddr;
  /** bind, connect, accept: the socket's own address, so that nobody has to ask for it. */
  local?: SockAddr;
  /** recvfrom: MSG_TRUNC when the datagram was cut. */
  msgFlags?: number;
  value?: OptValue;
  /** recvfrom with TCP_INQ: bytes left to read. */
  inq?: number;
  /** poll: revents, in the order asked. */
  revents?: readonly number[];
  /** epoll_wait: what is ready. */
  ready?: readonly EpollReady[];
  /** In a session. socket, accept: its number; recvfrom: the offset after what was received; resume. */
  sk?: SkId;
  rcvTo?: number;
  files?: readonly FileNews[];
  /** In a session, recvfrom: to be called when the bytes are surely with the program. */
  arrived?: (now: Millis) => void;
  /** epoll_ctl: whom it wakes is answered after it, so that a program knows which watch an event is of. */
  answered?: () => void;
}

/** One row for `ss`. */
export interface SocketInfo {
  sk: SkId;
  proto: 'tcp' | 'udp';
  /** 0: none any more (closed, the transport is not done with it), or not accepted yet. */
  proc: ProcId;
  fd: number;
  /** TCP_ESTABLISHED … */
  state: number;
  laddr: Ipv4Addr;
  lport: number;
  raddr: Ipv4Addr;
  rport: number;
  /** Received and not read; a listener: connections not accepted. */
  recvQ: number;
  /** Written and not acknowledged; a listener: its backlog. */
  sendQ: number;
}

export const ok = (result = 0): SysReply => ({ errno: 0, result });
/** Success, with the address the socket now has. */
export const okLocal = (s: { laddr: Ipv4Addr; lport: number }, result = 0): SysReply => ({
  errno: 0,
  result,
  local: { family: AF_INET, addr: s.laddr, port: s.lport },
});
export const fail = (errno: number): SysReply => ({ errno, result: -1 });
