/** A socket option's value: what C passes as a pointer. */
export type SysOpt =
  | { kind: 'int'; value: number }
  | { kind: 'linger'; onoff: number; linger: number }
  | { kind: 'timeval'; sec: number; usec: number }
  | { kind: 'string'; value: string }
  | { kind: 'bytes'; value: Uint8Array };

export interface SysPollFd {
  fd: number;
  events: number;
}

/** A control message of recvmsg; the data as C lays it out. */
export interface SysCmsg {
  level: number;
  type: number;
  data: Uint8Array;
}

/** struct epoll_event: the events, and the number that comes back with them. */
export interface SysEpollEvent {
  events: number;
  data: number;
}
