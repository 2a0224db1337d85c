import { ERRNO, MSG_OOB, MSG_PEEK, MSG_TRUNC, POLLPRI, type ProtoView, TCP_CLOSE } from '@skbus/skb';
import type { StreamSock } from './stream-sock.ts';
import { type SysReply, fail } from './types.ts';
import { RCV_SHUTDOWN } from './uapi.ts';

/** The peer's urgent byte (tp->urg_seq, tp->urg_data): its place in the stream is the mark that reads stop at. */
export interface Oob {
  /** Offset of the byte. */
  at: number;
  /** -1: not here yet. */
  byte: number;
  /** recv(MSG_OOB) has taken it (TCP_URG_READ). */
  read: boolean;
}

/** What TCP says of it; levels, so old news come again. True: there is a new mark, or its byte has come. */
export function onUrgent(s: StreamSock, v: ProtoView): boolean {
  const at = (v.urgAt ?? 0) - 1;
  if (at < s.rcvRead || (s.oob !== undefined && at < s.oob.at)) return false;
  const byte = (v.urgByte ?? 0) - 1;
  if (s.oob?.at === at) {
    if (s.oob.byte >= 0 || byte < 0) return false;
    s.oob.byte = byte;
    return true;
  }
  // A byte that was out of band stays so when the reader stands right before it (tcp_check_urg).
  if (s.oob !== undefined && s.oob.at === s.rcvRead && !s.oobInline && s.rcv.length > 0) skipByte(s);
  s.oob = { at, byte, read: false };
  return true;
}

/** The mark is where the next byte is read (SIOCATMARK). */
export const atMark = (s: StreamSock): boolean => s.oob !== undefined && s.oob.at === s.rcvRead;

/** Bytes that can be read without looking past the mark (tcp_inq). */
export function readable(s: StreamSock): number {
  const { oob } = s;
  const have = s.rcv.length;
  if (oob === undefined || s.oobInline || oob.at < s.rcvRead || oob.at >= s.rcvRead + have) return have;
  return oob.at - s.rcvRead;
}

/** A read of up to `n` bytes stops before the mark, and one that starts at it leaves the byte out. Returns how many to take. */
export function toMark(s: StreamSock, n: number): number {
  if (atMark(s) && !s.oobInline && s.rcv.length > 0) skipByte(s);
  const { oob } = s;
  if (oob === undefined || oob.at <= s.rcvRead) return n;
  return Math.min(n, oob.at - s.rcvRead);
}

/** MSG_PEEK: the same without taking anything. */
export function peekToMark(s: StreamSock, n: number): Uint8Array[] {
  const { oob } = s;
  if (oob === undefined || oob.at < s.rcvRead) return s.rcv.peek(n);
  if (oob.at > s.rcvRead) return s.rcv.peek(Math.min(n, oob.at - s.rcvRead));
  if (s.oobInline) return s.rcv.peek(n);
  const [first, ...rest] = s.rcv.peek(n + 1);
  return first === undefined ? [] : [first.subarray(1), ...rest];
}

/** The reader has gone past the mark: there is none any more. */
export function passMark(s: StreamSock): void {
  if (s.oob !== undefined && s.rcvRead > s.oob.at) s.oob = undefined;
}

/** tcp_recv_urg(): never blocks. */
export function recvOob(s: StreamSock, len: number, flags: number): SysReply {
  const { oob } = s;
  if (s.oobInline || oob === undefined || oob.read) return fail(ERRNO.EINVAL);
  if (s.state === TCP_CLOSE && !s.done) return fail(ERRNO.ENOTCONN);
  if (oob.byte < 0) {
    const over = s.state === TCP_CLOSE || (s.shutdownMask & RCV_SHUTDOWN) !== 0;
    return over ? { errno: 0, result: 0, data: [] } : fail(ERRNO.EAGAIN);
  }
  if ((flags & MSG_PEEK) === 0) oob.read = true;
  if (len === 0) return { errno: 0, result: 0, data: [], msgFlags: MSG_OOB | MSG_TRUNC };
  const data = (flags & MSG_TRUNC) !== 0 ? [] : [Uint8Array.of(oob.byte)];
  return { errno: 0, result: 1, data, msgFlags: MSG_OOB };
}

/** tcp_poll(): an urgent byte waits. */
export const oobMask = (s: StreamSock): number => (s.oob !== undefined && s.oob.byte >= 0 && !s.oob.read ? POLLPRI : 0);

function skipByte(s: StreamSock): void {
  s.rcv.take(1);
  s.consumed(1);
  passMark(s);
}
