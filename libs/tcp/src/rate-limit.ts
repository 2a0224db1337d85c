import type { MibName } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { sendAck } from './transmit.ts';

/** Answers to segments that should not be there are rate limited, so that two confused peers cannot loop. */

/** tcp_oow_rate_limited(): true when the answer is to be skipped. Data and FINs are never part of an ACK loop. */
export function oowRateLimited(cx: TcpContext, seg: Segment, last: { oowAckMs: number }, skipped: MibName): boolean {
  if ((seg.len > 0 || seg.fin) && !seg.syn) return false;
  return ackRateLimited(cx, last, skipped);
}

/** tcp_send_challenge_ack() */
export function sendChallengeAck(cx: TcpContext, sk: TcpSock, flags = 0): void {
  cx.env.trace('tcp_send_challenge_ack');
  if (mayChallenge(cx, sk)) sendAck(cx, sk, flags);
}

/** RFC 5961 7: a challenge ACK may go, and counts. */
export function mayChallenge(cx: TcpContext, last: { oowAckMs: number }): boolean {
  if (ackRateLimited(cx, last, 'TcpExtTCPACKSkippedChallenge')) return false;
  const second = Math.floor(cx.now / 1000);
  if (second !== cx.challengeSecond) {
    cx.challengeSecond = second;
    cx.challengeCount = 0;
  }
  if (cx.challengeCount >= cx.sysctl.tcpChallengeAckLimit) return false;
  cx.challengeCount++;
  cx.env.mib.inc('TcpExtTCPChallengeACK');
  return true;
}

function ackRateLimited(cx: TcpContext, last: { oowAckMs: number }, skipped: MibName): boolean {
  const elapsed = cx.now - last.oowAckMs;
  if (elapsed >= 0 && elapsed < cx.sysctl.tcpInvalidRatelimit) {
    cx.env.mib.inc(skipped);
    return true;
  }
  last.oowAckMs = cx.now;
  return false;
}
