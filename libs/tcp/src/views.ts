import {
  TCP_CLOSE,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
  type ProtoChild,
  type ProtoData,
  type ProtoView,
  type SkEvt,
  type SkRecord,
} from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { recordOfSock } from './record.ts';
import { notsentLowat } from './sndbuf.ts';
import type { TcpSock } from './sock.ts';
import { NO_UNCONFIRMED, UnconfirmedQueue } from './unconfirmed.ts';
import { keepUnread, unreadPieces } from './unread.ts';
import { GSO_PAYLOAD_MAX } from './sysctl.ts';
import { isArmed, setTimer, stopTimer, Timer } from './timers.ts';
import { sizeGoal } from './tso.ts';

const VIEW_SOON_MS = 40;
/** What is not confirmed is said again after this, and then ever more rarely. */
const REPEAT_MIN_MS = 200;
const REPEAT_MAX_MS = 1000;
/** A change nobody has to confirm (established, reset) is said this often more. The last word of a sock counts most. */
const VIEW_REPEATS = 3;
const LAST_VIEW_REPEATS = 8;
const RECORD_TRIES = 8;
/** Least bytes the socket layer may be ahead of the peer's ACKs: the bus is a pipe of its own and must stay full. */
const SNDBUF_MIN = 262_144;

/** Speaks to the socket layer, if the sock has one. */
const say = (cx: TcpContext, sk: TcpSock, evt: SkEvt): void => {
  if (!sk.detached) cx.emit(evt);
};

/** The socket layer must hear of a change at the next flush. */
export function viewChanged(cx: TcpContext, sk: TcpSock): void {
  sk.viewDirty = true;
  cx.touch(sk);
}

/** A program that has closed waits for nothing, and all it wrote is here: its socket layer hears of it with the end, or soon. */
export function tellView(cx: TcpContext, sk: TcpSock): void {
  if (sk.orphan && sk.finReady) {
    sk.viewDirty = false;
    viewSoon(cx, sk);
  } else emitView(cx, sk);
}

/** With `data` for a message that tells all that is wanted first. */
export function emitView(cx: TcpContext, sk: TcpSock, data?: ProtoData): void {
  sk.viewDirty = false;
  sk.viewSentMs = cx.now;
  stopTimer(sk, Timer.View);
  const view = makeView(cx, sk);
  armRepeats(cx, sk, view);
  const evt: SkEvt = { sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk), view };
  if (data !== undefined) evt.data = data;
  if (!sk.haveChild && sk.listener !== undefined) evt.child = makeChild(sk, sk.listener.id);
  if (owesRecord(sk)) evt.record = makeRecord(sk);
  say(cx, sk, evt);
}

/** What the socket layer must keep for a TCP after this one has changed. */
export function recordChanged(cx: TcpContext, sk: TcpSock): void {
  sk.recordSeq++;
  sk.seamTries = 0;
  viewChanged(cx, sk);
  armSeam(cx, sk);
}

/** It goes on from what the TCP before this one had told. */
export function emitRestored(cx: TcpContext, sk: TcpSock): void {
  sk.viewDirty = false;
  sk.viewSentMs = cx.now;
  say(cx, sk, { sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk), view: makeView(cx, sk), restored: true });
}

/** A socket layer that does not confirm records does without. */
const owesRecord = (sk: TcpSock): boolean => sk.recordGot < sk.recordSeq && sk.seamTries < RECORD_TRIES;

const makeRecord = (sk: TcpSock): SkRecord => ({ seq: sk.recordSeq, data: recordOfSock(sk, handshakeState(sk)) });

/** The record is of the handshake until that is over; later states follow from what the socket layer knows. */
const handshakeState = ({ state }: TcpSock): number =>
  state === TCP_SYN_SENT || state === TCP_SYN_RECV ? state : TCP_ESTABLISHED;

const makeChild = (sk: TcpSock, listener: number): ProtoChild =>
  sk.savedSyn === undefined ? { listener } : { listener, savedSyn: sk.savedSyn };

/** The last word of a sock that is no more; kept for whoever asks again. */
export function emitLastView(cx: TcpContext, sk: TcpSock): void {
  sk.viewDirty = false;
  const view = makeView(cx, sk);
  cx.ended.add(sk.id, { opSeq: sk.opSeq, opErrno: sk.opErrno, view, saidMs: cx.now });
  say(cx, sk, { sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk), view });
}

/** Only how far the socket layer's bytes got: the next ACK will say that too, so it may wait a little. */
export function viewSoon(cx: TcpContext, sk: TcpSock): void {
  if (sk.viewDirty || isArmed(sk, Timer.View)) return;
  setTimer(sk, Timer.View, cx.now + VIEW_SOON_MS);
  cx.timers.touch(sk);
}

/** Passes in-order bytes up and remembers them until they are confirmed. */
export function emitData(cx: TcpContext, sk: TcpSock, offset: number, data: Uint8Array): void {
  const piece: ProtoData = { offset, data };
  if (sk.unconfirmed === NO_UNCONFIRMED) sk.unconfirmed = new UnconfirmedQueue();
  sk.unconfirmed.push(piece);
  // Data on the heels of the handshake: the socket layer must know the child before its bytes.
  if (sk.viewDirty && !sk.haveChild) emitView(cx, sk);
  const evt: SkEvt = { sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk), data: piece };
  // An urgent mark travels with the bytes, so that it cannot be read past unknown.
  if (sk.urgent !== undefined) evt.view = makeView(cx, sk);
  say(cx, sk, evt);
  armSeam(cx, sk);
}

/** What the socket layer has confirmed need not be repeated; what the program has not read is kept all the same. */
export function confirmData(cx: TcpContext, sk: TcpSock, offset: number, read: number): void {
  if (!sk.unconfirmed.confirm(offset, sk.owner === 0 ? undefined : (piece) => keepUnread(sk, piece, read))) return;
  sk.seamTries = 0;
  rearmSeam(cx, sk);
}

/** Something is owed an answer: the Seam timer runs from now, unless it already does. */
export function armSeam(cx: TcpContext, sk: TcpSock): void {
  if (!isArmed(sk, Timer.Seam)) rearmSeam(cx, sk);
}

/** Nothing changes any more: say it a few times, then be silent. */
export function seamTimer(cx: TcpContext, sk: TcpSock): void {
  const owed = awaitsAnswer(sk);
  stopTimer(sk, Timer.Seam);
  if (sk.detached) return;
  if (!owed && sk.viewRepeats <= 0) return;
  if (sk.viewRepeats > 0) sk.viewRepeats--;
  sk.seamTries++;
  // A seam that loses each n-th message would lose the same one of each round, were all rounds as long.
  if (sk.seamTries % 2 === 0) emitView(cx, sk, firstUnconfirmed(sk));
  else {
    emitUnconfirmed(cx, sk);
    emitView(cx, sk);
  }
  rearmSeam(cx, sk);
}

/** Says again what is not confirmed, and to a new socket layer what only the one before it had. */
export function emitUnconfirmed(cx: TcpContext, sk: TcpSock): void {
  for (const u of owedData(sk)) cx.emit({ sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk), data: u });
}

/** Says again what was lost on the way to the socket layer. */
export function emitBetween(cx: TcpContext, sk: TcpSock, from: number, to: number): void {
  for (const u of owedData(sk)) {
    if (u.offset >= to) return;
    if (u.offset + u.data.length > from) cx.emit({ sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk), data: u });
  }
}

const firstUnconfirmed = (sk: TcpSock): ProtoData | undefined => owedData(sk).next().value;

function* owedData(sk: TcpSock): Generator<ProtoData, undefined> {
  if (sk.regainTo > 0 && sk.unread !== undefined) yield* unreadPieces(sk.unread);
  yield* sk.unconfirmed;
}

/** The newest operation that was run, and its result: every event carries them. */
export const opAck = (sk: TcpSock): number => (sk.opBusy ? sk.opSeq - 1 : sk.opSeq);
export const opErrno = (sk: TcpSock): number => (sk.opBusy ? 0 : sk.opErrno);

export function makeView(cx: TcpContext, sk: TcpSock): ProtoView {
  const limit = Math.min(sk.sendQueue.start + sndSpace(sk), Math.max(sk.sndNxt - 1, 0) + notsentLowat(cx, sk));
  if (limit > sk.sndLimit) sk.sndLimit = limit;
  const finRcvd = sk.finRcvdAt >= 0;
  // A TIME-WAIT is an object of its own; the sock it came from is closed.
  const state = sk.state === TCP_CLOSE && sk.inTimeWait ? TCP_TIME_WAIT : sk.state;
  const view: ProtoView = {
    state,
    laddr: sk.laddr,
    lport: sk.lport,
    raddr: sk.raddr,
    rport: sk.rport,
    sndGot: sk.sendQueue.end,
    sndUna: sk.sendQueue.start,
    sndLimit: sk.sndLimit,
    rcvNxt: Math.max(0, (finRcvd ? sk.finRcvdAt : sk.rcvNxt) - 1),
    finRcvd,
    finAcked: sk.finAcked,
    sndbuf: sk.sndbuf,
    sndGoal: sizeGoal(sk, sk.mssCache),
    sndBurst: Math.max(0, (sk.cwnd - sk.inFlight) * sk.mssCache - (sk.sndTail - sk.sndNxt)),
    sndNxt: Math.min(Math.max(sk.sndNxt - 1, 0), sk.sendQueue.end),
    err: sk.err,
    softErr: sk.softErr,
  };
  if (sk.urgent !== undefined) {
    view.urgAt = sk.urgent.at;
    view.urgByte = sk.urgent.byte + 1;
  }
  return view;
}

/** One skb more than the buffer holds may be begun. */
const sndSpace = (sk: TcpSock): number =>
  sk.sndbufLocked ? sk.sndbuf + GSO_PAYLOAD_MAX : Math.max(SNDBUF_MIN, sk.sndbuf);

function awaitsAnswer(sk: TcpSock): boolean {
  if (sk.orphan) return false;
  const fin = sk.finRcvdAt >= 0 && !sk.finConfirmed;
  return sk.unconfirmed.length > 0 || sk.regainTo > 0 || fin || !sk.haveChild || owesRecord(sk);
}

function armRepeats(cx: TcpContext, sk: TcpSock, view: ProtoView): void {
  const { state, err, softErr, finRcvd, finAcked } = view;
  const key = state | (err << 4) | (softErr << 12) | (finRcvd ? 1 << 20 : 0) | (finAcked ? 1 << 21 : 0);
  if (key === sk.viewKey) return;
  sk.viewKey = key;
  const quiet = state === TCP_LISTEN || state === TCP_SYN_SENT || (state === TCP_CLOSE && err === 0 && !finRcvd);
  sk.viewRepeats = quiet ? 0 : state === TCP_CLOSE ? LAST_VIEW_REPEATS : VIEW_REPEATS;
  sk.seamTries = 0;
  rearmSeam(cx, sk);
}

function rearmSeam(cx: TcpContext, sk: TcpSock): void {
  if (awaitsAnswer(sk) || sk.viewRepeats > 0) {
    setTimer(sk, Timer.Seam, cx.now + Math.min(REPEAT_MIN_MS * 2 ** sk.seamTries, REPEAT_MAX_MS));
    cx.timers.touch(sk);
  } else {
    stopTimer(sk, Timer.Seam);
  }
}
