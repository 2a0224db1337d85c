import type { AckState } from './ack-state.ts';
import { CA_LOSS } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import { blockAt, checkDsack } from './dsack-in.ts';
import { checkSackReordering } from './reordering.ts';
import type { TxRec } from './rtx-queue.ts';
import { shiftSacked } from './sack-shift.ts';
import { tagRange } from './sack-tag.ts';
import { splitRec } from './scoreboard.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';

/**
 * tcp_sacktag_write_queue(): marks what the peer holds beyond its acknowledgement (RFC 2018, RFC 6675). Only what the
 * last ACK did not report yet is looked at, so that the cost does not grow with what is outstanding.
 */
export function sackTag(cx: TcpContext, sk: TcpSock, seg: Segment, a: AckState): void {
  cx.env.trace('tcp_sacktag_write_queue', seg.skb);
  const { loss } = sk;
  a.reord = sk.sndNxt;
  if (sk.sackedOut === 0) {
    loss.highestSack = sk.sndUna;
    loss.sackCache.length = 0;
  }
  const dsack = checkDsack(cx, sk, seg, a);
  if (sk.packetsOut === 0) return;
  const blocks: number[] = [];
  for (let i = 0; i < seg.sack.length; i++) {
    const [start, end] = blockAt(sk, seg, i);
    const dup = i === 0 && dsack;
    if (!isValidBlock(sk, dup, start, end)) countInvalid(cx, sk, seg, dup, end);
    else if (end <= a.priorUna) continue;
    else if (dup) walk(cx, sk, a, start, end, true);
    else insertSorted(blocks, start, end);
  }
  for (let i = 0; i < blocks.length; i += 2) tagNew(cx, sk, a, blocks[i]!, blocks[i + 1]!);
  loss.sackCache = blocks;
  if (sk.caState !== CA_LOSS || loss.undoMarker >= 0) checkSackReordering(cx, sk, a.reord, false);
}

/** tcp_is_sackblock_valid(): inside what is outstanding; a duplicate may also lie below it, down to where undo began. */
function isValidBlock(sk: TcpSock, dup: boolean, start: number, end: number): boolean {
  if (end > sk.sndNxt || start >= end) return false;
  if (start > sk.sndUna) return true;
  const { undoMarker } = sk.loss;
  if (!dup || undoMarker < 0 || end > sk.sndUna) return false;
  if (start >= undoMarker) return true;
  return end > undoMarker && start >= end - sk.maxWindow;
}

function countInvalid(cx: TcpContext, sk: TcpSock, seg: Segment, dup: boolean, end: number): void {
  const { mib } = cx.env;
  if (dup) mib.inc(sk.loss.undoMarker < 0 ? 'TcpExtTCPDSACKIgnoredNoUndo' : 'TcpExtTCPDSACKIgnoredOld');
  // an ACK that was overtaken reports what has been acknowledged meanwhile
  else if (seg.ack === sk.sndUna || end > sk.sndUna) mib.inc('TcpExtTCPSACKDiscard');
}

function insertSorted(blocks: number[], start: number, end: number): void {
  let i = blocks.length;
  while (i > 0 && blocks[i - 2]! > start) i -= 2;
  blocks.splice(i, 0, start, end);
}

/** The parts of a block that the blocks of the last ACK do not cover. */
function tagNew(cx: TcpContext, sk: TcpSock, a: AckState, start: number, end: number): void {
  const { sackCache } = sk.loss;
  let from = start;
  for (let i = 0; i < sackCache.length && from < end; i += 2) {
    const known = sackCache[i]!;
    if (sackCache[i + 1]! <= from) continue;
    if (known >= end) break;
    if (known > from) walk(cx, sk, a, from, known, false);
    from = sackCache[i + 1]!;
  }
  if (from < end) walk(cx, sk, a, from, end, false);
}

/** tcp_sacktag_walk() */
function walk(cx: TcpContext, sk: TcpSock, a: AckState, start: number, end: number, dup: boolean): void {
  const { rtx } = sk;
  for (let i = rtx.findAfter(start); i < rtx.length; i++) {
    let r = rtx.at(i);
    if (r.seq >= end) break;
    const shifted = shiftSacked(cx, sk, a, i, start, end, dup);
    if (shifted === 'shifted') i--;
    if (shifted !== 'fallback') continue;
    const covered = matchToBlock(sk, i, start, end);
    if (covered === 'none') continue;
    if (covered === 'too short') break;
    r = rtx.at(i);
    tagRec(cx, sk, a, r, dup);
    if (r.sacked) rtx.forget(r);
    if (r.end > sk.loss.highestSack) sk.loss.highestSack = r.end;
  }
}

/** tcp_match_skb_to_sack(): cuts record i so that it is wholly inside the block, at segment boundaries only. */
function matchToBlock(sk: TcpSock, i: number, start: number, end: number): 'whole' | 'none' | 'too short' {
  const r = sk.rtx.at(i);
  if (start <= r.seq && end >= r.end) return 'whole';
  if (r.segs === 1 || r.end <= start) return 'none';
  if (start > r.seq) {
    const at = r.seq + Math.ceil((start - r.seq) / r.mss) * r.mss;
    if (at < r.end) splitRec(sk, i, at);
    return 'none';
  }
  const at = r.seq + Math.floor((end - r.seq) / r.mss) * r.mss;
  if (at <= r.seq) return 'too short';
  splitRec(sk, i, at);
  return 'whole';
}

/** tcp_sacktag_one() for a whole record. */
function tagRec(cx: TcpContext, sk: TcpSock, a: AckState, r: TxRec, dup: boolean): void {
  tagRange(cx, sk, a, r, r.end, r.segs, dup);
  if (r.end <= sk.sndUna) return;
  if (!r.sacked) {
    if (r.lost) r.lost = r.retrans = false;
    r.sacked = true;
  }
  if (dup && r.retrans) {
    r.retrans = false;
    sk.retransOut -= r.segs;
  }
}
