import { TCP_LISTEN } from '@skbus/skb';
import { chronoStats } from './chrono.ts';
import type { TcpContext } from './context.ts';
import { deliveryRate } from './rate.ts';
import type { TcpSock } from './sock.ts';
import { lastWindow } from './window.ts';

/** sizeof(struct tcp_info) of Linux 6.18: 6.12's 248 bytes, and AccECN's counters. */
export const TCP_INFO_SIZE = 280;

// include/uapi/linux/tcp.h: tcpi_options
const TCPI_OPT_TIMESTAMPS = 1;
const TCPI_OPT_SACK = 2;
const TCPI_OPT_WSCALE = 4;
const TCPI_OPT_ECN = 8;
const TCPI_OPT_ECN_SEEN = 16;
const TCPI_OPT_SYN_DATA = 32;
const ECN_SEEN = 8;

/** struct tcp_info as C lays it out on a little-endian machine (tcp_get_info); times in µs or ms as there. */
export function tcpInfoBytes(cx: TcpContext, sk: TcpSock): Uint8Array {
  const bytes = new Uint8Array(TCP_INFO_SIZE);
  const v = new DataView(bytes.buffer);
  const u32 = (at: number, n: number): void => v.setUint32(at, Math.min(Math.max(0, Math.round(n)), 0xffff_ffff), true);
  const u64 = (at: number, n: number): void =>
    v.setBigUint64(at, Number.isFinite(n) && n >= 0 ? BigInt(Math.round(n)) : 0xffff_ffff_ffff_ffffn, true);
  const usec = (at: number, ms: number): void => u32(at, ms * 1000);
  const since = (at: number): number => cx.now - at;
  const listening = sk.state === TCP_LISTEN;
  bytes[0] = sk.state;
  bytes[1] = sk.caState;
  bytes[2] = sk.retransmits;
  bytes[3] = sk.probesOut;
  bytes[4] = sk.backoff;
  bytes[5] = optionsOf(sk);
  bytes[6] = sk.wscaleOk ? (sk.sndWscale & 15) | (sk.rcvWscale << 4) : 0;
  bytes[7] = ((sk.rate?.isAppLimited ?? true) ? 1 : 0) | ((sk.fastopen?.clientFail ?? 0) << 1);
  usec(8, sk.rtt.rtoMs);
  usec(12, sk.atoMs);
  u32(16, sk.mssCache);
  u32(20, sk.rcvMss);
  u32(24, listening ? sk.ackBacklog : sk.packetsOut);
  u32(28, listening ? sk.backlog : sk.sackedOut);
  u32(32, sk.lostOut);
  u32(36, sk.retransOut);
  u32(44, since(sk.lastSndMs));
  u32(52, since(sk.lastRcvMs));
  u32(56, since(sk.lastAckMs));
  u32(60, sk.mtu);
  u32(64, sk.rcvSsthresh);
  usec(68, sk.rtt.srttMs);
  usec(72, sk.rtt.mdev);
  u32(76, sk.ssthresh);
  u32(80, sk.cwnd);
  u32(84, sk.advMss);
  u32(88, sk.reordering);
  usec(92, sk.rcvRttMs);
  u32(96, sk.rcvSpace);
  u32(100, sk.totalRetrans);
  u64(104, sk.pacingRate > 0 ? sk.pacingRate : -1);
  u64(112, Number.isFinite(sk.maxPacingRate) ? sk.maxPacingRate : -1);
  u64(120, sk.bytesAcked);
  u64(128, sk.bytesReceived);
  u32(136, sk.segsOut);
  u32(140, sk.segsIn);
  u32(144, sk.sndTail - Math.max(1, sk.sndNxt));
  u32(148, Number.isFinite(sk.rtt.minMs) ? sk.rtt.minMs * 1000 : 0xffff_ffff);
  u32(152, sk.dataSegsIn);
  u32(156, sk.dataSegsOut);
  u64(160, deliveryRate(sk));
  const chrono = chronoStats(cx, sk);
  u64(168, chrono.busy * 1000);
  u64(176, chrono.rwnd * 1000);
  u64(184, chrono.sndbuf * 1000);
  u32(192, sk.delivered);
  u32(196, sk.deliveredCe);
  u64(200, sk.bytesSent);
  u64(208, sk.bytesRetrans);
  u32(216, sk.dsackDups);
  u32(220, sk.reordSeen);
  u32(224, sk.rcvOoopack);
  u32(228, sk.sndWnd);
  u32(232, lastWindow(sk));
  const { rtoStats } = sk;
  if (rtoStats !== undefined) {
    v.setUint16(240, rtoStats.total & 0xffff, true);
    v.setUint16(242, rtoStats.recoveries & 0xffff, true);
    u32(244, rtoStats.timeMs + (rtoStats.stampMs < 0 ? 0 : since(rtoStats.stampMs)));
  }
  const { accecn } = sk;
  if (accecn !== undefined) {
    const counters = [accecn.receivedCe, ...accecn.delivered, ...accecn.received];
    counters.forEach((n, i) => v.setUint32(248 + 4 * i, n % 0x1_0000_0000, true));
  }
  return bytes;
}

function optionsOf(sk: TcpSock): number {
  let o = 0;
  if (sk.tsOk) o |= TCPI_OPT_TIMESTAMPS;
  if (sk.sackOk) o |= TCPI_OPT_SACK;
  if (sk.wscaleOk) o |= TCPI_OPT_WSCALE;
  if (sk.ecnOk) o |= TCPI_OPT_ECN;
  if ((sk.ecnFlags & ECN_SEEN) !== 0) o |= TCPI_OPT_ECN_SEEN;
  if (sk.fastopen?.synDataAcked === true) o |= TCPI_OPT_SYN_DATA;
  return o;
}
