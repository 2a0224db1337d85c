import { NEVER, TCP_LISTEN, type Millis, type SkBuff, type SkCmd } from '@skbus/skb';
import type { Conn } from './conn.ts';
import type { TcpContext } from './context.ts';

/** A socket layer that says nothing for so long has nothing to give back, or is not there. */
const SILENCE_MS: Millis = 5_000;
/** How often a new TCP says that it is there. */
const HELLO_MS: Millis = 200;
/** Operations that wait; more are repeated by the socket layer anyway. */
const HELD_MAX = 4096;

/**
 * The first moments of a TCP that was started anew. Until the socket layer has said that everything is restored nobody is
 * denied anything: segments for unknown connections are dropped without a reset, commands for unknown sockets without an answer,
 * and nobody gets a port that a connection to come may have.
 */
export interface Restoring {
  untilMs: Millis;
  helloMs: Millis;
  held: SkCmd[];
}

export const startRestoring = (): Restoring => ({ untilMs: NEVER, helloMs: NEVER, held: [] });

/** The socket layer hears of us, now and until it answers. */
export function askForRestore(cx: TcpContext): void {
  if (cx.restoring === undefined) return;
  cx.hello ||= cx.env.rng.u32() || 1;
  cx.restoring.untilMs = cx.now + SILENCE_MS;
  sayHello(cx, cx.restoring);
}

export const restoringTimeout = (r: Restoring | undefined): Millis =>
  r === undefined ? NEVER : Math.min(r.untilMs, r.helloMs);

/** An event about no socket asks for what is ours. */
function sayHello(cx: TcpContext, r: Restoring): void {
  r.helloMs = cx.now + HELLO_MS;
  cx.emit({ sk: 0, opAck: 0, opErrno: 0, hello: cx.hello });
}

export function restoringTimer(cx: TcpContext, r: Restoring, run: (cmd: SkCmd) => void): void {
  if (r.untilMs <= cx.now) {
    endRestoring(cx, run);
  } else if (r.helloMs <= cx.now) {
    sayHello(cx, r);
  }
}

/** Whether the segment would meet nothing but a listener, or nobody; then its end has come. */
export function dropWhileRestoring(cx: TcpContext, skb: SkBuff, conn: Conn | undefined): boolean {
  if (conn !== undefined && conn.state !== TCP_LISTEN) return false;
  cx.env.drop(skb, 'TCP_RESTORING');
  return true;
}

/** Whether the command waits: it wants a port, or is about a socket that is not restored yet. */
export function holdWhileRestoring(cx: TcpContext, r: Restoring, cmd: SkCmd): boolean {
  if (cmd.bind || cmd.listen || cmd.connect) {
    if (r.held.length < HELD_MAX) r.held.push(cmd);
    return true;
  }
  return !cx.socks.has(cmd.sk) && (cmd.opSeq !== 1 || (cmd.sk & 1) !== 0);
}

/** The socket layer gives something back: there may be more to come. */
export function heardRestore(cx: TcpContext): void {
  if (cx.restoring !== undefined) cx.restoring.untilMs = cx.now + SILENCE_MS;
}

/** From now on what is not known is not. */
export function endRestoring(cx: TcpContext, run: (cmd: SkCmd) => void): void {
  const { restoring } = cx;
  cx.restoring = undefined;
  for (const cmd of restoring?.held ?? []) run(cmd);
}
