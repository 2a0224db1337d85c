import {
  AF_INET,
  ERRNO,
  INADDR_BROADCAST,
  type Millis,
  NEVER,
  TCP_CLOSE,
  TCP_LISTEN,
  TCP_SYN_SENT,
  isMulticastIpv4,
  AF_UNSPEC,
  MSG_DONTWAIT,
  MSG_EOR,
  MSG_MORE,
  MSG_OOB,
  SOMAXCONN,
  type SkConnect,
  type SkFastOpen,
} from '@skbus/skb';
import { REPEAT_MIN_MS } from './sock.ts';
import type { StreamSock } from './stream-sock.ts';
import { type SockAddr, type SysReply, fail, ok, okLocal } from './types.ts';
import { RCV_SHUTDOWN, SEND_SHUTDOWN, SHUTDOWN_MASK } from './uapi.ts';
import { type Park, nothingDone } from './wait.ts';

const E = ERRNO;

/** inet_listen(). */
export function listen(s: StreamSock, backlog: number): SysReply | Park {
  s.trace('inet_listen');
  if (s.ss !== 'SS_UNCONNECTED' || (s.state !== TCP_CLOSE && s.state !== TCP_LISTEN)) return fail(E.EINVAL);
  const was = { state: s.state, backlog: s.backlog };
  // A negative backlog is a large unsigned one, as in __sys_listen.
  s.backlog = backlog < 0 || backlog > SOMAXCONN ? SOMAXCONN : backlog;
  let answer: number | undefined;
  const seq = s.pushOp({ listen: { backlog: s.backlog } }, (errno, now) => {
    answer = errno;
    if (errno !== 0) {
      s.backlog = was.backlog;
      if (was.state !== TCP_LISTEN) s.backToClosed();
    }
    s.wakeAll(now);
  });
  if (was.state !== TCP_LISTEN) s.beginEpoch(seq, TCP_LISTEN);
  return {
    on: [s.connectors],
    timeoutMs: NEVER,
    stop: nothingDone,
    attempt: () => (answer === undefined ? undefined : answer === 0 ? ok() : fail(answer)),
  };
}

/** inet_csk_accept(); `install` gives the child an fd, `take` what it has received. */
export function accept(
  s: StreamSock,
  install: (child: StreamSock) => number,
  take: (child: StreamSock) => SysReply | undefined,
): SysReply | Park {
  s.trace('inet_accept');
  s.trace('inet_csk_accept');
  const attempt = (): SysReply | undefined => {
    if (s.state !== TCP_LISTEN) return fail(E.EINVAL);
    const child = s.acceptQueue.shift();
    if (child === undefined) return undefined;
    const fd = install(child);
    if (fd < 0) {
      s.acceptQueue.unshift(child);
      return fail(E.EMFILE);
    }
    child.markAccepted();
    const addr = { family: AF_INET, addr: child.raddr, port: child.rport };
    const reply = { ...take(child), ...okLocal(child, fd), addr };
    return child.session === undefined ? reply : { ...reply, sk: child.id };
  };
  const now = attempt();
  if (now !== undefined) return now;
  if (s.nonblock) return fail(E.EAGAIN);
  s.trace('inet_csk_wait_for_connect');
  return { on: [s.rd], attempt, timeoutMs: s.rcvTimeoMs, stop: nothingDone };
}

/** __inet_stream_connect(). */
export function connect(s: StreamSock, to: SockAddr, now: Millis): SysReply | Park {
  s.trace('inet_stream_connect');
  if (to.family === AF_UNSPEC) return disconnect(s, now);
  switch (s.ss) {
    case 'SS_CONNECTED':
      return fail(E.EISCONN);
    case 'SS_DISCONNECTING':
      return fail(E.EINVAL);
    case 'SS_CONNECTING':
      if (!s.resumed) return awaitConnect(s, E.EALREADY, now);
      s.resumed = false;
      return awaitConnect(s, E.EINPROGRESS, now);
    default:
      return startConnect(s, to, s.opened.fastopenConnect ? { data: new Uint8Array(0), defer: true } : undefined);
  }
}

/** `fastopen`: what goes with the SYN, and what is told how much of it did. */
export function startConnect(s: StreamSock, to: SockAddr, fastopen?: SkFastOpen): SysReply | Park {
  if (s.state !== TCP_CLOSE) return fail(E.EISCONN);
  if (to.family !== AF_INET) return fail(E.EAFNOSUPPORT);
  // tcp_v4_connect: no route of type unicast leads there.
  if (to.addr === INADDR_BROADCAST || isMulticastIpv4(to.addr)) return fail(E.ENETUNREACH);
  let answer: number | undefined;
  let answered = false;
  const connect: SkConnect = { addr: to.addr, port: to.port };
  if (fastopen !== undefined) connect.fastopen = fastopen;
  const seq = s.pushOp({ connect }, (errno, now) => {
    answer = errno === E.EINPROGRESS ? 0 : errno;
    if (errno === E.ENODATA && fastopen?.defer === true) {
      s.opened.deferred = { addr: to.addr, port: to.port };
      answer = 0;
    }
    if (answer === 0 && fastopen !== undefined) {
      s.opened.sentWithSyn = Math.min(s.opened.sndGotSeen, fastopen.data.length);
      s.snd.wroteWithSyn(fastopen.data.subarray(0, s.opened.sentWithSyn));
    }
    if (answer !== 0) {
      if (answered) s.failLate(answer);
      else s.backToClosed();
    } else if (!answered && !s.nonblock) s.trace('inet_wait_for_connect');
    s.wakeAll(now);
  });
  s.beginEpoch(seq, TCP_SYN_SENT);
  s.raddr = to.addr;
  s.rport = to.port;
  const attempt = (now: Millis): SysReply | undefined => {
    if (answer === undefined) return undefined;
    if (answer !== 0) return fail(answer);
    if (s.opened.deferred !== undefined) return okLocal(s);
    if (s.opening) return s.nonblock ? fail(E.EINPROGRESS) : undefined;
    return finishConnect(s, now);
  };
  return {
    on: [s.connectors],
    attempt,
    // A non-blocking connect still says at once that there is no route; a transport that is away must not hold it up.
    timeoutMs: s.nonblock ? REPEAT_MIN_MS : s.sndTimeoMs,
    timeoutErrno: E.EINPROGRESS,
    stop: (errno) => {
      answered = true;
      return fail(errno);
    },
  };
}

/** A second connect(): the outcome of the first. */
function awaitConnect(s: StreamSock, meanwhile: number, now: Millis): SysReply | Park {
  if (!s.opening) return finishConnect(s, now);
  if (s.nonblock) return fail(meanwhile);
  return {
    on: [s.connectors],
    timeoutMs: s.sndTimeoMs,
    timeoutErrno: meanwhile,
    stop: nothingDone,
    attempt: (at) => (s.opening ? undefined : finishConnect(s, at)),
  };
}

function finishConnect(s: StreamSock, now: Millis): SysReply {
  if (s.ss === 'SS_CONNECTED') return okLocal(s);
  if (s.state !== TCP_CLOSE) {
    s.ss = 'SS_CONNECTED';
    return okLocal(s);
  }
  const errno = s.takeErr() || E.ECONNABORTED;
  s.reincarnate(true, now);
  return fail(errno);
}

/** connect(AF_UNSPEC): tcp_disconnect(); the socket can connect again. */
function disconnect(s: StreamSock, now: Millis): SysReply {
  if (s.state !== TCP_CLOSE || s.ss !== 'SS_UNCONNECTED') s.reincarnate(true, now);
  s.err = 0;
  return ok();
}

/** tcp_sendmsg_locked(). */
export function send(s: StreamSock, data: readonly Uint8Array[], flags: number, now: Millis): SysReply | Park {
  s.trace('tcp_sendmsg');
  s.trace('tcp_sendmsg_locked');
  const urgent = (flags & MSG_OOB) !== 0;
  const more = (flags & MSG_MORE) !== 0;
  let sent = 0;
  // Where in the iovec the next byte is.
  let part = 0;
  let offset = 0;
  const attempt = (at: Millis): SysReply | undefined => {
    if (s.opening && s.err === 0) return undefined;
    if (s.err !== 0 || s.shutdownMask & SEND_SHUTDOWN || !s.established)
      return sent > 0 ? ok(sent) : fail(s.takeErr() || E.EPIPE);
    // Once for all pieces: an skb that is begun is filled across them, whatever lengths the door read them in.
    let room = s.snd.space();
    while (part < data.length) {
      const d = data[part]!;
      const n = Math.min(room, d.length - offset);
      if (n <= 0 && d.length > offset) {
        s.snd.noSpace = true;
        return undefined;
      }
      s.write(offset === 0 && n === d.length ? d : d.subarray(offset, offset + n), more, at);
      sent += n;
      room -= n;
      offset += n;
      if (offset === d.length) {
        part++;
        offset = 0;
      }
    }
    if ((flags & MSG_EOR) !== 0 && sent > 0) s.snd.endRecord();
    // the last byte is the urgent one (tcp_mark_urg)
    if (urgent && sent > 0) markUrgent(s);
    return ok(sent);
  };
  const stop = (errno: number): SysReply => (sent > 0 ? ok(sent) : fail(errno));
  // A program may send on before the first piece has been taken whole: room that comes free is not for the later one.
  const reply = s.wr.hasSend ? undefined : attempt(now);
  if (reply !== undefined) return reply;
  if (s.nonblock || flags & MSG_DONTWAIT) return stop(E.EAGAIN);
  if (s.opening) {
    s.opened.writePending = true;
    s.touchView(true);
  }
  return { on: [s.wr, s.connectors], attempt, timeoutMs: s.sndTimeoMs, stop, sends: true };
}

/** MSG_OOB: the last byte written is urgent. */
function markUrgent(s: StreamSock): void {
  s.urgTo = s.snd.queue.end;
  s.touchView(true);
}

/** `drain`: behind the sends that still sleep, so that a program need not wait for them itself. */
export function shutdown(s: StreamSock, how: number, drain: boolean, now: Millis): SysReply | Park {
  if (!drain || !s.wr.hasSend) return inetShutdown(s, how, now);
  const attempt = (at: Millis): SysReply | undefined => (s.wr.hasSend ? undefined : inetShutdown(s, how, at));
  return { on: [s.wr, s.connectors], attempt, timeoutMs: NEVER, stop: nothingDone };
}

/** inet_shutdown(). */
function inetShutdown(s: StreamSock, how: number, now: Millis): SysReply {
  s.trace('inet_shutdown');
  const mask = how + 1;
  if (how < 0 || mask > SHUTDOWN_MASK) return fail(E.EINVAL);
  if (s.ss === 'SS_CONNECTING') s.ss = s.opening || s.state === TCP_CLOSE ? 'SS_DISCONNECTING' : 'SS_CONNECTED';
  let reply = ok();
  if (s.state === TCP_LISTEN || s.opening) {
    if (s.state !== TCP_LISTEN || mask & RCV_SHUTDOWN) {
      for (const child of s.acceptQueue.splice(0)) child.abort();
      s.reincarnate(true, now);
    }
  } else {
    if (s.state === TCP_CLOSE) reply = fail(E.ENOTCONN);
    const news = mask & ~s.shutdownMask & (s.established ? SHUTDOWN_MASK : RCV_SHUTDOWN);
    s.shutdownMask |= mask;
    if (s.state !== TCP_CLOSE) s.trace('tcp_shutdown');
    // That nobody reads any more TCP must know, too: with both ends shut, new data is answered with a reset.
    if (news !== 0 && s.state !== TCP_CLOSE) s.tellShutdown(news - 1);
  }
  s.wakeAll(now);
  return reply;
}

/**
 * Nothing written before is lost by a close() now: a send that sleeps would end, and the reset that unread bytes call for would
 * leave in place of what TCP does not have yet.
 */
export function drained(s: StreamSock): boolean {
  if (s.wr.hasSend) return false;
  if (s.rcv.length === 0 || s.state === TCP_CLOSE || s.snd.outq.unsent === 0) return true;
  // to hear of it
  s.snd.noSpace = true;
  return false;
}

/** close() on a socket with SO_LINGER waits until the peer has everything, or the time is up. */
export function close(s: StreamSock, now: Millis): SysReply | Park {
  const lingerMs = s.linger.onoff !== 0 && (s.established || s.shutdownMask !== 0) ? s.linger.linger * 1000 : 0;
  s.trace('tcp_close');
  s.close(now);
  if (lingerMs === 0 || s.freed) return ok();
  return { on: [s.closers], timeoutMs: lingerMs, stop: () => ok(), attempt: () => (s.freed ? ok() : undefined) };
}
