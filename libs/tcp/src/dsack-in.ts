import { FLAG_DSACK_TLP, FLAG_DSACKING_ACK, type AckState } from './ack-state.ts';
import type { TcpContext } from './context.ts';
import type { Segment } from './segment.ts';
import { fromWire } from './sequence.ts';
import type { TcpSock } from './sock.ts';

/**
 * tcp_check_dsack() (RFC 2883 4): the first SACK block tells of a duplicate when it is below the ACK, or inside the
 * second block. True: it does, and it may well be due to a retransmission of ours (RFC 3708).
 */
export function checkDsack(cx: TcpContext, sk: TcpSock, seg: Segment, a: AckState): boolean {
  const { mib } = cx.env;
  const [start, end] = blockAt(sk, seg, 0);
  if (start < seg.ack) {
    mib.inc('TcpExtTCPDSACKRecv');
  } else {
    if (seg.sack.length < 2) return false;
    const [start1, end1] = blockAt(sk, seg, 1);
    if (end > end1 || start < start1) return false;
    mib.inc('TcpExtTCPDSACKOfoRecv');
  }
  const segs = dsackSeen(sk, start, end, a);
  if (segs === 0) {
    mib.inc('TcpExtTCPDSACKIgnoredDubious');
    return false;
  }
  mib.inc('TcpExtTCPDSACKRecvSegs', segs);
  const { loss } = sk;
  // of data that is no longer in the queue
  if (loss.undoMarker >= 0 && loss.undoRetrans > 0 && end <= a.priorUna && end > loss.undoMarker) {
    loss.undoRetrans = Math.max(0, loss.undoRetrans - segs);
  }
  return true;
}

/** Start and end of SACK block i as positions. */
export function blockAt(sk: TcpSock, seg: Segment, i: number): [number, number] {
  const [left, right] = seg.sack[i]!;
  return [fromWire(sk.iss, sk.sndUna, left), fromWire(sk.iss, sk.sndUna, right)];
}

/** tcp_dsack_seen(): the segments it stands for; 0: more than we can have sent twice. */
function dsackSeen(sk: TcpSock, start: number, end: number, a: AckState): number {
  const len = end - start;
  if (len <= 0 || len > sk.maxWindow) return 0;
  const { loss } = sk;
  let segs = 1;
  if (len > sk.mssCache) segs = Math.ceil(len / sk.mssCache);
  else if (loss.tlpHighSeq > 0 && loss.tlpHighSeq === end) a.flag |= FLAG_DSACK_TLP;
  sk.dsackDups += segs;
  if (sk.dsackDups > sk.totalRetrans) return 0;
  // A probe goes out by the clock: its DSACK does not say that RACK was too hasty.
  if (loss.reordSeen > 0 && (a.flag & FLAG_DSACK_TLP) === 0) loss.rackDsackSeen = true;
  a.flag |= FLAG_DSACKING_ACK;
  a.sackDelivered += segs;
  return segs;
}
