import { EPOLLONESHOT, EPOLL_CTL_DEL, EPOLL_PRIVATE_BITS, EPOLL_CTL_ADD } from '@skbus/skb';
import type { DoorCall, DoorReply } from './door.ts';

interface Watch {
  events: number;
  data: number;
}

/**
 * The epoll instances of a session and what they watch, learnt from calls and answers: a new socket service gets them by the same
 * calls. An edge that was told before is then told once more, which programs have to bear anyway.
 */
export class EpollWatches {
  /** By the instance's fd, then by the watched one. */
  private readonly instances = new Map<number, Map<number, Watch>>();

  /** The answer to a call. */
  end({ epollCreate, epollCtl, epollWait, close }: DoorCall, r: DoorReply): void {
    if (r.errno !== 0) return;
    if (epollCreate) this.instances.set(r.result, new Map());
    else if (epollCtl) {
      const { epfd, op, fd, event } = epollCtl;
      const watched = this.instances.get(epfd ?? 0);
      if (op === EPOLL_CTL_DEL) watched?.delete(fd ?? 0);
      else watched?.set(fd ?? 0, { events: event?.events ?? 0, data: event?.data ?? 0 });
    } else if (epollWait) {
      const watched = this.instances.get(epollWait.epfd ?? 0);
      for (const { fd } of r.ready) {
        const w = watched?.get(fd ?? 0);
        // told, and silent until it is armed again
        if (w !== undefined && (w.events & EPOLLONESHOT) !== 0) w.events = (w.events & EPOLL_PRIVATE_BITS) >>> 0;
      }
    } else if (close) this.instances.delete(close.fd ?? 0);
  }

  /** A socket is closed: nobody watches it any more. */
  forget(fd: number): void {
    for (const watched of this.instances.values()) watched.delete(fd);
  }

  /** What to ask of a new service, in order, once it has the sockets. */
  calls(): DoorCall[] {
    const calls: DoorCall[] = [];
    for (const [epfd, watched] of this.instances) {
      calls.push({ epollCreate: { fd: epfd } });
      for (const [fd, event] of watched) calls.push({ epollCtl: { epfd, op: EPOLL_CTL_ADD, fd, event } });
    }
    return calls;
  }
}
