import type { TcpContext } from './context.ts';
import { findCongestionControl } from './cong/cong.ts';
import { startKeepalive } from './keepalive.ts';
import type { TcpSock } from './sock.ts';
import { TCP_INIT_CWND, TCP_MIN_MSS, TCP_MSS_DEFAULT } from './sysctl.ts';
import { syncMss } from './transmit.ts';
import { initBufferSpace } from './window.ts';

/** tcp_init_transfer(): the handshake is done, data may flow. */
export function initTransfer(cx: TcpContext, sk: TcpSock): void {
  syncMss(cx, sk, sk.mtu);
  // RFC 5681 3.1: after more than one lost SYN the initial window is one segment
  sk.cwnd = sk.totalRetrans > 1 ? 1 : TCP_INIT_CWND;
  sk.cwndCnt = 0;
  sk.caState = 0;
  sk.highSeq = 0;
  sk.backoff = sk.rtt.srttMs > 0 ? 0 : sk.backoff;
  sk.cc.init?.(sk, cx.now);
  initBufferSpace(cx, sk);
  startKeepalive(cx, sk);
}

/** tcp_initialize_rcv_mss(): a first guess at the size of the peer's segments. */
export function initRcvMss(sk: TcpSock): void {
  let hint = Math.min(sk.advMss, sk.mssCache);
  hint = Math.min(hint, Math.floor((sk.rcvAdv - sk.rcvAck) / 2), TCP_MSS_DEFAULT);
  sk.rcvMss = Math.max(hint, TCP_MIN_MSS);
}

/** TCP_CONGESTION; an unknown name leaves it as it is. */
export function setCongestionControl(sk: TcpSock, name: string): boolean {
  const cc = findCongestionControl(name);
  if (cc === undefined) return false;
  sk.cc = cc;
  return true;
}
