import {
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_WAIT1,
  TCP_FIN_WAIT2,
  TCP_LAST_ACK,
  TCP_LISTEN,
  TCP_NEW_SYN_RECV,
  TCP_STATE_NAMES,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
} from '@skbus/skb';

/**
 * Every state change there is (RFC 9293 3.3.2, figure 5), as Linux takes them, and what leads to it: a request waits in
 * NEW_SYN_RECV beside its listener, a child starts as a copy of the listener, and a TIME-WAIT is a smaller object that lives on
 * after its sock was closed. docs/TCP.md shows it as a graph (`node tools/states.mjs`).
 */
const CHANGES: readonly (readonly [from: number, to: number, event: string])[] = [
  [TCP_CLOSE, TCP_LISTEN, 'listen'],
  [TCP_CLOSE, TCP_SYN_SENT, 'connect'],
  [TCP_LISTEN, TCP_SYN_RECV, 'a child is cloned'],
  [TCP_LISTEN, TCP_CLOSE, 'close'],
  [TCP_NEW_SYN_RECV, TCP_SYN_RECV, 'ACK of SYN'],
  [TCP_NEW_SYN_RECV, TCP_CLOSE, 'RST, timeout'],
  [TCP_SYN_SENT, TCP_ESTABLISHED, 'SYN-ACK'],
  [TCP_SYN_SENT, TCP_SYN_RECV, 'SYN'],
  [TCP_SYN_SENT, TCP_CLOSE, 'close, RST, ICMP, timeout'],
  [TCP_SYN_RECV, TCP_ESTABLISHED, 'ACK of SYN'],
  [TCP_SYN_RECV, TCP_FIN_WAIT1, 'close'],
  [TCP_SYN_RECV, TCP_CLOSE, 'RST, timeout'],
  [TCP_ESTABLISHED, TCP_FIN_WAIT1, 'close'],
  [TCP_ESTABLISHED, TCP_CLOSE_WAIT, 'FIN'],
  [TCP_ESTABLISHED, TCP_CLOSE, 'abort, RST, timeout'],
  [TCP_FIN_WAIT1, TCP_FIN_WAIT2, 'ACK of FIN'],
  [TCP_FIN_WAIT1, TCP_CLOSING, 'FIN'],
  [TCP_FIN_WAIT1, TCP_CLOSE, 'abort, RST, timeout'],
  [TCP_FIN_WAIT2, TCP_TIME_WAIT, 'FIN'],
  [TCP_FIN_WAIT2, TCP_CLOSE, 'abort, RST, tcp_fin_timeout'],
  [TCP_CLOSING, TCP_TIME_WAIT, 'ACK of FIN'],
  [TCP_CLOSING, TCP_CLOSE, 'RST, timeout'],
  [TCP_CLOSE_WAIT, TCP_LAST_ACK, 'close'],
  [TCP_CLOSE_WAIT, TCP_CLOSE, 'abort, RST, timeout'],
  [TCP_LAST_ACK, TCP_CLOSE, 'ACK of FIN, RST, timeout'],
  [TCP_TIME_WAIT, TCP_CLOSE, '2 MSL, a new SYN'],
];

export const TRANSITIONS: Readonly<Record<number, readonly number[]>> = byFrom();

function byFrom(): Record<number, number[]> {
  const table: Record<number, number[]> = {};
  for (const [from, to] of CHANGES) (table[from] ??= []).push(to);
  return table;
}

export const isLegalTransition = (from: number, to: number): boolean => TRANSITIONS[from]?.includes(to) ?? false;

/** The table as a Mermaid state diagram, for the documentation. */
export function transitionsDiagram(): string {
  const name = (state: number): string => TCP_STATE_NAMES[state]!;
  const lines = CHANGES.map(([from, to, event]) => `  ${name(from)} --> ${name(to)}: ${event}`);
  return ['stateDiagram-v2', '  [*] --> CLOSE', ...lines].join('\n');
}

/** States in which the application may still send (TCPF_ESTABLISHED | TCPF_CLOSE_WAIT). */
export const canSend = (state: number): boolean => state === TCP_ESTABLISHED || state === TCP_CLOSE_WAIT;

/** tcp_close_state(): where close or shutdown(SHUT_WR) leads, and whether a FIN is due. */
export const CLOSE_STATE: Readonly<Record<number, { to: number; fin: boolean }>> = {
  [TCP_ESTABLISHED]: { to: TCP_FIN_WAIT1, fin: true },
  [TCP_SYN_SENT]: { to: TCP_CLOSE, fin: false },
  [TCP_SYN_RECV]: { to: TCP_FIN_WAIT1, fin: true },
  [TCP_CLOSE_WAIT]: { to: TCP_LAST_ACK, fin: true },
};
