import { TCP_LISTEN, type Ipv4Addr, type Millis, type SkId } from '@skbus/skb';
import { chronoStats } from './chrono.ts';
import type { TcpContext } from './context.ts';
import { deliveryRate } from './rate.ts';
import { RequestSock } from './request.ts';
import { TcpSock } from './sock.ts';
import { isArmed, Timer, timerAt } from './timers.ts';
import { TimeWaitSock } from './timewait.ts';
import { Pending } from './rto-arm.ts';

/** What `ss -tin` shows of a socket (struct inet_diag_msg and struct tcp_info, camelCase; times in ms). */
export interface TcpSockInfo {
  /** 0: a request or a TIME-WAIT, which the socket layer has no number for. */
  sk: SkId;
  /** TCP_ESTABLISHED … */
  state: number;
  laddr: Ipv4Addr;
  lport: number;
  raddr: Ipv4Addr;
  rport: number;
  /** Bytes the application has not read; a listener: connections waiting for accept. */
  rqueue: number;
  /** Bytes not acknowledged; a listener: the backlog. */
  wqueue: number;
  /** As in /proc/net/tcp: 0 none, 1 retransmission, 2 keepalive, 3 TIME-WAIT, 4 window probe; and ms until it runs. */
  timer: number;
  expires: Millis;
  orphan: boolean;
  caState: number;
  retransmits: number;
  probes: number;
  backoff: number;
  timestamps: boolean;
  sack: boolean;
  wscale: boolean;
  sndWscale: number;
  rcvWscale: number;
  rto: Millis;
  ato: Millis;
  rtt: Millis;
  rttvar: Millis;
  minRtt: Millis;
  rcvRtt: Millis;
  sndMss: number;
  rcvMss: number;
  advmss: number;
  pmtu: number;
  sndCwnd: number;
  sndSsthresh: number;
  congestion: string;
  unacked: number;
  sacked: number;
  lost: number;
  retrans: number;
  totalRetrans: number;
  reordering: number;
  reordSeen: number;
  sndWnd: number;
  rcvWnd: number;
  rcvSsthresh: number;
  rcvSpace: number;
  notsentBytes: number;
  bytesSent: number;
  bytesRetrans: number;
  bytesAcked: number;
  bytesReceived: number;
  segsOut: number;
  segsIn: number;
  dataSegsOut: number;
  dataSegsIn: number;
  delivered: number;
  dsackDups: number;
  deliveredCe: number;
  rcvOoopack: number;
  /** Bytes per second. */
  pacingRate: number;
  maxPacingRate: number;
  deliveryRate: number;
  deliveryRateAppLimited: boolean;
  /** How long it had something to send, and of that what the peer's window and the send buffer held up. */
  busyTime: Millis;
  rwndLimited: Millis;
  sndbufLimited: Millis;
  lastDataSent: Millis;
  lastDataRecv: Millis;
  lastAckRecv: Millis;
  ackBacklog: number;
  maxAckBacklog: number;
  synBacklog: number;
}

/** Every socket there is, half-open and TIME-WAIT ones too. */
export function listSockets(cx: TcpContext): TcpSockInfo[] {
  const all: TcpSockInfo[] = [];
  for (const sk of cx.socks.values()) all.push(sockInfo(cx, sk));
  for (const c of cx.ehash.entries()) {
    if (c instanceof TimeWaitSock) all.push(timeWaitInfo(cx, c));
    else if (c instanceof RequestSock) all.push(requestInfo(cx, c));
  }
  return all;
}

export function sockInfo(cx: TcpContext, sk: TcpSock): TcpSockInfo {
  const listening = sk.state === TCP_LISTEN;
  const chrono = chronoStats(cx, sk);
  const { timer, expires } = pendingTimer(cx, sk);
  const since = (at: Millis): Millis => (at > 0 ? cx.now - at : 0);
  return {
    ...EMPTY,
    sk: sk.id,
    state: sk.state,
    laddr: sk.laddr,
    lport: sk.lport,
    raddr: sk.raddr,
    rport: sk.rport,
    rqueue: listening
      ? sk.ackBacklog
      : Math.max(0, (sk.finRcvdAt >= 0 ? sk.finRcvdAt : sk.rcvNxt) - Math.max(1, sk.rcvRead)),
    wqueue: listening ? sk.backlog : sk.sendQueue.length,
    timer,
    expires,
    orphan: sk.orphan,
    caState: sk.caState,
    retransmits: sk.retransmits,
    probes: sk.probesOut,
    backoff: sk.backoff,
    timestamps: sk.tsOk,
    sack: sk.sackOk,
    wscale: sk.wscaleOk,
    sndWscale: sk.sndWscale,
    rcvWscale: sk.rcvWscale,
    rto: sk.rtt.rtoMs,
    ato: sk.atoMs,
    rtt: sk.rtt.srttMs,
    rttvar: sk.rtt.mdev,
    minRtt: Number.isFinite(sk.rtt.minMs) ? sk.rtt.minMs : 0,
    rcvRtt: sk.rcvRttMs,
    sndMss: sk.mssCache,
    rcvMss: sk.rcvMss,
    advmss: sk.advMss,
    pmtu: sk.mtu,
    sndCwnd: sk.cwnd,
    sndSsthresh: sk.ssthresh,
    congestion: sk.cc.name,
    unacked: sk.packetsOut,
    sacked: sk.sackedOut,
    lost: sk.lostOut,
    retrans: sk.retransOut,
    totalRetrans: sk.totalRetrans,
    reordering: sk.reordering,
    reordSeen: sk.reordSeen,
    sndWnd: sk.sndWnd,
    rcvWnd: sk.rcvWindow,
    rcvSsthresh: sk.rcvSsthresh,
    rcvSpace: sk.rcvSpace,
    notsentBytes: Math.max(0, sk.sndTail - Math.max(1, sk.sndNxt)),
    bytesSent: sk.bytesSent,
    bytesRetrans: sk.bytesRetrans,
    bytesAcked: sk.bytesAcked,
    bytesReceived: sk.bytesReceived,
    segsOut: sk.segsOut,
    segsIn: sk.segsIn,
    dataSegsOut: sk.dataSegsOut,
    dataSegsIn: sk.dataSegsIn,
    delivered: sk.delivered,
    dsackDups: sk.dsackDups,
    deliveredCe: sk.deliveredCe,
    rcvOoopack: sk.rcvOoopack,
    pacingRate: sk.pacingRate,
    maxPacingRate: sk.maxPacingRate,
    deliveryRate: deliveryRate(sk),
    deliveryRateAppLimited: sk.rate?.isAppLimited ?? true,
    busyTime: chrono.busy,
    rwndLimited: chrono.rwnd,
    sndbufLimited: chrono.sndbuf,
    lastDataSent: since(sk.lastSndMs),
    lastDataRecv: since(sk.lastRcvMs),
    lastAckRecv: since(sk.lastAckMs),
    ackBacklog: sk.ackBacklog,
    maxAckBacklog: sk.backlog,
    synBacklog: sk.reqCount,
  };
}

function requestInfo(cx: TcpContext, r: RequestSock): TcpSockInfo {
  return {
    ...EMPTY,
    state: r.state,
    laddr: r.laddr,
    lport: r.lport,
    raddr: r.raddr,
    rport: r.rport,
    timer: 1,
    expires: Math.max(0, r.dueMs - cx.now),
    retransmits: r.timeouts,
    timestamps: r.tsOk,
    sack: r.sackOk,
    wscale: r.wscaleOk,
    sndWscale: r.sndWscale,
    rcvWscale: r.rcvWscale,
    advmss: r.advMss,
    pmtu: r.mtu,
    rcvWnd: r.rcvWnd,
  };
}

function timeWaitInfo(cx: TcpContext, t: TimeWaitSock): TcpSockInfo {
  return {
    ...EMPTY,
    state: t.substate,
    laddr: t.laddr,
    lport: t.lport,
    raddr: t.raddr,
    rport: t.rport,
    timer: 3,
    expires: Math.max(0, t.dueMs - cx.now),
    timestamps: t.tsOk,
    rcvWscale: t.rcvWscale,
    orphan: true,
  };
}

function pendingTimer(cx: TcpContext, sk: TcpSock): { timer: number; expires: Millis } {
  const left = (t: Timer): Millis => Math.max(0, timerAt(sk, t) - cx.now);
  if (isArmed(sk, Timer.Retrans)) return { timer: sk.pending === Pending.Probe0 ? 4 : 1, expires: left(Timer.Retrans) };
  if (isArmed(sk, Timer.Keepalive)) return { timer: 2, expires: left(Timer.Keepalive) };
  return { timer: 0, expires: 0 };
}

const EMPTY: TcpSockInfo = {
  sk: 0,
  state: 0,
  laddr: 0,
  lport: 0,
  raddr: 0,
  rport: 0,
  rqueue: 0,
  wqueue: 0,
  timer: 0,
  expires: 0,
  orphan: false,
  caState: 0,
  retransmits: 0,
  probes: 0,
  backoff: 0,
  timestamps: false,
  sack: false,
  wscale: false,
  sndWscale: 0,
  rcvWscale: 0,
  rto: 0,
  ato: 0,
  rtt: 0,
  rttvar: 0,
  minRtt: 0,
  rcvRtt: 0,
  sndMss: 0,
  rcvMss: 0,
  advmss: 0,
  pmtu: 0,
  sndCwnd: 0,
  sndSsthresh: 0,
  congestion: '',
  unacked: 0,
  sacked: 0,
  lost: 0,
  retrans: 0,
  totalRetrans: 0,
  reordering: 0,
  reordSeen: 0,
  sndWnd: 0,
  rcvWnd: 0,
  rcvSsthresh: 0,
  rcvSpace: 0,
  notsentBytes: 0,
  bytesSent: 0,
  bytesRetrans: 0,
  bytesAcked: 0,
  bytesReceived: 0,
  segsOut: 0,
  segsIn: 0,
  dataSegsOut: 0,
  dataSegsIn: 0,
  delivered: 0,
  dsackDups: 0,
  deliveredCe: 0,
  rcvOoopack: 0,
  pacingRate: 0,
  maxPacingRate: 0,
  deliveryRate: 0,
  deliveryRateAppLimited: false,
  busyTime: 0,
  rwndLimited: 0,
  sndbufLimited: 0,
  lastDataSent: 0,
  lastDataRecv: 0,
  lastAckRecv: 0,
  ackBacklog: 0,
  maxAckBacklog: 0,
  synBacklog: 0,
};
