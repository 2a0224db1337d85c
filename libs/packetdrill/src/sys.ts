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
