import { NEVER, TCP_LISTEN, type Millis, type SkAdopt, type SkEvt, type SkView } from '@skbus/skb';
import { abandon } from './close.ts';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { looseRecords } from './loose-records.ts';
import { unreadPieces } from './unread.ts';
import { emitUnconfirmed, emitView, makeView, opAck, opErrno } from './views.ts';

/**
 * The death of the socket layer, as TCP sees it (docs/adr/0010-gateway-death.md): connections go on without one, silent towards
 * it, until the next one adopts them. Nothing is lost meanwhile, because what the program has not read is still here.
 */

/** How long a new socket layer has. Longer than programs take to find it: they try every few milliseconds. */
const ADOPT_MS: Millis = 10_000;

/** Another socket layer speaks. What has no owner went with the one before it. */
export function detachAll(cx: TcpContext): void {
  for (const sk of cx.socks.values()) {
    if (sk.gone) continue;
    if (sk.owner === 0) {
      abandon(cx, sk);
      continue;
    }
    sk.detached = true;
    cx.adoptUntilMs = cx.now + ADOPT_MS;
  }
  looseRecords(cx);
}

/** Nobody came for these. */
export function abandonDetached(cx: TcpContext): void {
  cx.adoptUntilMs = NEVER;
  for (const sk of cx.socks.values()) {
    if (!sk.detached || sk.gone) continue;
    // an orphan ends as it would have, and nobody needs to hear of it
    if (!sk.orphan) sk.detached = false;
    abandon(cx, sk);
  }
}

/** SkAdopt: takes the sock over. Returns the view that this amounts to, undefined: nothing came of it, or all is said. */
export function adopt(cx: TcpContext, sk: TcpSock, a: SkAdopt): SkView | undefined {
  if (a.owner !== sk.owner || sk.owner === 0) {
    cx.emit({ sk: sk.id, opAck: 0, opErrno: 0, unknown: true });
    return undefined;
  }
  // Its result would be taken for that of the next operation.
  if (sk.opBusy) return undefined;
  if (a.children === true) {
    if (!sk.detached && sk.state === TCP_LISTEN) announceChildren(cx, sk);
    cx.emit({ sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk), adopted: { orphan: sk.orphan, rcvFrom: 0 } });
    return undefined;
  }
  sk.detached = false;
  const { rcvRead } = a;
  if (rcvRead < unreadFrom(sk)) {
    // TCP died, too, and what the program had not read then was with the socket layer alone
    abandon(cx, sk);
    cx.emit({ sk: sk.id, opAck: 0, opErrno: 0, unknown: true });
    return undefined;
  }
  return { sndTo: 0, rcvGot: rcvRead, rcvRead, finGot: false, haveChild: true, accepted: true };
}

/** The first byte that is here, or would be if there were any that was not read. */
function unreadFrom(sk: TcpSock): number {
  if (sk.orphan) return 0;
  const confirmed = sk.finConfirmed ? sk.finRcvdAt : sk.rcvAck;
  return Math.max(0, sk.unread?.start ?? confirmed - 1);
}

/**
 * A socket layer says where it is with this socket, and has not asked for it: it has it. It was not dead, somebody else only
 * spoke in its name. It hears again what it may have missed.
 */
export function reattach(cx: TcpContext, sk: TcpSock): void {
  sk.detached = false;
  if (sk.state === TCP_LISTEN) announceChildren(cx, sk);
  regain(cx, sk);
}

/** The answer: all that a socket layer knows of a socket. */
export function tellAdopter(cx: TcpContext, sk: TcpSock): void {
  const base = { sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk) };
  emitSent(cx, sk, base);
  const rcvFrom = Math.max(0, sk.rcvRead - 1);
  cx.emit({ ...base, view: makeView(cx, sk), adopted: { orphan: sk.orphan, rcvFrom } });
  regain(cx, sk);
}

/** All that is unread, until it is confirmed. */
function regain(cx: TcpContext, sk: TcpSock): void {
  sk.seamTries = 0;
  sk.viewKey = -1;
  // the new socket layer has no record of it
  sk.recordGot = 0;
  sk.regainTo = sk.unread?.end ?? 0;
  emitUnconfirmed(cx, sk);
  emitView(cx, sk);
}

/** Accepted or not: to the program those are new that it does not know. */
function announceChildren(cx: TcpContext, listener: TcpSock): void {
  for (const sk of cx.socks.values()) {
    if (!sk.detached || sk.listener !== listener || sk.orphan) continue;
    sk.detached = false;
    sk.haveChild = false;
    // the announcement comes before its bytes
    emitView(cx, sk);
    regain(cx, sk);
  }
}

/** What is in flight: should TCP die next, only the socket layer could tell the one after it. */
function emitSent(cx: TcpContext, sk: TcpSock, base: SkEvt): void {
  if (!sk.sendQueue.readable) return;
  for (const sent of unreadPieces(sk.sendQueue)) cx.emit({ ...base, sent });
}
