import {
  IPPROTO_TCP,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_STATE_NAMES,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
} from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { fastOpenEnd } from './fastopen-blackhole.ts';
import { fastOpenRemove } from './reqsk-queue.ts';
import { NO_OFO } from './ofo-queue.ts';
import { NO_RTX } from './rtx-queue.ts';
import { NO_BLOCKS } from './sack-out.ts';
import { NO_UNCONFIRMED } from './unconfirmed.ts';
import type { TcpSock } from './sock.ts';
import { stopTimer, stopTimers, Timer } from './timers.ts';
import { isLegalTransition } from './transitions.ts';
import { emitLastView, viewChanged } from './views.ts';

/** tcp_set_state(): every state change of a sock goes through here and is checked against the table. */
export function setState(cx: TcpContext, sk: TcpSock, to: number): void {
  cx.env.trace('tcp_set_state');
  const from = sk.state;
  const { mib } = cx.env;
  const counted = from === TCP_ESTABLISHED || from === TCP_CLOSE_WAIT;
  if (to === TCP_ESTABLISHED) {
    if (!counted) cx.currEstab++;
  } else if (to !== TCP_CLOSE_WAIT && counted) {
    cx.currEstab--;
    if (to === TCP_CLOSE) mib.inc('TcpEstabResets');
  }
  mib.set('TcpCurrEstab', cx.currEstab);
  storeState(cx, sk, to);
  if (to === TCP_CLOSE) {
    cx.ehash.remove(sk);
    if (!sk.explicitPort) releasePort(cx, sk);
  }
}

/** inet_sk_state_store(): the change itself, seen by the inet_sock_set_state event. */
export function storeState(cx: TcpContext, sk: TcpSock, to: number): void {
  const from = sk.state;
  if (!isLegalTransition(from, to)) {
    cx.illegalTransitions++;
    cx.env.printk(`TCP: ${TCP_STATE_NAMES[from]} -> ${TCP_STATE_NAMES[to]} is not a transition`);
  }
  sk.state = to;
  if (cx.env.tracing) {
    cx.env.trace('inet_sock_set_state', undefined, {
      sk: sk.id,
      protocol: IPPROTO_TCP,
      oldstate: `TCP_${TCP_STATE_NAMES[from]}`,
      newstate: `TCP_${TCP_STATE_NAMES[to]}`,
      saddr: sk.laddr,
      daddr: sk.raddr,
      sport: sk.lport,
      dport: sk.rport,
    });
  }
  viewChanged(cx, sk);
}

/** tcp_done(): the connection is over. An orphan goes away with it; else the sock waits, closed, for its close(). */
export function tcpDone(cx: TcpContext, sk: TcpSock): void {
  if (sk.state === TCP_CLOSE) return;
  if (sk.state === TCP_SYN_SENT || sk.state === TCP_SYN_RECV) cx.env.mib.inc('TcpAttemptFails');
  if (sk.fastopen?.req !== undefined) fastOpenRemove(sk);
  setState(cx, sk, TCP_CLOSE);
  stopTimer(sk, Timer.Retrans);
  stopTimer(sk, Timer.DelAck);
  stopTimer(sk, Timer.Keepalive);
  sk.sndShutdown = true;
  sk.rcvShutdown = true;
  sk.ackNow = false;
  sk.ackPending = false;
  sk.dupAcksOwed = 0;
  purgeSend(sk);
  purgeOfo(cx, sk);
  if (sk.orphan) destroySock(cx, sk);
}

/** inet_csk_destroy_sock(): nothing of it is left but its last answer. */
export function destroySock(cx: TcpContext, sk: TcpSock): void {
  if (sk.gone) return;
  sk.gone = true;
  if (sk.orphan) cx.orphans--;
  if (sk.fastopen !== undefined) fastOpenEnd(cx, sk);
  cx.socks.remove(sk);
  leaveBacklog(sk);
  stopTimers(sk);
  cx.timers.remove(sk);
  releasePort(cx, sk);
  cx.ehash.remove(sk);
  purgeOfo(cx, sk);
  sk.unconfirmed = NO_UNCONFIRMED;
  sk.unread = undefined;
  emitLastView(cx, sk);
  cx.slab.release(sk);
}

/** inet_put_port() */
export function releasePort(cx: TcpContext, sk: TcpSock): void {
  if (!sk.hasPort) return;
  sk.hasPort = false;
  cx.ports.remove(sk);
}

/** A child that was not accepted yet makes room in its listener's accept queue. */
export function leaveBacklog(sk: TcpSock): void {
  const { listener } = sk;
  if (listener === undefined || sk.accepted) return;
  if (listener.children?.delete(sk) === true) listener.ackBacklog--;
}

export function purgeOfo(cx: TcpContext, sk: TcpSock): void {
  if (sk.ofo.length > 0) {
    const gone = sk.ofo.segs;
    sk.ofo = NO_OFO;
    for (const s of gone) cx.env.drop(s.skb, 'TCP_OFO_QUEUE_PRUNE');
    cx.ofoSkbs -= gone.length;
  }
  sk.sackBlocks = NO_BLOCKS;
}

/** tcp_write_queue_purge() */
function purgeSend(sk: TcpSock): void {
  sk.rtx = NO_RTX;
  sk.packetsOut = sk.sackedOut = sk.lostOut = sk.retransOut = 0;
  sk.sendQueue.discard();
}

export const isListening = (sk: TcpSock): boolean => sk.state === TCP_LISTEN;
