import type { Millis } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** What a connection with something to send waits for (include/linux/tcp.h:tcp_chrono); the higher one counts. */
export const Chrono = { None: 0, Busy: 1, RwndLimited: 2, SndbufLimited: 3 } as const;
export type Chrono = (typeof Chrono)[keyof typeof Chrono];

/** tp->chrono_stat …; made with the first data. */
export interface ChronoState {
  type: Chrono;
  sinceMs: Millis;
  /** Time so far in Busy, RwndLimited and SndbufLimited. */
  readonly ms: [Millis, Millis, Millis];
}

/** tcp_chrono_start() */
export function chronoStart(cx: TcpContext, sk: TcpSock, type: Chrono): void {
  sk.chrono ??= { type: Chrono.None, sinceMs: cx.now, ms: [0, 0, 0] };
  if (type > sk.chrono.type) set(cx, sk.chrono, type);
}

/** tcp_chrono_stop(): with nothing left to send or to be acknowledged all of it ends, else it is just busy. */
export function chronoStop(cx: TcpContext, sk: TcpSock, type: Chrono): void {
  const { chrono } = sk;
  if (chrono === undefined || chrono.type === Chrono.None) return;
  if (sk.packetsOut === 0 && !sk.hasUnsent) set(cx, chrono, Chrono.None);
  else if (type === chrono.type && type !== Chrono.Busy) set(cx, chrono, Chrono.Busy);
}

/** tcp_get_info_chrono_stats(): busy_time includes the two others. */
export function chronoStats(cx: TcpContext, sk: TcpSock): { busy: Millis; rwnd: Millis; sndbuf: Millis } {
  const { chrono } = sk;
  if (chrono === undefined) return { busy: 0, rwnd: 0, sndbuf: 0 };
  const ms = [...chrono.ms];
  if (chrono.type !== Chrono.None) ms[chrono.type - 1]! += cx.now - chrono.sinceMs;
  return { busy: ms[0]! + ms[1]! + ms[2]!, rwnd: ms[1]!, sndbuf: ms[2]! };
}

function set(cx: TcpContext, chrono: ChronoState, type: Chrono): void {
  if (chrono.type !== Chrono.None) chrono.ms[chrono.type - 1]! += cx.now - chrono.sinceMs;
  chrono.type = type;
  chrono.sinceMs = cx.now;
}
