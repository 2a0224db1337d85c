import type { SkBuff } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** What an skb takes beside its bytes (truesize of an empty one, as a 64-bit Linux has it). */
const SKB_OVERHEAD = 832;

const truesize = (len: number): number => SKB_OVERHEAD + len;

/** What a connection has sent and what of it has left the layers below, as running sums of truesize (sk_wmem_alloc). */
export class SmallQueue {
  queued = 0;
  /** Known to have left. */
  freed = 0;
  /** Where the newest skb ends that will be answered for. */
  asked = 0;
  /** Something waits for that answer (TSQ_THROTTLED). */
  throttled = false;
  /** An answer after which more than this is below wakes nobody: a queue that is refilled a bit at a time makes small messages. */
  wakeAt = 0;
  /** It came: flush() sends on (TCP_TSQ_DEFERRED). */
  deferred = false;
}

/** Bytes below TCP. Answers may get lost, but what was acknowledged, or is known to be lost, has left. */
export function wmemAlloc(sk: TcpSock): number {
  const q = sk.smallQueue;
  if (q === undefined) return 0;
  const { inFlight } = sk;
  const bytes = Math.min(sk.sndNxt - sk.sndUna, inFlight * sk.mssCache);
  return Math.min(q.queued - q.freed, bytes + Math.min(sk.rtx.length, inFlight) * SKB_OVERHEAD);
}

/** Two skbs, or what the pacing rate sends in a moment, but no more than tcp_limit_output_bytes. */
function limitOf(cx: TcpContext, sk: TcpSock, len: number): number {
  const moment = sk.pacingRate === 0 ? Number.POSITIVE_INFINITY : sk.pacingRate / 2 ** cx.pacingShift;
  return Math.min(Math.max(2 * truesize(len), moment), cx.sysctl.tcpLimitOutputBytes);
}

/**
 * tcp_small_queue_check(): must an skb of `len` bytes wait until others have left? One or two skbs always may be on their
 * way, and nothing waits for an answer that was not asked for: so with all answers lost, ACKs and the retransmission
 * timer go on.
 */
export function smallQueueFull(cx: TcpContext, sk: TcpSock, len: number, retrans: boolean): boolean {
  const q = sk.smallQueue;
  if (q === undefined || q.asked <= q.freed || sk.rtx.length <= 1) return false;
  const limit = limitOf(cx, sk, len);
  if (wmemAlloc(sk) <= (retrans ? 2 * limit : limit)) return false;
  q.wakeAt = q.throttled ? Math.max(q.wakeAt, limit / 2) : limit / 2;
  q.throttled = true;
  return true;
}

/**
 * The skb is about to go down (skb->destructor = tcp_wfree). An answer is only asked for where one may matter: not for the
 * first skb of a flight, but when half of the limit is on its way, or when later small writes might wait for this one
 * (autocorking).
 */
export function chargeSent(cx: TcpContext, sk: TcpSock, skb: SkBuff, len: number): void {
  const q = (sk.smallQueue ??= new SmallQueue());
  const before = wmemAlloc(sk);
  q.queued += truesize(len);
  if (sk.rtx.length === 0) return;
  const small = len < sk.mssCache && cx.sysctl.tcpAutocorking;
  if (!small && before + truesize(len) < limitOf(cx, sk, len) / 2) return;
  q.asked = q.queued;
  skb.sk = sk.id;
  skb.wmem = (cx.wmemBase + q.queued) >>> 0;
}

/**
 * tcp_wfree(): all that the socket had sent up to this sum has left or was dropped. What cannot be true, as from a life of
 * this service before, is not.
 */
export function wfree(cx: TcpContext, id: number, wmem: number): void {
  const sk = cx.socks.get(id);
  const q = sk?.smallQueue;
  if (sk === undefined || q === undefined) return;
  const n = (wmem - cx.wmemBase - q.freed) >>> 0;
  if (n > q.queued - q.freed) return;
  q.freed += n;
  if (!q.throttled || q.queued - q.freed > q.wakeAt) return;
  q.throttled = false;
  q.deferred = true;
  cx.touch(sk);
}

/**
 * tcp_should_autocork(): less than an skb holds is to be sent while others of this connection have not left yet. When they
 * have, there may be more of it.
 */
export function shouldAutocork(cx: TcpContext, sk: TcpSock, goal: number): boolean {
  const q = sk.smallQueue;
  if (q === undefined || q.asked <= q.freed || !cx.sysctl.tcpAutocorking || sk.rtx.length === 0) return false;
  const unsent = sk.sndTail - sk.sndNxt;
  if (sk.recordEnds?.isAt(sk.sndTail) === true) return false;
  if (unsent >= goal || wmemAlloc(sk) <= truesize(unsent)) return false;
  if (!q.throttled) {
    cx.env.mib.inc('TcpExtTCPAutoCorking');
    q.throttled = true;
  }
  q.wakeAt = Number.POSITIVE_INFINITY;
  return true;
}
