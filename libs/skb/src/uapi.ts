/** Linux's numbers for programs that make socket calls: flags, poll events, ioctls (constants.ts has the options). */

// include/linux/socket.h, include/linux/net.h
export const AF_UNSPEC = 0;
export const SOCK_TYPE_MASK = 0xf;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
/** net.core.somaxconn */
export const SOMAXCONN = 4096;

export const MSG_OOB = 0x1;
export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_EOR = 0x80;
export const MSG_WAITALL = 0x100;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_MORE = 0x8000;
export const MSG_FASTOPEN = 0x2000_0000;

// include/uapi/asm-generic/socket.h
export const SO_SNDLOWAT = 19;

// include/uapi/asm-generic/poll.h
export const POLLIN = 0x1;
export const POLLPRI = 0x2;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20;
export const POLLRDNORM = 0x40;
export const POLLWRNORM = 0x100;
export const POLLWRBAND = 0x200;
export const POLLRDHUP = 0x2000;
// include/uapi/linux/eventpoll.h; the other events are poll()'s
export const EPOLL_CLOEXEC = 0x80000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLEXCLUSIVE = 0x1000_0000;
export const EPOLLWAKEUP = 0x2000_0000;
export const EPOLLONESHOT = 0x4000_0000;
export const EPOLLET = 0x8000_0000;
/** What says how to report, not what (EP_PRIVATE_BITS). */
export const EPOLL_PRIVATE_BITS = 0xf000_0000;

// include/uapi/asm-generic/ioctls.h, include/uapi/linux/sockios.h
export const TIOCOUTQ = 0x5411;
export const SIOCOUTQ = TIOCOUTQ;
export const FIONREAD = 0x541b;
export const SIOCINQ = FIONREAD;
export const FIONBIO = 0x5421;
export const SIOCATMARK = 0x8905;
export const SIOCOUTQNSD = 0x894b;

// include/uapi/asm-generic/fcntl.h
export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
