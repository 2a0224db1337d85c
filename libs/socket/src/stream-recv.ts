import {
  ERRNO,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  TCP_CLOSE,
  TCP_LISTEN,
} from '@skbus/skb';
import { atMark, passMark, peekToMark, readable, recvOob, toMark } from './oob.ts';
import type { StreamSock } from './stream-sock.ts';
import { fail, type SysReply } from './types.ts';
import { RCV_SHUTDOWN } from './uapi.ts';
import type { Park } from './wait.ts';

const E = ERRNO;

/** tcp_inq_hint(): the end of the stream counts as a byte, so that the program reads on. */
const inqHint = (s: StreamSock): number => readable(s) || (s.done ? 1 : 0);

/** Made here, where nothing else is in scope: it waits for the program longer than the data is to be kept. */
const arrival = (s: StreamSock, to: number) => (): void => s.arrived(to);

/** tcp_recvmsg_locked(). */
export function recv(s: StreamSock, len: number, flags: number): SysReply | Park {
  s.trace('tcp_recvmsg');
  s.trace('tcp_recvmsg_locked');
  if (flags & MSG_ERRQUEUE) return fail(E.EAGAIN);
  if (s.state === TCP_LISTEN) return fail(E.ENOTCONN);
  if (flags & MSG_OOB) return recvOob(s, len, flags);
  const peek = (flags & MSG_PEEK) !== 0;
  const target = flags & MSG_WAITALL ? Math.max(1, len) : Math.max(1, Math.min(s.rcvLowat, len));
  const parts: Uint8Array[] = [];
  let got = 0;
  const result = (): SysReply => {
    const reply: SysReply = { errno: 0, result: got, data: flags & MSG_TRUNC ? [] : parts };
    if (s.wantsInq) reply.inq = inqHint(s);
    if (s.session === undefined || peek || got === 0) return reply;
    reply.rcvTo = s.rcvRead;
    reply.arrived = arrival(s, s.rcvRead);
    return reply;
  };
  const attempt = (): SysReply | undefined => {
    if (peek) {
      const seen = peekToMark(s, len);
      got = seen.reduce((n, p) => n + p.length, 0);
      parts.splice(0, parts.length, ...seen);
    } else if (s.rcv.length > 0 && !(got > 0 && atMark(s))) {
      got += take(s, toMark(s, len - got), parts);
    }
    if (got >= target || (got > 0 && atMark(s)) || (len === 0 && s.rcv.length > 0)) return result();
    if (got > 0) return s.err !== 0 || s.state === TCP_CLOSE || s.shutdownMask & RCV_SHUTDOWN ? result() : undefined;
    if (s.done) return result();
    if (s.err !== 0) return fail(s.takeErr());
    if (s.shutdownMask & RCV_SHUTDOWN) return result();
    if (s.state === TCP_CLOSE) return fail(E.ENOTCONN);
    return undefined;
  };
  const stop = (errno: number): SysReply => (got > 0 ? result() : fail(errno));
  const reply = attempt();
  if (reply !== undefined) return reply;
  if (s.nonblock || flags & MSG_DONTWAIT) return stop(E.EAGAIN);
  s.trace('sk_wait_data');
  return { on: [s.rd], attempt, timeoutMs: s.rcvTimeoMs, stop };
}

/** Moves up to `n` bytes out of the receive queue; TCP hears of it when it matters. */
function take(s: StreamSock, n: number, into: Uint8Array[]): number {
  let got = 0;
  for (const p of s.rcv.take(n)) {
    got += p.length;
    into.push(p);
  }
  s.traceAddrs('tcp_rcv_space_adjust');
  s.trace('tcp_cleanup_rbuf');
  s.consumed(got);
  passMark(s);
  return got;
}
