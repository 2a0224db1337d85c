import {
  EPOLLET,
  EPOLLONESHOT,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_PRIVATE_BITS,
  ERRNO,
  type Millis,
  NEVER,
  POLLERR,
  POLLHUP,
} from '@skbus/skb';
import type { Sock } from './sock.ts';
import { fail, ok, type EpollEvent, type EpollReady, type SysReply } from './types.ts';
import { type Park, type Waiter, WaitQueue } from './wait.ts';

/** ep_poll_callback() of a wake-up that does not say what for takes it for everything. */
const ANYTHING = 0;
/** INT_MAX / sizeof(struct epoll_event) */
const EP_MAX_EVENTS = 178_956_970;

/** struct epitem: one descriptor that an epoll instance watches. It sleeps on the socket's queue all the time. */
class EpollItem implements Waiter {
  readonly sock: Sock;
  readonly fd: number;
  private readonly epoll: Epoll;
  events = 0;
  data = 0;

  constructor(epoll: Epoll, sock: Sock, fd: number) {
    this.epoll = epoll;
    this.sock = sock;
    this.fd = fd;
    sock.pollers.add(this);
  }

  set({ events, data }: EpollEvent): void {
    this.events = events | POLLERR | POLLHUP;
    this.data = data;
  }

  /** ep_item_poll() */
  poll(): number {
    return this.sock.pollMask() & this.events & ~EPOLL_PRIVATE_BITS;
  }

  /** ep_poll_callback(): something happened; epoll_wait() will look what. */
  wake(now: Millis, key: number): void {
    const { events } = this;
    if ((events & ~EPOLL_PRIVATE_BITS) === 0 || (key !== ANYTHING && (key & events) === 0)) return;
    this.epoll.queue(this, now);
  }

  /** The descriptor was closed (eventpoll_release). */
  stop(): void {
    this.abandon();
  }

  abandon(): void {
    this.sock.pollers.remove(this);
    this.epoll.forget(this);
  }
}

/** struct eventpoll (fs/eventpoll.c): the sockets it watches, and those of them that may be ready. */
export class Epoll {
  private readonly items = new Map<number, EpollItem>();
  private readonly ready = new Set<EpollItem>();
  private readonly waiters = new WaitQueue();

  /** do_epoll_ctl() */
  ctl(op: number, fd: number, sock: Sock, event: EpollEvent, now: Millis): SysReply {
    let item = this.items.get(fd);
    switch (op) {
      case EPOLL_CTL_ADD:
        if (item !== undefined) return fail(ERRNO.EEXIST);
        item = new EpollItem(this, sock, fd);
        this.items.set(fd, item);
        break;
      case EPOLL_CTL_DEL:
        if (item === undefined) return fail(ERRNO.ENOENT);
        item.abandon();
        return ok();
      case EPOLL_CTL_MOD:
        if (item === undefined) return fail(ERRNO.ENOENT);
        break;
      default:
        return fail(ERRNO.EINVAL);
    }
    item.set(event);
    if (item.poll() === 0) return ok();
    this.ready.add(item);
    return { ...ok(), answered: () => this.waiters.wake(now) };
  }

  /** do_epoll_wait() */
  wait(max: number, timeoutMs: Millis): SysReply | Park {
    if (max <= 0 || max > EP_MAX_EVENTS) return fail(ERRNO.EINVAL);
    const now = this.collect(max);
    if (now.result > 0 || timeoutMs === 0) return now;
    return {
      on: [this.waiters],
      timeoutMs: timeoutMs < 0 ? NEVER : timeoutMs,
      attempt: () => {
        const r = this.collect(max);
        return r.result > 0 ? r : undefined;
      },
      stop: (errno) => (errno === ERRNO.EAGAIN ? this.collect(max) : fail(errno)),
    };
  }

  queue(item: EpollItem, now: Millis): void {
    this.ready.add(item);
    this.waiters.wake(now);
  }

  forget(item: EpollItem): void {
    this.ready.delete(item);
    if (this.items.get(item.fd) === item) this.items.delete(item.fd);
  }

  close(): void {
    for (const item of Array.from(this.items.values())) item.abandon();
    this.waiters.stopAll(ERRNO.EBADF);
  }

  /** ep_send_events(): an edge is told once, a level as long as it lasts, a one-shot until it is armed again. */
  private collect(max: number): SysReply {
    const events: EpollReady[] = [];
    for (const item of Array.from(this.ready)) {
      if (events.length === max) break;
      this.ready.delete(item);
      const found = item.poll();
      if (found === 0) continue;
      events.push({ events: found, data: item.data, fd: item.fd });
      if ((item.events & EPOLLONESHOT) !== 0) item.events &= EPOLL_PRIVATE_BITS;
      else if ((item.events & EPOLLET) === 0) this.ready.add(item);
    }
    return { ...ok(events.length), ready: events };
  }
}
