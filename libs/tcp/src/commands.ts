import { TCP_ESTABLISHED, TCP_LISTEN, type SkCmd, type SkData, type SkView } from '@skbus/skb';
import { ackSndCheck, cleanupRbuf } from './ack-output.ts';
import { adopt, reattach, tellAdopter } from './adopt.ts';
import { close, shutdown } from './close.ts';
import { bind, connect, listen } from './connect.ts';
import { dropRead, takeUnread } from './unread.ts';
import { Chrono, chronoStart, chronoStop } from './chrono.ts';
import type { TcpContext } from './context.ts';
import { RecordEnds } from './eor.ts';
import { confirmFin } from './fin.ts';
import { answerQuery } from './getsockopt.ts';
import { applyOptions } from './options.ts';
import { restore } from './restore.ts';
import { endRestoring, holdWhileRestoring } from './restoring.ts';
import { shouldAutocork } from './small-queue.ts';
import type { TcpSock } from './sock.ts';
import { rateCheckAppLimited } from './rate.ts';
import { leaveBacklog } from './state.ts';
import { sizeGoal } from './tso.ts';
import { confirmData, emitBetween, opAck, opErrno, viewChanged, viewSoon } from './views.ts';
import { rcvSpaceAdjust } from './rcv-space.ts';

/** A command that tells us nothing new is answered with our view, but not more often than this. */
const ANSWER_MIN_MS = 50;

/** The socket layer speaks (seam.ts). Anything may come twice, late or out of order. */
export function tcpCommand(cx: TcpContext, cmd: SkCmd): void {
  if (cmd.restore || cmd.restoreEnd) {
    restoreCommand(cx, cmd);
    return;
  }
  const { restoring } = cx;
  if (restoring !== undefined && holdWhileRestoring(cx, restoring, cmd)) return;
  let sk = cx.socks.get(cmd.sk);
  if (sk === undefined) {
    if (answerEnded(cx, cmd)) return;
    if (cmd.opSeq !== 1 || (cmd.sk & 1) !== 0) {
      cx.emit({ sk: cmd.sk, opAck: 0, opErrno: 0, unknown: true });
      return;
    }
    sk = createSock(cx, cmd.sk);
    sk.owner = cmd.owner ?? 0;
  }
  if (cmd.adopt) {
    const view = adopt(cx, sk, cmd.adopt);
    if (view === undefined) return;
    applyView(cx, sk, view);
    tellAdopter(cx, sk);
    return;
  }
  if (cmd.unread) {
    takeUnread(sk, cmd.unread);
    return;
  }
  if (sk.detached && cmd.view) reattach(cx, sk);
  let news = false;
  if (cmd.view) news = applyView(cx, sk, cmd.view);
  if (cmd.data) news = takeData(cx, sk, cmd.data) || news;
  if (cmd.query) {
    cx.emit({ sk: sk.id, opAck: opAck(sk), opErrno: opErrno(sk), answer: answerQuery(cx, sk, cmd.query) });
    if (cmd.opSeq === 0) return;
  }
  if (cmd.opSeq > sk.opSeq && !sk.opBusy) {
    startOp(cx, sk, cmd);
    return;
  }
  const repeated = cmd.opSeq > 0 && !sk.opBusy;
  if (repeated) viewChanged(cx, sk);
  else if (!news && cx.now - sk.viewSentMs >= ANSWER_MIN_MS) viewChanged(cx, sk);
}

function restoreCommand(cx: TcpContext, cmd: SkCmd): void {
  const sk = cmd.restore ? restore(cx, cmd, cmd.restore) : undefined;
  if (sk !== undefined && cmd.view) applyView(cx, sk, cmd.view);
  if (cmd.restoreEnd && cmd.restoreEnd === cx.hello) endRestoring(cx, (c) => tcpCommand(cx, c));
}

function createSock(cx: TcpContext, id: number): TcpSock {
  cx.env.trace('tcp_v4_init_sock');
  cx.env.trace('tcp_init_sock');
  const sk = cx.newSock(id);
  cx.socks.add(sk);
  return sk;
}

/** Runs an operation once. It may have several parts; each must succeed for the next to run. */
function startOp(cx: TcpContext, sk: TcpSock, cmd: SkCmd): void {
  sk.opSeq = cmd.opSeq;
  sk.opBusy = true;
  if (cmd.options) applyOptions(cx, sk, cmd.options);
  const end = (errno: number): void => {
    if (sk.opSeq !== cmd.opSeq) return;
    sk.opErrno = errno;
    sk.opBusy = false;
    if (cx.socks.get(sk.id) === sk) viewChanged(cx, sk);
  };
  const second = (errno: number): void => {
    if (errno !== 0) end(errno);
    else afterBind(cx, sk, cmd, end);
  };
  if (cmd.bind) bind(cx, sk, cmd.bind, second);
  else second(0);
}

function afterBind(cx: TcpContext, sk: TcpSock, cmd: SkCmd, end: (errno: number) => void): void {
  if (cmd.listen) {
    const err = listen(cx, sk, cmd.listen.backlog);
    if (err !== 0) {
      end(err);
      return;
    }
  }
  if (cmd.connect) {
    connect(cx, sk, cmd.connect, end);
    return;
  }
  const sndTo = cmd.view?.sndTo ?? sk.sendQueue.end;
  if (cmd.shutdown) shutdown(cx, sk, cmd.shutdown.how, sndTo);
  if (cmd.close) {
    // its last view goes out from inside, with the answer
    sk.opErrno = 0;
    sk.opBusy = false;
    close(cx, sk, cmd.close.abort, sndTo);
  }
  end(0);
}

/** What the socket layer has and wants. True when any of it is news. */
function applyView(cx: TcpContext, sk: TcpSock, v: SkView): boolean {
  let news = false;
  if (v.sndTo > sk.sndTo) sk.sndTo = v.sndTo;
  sk.writerWaits = v.noSpace === true;
  if (v.recordSeq !== undefined && v.recordSeq > sk.recordGot) {
    sk.recordGot = v.recordSeq;
    news = true;
  }
  if (v.haveChild && !sk.haveChild) {
    sk.haveChild = true;
    sk.seamTries = 0;
    news = true;
  }
  if (v.accepted && !sk.accepted) {
    leaveBacklog(sk);
    sk.accepted = true;
    sk.haveChild = true;
    news = true;
  }
  if (v.urgTo !== undefined && 1 + v.urgTo > Math.max(1, sk.sndUp)) sk.sndUp = 1 + v.urgTo;
  if (confirm(cx, sk, v)) news = true;
  if (v.rcvGapTo !== undefined && v.rcvGapTo > v.rcvGot) emitBetween(cx, sk, v.rcvGot, v.rcvGapTo);
  const read = 1 + Math.min(v.rcvRead, sk.rcvNxt - 1);
  if (read > sk.rcvRead) {
    const copied = Math.min(read, sk.rcvAck);
    if (copied > sk.rcvRead) {
      sk.rcvRead = copied;
      dropRead(sk);
      news = true;
      if (sk.urgent !== undefined && copied > sk.urgent.at) sk.urgent = undefined;
      rcvSpaceAdjust(cx, sk);
      if (sk.state !== TCP_LISTEN) cleanupRbuf(cx, sk);
    }
  }
  return news;
}

/** rcvGot and finGot: what may be acknowledged now. */
function confirm(cx: TcpContext, sk: TcpSock, v: SkView): boolean {
  const dataEnd = sk.finRcvdAt >= 0 ? sk.finRcvdAt : sk.rcvNxt;
  const got = Math.min(1 + v.rcvGot, dataEnd);
  let news = false;
  if (sk.regainTo > 0 && v.rcvGot >= sk.regainTo) sk.regainTo = 0;
  if (got > sk.rcvAck) {
    sk.rcvAck = got;
    confirmData(cx, sk, got - 1, v.rcvRead);
    ackSndCheck(cx, sk);
    if (sk.dupAcksOwed > 0) cx.touch(sk);
    news = true;
  }
  if (v.finGot && sk.finRcvdAt >= 0 && !sk.finConfirmed) {
    sk.viewRepeats = 0;
    confirmFin(cx, sk);
    news = sk.finConfirmed;
  }
  return news;
}

/** Takes what continues the stream; says so soon. A gap means that a message was lost. */
function takeData(cx: TcpContext, sk: TcpSock, { offset, data, more, eor }: SkData): boolean {
  const skip = sk.sndTail - 1 - offset;
  if (skip < 0 || skip >= data.length) return false;
  rateCheckAppLimited(sk);
  chronoStart(cx, sk, Chrono.Busy);
  sk.more = sk.wroteMore = more === true;
  sk.nonaglePush = false;
  chronoStop(cx, sk, Chrono.SndbufLimited);
  sk.write(skip === 0 ? data : data.subarray(skip));
  if (eor === true) (sk.recordEnds ??= new RecordEnds()).add(sk.sndTail);
  if (sk.state === TCP_ESTABLISHED) sk.viewRepeats = 0;
  cx.env.trace('tcp_push');
  // who looks at what is not sent yet looks at it now
  if (sk.notsentLowat > 0) viewChanged(cx, sk);
  else viewSoon(cx, sk);
  if (!shouldAutocork(cx, sk, sizeGoal(sk, sk.mssCache))) cx.touch(sk);
  return true;
}

/** A sock that is gone answers its last words again. */
function answerEnded(cx: TcpContext, cmd: SkCmd): boolean {
  const e = cx.ended.get(cmd.sk);
  if (e === undefined || cmd.adopt) return false;
  if (cmd.opSeq > e.opSeq) {
    e.opSeq = cmd.opSeq;
    e.opErrno = 0;
  }
  // An operation is always answered; a mere view seldom, or two sides that confirm each other would never stop.
  if (cmd.opSeq === 0 && cx.now - e.saidMs < ANSWER_MIN_MS) return true;
  e.saidMs = cx.now;
  cx.emit({ sk: cmd.sk, opAck: e.opSeq, opErrno: e.opErrno, view: e.view ?? null });
  return true;
}
