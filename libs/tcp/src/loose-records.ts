import { TCP_NEW_SYN_RECV, TCP_TIME_WAIT, type Millis, type SkId } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { recordOfRequest, recordOfTimeWait } from './record.ts';
import type { RequestSock } from './request.ts';
import { TCP_TIMEOUT_INIT_MS } from './sysctl.ts';
import type { TimeWaitSock } from './timewait.ts';

/**
 * Records of what is no socket: half-open connections and TIME-WAITs. The socket layer keeps each for its time and tells
 * nothing about it; what ends early says so.
 */

const NOTHING = new Uint8Array(0);

/** It goes out before the SYN-ACK that it is about, so nobody has an answer of ours that a TCP after us would not know. */
export function requestRecord(cx: TcpContext, req: RequestSock): void {
  req.id ||= cx.nextChildId();
  const keepMs = TCP_TIMEOUT_INIT_MS * 2 ** (1 + Math.min(cx.sysctl.tcpSynackRetries, 8));
  const record = { seq: 1, data: recordOfRequest(req), keepMs, listener: req.listener.id };
  cx.emit({ sk: req.id, opAck: 0, opErrno: 0, record });
}

/** All of them again, for a socket layer that was started anew. */
export function looseRecords(cx: TcpContext): void {
  for (const conn of cx.ehash.entries()) {
    if (conn.state === TCP_NEW_SYN_RECV) requestRecord(cx, conn as RequestSock);
    else if (conn.state === TCP_TIME_WAIT) timeWaitRecord(cx, conn as TimeWaitSock, conn.deadline() - cx.now);
  }
}

export function timeWaitRecord(cx: TcpContext, tw: TimeWaitSock, lastsMs: Millis): void {
  tw.id ||= cx.nextChildId();
  cx.emit({
    sk: tw.id,
    opAck: 0,
    opErrno: 0,
    record: { seq: 1, data: recordOfTimeWait(tw, lastsMs), keepMs: lastsMs },
  });
}

/** It is over before its time. */
export function forgetRecord(cx: TcpContext, id: SkId): void {
  if (id !== 0) cx.emit({ sk: id, opAck: 0, opErrno: 0, record: { seq: 1, data: NOTHING } });
}
