import { NEVER, TCP_NEW_SYN_RECV, type Millis, type SkId } from '@skbus/skb';
import type { AccEcn } from './accecn.ts';
import { Conn } from './conn.ts';
import type { TcpContext } from './context.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { selectInitialWindow } from './window.ts';

/** A half-open connection beside its listener (struct tcp_request_sock): all that is kept until the third segment. */
export class RequestSock extends Conn {
  readonly listener: TcpSock;
  /** The id that its child will have; 0: it is not kept anywhere else. */
  id: SkId = 0;
  override state = TCP_NEW_SYN_RECV;
  /** The peer's ISN and ours, on the wire. */
  irs32 = 0;
  iss32 = 0;
  /** What the SYN-ACK acknowledges. */
  ack32 = 0;
  mtu = 1500;
  /** The peer's MSS option. */
  peerMss = 0;
  advMss = 0;
  tsOk = false;
  tsRecent = 0;
  tsOffset = 0;
  sackOk = false;
  ecnOk = false;
  /** The SYN offered AccECN and is answered so. */
  accecn: AccEcn | undefined = undefined;
  wscaleOk = false;
  sndWscale = 0;
  rcvWscale = 0;
  /** What the SYN-ACK offered. */
  rcvWnd = 0;
  /** The final ACK came but had to wait: accept queue full, or TCP_DEFER_ACCEPT (inet_rsk(req)->acked). */
  acked = false;
  /** How often the timer ran. */
  timeouts = 0;
  /** SYN-ACKs sent again. */
  retrans = 0;
  /** When the SYN-ACK was sent, -1: not known. */
  synAckMs: Millis = 0;
  dueMs: Millis = NEVER;
  override wakeMs: Millis = NEVER;
  oowAckMs: Millis = Number.NEGATIVE_INFINITY;
  /** Goes with the first SYN-ACK: a cookie for the peer. */
  fastOpen: { cookie: Uint8Array; exp: boolean } | undefined = undefined;
  /** TCP_SAVE_SYN: the headers of the SYN. */
  savedSyn: Uint8Array | undefined = undefined;

  constructor(listener: TcpSock) {
    super();
    this.listener = listener;
  }

  override deadline(): Millis {
    return this.dueMs;
  }

  /** Both ends of a segment from the peer, and what follows from them and the route (tcp_v4_init_req). */
  take(cx: TcpContext, seg: Segment): void {
    const { userMss } = this.listener;
    this.laddr = seg.daddr;
    this.lport = seg.dport;
    this.raddr = seg.saddr;
    this.rport = seg.sport;
    this.mtu = seg.skb.rtMtu > 0 ? seg.skb.rtMtu : (cx.routes.peek(seg.saddr, seg.daddr)?.mtu ?? 1500);
    this.advMss = userMss > 0 ? Math.min(this.mtu - 40, userMss) : this.mtu - 40;
    this.tsOffset = cx.secrets.tsOffset(this.laddr, this.raddr);
  }
}

/** tcp_openreq_init_rwin(): the window that the SYN-ACK offers, in whole segments of `mss`. */
export function rcvWindow(cx: TcpContext, req: RequestSock, mss: number): void {
  const { rcvbuf, rcvbufLocked, windowClamp } = req.listener;
  const w = selectInitialWindow(cx, rcvbuf, rcvbufLocked, windowClamp, mss, req.wscaleOk);
  req.rcvWnd = w.wnd;
  req.rcvWscale = w.wscale;
}
