import { CA_RECOVERY } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { prrAck } from './prr.ts';
import { rackDetectLoss } from './rack.ts';
import { enterRecovery } from './recovery.ts';
import { retransmitLost } from './retransmit.ts';
import { Pending, rearmRto } from './rto-arm.ts';
import type { TcpSock } from './sock.ts';

/** tcp_rack_reo_timeout() (RFC 8985 6.3): what was given time for reordering has not arrived. */
export function rackReoTimeout(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_rack_reo_timeout');
  const prior = sk.inFlight;
  const priorLost = sk.loss.lost;
  rackDetectLoss(cx, sk);
  if (prior !== sk.inFlight) {
    if (sk.caState !== CA_RECOVERY) {
      enterRecovery(cx, sk, false);
      if (sk.cc.congControl === undefined) prrAck(sk, 1, sk.loss.lost - priorLost, false);
    }
    retransmitLost(cx, sk);
  }
  if (sk.pending !== Pending.Rto) rearmRto(cx, sk);
}
