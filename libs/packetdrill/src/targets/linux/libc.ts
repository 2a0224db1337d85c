import koffi from 'koffi';

// The system calls a script can make, and those that make its namespace, by FFI. Buffers are over 64 bytes, so that V8
// does not move them while the kernel writes. Each returns −1 and leaves an errno on failure.

const libc = koffi.load(null);

type Memory = Uint8Array | null;
/** A foreign function: called here and now, or in a thread of libuv's pool. */
interface Foreign<A extends readonly unknown[]> {
  (...args: A): number;
  async: (...args: [...A, (err: Error | null, ret: number) => void]) => void;
}

const fn = <A extends readonly unknown[]>(prototype: string): Foreign<A> =>
  libc.func(prototype) as unknown as Foreign<A>;

export const libcCalls = {
  open: fn<[string, number]>('int open(const char *path, int flags)'),
  close: fn<[number]>('int close(int fd)'),
  read: fn<[number, Memory, number]>('intptr_t read(int fd, void *buf, size_t n)'),
  write: fn<[number, Memory, number]>('intptr_t write(int fd, const void *buf, size_t n)'),
  poll: fn<[Memory, number, number]>('int poll(void *fds, unsigned long n, int timeoutMs)'),
  eventfd: fn<[number, number]>('int eventfd(unsigned int initial, int flags)'),
  unshare: fn<[number]>('int unshare(int flags)'),
  ioctl: fn<[number, number, Memory]>('int ioctl(int fd, unsigned long request, void *arg)'),
  fcntl: fn<[number, number, number]>('int fcntl(int fd, int cmd, long arg)'),
  socket: fn<[number, number, number]>('int socket(int domain, int type, int protocol)'),
  bind: fn<[number, Memory, number]>('int bind(int fd, const void *addr, unsigned int len)'),
  listen: fn<[number, number]>('int listen(int fd, int backlog)'),
  accept4: fn<[number, Memory, Memory, number]>('int accept4(int fd, void *addr, void *len, int flags)'),
  connect: fn<[number, Memory, number]>('int connect(int fd, const void *addr, unsigned int len)'),
  sendto: fn<[number, Memory, number, number, Memory, number]>(
    'intptr_t sendto(int fd, const void *buf, size_t n, int flags, const void *addr, unsigned int len)',
  ),
  recvfrom: fn<[number, Memory, number, number, Memory, Memory]>(
    'intptr_t recvfrom(int fd, void *buf, size_t n, int flags, void *addr, void *len)',
  ),
  recvmsg: fn<[number, Memory, number]>('intptr_t recvmsg(int fd, void *msg, int flags)'),
  epoll_create1: fn<[number]>('int epoll_create1(int flags)'),
  epoll_ctl: fn<[number, number, number, Memory]>('int epoll_ctl(int epfd, int op, int fd, void *event)'),
  epoll_wait: fn<[number, Memory, number, number]>('int epoll_wait(int epfd, void *events, int max, int timeoutMs)'),
  shutdown: fn<[number, number]>('int shutdown(int fd, int how)'),
  getsockname: fn<[number, Memory, Memory]>('int getsockname(int fd, void *addr, void *len)'),
  getpeername: fn<[number, Memory, Memory]>('int getpeername(int fd, void *addr, void *len)'),
  getsockopt: fn<[number, number, number, Memory, Memory]>(
    'int getsockopt(int fd, int level, int name, void *val, void *len)',
  ),
  setsockopt: fn<[number, number, number, Memory, number]>(
    'int setsockopt(int fd, int level, int name, const void *val, unsigned int len)',
  ),
};

/** Memory that C can point to: its address, and a view of it. */
export function pinned(n: number): { address: bigint; bytes: Uint8Array; free: () => void } {
  const at = koffi.alloc('uint8_t', n);
  return { address: koffi.address(at), bytes: new Uint8Array(koffi.view(at, n)), free: () => koffi.free(at) };
}

/** Of the last call, also inside the callback of an asynchronous one. */
export const errno = (): number => koffi.errno();

export const EINTR = 4;
export const EAGAIN = 11;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const POLLIN = 1;
export const CLONE_NEWNET = 0x4000_0000;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;

/** Memory for a call: at least 128 bytes, so that it stays where it is. */
export const memory = (n: number): Uint8Array => new Uint8Array(Math.max(n, 128));

/** Throws what a failed call says. */
export function must(what: string, ret: number): number {
  if (ret < 0) throw new Error(`${what}: errno ${errno()}`);
  return ret;
}
