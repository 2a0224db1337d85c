import { TCP_CLOSE, TCP_LISTEN, TCP_TIME_WAIT, type SkCmd, type SkId, type SkRestore } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { applyOptions } from './options.ts';
import { takePort } from './port-select.ts';
import { decodeRecord, RecordKind, type ConnRecord } from './record.ts';
import { acceptLater, restoreConn } from './restore-conn.ts';
import { restoreRequest, restoreTimeWait } from './restore-loose.ts';
import { heardRestore } from './restoring.ts';
import type { TcpSock } from './sock.ts';
import { emitRestored } from './views.ts';

/**
 * The socket layer gives back what a TCP that died has told it (SkRestore). May come twice. The sock, if one was made: the
 * command's view is still to be applied.
 */
export function restore(cx: TcpContext, cmd: SkCmd, r: SkRestore): TcpSock | undefined {
  const known = cx.socks.get(cmd.sk);
  if (known !== undefined) {
    emitRestored(cx, known);
    return undefined;
  }
  if (r.to !== cx.hello) return undefined;
  if (cx.restoring === undefined) return refuse(cx, cmd.sk);
  heardRestore(cx);
  if (r.record.length === 0) {
    // it had a connection of which nothing is known
    if (r.state !== TCP_CLOSE && r.state !== TCP_LISTEN && r.state !== TCP_TIME_WAIT) return refuse(cx, cmd.sk);
    return restoreIdle(cx, cmd, r);
  }
  const record = decodeRecord(r.record);
  if (record === undefined) return refuse(cx, cmd.sk);
  switch (record.kind) {
    case RecordKind.Request:
      return restoreLoose(cx, cmd.sk, restoreRequest(cx, cmd.sk, r, record));
    case RecordKind.TimeWait:
      return restoreLoose(cx, cmd.sk, restoreTimeWait(cx, cmd.sk, r, record));
    default:
      return restoreSock(cx, cmd, r, record);
  }
}

function refuse(cx: TcpContext, id: SkId): undefined {
  cx.restored.failed++;
  cx.emit({ sk: id, opAck: 0, opErrno: 0, unknown: true });
}

/** Nobody waits for it: one that found no place any more is not missed. */
function restoreLoose(cx: TcpContext, id: SkId, done: boolean): undefined {
  if (!done) cx.restored.failed++;
  cx.emit({ sk: id, opAck: 0, opErrno: 0, restored: true });
}

function newSock(cx: TcpContext, cmd: SkCmd, r: SkRestore): TcpSock {
  const sk = cx.newSock(cmd.sk);
  cx.socks.add(sk);
  cx.restored.socks++;
  sk.opSeq = r.opSeq;
  sk.owner = cmd.owner ?? 0;
  sk.recordSeq = sk.recordGot = cmd.view?.recordSeq ?? 0;
  if (cmd.options) applyOptions(cx, sk, cmd.options);
  return sk;
}

/** A sock without a connection: closed, perhaps bound, perhaps listening. */
function restoreIdle(cx: TcpContext, cmd: SkCmd, r: SkRestore): TcpSock {
  const sk = newSock(cx, cmd, r);
  sk.inTimeWait = r.state === TCP_TIME_WAIT;
  if (r.bind) {
    sk.boundAddr = sk.laddr = r.bind.addr;
    sk.explicitPort = r.bind.port !== 0;
    if (r.bind.port !== 0) takePort(cx, sk, r.bind.port);
  }
  if (r.listen) {
    sk.state = TCP_LISTEN;
    sk.backlog = Math.min(Math.max(0, r.listen.backlog), cx.sysctl.somaxconn);
    sk.children = new Set();
    sk.requests = new Set();
    cx.listeners.add(sk);
  }
  emitRestored(cx, sk);
  return sk;
}

function restoreSock(cx: TcpContext, cmd: SkCmd, r: SkRestore, c: ConnRecord): TcpSock | undefined {
  if (r.state === TCP_CLOSE || r.state === TCP_TIME_WAIT) return restoreIdle(cx, cmd, r);
  if (cx.ehash.find(c.laddr, c.lport, c.raddr, c.rport) !== undefined) return refuse(cx, cmd.sk);
  const sk = newSock(cx, cmd, r);
  acceptLater(cx, sk, r, cmd.view?.accepted === true);
  restoreConn(cx, sk, r, c, cmd.view ?? undefined);
  if (!sk.gone) emitRestored(cx, sk);
  return sk.gone ? undefined : sk;
}
