import type { TcpContext } from './context.ts';
import { markLost } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';

/**
 * tcp_update_scoreboard(): RFC 6675 4, IsLost(), which RACK replaces (tcp_recovery without bit 0): with `reordering`
 * segments above it at the peer, one that is not there counts as lost. `first`: recovery just began.
 */
export function updateScoreboard(cx: TcpContext, sk: TcpSock, first: boolean): void {
  if (!sk.sackOk) return;
  const upTo = sk.sackedOut - sk.reordering;
  const { rtx } = sk;
  if (upTo < 0) {
    if (first && rtx.first !== undefined && !rtx.first.lost) markLost(cx, sk, rtx.first);
    return;
  }
  let passed = 0;
  for (let i = 0; i < rtx.length; i++) {
    const r = rtx.at(i);
    if (r.sacked) passed += r.segs;
    if (passed > upTo) break;
    if (!r.lost) markLost(cx, sk, r);
  }
}
