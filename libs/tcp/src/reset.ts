import { ERRNO, TCP_STATE_NAMES, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_SYN_SENT } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { tcpDone } from './state.ts';
import { viewChanged } from './views.ts';

/** tcp_reset(): the peer says that there is no connection. The skb stays the caller's. */
export function tcpReset(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  cx.env.trace('tcp_reset', seg.skb);
  if (cx.env.tracing) {
    cx.env.trace('tcp_receive_reset', seg.skb, {
      sk: sk.id,
      state: `TCP_${TCP_STATE_NAMES[sk.state]}`,
      sport: sk.lport,
      dport: sk.rport,
      saddr: sk.laddr,
      daddr: sk.raddr,
    });
  }
  switch (sk.state) {
    case TCP_CLOSE:
      return;
    case TCP_SYN_SENT:
      sk.err = ERRNO.ECONNREFUSED;
      break;
    case TCP_CLOSE_WAIT:
      sk.err = ERRNO.EPIPE;
      break;
    default:
      sk.err = ERRNO.ECONNRESET;
  }
  viewChanged(cx, sk);
  tcpDone(cx, sk);
}
