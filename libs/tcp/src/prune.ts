import type { TcpContext } from './context.ts';
import { NO_OFO, type OfoSeg, truesizeOf } from './ofo-queue.ts';
import { NO_BLOCKS } from './sack-out.ts';
import type { TcpSock } from './sock.ts';
import { rmemAlloc } from './window.ts';

/** What happens when a peer's segments cost more memory than the receive buffer has (net/ipv4/tcp_input.c:tcp_prune_queue). */

const canIngest = (sk: TcpSock): boolean => rmemAlloc(sk) <= sk.rcvbuf;

/** tcp_try_rmem_schedule(): is there, or can there be made, room for a segment at `seq`? */
export function tryRmemSchedule(cx: TcpContext, sk: TcpSock, seq: number): boolean {
  return canIngest(sk) || pruneQueue(cx, sk, seq);
}

/** tcp_prune_queue(): a larger buffer, then fewer skbs, then the farthest segments go: they can be sent again. */
function pruneQueue(cx: TcpContext, sk: TcpSock, seq: number): boolean {
  const { mib } = cx.env;
  mib.inc('TcpExtPruneCalled');
  clampWindow(cx, sk);
  if (canIngest(sk)) return true;
  collapseOfo(cx, sk);
  if (canIngest(sk)) return true;
  pruneOfo(cx, sk, seq);
  if (canIngest(sk)) return true;
  mib.inc('TcpExtRcvPruned');
  sk.predWindow = -1;
  return false;
}

/** tcp_clamp_window() */
function clampWindow(cx: TcpContext, sk: TcpSock): void {
  sk.quickAcks = 0;
  const most = cx.sysctl.tcpRmem[2];
  if (sk.rcvbuf < most && !sk.rcvbufLocked) sk.rcvbuf = Math.min(rmemAlloc(sk), most);
  if (!canIngest(sk)) sk.rcvSsthresh = Math.min(sk.windowClamp || sk.rcvSsthresh, 2 * sk.advMss);
}

/** tcp_collapse_ofo_queue(): segments that follow one another, each far smaller than its skb, share one. */
function collapseOfo(cx: TcpContext, sk: TcpSock): void {
  const { segs } = sk.ofo;
  for (let i = 0; i < segs.length; i++) {
    let n = 1;
    while (i + n < segs.length && segs[i + n]!.seq === segs[i + n - 1]!.end && !segs[i + n - 1]!.fin) n++;
    if (n > 1) collapse(cx, sk, i, n);
  }
}

/** tcp_collapse() */
function collapse(cx: TcpContext, sk: TcpSock, from: number, n: number): void {
  const run = sk.ofo.segs.slice(from, from + n);
  const { seq } = run[0]!;
  const { end, fin } = run[n - 1]!;
  const len = end - seq - (fin ? 1 : 0);
  const skb = cx.env.alloc(0, len, cx.now);
  skb.parent = run[0]!.skb.id;
  let at = skb.put(len);
  for (const s of run) {
    for (const part of s.skb.slices(s.hlen + s.seq - s.base, s.end - s.seq - (s.fin ? 1 : 0))) {
      skb.buf.set(part, at);
      at += part.length;
    }
    cx.env.consume(s.skb);
  }
  cx.env.mib.inc('TcpExtTCPRcvCollapsed', n);
  cx.ofoSkbs -= n - 1;
  const joined: OfoSeg = { seq, end, skb, hlen: 0, base: seq, fin, truesize: truesizeOf(len) };
  sk.ofo.splice(from, n, joined);
}

/** tcp_prune_ofo_queue(): from the far end, an eighth of the buffer at a time, and never what is nearer than the newcomer. */
function pruneOfo(cx: TcpContext, sk: TcpSock, seq: number): void {
  const { segs } = sk.ofo;
  let pruned = false;
  let goal = sk.rcvbuf >> 3;
  while (segs.length > 0 && segs[segs.length - 1]!.seq >= seq) {
    const [s] = sk.ofo.splice(segs.length - 1, 1);
    pruned = true;
    goal -= s!.truesize;
    cx.ofoSkbs--;
    cx.env.drop(s!.skb, 'TCP_OFO_QUEUE_PRUNE');
    if (goal > 0) continue;
    if (canIngest(sk)) break;
    goal = sk.rcvbuf >> 3;
  }
  if (!pruned) return;
  cx.env.mib.inc('TcpExtOfoPruned');
  // What was SACKed and is gone must not be SACKed again; the sender finds out by its timeout (RFC 2018 8).
  sk.sackBlocks = NO_BLOCKS;
  if (sk.ofo.length === 0) sk.ofo = NO_OFO;
}
