import { eventDataRecv, oweDupAck } from './ack-output.ts';
import type { TcpContext } from './context.ts';
import type { OfoSeg } from './ofo-queue.ts';
import { sackAdd } from './sack-out.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';

/** What a queued segment costs at least (skb->truesize): the queue is bounded by the receive buffer. */
const SEG_CHARGE = 768;

/**
 * tcp_data_queue_ofo(): keeps a segment that came too early. Overlaps are cut so that each byte is held once; bytes that
 * are already here stay, and the newcomer gives way.
 */
export function queueOfo(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  const { env } = cx;
  env.trace('tcp_data_queue_ofo', seg.skb);
  oweDupAck(cx, sk);
  const { segs } = sk.ofo;
  if (segs.length * SEG_CHARGE > sk.rcvbuf) {
    env.mib.inc('TcpExtTCPOFODrop');
    env.drop(seg.skb, 'PROTO_MEM');
    return;
  }
  env.mib.inc('TcpExtTCPOFOQueue');
  sk.rcvOoopack += Math.max(1, seg.skb.gsoSegs);
  eventDataRecv(cx, sk, seg);
  const s: OfoSeg = {
    seq: seg.seq,
    end: seg.endSeq,
    skb: seg.skb,
    hlen: seg.hlen,
    base: seg.seq,
    fin: seg.fin,
  };
  let i = sk.ofo.findAfter(s.seq);
  const left = segs[i];
  if (left !== undefined && left.seq <= s.seq) {
    if (left.end >= s.end) {
      dsack(cx, sk, s.seq, s.end);
      env.mib.inc('TcpExtTCPOFOMerge');
      env.drop(s.skb, 'TCP_OFOMERGE');
      return;
    }
    dsack(cx, sk, s.seq, left.end);
    s.seq = left.end;
    i++;
  }
  let covered = 0;
  for (let next = segs[i]; next !== undefined && next.seq < s.end; next = segs[i + covered]) {
    if (next.end > s.end) {
      dsack(cx, sk, next.seq, s.end);
      s.end = next.seq;
      s.fin = false;
      break;
    }
    dsack(cx, sk, next.seq, next.end);
    env.mib.inc('TcpExtTCPOFOMerge');
    env.drop(next.skb, 'TCP_OFOMERGE');
    covered++;
  }
  cx.ofoSkbs += 1 - covered;
  segs.splice(i, covered, s);
  if (sk.sackOk) sackAdd(sk.sackBlocks, s.seq, s.end);
}

/** tcp_dsack_extend() */
function dsack(cx: TcpContext, sk: TcpSock, start: number, end: number): void {
  if (!sk.sackOk || !cx.sysctl.tcpDsack) return;
  if (sk.dsackEnd <= sk.dsackStart) {
    cx.env.mib.inc('TcpExtTCPDSACKOfoSent');
    sk.dsackStart = start;
    sk.dsackEnd = end;
  } else {
    sk.dsackStart = Math.min(sk.dsackStart, start);
    sk.dsackEnd = Math.max(sk.dsackEnd, end);
  }
}
