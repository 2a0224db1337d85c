import type { TcpContext } from './context.ts';
import { highestSackSeq } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';

/**
 * tcp_check_sack_reordering(): something at `low` that was sent only once arrived although later segments were there
 * already. `reordering` is the most it was seen to be off, in segments. `ts`: a timestamp told.
 */
export function checkSackReordering(cx: TcpContext, sk: TcpSock, low: number, ts: boolean): void {
  const highest = highestSackSeq(sk);
  if (low >= highest) return;
  const metric = highest - low;
  if (metric > sk.reordering * sk.mssCache) {
    sk.reordering = Math.min(Math.ceil(metric / sk.mssCache), cx.sysctl.tcpMaxReordering);
  }
  sk.loss.reordSeen++;
  cx.env.mib.inc(ts ? 'TcpExtTCPTSReorder' : 'TcpExtTCPSACKReorder');
}
