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
 * Every state change there is (RFC 9293 3.3.2, figure 5), as Linux takes them: a request waits in NEW_SYN_RECV beside its
 * listener, a child starts as a copy of the listener, and a TIME-WAIT is a smaller object that lives on after its sock
 * was closed.
 *
 * ```
 *                CLOSE ──listen──▶ LISTEN ──(child)──▶ SYN_RECV ─┐
 *                  │                                      ▲      │ ACK of SYN
 *                connect                                  │ SYN  ▼
 *                  └──────────────▶ SYN_SENT ─────────────┴─▶ ESTABLISHED
 *                                                     close │          │ FIN
 *                              FIN_WAIT1 ◀──────────────────┘          └──────▶ CLOSE_WAIT
 *                 ACK of FIN │         │ FIN                                        │ close
 *                            ▼         ▼                                            ▼
 *                      FIN_WAIT2    CLOSING                                      LAST_ACK
 *                        FIN │         │ ACK of FIN                                 │ ACK of FIN
 *                            ▼         ▼                                            ▼
 *                            TIME_WAIT ───────────── 2 MSL ───────────────────▶  CLOSE
 * ```
 */
export const TRANSITIONS: Readonly<Record<number, readonly number[]>> = {
  [TCP_CLOSE]: [TCP_LISTEN, TCP_SYN_SENT],
  [TCP_LISTEN]: [TCP_SYN_RECV, TCP_CLOSE],
  [TCP_NEW_SYN_RECV]: [TCP_SYN_RECV, TCP_CLOSE],
  [TCP_SYN_SENT]: [TCP_ESTABLISHED, TCP_SYN_RECV, TCP_CLOSE],
  [TCP_SYN_RECV]: [TCP_ESTABLISHED, TCP_FIN_WAIT1, TCP_CLOSE],
  [TCP_ESTABLISHED]: [TCP_FIN_WAIT1, TCP_CLOSE_WAIT, TCP_CLOSE],
  [TCP_FIN_WAIT1]: [TCP_FIN_WAIT2, TCP_CLOSING, TCP_CLOSE],
  [TCP_FIN_WAIT2]: [TCP_TIME_WAIT, TCP_CLOSE],
  [TCP_CLOSING]: [TCP_TIME_WAIT, TCP_CLOSE],
  [TCP_CLOSE_WAIT]: [TCP_LAST_ACK, TCP_CLOSE],
  [TCP_LAST_ACK]: [TCP_CLOSE],
  [TCP_TIME_WAIT]: [TCP_CLOSE],
};

export const isLegalTransition = (from: number, to: number): boolean => TRANSITIONS[from]?.includes(to) ?? false;

/** The table as a Graphviz graph, for the documentation. */
export function transitionsDot(): string {
  const lines = ['digraph tcp {'];
  for (const [from, tos] of Object.entries(TRANSITIONS)) {
    for (const to of tos) lines.push(`  ${TCP_STATE_NAMES[Number(from)]} -> ${TCP_STATE_NAMES[to]};`);
  }
  lines.push('}');
  return lines.join('\n');
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
