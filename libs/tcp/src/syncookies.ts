import { AccEcn, aceOf } from './accecn.ts';
import type { TcpContext } from './context.ts';
import { rcvWindow, RequestSock } from './request.ts';
import { reqskQueue } from './reqsk-queue.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';

/**
 * SYN cookies (D. J. Bernstein; net/ipv4/syncookies.c): when the queue of requests is full, the SYN-ACK's sequence number
 * says all that must be remembered, and the ACK brings it back.
 *
 * ```
 *   31      24 23                                0
 *  ┌──────────┬───────────────────────────────────┐
 *  │ minutes  │ hash(tuple, minutes) + MSS index  │  + hash(tuple) + the peer's sequence number
 *  └──────────┴───────────────────────────────────┘
 * ```
 *
 * With timestamps, the six low bits of ours carry the other options: ECN, SACK, and the window scale (15: none).
 */
const COOKIE_PERIOD_MS = 60_000;
/** A cookie is good in the period it was made in and the one after it. */
const MAX_SYNCOOKIE_AGE = 2;
const COOKIE_VALID_MS = MAX_SYNCOOKIE_AGE * COOKIE_PERIOD_MS;
const COOKIE_MASK = 0xff_ffff;
/** What the MSS option is rounded down to (S. Alcock and R. Nelson, An Analysis of TCP Maximum Segment Sizes). */
const MSS_TAB = [536, 1300, 1440, 1460] as const;

const TS_BITS = 6;
const TS_OPT_WSCALE_MASK = 0xf;
const TS_OPT_SACK = 0x10;
const TS_OPT_ECN = 0x20;

const minutes = (cx: TcpContext): number => Math.floor(cx.now / COOKIE_PERIOD_MS);

function cookieHash(cx: TcpContext, seg: Segment, count: number, secret: 0 | 1): number {
  return cx.secrets.cookie[secret]!.hash4(seg.saddr, seg.daddr, (seg.sport << 16) | seg.dport, count);
}

/** cookie_v4_init_sequence(): our sequence number, and the MSS that will come back out of it in `req`. */
export function cookieInitSequence(cx: TcpContext, req: RequestSock, seg: Segment): number {
  cx.env.trace('cookie_v4_init_sequence', seg.skb);
  synqOverflow(cx, req.listener);
  cx.env.mib.inc('TcpExtSyncookiesSent');
  let index = MSS_TAB.length - 1;
  while (index > 0 && req.peerMss < MSS_TAB[index]!) index--;
  req.peerMss = MSS_TAB[index]!;
  const count = minutes(cx);
  const low = (cookieHash(cx, seg, count, 1) + index) & COOKIE_MASK;
  return (cookieHash(cx, seg, 0, 0) + seg.seq32 + (count & 255) * 0x100_0000 + low) >>> 0;
}

/** cookie_init_timestamp(): the clock with the options in its low bits, and never ahead of the clock. */
export function cookieTimestamp(cx: TcpContext, req: RequestSock): number {
  const now = cx.tsNow(0);
  let options = req.wscaleOk ? req.sndWscale : TS_OPT_WSCALE_MASK;
  if (req.sackOk) options |= TS_OPT_SACK;
  if (req.ecnOk) options |= TS_OPT_ECN;
  const ts = ((now >>> TS_BITS) << TS_BITS) | options;
  return (ts >>> 0 > now ? ts - (1 << TS_BITS) : ts) >>> 0;
}

/** __cookie_v4_check(): the MSS, 0: no cookie of ours, or too old. */
function cookieMss(cx: TcpContext, seg: Segment): number {
  const seq = (seg.seq32 - 1) >>> 0;
  const bare = (seg.ack32 - 1 - cookieHash(cx, seg, 0, 0) - seq) >>> 0;
  const count = minutes(cx);
  const age = (count - (bare >>> 24)) & 255;
  if (age >= MAX_SYNCOOKIE_AGE) return 0;
  return MSS_TAB[(bare - cookieHash(cx, seg, count - age, 1)) & COOKIE_MASK] ?? 0;
}

/** tcp_synq_overflow(): cookies are on their way, so ACKs may bring some. */
function synqOverflow(cx: TcpContext, sk: TcpSock): void {
  const q = reqskQueue(sk);
  if (cx.now - q.overflowMs >= 1000) q.overflowMs = cx.now;
}

const noRecentOverflow = (cx: TcpContext, sk: TcpSock): boolean =>
  sk.reqskQueue === undefined || cx.now - sk.reqskQueue.overflowMs > COOKIE_VALID_MS;

/** cookie_v4_check(): the request that this ACK answers, made anew; undefined: it answers none. */
export function cookieCheck(cx: TcpContext, sk: TcpSock, seg: Segment): RequestSock | undefined {
  const { env, sysctl } = cx;
  if (sysctl.tcpSyncookies === 0 || noRecentOverflow(cx, sk)) return undefined;
  env.trace('cookie_v4_check', seg.skb);
  const mss = cookieMss(cx, seg);
  if (mss === 0) {
    env.mib.inc('TcpExtSyncookiesFailed');
    return undefined;
  }
  env.mib.inc('TcpExtSyncookiesRecv');
  const req = new RequestSock(sk);
  req.take(cx, seg);
  req.peerMss = mss;
  req.irs32 = (seg.seq32 - 1) >>> 0;
  req.iss32 = (seg.ack32 - 1) >>> 0;
  req.ack32 = seg.seq32;
  req.synAckMs = -1;
  if (!decodeTimestamp(cx, req, seg)) return undefined;
  rcvWindow(cx, req, mss);
  return req;
}

/** cookie_timestamp_decode(); false: it has an option that is switched off here. */
function decodeTimestamp(cx: TcpContext, req: RequestSock, seg: Segment): boolean {
  const { sysctl } = cx;
  if (!seg.hasTs) return true;
  if (!sysctl.tcpTimestamps) return false;
  req.tsOk = true;
  req.tsRecent = seg.tsVal;
  const options = seg.tsEcr === 0 ? 0 : (seg.tsEcr - req.tsOffset) >>> 0;
  req.sackOk = (options & TS_OPT_SACK) !== 0;
  if (req.sackOk && !sysctl.tcpSack) return false;
  req.ecnOk = (options & TS_OPT_ECN) !== 0 && sysctl.tcpEcn !== 0;
  // RFC 9768 5.1: only a client that has agreed to it says anything in these bits
  if (req.ecnOk && sysctl.tcpEcn >= 3 && aceOf(seg.flags) > 1) req.accecn = new AccEcn();
  const wscale = options & TS_OPT_WSCALE_MASK;
  if (wscale === TS_OPT_WSCALE_MASK) return true;
  req.wscaleOk = true;
  req.sndWscale = wscale;
  return sysctl.tcpWindowScaling;
}
