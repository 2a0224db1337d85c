import { AF_INET, AF_UNSPEC, ERRNO, type Millis, MSG_DONTWAIT, MSG_FASTOPEN } from '@skbus/skb';
import { send, startConnect } from './stream-calls.ts';
import type { StreamSock } from './stream-sock.ts';
import { type SockAddr, type SysReply, fail, ok } from './types.ts';
import type { Park } from './wait.ts';

const E = ERRNO;

/** tcp_sendmsg_fastopen(): connect() and the first send() in one. What did not fit beside the SYN follows as usual. */
function sendFastOpen(
  s: StreamSock,
  data: readonly Uint8Array[],
  flags: number,
  named: SockAddr | undefined,
): SysReply | Park {
  const { deferred } = s.opened;
  const to = deferred === undefined ? named : { family: AF_INET, ...deferred };
  if (to === undefined || to.family === AF_UNSPEC) return fail(E.EOPNOTSUPP);
  if (deferred !== undefined) s.backToClosed();
  if (s.ss !== 'SS_UNCONNECTED') return fail(s.ss === 'SS_CONNECTING' ? E.EALREADY : E.EISCONN);
  const all = joined(data);
  const opening = startConnect(s, to, { data: all });
  if (!('attempt' in opening)) return opening;
  const sleeps = !s.nonblock && !(flags & MSG_DONTWAIT);
  s.opened.writePending = sleeps;
  let rest: SysReply | Park | undefined;
  const plus = (r: SysReply): SysReply =>
    s.opened.sentWithSyn > 0 ? ok(s.opened.sentWithSyn + (r.errno === 0 ? r.result : 0)) : r;
  const attempt = (at: Millis): SysReply | undefined => {
    if (rest === undefined) {
      const r = opening.attempt(at);
      if (r === undefined && !sleeps && s.opened.sentWithSyn > 0) return ok(s.opened.sentWithSyn);
      if (r === undefined) return undefined;
      if (r.errno !== 0) return plus(r);
      if (s.opened.sentWithSyn === all.length) return ok(all.length);
      rest = send(s, [all.subarray(s.opened.sentWithSyn)], flags & ~MSG_FASTOPEN, at);
    }
    const r = 'attempt' in rest ? rest.attempt(at) : rest;
    return r === undefined ? undefined : plus(r);
  };
  const stop = (errno: number): SysReply => plus(opening.stop(errno));
  return { ...opening, on: [s.connectors, s.wr], attempt, stop, sends: true };
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

/** The way a write takes: with the SYN if it is the one that opens the connection. */
export const sendTcp = (
  s: StreamSock,
  data: readonly Uint8Array[],
  flags: number,
  now: Millis,
  to: SockAddr | undefined,
): SysReply | Park =>
  s.opened.deferred !== undefined || flags & MSG_FASTOPEN
    ? sendFastOpen(s, data, flags, to)
    : send(s, data, flags, now);
