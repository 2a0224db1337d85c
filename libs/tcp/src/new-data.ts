import type { TcpContext } from './context.ts';
import { rateSkbSent } from './rate.ts';
import { Pending, rearmRto } from './rto-arm.ts';
import { NO_RTX, RtxQueue, type TxRec } from './rtx-queue.ts';
import type { TcpSock } from './sock.ts';
import { viewChanged } from './views.ts';

/** tcp_event_new_data_sent() */
export function eventNewDataSent(cx: TcpContext, sk: TcpSock, rec: TxRec): void {
  cx.env.trace('tcp_event_new_data_sent');
  cx.env.mib.inc('TcpExtTCPOrigDataSent', rec.segs);
  const first = sk.packetsOut === 0;
  rec.sentMs = cx.now;
  rateSkbSent(cx, sk, rec);
  rtxQueueAdd(sk, rec);
  sk.sndNxt = rec.end;
  sk.packetsOut += rec.segs;
  if (sk.notsentLowat > 0) viewChanged(cx, sk);
  if (first || sk.pending === Pending.LossProbe) rearmRto(cx, sk);
}

/** An idle connection has no queue. */
export function rtxQueueAdd(sk: TcpSock, rec: TxRec): void {
  if (sk.rtx === NO_RTX) sk.rtx = new RtxQueue();
  sk.rtx.push(rec);
}
