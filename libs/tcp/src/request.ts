import { NEVER, TCP_NEW_SYN_RECV, type Millis } from '@skbus/skb';
import { Conn } from './conn.ts';
import type { TcpSock } from './sock.ts';

/** A half-open connection beside its listener (struct tcp_request_sock): all that is kept until the third segment. */
export class RequestSock extends Conn {
  readonly listener: TcpSock;
  override state = TCP_NEW_SYN_RECV;
  /** The peer's ISN and ours, on the wire. */
  irs32 = 0;
  iss32 = 0;
  mtu = 1500;
  /** The peer's MSS option. */
  peerMss = 0;
  advMss = 0;
  tsOk = false;
  tsRecent = 0;
  tsOffset = 0;
  sackOk = false;
  ecnOk = false;
  wscaleOk = false;
  sndWscale = 0;
  rcvWscale = 0;
  /** What the SYN-ACK offered. */
  rcvWnd = 0;
  /** The final ACK came but the accept queue was full (inet_rsk(req)->acked). */
  acked = false;
  /** SYN-ACKs sent again by the timer. */
  timeouts = 0;
  retrans = 0;
  synAckMs: Millis = 0;
  dueMs: Millis = NEVER;
  oowAckMs: Millis = Number.NEGATIVE_INFINITY;

  constructor(listener: TcpSock) {
    super();
    this.listener = listener;
  }

  override deadline(): Millis {
    return this.dueMs;
  }
}
