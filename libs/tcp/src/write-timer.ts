import type { TcpContext } from './context.ts';
import { fastOpenTimer } from './fastopen-server.ts';
import { probeTimer } from './probe0.ts';
import { rackReoTimeout } from './reo-timeout.ts';
import { retransmitTimer } from './rto.ts';
import { Pending } from './rto-arm.ts';
import type { TcpSock } from './sock.ts';
import { sendLossProbe } from './loss-probe.ts';

/** tcp_write_timer_handler(): one timer serves all that makes a sender act by itself. */
export function writeTimer(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_write_timer');
  const { pending, fastopen } = sk;
  if (fastopen?.req !== undefined) {
    fastOpenTimer(cx, sk, fastopen, fastopen.req);
    return;
  }
  if (pending === Pending.ReoTimeout) {
    rackReoTimeout(cx, sk);
  } else if (pending === Pending.LossProbe) {
    sendLossProbe(cx, sk);
  } else {
    sk.pending = Pending.None;
    if (pending === Pending.Rto) retransmitTimer(cx, sk);
    else probeTimer(cx, sk);
  }
}
