import {
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
} from '@skbus/skb';

const RANK = new Map<number, number>([
  [TCP_SYN_SENT, 1],
  [TCP_LISTEN, 1],
  [TCP_SYN_RECV, 2],
  [TCP_ESTABLISHED, 3],
  [TCP_FIN_WAIT1, 4],
  [TCP_CLOSE_WAIT, 4],
  [TCP_FIN_WAIT2, 5],
  [TCP_CLOSING, 5],
  [TCP_LAST_ACK, 5],
  [TCP_TIME_WAIT, 6],
  [TCP_CLOSE, 7],
]);

/** How far along a connection a state is: a view that would go back is an old one that came late. */
export const rankOf = (state: number): number => RANK.get(state) ?? 0;

/** Over, as far as the socket layer has anything to do with it. */
export const isOver = (state: number): boolean => state === TCP_CLOSE || state === TCP_TIME_WAIT;

/** Not (yet) a connection. */
export const isBefore = (state: number): boolean => state === TCP_LISTEN || state === TCP_SYN_SENT;
