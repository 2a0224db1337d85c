import type { TcpContext } from './context.ts';
import { recountParts } from './retransmit.ts';
import type { RtxQueue } from './rtx-queue.ts';
import type { Segment } from './segment.ts';
import { fromWire } from './sequence.ts';
import type { TcpSock } from './sock.ts';

/**
 * tcp_sacktag_write_queue(): marks what the peer holds beyond its acknowledgement (RFC 2018, 2883). Returns how many
 * segments were newly marked; each counts as delivered.
 */
export function sackTag(cx: TcpContext, sk: TcpSock, seg: Segment, priorUna: number): number {
  let newly = 0;
  for (let i = 0; i < seg.sack.length; i++) {
    const [left, right] = seg.sack[i]!;
    const start = fromWire(sk.iss, sk.sndUna, left);
    const end = fromWire(sk.iss, sk.sndUna, right);
    if (i === 0 && isDsack(sk, seg, start, end)) {
      cx.env.mib.inc(start < seg.ack ? 'TcpExtTCPDSACKRecv' : 'TcpExtTCPDSACKOfoRecv');
      sk.dsackDups++;
      continue;
    }
    if (start >= end || end > sk.sndNxt || start < priorUna) {
      cx.env.mib.inc('TcpExtTCPSACKDiscard');
      continue;
    }
    newly += tagRange(sk, Math.max(start, sk.sndUna), end);
  }
  return newly;
}

/** RFC 2883 4: the first block is below the ACK, or inside the second one. */
function isDsack(sk: TcpSock, seg: Segment, start: number, end: number): boolean {
  if (start < seg.ack) return true;
  const second = seg.sack[1];
  if (second === undefined) return false;
  return start >= fromWire(sk.iss, sk.sndUna, second[0]) && end <= fromWire(sk.iss, sk.sndUna, second[1]);
}

function tagRange(sk: TcpSock, start: number, end: number): number {
  const { rtx } = sk;
  let newly = 0;
  let i = rtx.findAfter(start);
  while (i < rtx.length) {
    const r = rtx.at(i);
    if (r.seq >= end) break;
    if (!r.sacked) {
      if (r.seq < start) {
        // Only at segment boundaries, or a peer could shred the queue (tcp_match_skb_to_sack).
        const at = r.seq + Math.ceil((start - r.seq) / r.mss) * r.mss;
        if (at >= r.end) {
          i++;
          continue;
        }
        splitAt(sk, rtx, i, at);
        i++;
        continue;
      }
      if (r.end > end) {
        const at = r.seq + Math.floor((end - r.seq) / r.mss) * r.mss;
        if (at <= r.seq) break;
        splitAt(sk, rtx, i, at);
      }
      newly += tag(sk, i);
    }
    i++;
  }
  return newly;
}

function splitAt(sk: TcpSock, rtx: RtxQueue, i: number, at: number): void {
  const r = rtx.at(i);
  const was = r.segs;
  rtx.split(i, at);
  recountParts(sk, r, was, r.segs + rtx.at(i + 1).segs);
}

function tag(sk: TcpSock, i: number): number {
  const r = sk.rtx.at(i);
  if (r.lost) {
    r.lost = false;
    sk.lostOut -= r.segs;
  }
  if (r.retrans) {
    r.retrans = false;
    sk.retransOut -= r.segs;
  }
  r.sacked = true;
  sk.sackedOut += r.segs;
  sk.delivered += r.segs;
  return r.segs;
}
