import { CA_OPEN } from './cong/cong.ts';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { currentMss, syncMss } from './transmit.ts';

/**
 * Packetization-layer path MTU discovery (RFC 4821, tcp_mtu_probe): where routers send no ICMP, TCP finds the path's MTU
 * by itself, with segments larger than the rest. tcp_mtu_probing 1: from when a black hole is suspected, 2: always.
 */
export interface MtuProbe {
  /** The search goes on between these MTUs; segments are as large as the lower one allows. */
  searchLow: number;
  searchHigh: number;
  /** MTU of the probe in flight, 0: none; its positions. */
  probeSize: number;
  seqStart: number;
  seqEnd: number;
  /** When the search range was last set up. */
  sinceMs: number;
}

/** TCP and IP header, with timestamps if they are used. */
const headers = (sk: TcpSock): number => 40 + (sk.tsOk ? 12 : 0);

/** tcp_mss_to_mtu(), tcp_mtu_to_mss() */
const toMtu = (sk: TcpSock, mss: number): number => mss + headers(sk);
const toMss = (sk: TcpSock, mtu: number): number => mtu - headers(sk);

/** tcp_mtup_init() */
export function mtupInit(cx: TcpContext, sk: TcpSock): void {
  if (cx.sysctl.tcpMtuProbing > 1) enable(cx, sk);
}

function enable(cx: TcpContext, sk: TcpSock): void {
  sk.mtup = {
    searchLow: toMtu(sk, cx.sysctl.tcpBaseMss),
    searchHigh: Math.min(sk.mssClamp + 40, sk.mtu),
    probeSize: 0,
    seqStart: 0,
    seqEnd: 0,
    sinceMs: cx.now,
  };
}

/**
 * tcp_mtu_probing() at R1: nothing has come through for a while, perhaps because it is too large. Segments become as small
 * as the search starts with, and then half of that, each time.
 */
export function mtuBlackHole(cx: TcpContext, sk: TcpSock): void {
  const { sysctl } = cx;
  if (sysctl.tcpMtuProbing === 0) return;
  if (sk.mtup === undefined) {
    enable(cx, sk);
  } else {
    const half = toMss(sk, sk.mtup.searchLow) >> 1;
    const mss = Math.max(Math.min(sysctl.tcpBaseMss, half), sysctl.tcpMtuProbeFloor, sysctl.tcpMinSndMss);
    sk.mtup.searchLow = toMtu(sk, mss);
  }
  syncMss(cx, sk, sk.mtu);
}

/**
 * tcp_mtu_probe(): how large a probe should go now (an MSS); -1: none; 0: none, and nothing else either, until there is
 * room for it. In the middle of what is possible; only when all is well and enough follows to notice its loss.
 */
export function mtuProbeSize(cx: TcpContext, sk: TcpSock, p: MtuProbe): number {
  if (p.probeSize !== 0 || sk.caState !== CA_OPEN || sk.cwnd < 11) return -1;
  if (sk.sackBlocks.length > 0 || sk.dsackEnd > sk.dsackStart) return -1;
  const size = toMss(sk, (p.searchHigh + p.searchLow) >> 1);
  const needed = size + (sk.reordering + 1) * sk.mssCache;
  if (size > toMss(sk, p.searchHigh) || p.searchHigh - p.searchLow < cx.sysctl.tcpProbeThreshold) {
    checkReprobe(cx, sk, p);
    return -1;
  }
  if ((sk.recordEnds?.after(sk.sndNxt) ?? sk.sndTail) < sk.sndNxt + size) return -1; // tcp_can_coalesce_send_queue_head()
  if (sk.sndTail - sk.sndNxt < needed || sk.sndWnd < needed) return -1;
  if (sk.sndNxt + needed > sk.sndWndEnd) return 0;
  if (sk.inFlight + 2 > sk.cwnd) return sk.inFlight === 0 ? -1 : 0;
  return size;
}

/** It has gone: one segment that counts as two. */
export function mtuProbeSent(sk: TcpSock, p: MtuProbe, seq: number, size: number): void {
  sk.cwnd--;
  p.probeSize = toMtu(sk, size);
  p.seqStart = seq;
  p.seqEnd = seq + size;
}

/** tcp_mtup_probe_success(): it arrived, so all may be as large; the window stays the same in bytes. */
export function mtuProbeAcked(cx: TcpContext, sk: TcpSock, p: MtuProbe): void {
  sk.cwnd = Math.max(1, Math.floor((sk.cwnd * toMtu(sk, sk.mssCache)) / p.probeSize));
  sk.cwndCnt = 0;
  sk.cwndStampMs = cx.now;
  p.searchLow = p.probeSize;
  p.probeSize = 0;
  syncMss(cx, sk, sk.mtu);
  cx.env.mib.inc('TcpExtTCPMTUPSuccess');
}

/** tcp_mtup_probe_failed(): lost, while what followed arrived. No sign of congestion, so the window is as before. */
export function mtuProbeFailed(cx: TcpContext, sk: TcpSock, p: MtuProbe): void {
  p.searchHigh = p.probeSize - 1;
  p.probeSize = 0;
  sk.cwnd++;
  cx.env.mib.inc('TcpExtTCPMTUPFail');
}

/** tcp_mtu_check_reprobe(): the path may have changed since; every ten minutes it is worth another search. */
function checkReprobe(cx: TcpContext, sk: TcpSock, p: MtuProbe): void {
  if (cx.now - p.sinceMs < cx.sysctl.tcpProbeInterval * 1000) return;
  p.probeSize = 0;
  p.searchHigh = sk.mssClamp + 40;
  p.searchLow = toMtu(sk, currentMss(cx, sk));
  p.sinceMs = cx.now;
}
