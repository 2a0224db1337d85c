import { TCP_SYN } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import { payloadLen, type TxRec } from './rtx-queue.ts';
import type { TcpSock } from './sock.ts';

/**
 * tcp_retrans_try_collapse(): small segments behind the one that is sent again go with it (RFC 9293 3.8.6.2.1 has the
 * sender avoid small segments), as long as all fit into `space` bytes.
 */
export function tryCollapse(cx: TcpContext, sk: TcpSock, i: number, space: number): void {
  if (!cx.sysctl.tcpRetransCollapse) return;
  const { rtx } = sk;
  const to = rtx.at(i);
  if ((to.flags & TCP_SYN) !== 0) return;
  let left = space - payloadLen(to);
  while (i + 1 < rtx.length) {
    const from = rtx.at(i + 1);
    left -= payloadLen(from);
    if (to.eor || !canCollapse(from) || left < 0 || (to.flags & 1) !== 0 || from.end > sk.sndWndEnd) return;
    collapse(sk, i, to, from);
  }
}

/** tcp_can_collapse() */
const canCollapse = (r: TxRec): boolean => r.segs === 1 && !r.sacked && (r.flags & TCP_SYN) === 0;

/** tcp_collapse_retrans(): both become one segment. */
function collapse(sk: TcpSock, i: number, to: TxRec, from: TxRec): void {
  to.end = from.end;
  to.flags |= from.flags;
  to.eor = from.eor;
  to.everRetrans ||= from.everRetrans;
  sk.packetsOut -= from.segs;
  if (from.lost) sk.lostOut -= from.segs;
  if (from.retrans) sk.retransOut -= from.segs;
  if (!sk.sackOk && sk.sackedOut > 0) sk.sackedOut--; // the duplicate ACK it stood for
  sk.rtx.remove(i + 1);
}
