import {
  type Millis,
  type SkAdopt,
  type SkEvt,
  SHUT_WR,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
} from '@skbus/skb';
import type { StreamSock } from './stream-sock.ts';
import { isOver } from './tcp-states.ts';
import type { SessionFile } from './types.ts';
import { SEND_SHUTDOWN, SHUTDOWN_MASK } from './uapi.ts';

/** A socket that is taken over from a socket layer that died: what is asked of its transport until that answers. */
export interface Adoption {
  readonly ask: SkAdopt;
  /** It has yet to be asked (again). */
  unsent: boolean;
  /** What its program says of it; undefined: it is here already, and only its children are asked for. */
  readonly file: SessionFile | undefined;
  /** The program has closed it, or is gone: so it shall be when it is here. */
  closed: boolean;
  /** Called once when it is here, or known to be gone. */
  readonly over: (now: Millis) => void;
}

/** The socket as its program has it. */
export function restoreStream(s: StreamSock, f: SessionFile): void {
  s.resumed = true;
  s.rcvRead = s.rcvSafe = s.rcvGot = s.readSure = s.readInsisted = f.rcvTo;
  s.shutdownMask = f.shut;
  s.backlog = f.backlog;
  if (f.bound !== undefined) s.boundTo = { addr: f.bound.addr, port: f.bound.port };
  if (f.peer !== undefined) {
    s.raddr = f.peer.addr;
    s.rport = f.peer.port;
  }
  if (f.phase === 'listening') s.state = TCP_LISTEN;
  else if (f.phase === 'connecting') {
    s.state = TCP_SYN_SENT;
    s.ss = 'SS_CONNECTING';
  } else if (f.phase === 'connected') {
    s.state = TCP_ESTABLISHED;
    s.ss = 'SS_CONNECTED';
  }
}

/** TCP's answer, piece by piece. True: there is nothing else in the event. */
export function onAdoption(s: StreamSock, a: Adoption, evt: SkEvt, now: Millis): boolean {
  const { file } = a;
  if (file === undefined) {
    if (!evt.adopted) return false;
    s.adoption = undefined;
    return true;
  }
  if (evt.sent) s.snd.regain(evt.sent);
  const v = evt.view;
  if (!evt.adopted || !v || !s.snd.adopt(v, isOver(v.state))) return true;
  s.adoption = undefined;
  s.ops.adopt(evt.opAck);
  s.state = v.state;
  s.snd.owed = file.sndTo;
  if (a.closed) closeAgain(s, file, evt.adopted.orphan, v.rcvNxt > s.rcvRead, now);
  else goOn(s, file, v.rport !== 0 || v.err !== 0);
  s.touchView(true);
  a.over(now);
  return false;
}

/** What the dead socket layer had answered for and may not have passed on. `opened`: TCP has heard of the connect. */
function goOn(s: StreamSock, file: SessionFile, opened: boolean): void {
  const mayShut = s.state === TCP_ESTABLISHED || s.state === TCP_CLOSE_WAIT || s.state === TCP_SYN_RECV;
  if (file.shut & SEND_SHUTDOWN && mayShut) s.pushOp({ shutdown: { how: SHUT_WR } });
  if (file.phase !== 'connecting' || s.state !== TCP_CLOSE || opened || file.peer === undefined) return;
  const seq = s.pushOp({ connect: { addr: file.peer.addr, port: file.peer.port } }, (errno, at) => {
    if (errno === 0) return;
    s.failLate(errno);
    s.wakeAll(at);
  });
  s.beginEpoch(seq, TCP_SYN_SENT);
}

function closeAgain(s: StreamSock, file: SessionFile, orphan: boolean, unread: boolean, now: Millis): void {
  const abort = unread || (s.linger.onoff !== 0 && s.linger.linger === 0 && file.phase !== 'listening');
  if (!orphan) s.close(now, abort);
  s.orphan = true;
  s.shutdownMask = SHUTDOWN_MASK;
}
