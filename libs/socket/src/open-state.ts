/** What a stream socket remembers of how its connection is opened. */
export class OpenState {
  /** TCP_FASTOPEN_CONNECT */
  fastopenConnect = false;
  /** connect() was put off until there is data to go with the SYN (inet_sk(sk)->defer_connect). */
  deferred: { addr: number; port: number } | undefined = undefined;
  /** How many bytes went with the SYN. */
  sentWithSyn = 0;
  /** A write sleeps until the handshake is done (sk_write_pending): the ACK of the SYN-ACK can go with its data. */
  writePending = false;
  /** Bytes of the stream that TCP has, as it said last. */
  sndGotSeen = 0;
  /** TCP_SAVED_SYN: the headers of a child's SYN, until the program has asked for them. */
  savedSyn: Uint8Array | undefined = undefined;
}
