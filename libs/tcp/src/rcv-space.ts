import type { TcpContext } from './context.ts';
import type { Segment } from './segment.ts';
import { rcvbufStep } from './record.ts';
import type { TcpSock } from './sock.ts';
import { recordChanged } from './views.ts';
import { lastWindow, spaceFromWindow, windowFromSpace } from './window.ts';

/** Dynamic right-sizing of the receive buffer (DRS, tcp_moderate_rcvbuf): twice what is read in a round trip. */

/** tcp_rcv_rtt_measure(): without timestamps, how long a whole window takes to arrive. */
export function measureRcvRtt(cx: TcpContext, sk: TcpSock): void {
  if (sk.rcvRttStartMs !== 0) {
    if (sk.rcvNxt < sk.rcvRttSeq) return;
    const sample = Math.max(cx.now - sk.rcvRttStartMs, 0.001);
    // It is an upper bound, so the least is the best.
    sk.rcvRttMs = sk.rcvRttMs === 0 ? sample : Math.min(sk.rcvRttMs, sample);
  }
  sk.rcvRttSeq = sk.rcvNxt + lastWindow(sk);
  sk.rcvRttStartMs = cx.now;
}

/** tcp_rcv_rtt_measure_ts(): with timestamps, how long after our ACK the full segment comes that echoes it. */
export function measureRcvRttTs(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  if (seg.tsEcr === sk.rcvRttTsEcr) return;
  sk.rcvRttTsEcr = seg.tsEcr;
  if (seg.len < sk.rcvMss) return;
  const delta = (cx.tsNow(sk.tsOffset) - seg.tsEcr) | 0;
  if (delta < 0) return;
  const sample = Math.max(delta, 0.001);
  if (sk.rcvRttMs === 0) sk.rcvRttMs = sample;
  else sk.rcvRttMs += (sample - sk.rcvRttMs) / 8;
}

/**
 * tcp_rcv_space_adjust(): once per round trip, when the application has read more than in the one before, the buffer
 * grows to twice that, and by as much more as the rate is growing.
 */
export function rcvSpaceAdjust(cx: TcpContext, sk: TcpSock): void {
  if (sk.rcvRttMs === 0 || cx.now - sk.rcvSpaceMs < sk.rcvRttMs) return;
  const copied = sk.rcvRead - sk.rcvSpaceSeq;
  if (copied > sk.rcvSpace) {
    if (cx.sysctl.tcpModerateRcvbuf && !sk.rcvbufLocked) growBuffer(cx, sk, copied);
    sk.rcvSpace = copied;
  }
  sk.rcvSpaceSeq = sk.rcvRead;
  sk.rcvSpaceMs = cx.now;
}

function growBuffer(cx: TcpContext, sk: TcpSock, copied: number): void {
  let window = 2 * copied + 16 * sk.advMss;
  if (sk.rcvSpace > 0) window += 2 * Math.floor((window * (copied - sk.rcvSpace)) / sk.rcvSpace);
  const rcvbuf = Math.min(spaceFromWindow(window), cx.sysctl.tcpRmem[2]);
  if (rcvbuf <= sk.rcvbuf) return;
  if (rcvbufStep(rcvbuf) > rcvbufStep(sk.rcvbuf)) recordChanged(cx, sk);
  sk.rcvbuf = rcvbuf;
  sk.windowClamp = windowFromSpace(rcvbuf);
}
