import { enterQuickAck, flushCompressed, measureRcvMss } from './ack-output.ts';
import type { TcpContext } from './context.ts';
import { extendDsack, setDsack } from './dsack.ts';
import { ecnCheckCe } from './ce-echo.ts';
import { NO_OFO, OfoQueue, type OfoSeg, truesizeOf } from './ofo-queue.ts';
import { tryRmemSchedule } from './prune.ts';
import { SACK_BLOCKS_EXPECTED, sackAdd } from './sack-out.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { growWindow } from './window.ts';

/**
 * tcp_data_queue_ofo(): keeps a segment that came too early. Overlaps are cut so that each byte is held once; bytes that
 * are already here stay, and the newcomer gives way. What was here already is told to the sender (RFC 2883).
 */
export function queueOfo(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const { env } = cx;
  env.trace('tcp_data_queue_ofo', seg.skb);
  if (sk.ecnFlags !== 0 && ecnCheckCe(cx, sk, seg)) enterQuickAck(sk, 2);
  if (!tryRmemSchedule(cx, sk, seg.seq)) {
    env.mib.inc('TcpExtTCPOFODrop');
    env.drop(seg.skb, 'PROTO_MEM');
    return;
  }
  measureRcvMss(sk, seg);
  sk.ackPending = true;
  sk.rcvOoopack += Math.max(1, seg.skb.gsoSegs);
  env.mib.inc('TcpExtTCPOFOQueue');
  const { seq, endSeq, len } = seg;
  const kept = insert(cx, sk, seg);
  if (!sk.sackOk) return;
  if (sk.sackBlocks.length === 0) sk.sackBlocks = [];
  const block = sackAdd(sk.sackBlocks, seq, endSeq);
  if (block >= SACK_BLOCKS_EXPECTED) flushCompressed(cx, sk);
  // Without SACK the window must not move, or the ACKs would not count as duplicates.
  if (kept) growWindow(cx, sk, len, truesizeOf(len));
}

/** False: all of it was here. */
function insert(cx: TcpContext, sk: TcpSock, seg: Segment): boolean {
  const { env } = cx;
  if (sk.ofo === NO_OFO) sk.ofo = new OfoQueue();
  const { segs } = sk.ofo;
  const s: OfoSeg = {
    seq: seg.seq,
    end: seg.endSeq,
    skb: seg.skb,
    hlen: seg.hlen,
    base: seg.seq,
    fin: seg.fin,
    truesize: truesizeOf(seg.len),
  };
  let i = sk.ofo.findAfter(s.seq);
  const left = segs[i];
  if (left !== undefined && left.seq <= s.seq) {
    if (left.end >= s.end) {
      setDsack(cx, sk, s.seq, s.end);
      env.mib.inc('TcpExtTCPOFOMerge');
      env.drop(s.skb, 'TCP_OFOMERGE');
      return false;
    }
    if (left.seq < s.seq) {
      setDsack(cx, sk, s.seq, left.end);
      s.seq = left.end;
      i++;
    }
  }
  let covered = 0;
  for (let next = segs[i]; next !== undefined && next.seq < s.end; next = segs[i + covered]) {
    if (next.end > s.end) {
      extendDsack(cx, sk, next.seq, s.end);
      s.end = next.seq;
      s.fin = false;
      break;
    }
    extendDsack(cx, sk, next.seq, next.end);
    env.mib.inc('TcpExtTCPOFOMerge');
    env.drop(next.skb, 'TCP_OFOMERGE');
    covered++;
  }
  cx.ofoSkbs += 1 - covered;
  if (i === segs.length) sk.ofo.push(s);
  else sk.ofo.splice(i, covered, s);
  return true;
}
