import { TCP_URG } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import type { OutSegment } from './out-segment.ts';
import type { Segment } from './segment.ts';
import type { TcpSock } from './sock.ts';
import { viewChanged } from './views.ts';

/** Urgent data (RFC 9293 3.8.5, RFC 6093): Linux's one byte out of band, whose place in the stream is the mark. */
export interface Urgent {
  /** Position of the byte (tp->urg_seq). */
  readonly at: number;
  /** The byte, -1: not here yet (TCP_URG_NOTYET). */
  byte: number;
}

/** How far ahead the 16-bit pointer reaches. */
const U16_MAX = 0xffff;

/** tcp_urg(): a new urgent pointer, and the byte it points to when that is in this segment, in order or not. */
export function tcpUrg(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  cx.env.trace('tcp_urg', seg.skb);
  if ((seg.flags & TCP_URG) !== 0) checkUrg(cx, sk, seg);
  const { urgent } = sk;
  if (urgent === undefined || urgent.byte >= 0) return;
  const offset = urgent.at - seg.seq - (seg.syn ? 1 : 0);
  if (offset < 0 || offset >= seg.len) return;
  urgent.byte = seg.skb.slices(seg.hlen + offset, 1)[0]![0]!;
  viewChanged(cx, sk);
}

/** tcp_check_urg(): only a pointer that is ahead of everything read, received and announced is news. */
function checkUrg(cx: TcpContext, sk: TcpSock, seg: Segment): void {
  let at = seg.seq + seg.urgent;
  // BSD's reading is that the pointer is one behind the byte, and so is everybody's (RFC 6093 3.1)
  if (seg.urgent > 0 && !cx.sysctl.tcpStdurg) at--;
  if (sk.rcvRead > at || at < sk.rcvNxt) return;
  if (sk.urgent !== undefined && at <= sk.urgent.at) return;
  sk.urgent = { at, byte: -1 };
  viewChanged(cx, sk);
}

/** tcp_urg_mode(): we have urgent data that is not acknowledged. */
export const inUrgentMode = (sk: TcpSock): boolean => sk.sndUp > sk.sndUna;

/** The pointer of a segment at `seq` (__tcp_transmit_skb): to the byte after the urgent one, or as far as it reaches. */
export function setUrgentPointer(sk: TcpSock, out: OutSegment, seq: number): void {
  if (seq >= sk.sndUp) return;
  if (sk.sndUp < seq + U16_MAX + 1) out.urgent = sk.sndUp - seq;
  else if (seq + U16_MAX > sk.sndNxt) out.urgent = U16_MAX;
}
