const TCP_STATES = [
  'NONE',
  'ESTAB',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT1',
  'FIN_WAIT2',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'CLOSING',
  'SYN_RECV',
] as const;

/** The states of include/net/tcp_states.h; a request that waits for its last ACK is in SYN_RECV. */
export const tcpStateName = (state: number): string => TCP_STATES[state] ?? String(state);
