import { TCP_CLOSE, TCP_LISTEN } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import { findCongestionControl } from './cong/registry.ts';
import { startKeepalive } from './keepalive.ts';
import { mtupInit } from './mtu-probe.ts';
import { sndbufExpand } from './sndbuf.ts';
import type { TcpSock } from './sock.ts';
import { TCP_INIT_CWND, TCP_MIN_MSS, TCP_MSS_DEFAULT } from './sysctl.ts';
import { syncMss } from './transmit.ts';
import { initBufferSpace } from './window.ts';

/** tcp_init_transfer(): the handshake is done, data may flow. */
export function initTransfer(cx: TcpContext, sk: TcpSock): void {
  mtupInit(cx, sk);
  syncMss(cx, sk, sk.mtu);
  // RFC 5681 3.1: after more than one lost SYN the initial window is one segment
  sk.cwnd = sk.totalRetrans > 1 && sk.loss.undoMarker >= 0 ? 1 : TCP_INIT_CWND;
  sk.cwndCnt = 0;
  sk.cwndStampMs = cx.now;
  sk.caState = 0;
  sk.highSeq = 0;
  sk.backoff = 0;
  if (sk.rtt.srttMs === 0) sk.rtt.noSample();
  initCongestionControl(cx, sk);
  sndbufExpand(cx, sk);
  initBufferSpace(cx, sk);
  startKeepalive(cx, sk);
}

/** tcp_initialize_rcv_mss(): a first guess at the size of the peer's segments. */
export function initRcvMss(sk: TcpSock): void {
  let hint = Math.min(sk.advMss, sk.mssCache);
  hint = Math.min(hint, Math.floor((sk.rcvAdv - sk.rcvAck) / 2), TCP_MSS_DEFAULT);
  sk.rcvMss = Math.max(hint, TCP_MIN_MSS);
}

/** tcp_set_congestion_control(): TCP_CONGESTION. The socket layer has checked the name; an unknown one changes nothing. */
export function setCongestionControl(cx: TcpContext, sk: TcpSock, name: string): boolean {
  const cc = findCongestionControl(name);
  if (cc === undefined) return false;
  sk.ccChosen = true;
  if (cc === sk.cc) return true;
  sk.cc.release?.(cx, sk);
  sk.cc = cc;
  sk.caPriv = undefined;
  if (sk.state !== TCP_CLOSE && sk.state !== TCP_LISTEN) initCongestionControl(cx, sk);
  return true;
}

/** tcp_init_congestion_control() */
function initCongestionControl(cx: TcpContext, sk: TcpSock): void {
  sk.cc.init?.(cx, sk);
}
