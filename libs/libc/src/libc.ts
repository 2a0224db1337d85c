import koffi from 'koffi';

// The few libc calls that Node does not have, by FFI. Every function returns -1 and sets errno on failure.

const libc = koffi.load(null);

/** Takes a view of memory that must not move during the call; typed arrays over 64 bytes and shared memory don't. */
type Memory = Uint8Array | null;

export const sys = {
  open: libc.func('int open(const char *path, int flags)') as (path: string, flags: number) => number,
  close: libc.func('int close(int fd)') as (fd: number) => number,
  read: libc.func('intptr_t read(int fd, void *buf, size_t n)') as (fd: number, buf: Memory, n: number) => number,
  write: libc.func('intptr_t write(int fd, const void *buf, size_t n)') as (
    fd: number,
    buf: Memory,
    n: number,
  ) => number,
  ioctl: libc.func('int ioctl(int fd, unsigned long request, void *arg)') as (
    fd: number,
    req: number,
    arg: Memory,
  ) => number,
  /** TUNSETPERSIST and TUNSETOFFLOAD take their argument by value. */
  ioctlValue: libc.func('ioctl', 'int', ['int', 'unsigned long', 'unsigned long']) as (
    fd: number,
    req: number,
    arg: number,
  ) => number,
  poll: libc.func('int poll(void *fds, unsigned long n, int timeoutMs)') as (
    fds: Memory,
    n: number,
    timeoutMs: number,
  ) => number,
  dup2: libc.func('int dup2(int from, int to)') as (from: number, to: number) => number,
  socket: libc.func('int socket(int domain, int type, int protocol)') as (
    domain: number,
    type: number,
    protocol: number,
  ) => number,
  setns: libc.func('int setns(int fd, int type)') as (fd: number, type: number) => number,
  pipe2: libc.func('int pipe2(void *fds, int flags)') as (fds: Memory, flags: number) => number,
  eventfd: libc.func('int eventfd(unsigned int initial, int flags)') as (initial: number, flags: number) => number,
};

export const errno = (): number => koffi.errno();

export const EINTR = 4;
export const EAGAIN = 11;
export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const POLLIN = 1;
export const CLONE_NEWNET = 0x4000_0000;
export const EFD_CLOEXEC = O_CLOEXEC;

/** Raises an eventfd. */
export function eventfdSignal(fd: number): void {
  const one = new Uint8Array(128);
  one[0] = 1;
  sys.write(fd, one, 8);
}

/** The two ends of a pipe. */
export function pipe(): { readFd: number; writeFd: number } {
  const fds = new Int32Array(32);
  if (sys.pipe2(new Uint8Array(fds.buffer), O_CLOEXEC) < 0) throw new SysError('pipe', errno());
  return { readFd: fds[0]!, writeFd: fds[1]! };
}

/** A failed call, for a person. */
export class SysError extends Error {
  readonly errno: number;

  constructor(what: string, code: number) {
    super(`${what}: ${errnoText(code)}`);
    this.name = 'SysError';
    this.errno = code;
  }
}

const TEXT: Record<number, string> = {
  1: 'Operation not permitted',
  2: 'No such file or directory',
  5: 'Input/output error',
  6: 'No such device or address',
  13: 'Permission denied',
  16: 'Device or resource busy',
  19: 'No such device',
  22: 'Invalid argument',
  77: 'File descriptor in bad state',
};
const errnoText = (code: number): string => TEXT[code] ?? `errno ${code}`;
