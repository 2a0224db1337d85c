import {
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  POLLRDHUP,
  POLLRDNORM,
  POLLWRNORM,
  TCP_CLOSE,
  TCP_LISTEN,
} from '@skbus/skb';
import { oobMask, readable } from './oob.ts';
import type { StreamSock } from './stream-sock.ts';
import type { SocketInfo } from './types.ts';
import { RCV_SHUTDOWN, SEND_SHUTDOWN, SHUTDOWN_MASK } from './uapi.ts';

/** tcp_poll(). */
export function pollMask(s: StreamSock): number {
  if (s.state === TCP_LISTEN) return s.acceptQueue.length > 0 ? POLLIN | POLLRDNORM : 0;
  let mask = 0;
  if (s.shutdownMask === SHUTDOWN_MASK || s.state === TCP_CLOSE) mask |= POLLHUP;
  if (s.shutdownMask & RCV_SHUTDOWN) mask |= POLLIN | POLLRDNORM | POLLRDHUP;
  if (!s.opening) {
    if (readable(s) >= s.rcvLowat) mask |= POLLIN | POLLRDNORM;
    mask |= oobMask(s);
    if (s.shutdownMask & SEND_SHUTDOWN || s.snd.writable) mask |= POLLOUT | POLLWRNORM;
    else s.snd.noSpace = true;
  }
  if (s.opened.deferred !== undefined) mask |= POLLOUT | POLLWRNORM;
  if (s.err !== 0) mask |= POLLERR;
  return mask;
}

export function streamInfo(s: StreamSock): SocketInfo {
  const listening = s.state === TCP_LISTEN;
  return {
    sk: s.id,
    proto: 'tcp',
    proc: s.proc,
    fd: s.fd,
    state: s.state,
    laddr: s.laddr,
    lport: s.lport,
    raddr: s.raddr,
    rport: s.rport,
    recvQ: listening ? s.acceptQueue.length : s.rcv.length,
    sendQ: listening ? s.backlog : s.snd.queue.length,
  };
}
