import type { TcpContext } from './context.ts';
import { retransmitRec } from './retransmit.ts';
import { clearXmit, Pending, rearmRto } from './rto-arm.ts';
import { payloadLen } from './rtx-queue.ts';
import { splitRec } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';
import { canProbeNewData } from './tlp.ts';
import { currentMss } from './transmit.ts';
import { sendProbe } from './write-xmit.ts';

/** tcp_send_loss_probe(): new data if there is any, else the last segment again. One probe at a time. */
export function sendLossProbe(cx: TcpContext, sk: TcpSock): void {
  cx.env.trace('tcp_send_loss_probe');
  const { loss, rtx } = sk;
  if (loss.tlpHighSeq > 0) {
    rearmRto(cx, sk);
    return;
  }
  loss.tlpRetrans = false;
  if (canProbeNewData(sk)) {
    if (sendProbe(cx, sk)) probeSent(cx, sk);
    else rearmRto(cx, sk);
    return;
  }
  let i = rtx.length - 1;
  if (i < 0) {
    clearXmit(sk);
    return;
  }
  const mss = currentMss(cx, sk);
  const r = rtx.at(i);
  if (r.segs > 1 && payloadLen(r) > (r.segs - 1) * mss) {
    splitRec(sk, i, r.seq + (r.segs - 1) * mss);
    i++;
  }
  if (retransmitRec(cx, sk, i, 1)) {
    loss.tlpRetrans = true;
    probeSent(cx, sk);
  } else {
    rearmRto(cx, sk);
  }
}

function probeSent(cx: TcpContext, sk: TcpSock): void {
  sk.loss.tlpHighSeq = sk.sndNxt;
  cx.env.mib.inc('TcpExtTCPLossProbes');
  // the timeout runs from now
  sk.pending = Pending.None;
  rearmRto(cx, sk);
}
