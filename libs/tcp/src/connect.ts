import {
  ERRNO,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_MULTICAST,
  TCP_CLOSE,
  TCP_LISTEN,
  TCP_SYN_SENT,
  type RouteReply,
  type SkBind,
  type SkConnect,
  type SkFastOpen,
} from '@skbus/skb';
import { TCP_SYN } from '@skbus/wire';
import type { TcpContext } from './context.ts';
import { ecnSendSyn } from './ecn.ts';
import { TFO_CLIENT_ENABLE, TFO_SERVER_ENABLE, TFO_SERVER_WO_SOCKOPT1 } from './fastopen.ts';
import { canDefer, sendSynData } from './fastopen-client.ts';
import { getPort, hashConnect } from './port-select.ts';
import { reqskQueue } from './reqsk-queue.ts';
import { rearmRto } from './rto-arm.ts';
import { makeRec } from './rtx-queue.ts';
import { rtxQueueAdd } from './new-data.ts';
import type { TcpSock } from './sock.ts';
import { setState, storeState } from './state.ts';
import { transmit, syncMss } from './transmit.ts';
import { recordChanged } from './views.ts';
import { selectInitialWindow } from './window.ts';
import { TCP_MSS_DEFAULT } from './sysctl.ts';

/** bind(), listen() and connect(). Each calls `done` once with an errno, perhaps later: the FIB is another service. */
type Done = (errno: number) => void;

/** inet_bind(): an address must be ours, which only the FIB knows. */
export function bind(cx: TcpContext, sk: TcpSock, b: SkBind, done: Done): void {
  if (sk.state !== TCP_CLOSE || sk.hasPort || sk.boundAddr !== 0) {
    done(ERRNO.EINVAL);
    return;
  }
  const take = (): void => {
    sk.boundAddr = b.addr;
    sk.laddr = b.addr;
    sk.explicitPort = true;
    // IP_BIND_ADDRESS_NO_PORT: connect() finds one, when it knows all of the four-tuple
    const err = b.port === 0 && sk.bindNoPort ? 0 : getPort(cx, sk, b.port);
    if (b.port === 0 && sk.bindNoPort) sk.explicitPort = false;
    if (err !== 0) {
      sk.boundAddr = sk.laddr = 0;
      sk.explicitPort = false;
    }
    done(err);
  };
  if (b.addr === 0) {
    take();
    return;
  }
  cx.routes.resolve({ daddr: b.addr, saddr: b.addr, oif: 0, tos: 0 }, cx.now, (r) => {
    if (r.errno !== 0 || r.type !== RTN_LOCAL) done(r.errno === ERRNO.ENETDOWN ? r.errno : ERRNO.EADDRNOTAVAIL);
    else if (cx.socks.get(sk.id) === sk) take();
  });
}

/** inet_csk_listen_start() */
export function listen(cx: TcpContext, sk: TcpSock, backlog: number): number {
  sk.backlog = Math.min(Math.max(0, backlog), cx.sysctl.somaxconn);
  if (sk.state === TCP_LISTEN) return 0;
  if (sk.state !== TCP_CLOSE || sk.err !== 0 || sk.inTimeWait) return ERRNO.EINVAL;
  cx.env.trace('inet_csk_listen_start');
  storeState(cx, sk, TCP_LISTEN);
  let err = 0;
  if (!sk.hasPort) err = getPort(cx, sk, 0);
  else if (cx.ports.conflicts(sk, sk.lport)) err = ERRNO.EADDRINUSE;
  if (err !== 0) {
    storeState(cx, sk, TCP_CLOSE);
    return err;
  }
  const everyListener = TFO_SERVER_ENABLE | TFO_SERVER_WO_SOCKOPT1;
  if ((cx.sysctl.tcpFastopen & everyListener) === everyListener) reqskQueue(sk).fastopenMax ||= sk.backlog;
  sk.children = new Set();
  sk.requests = new Set();
  cx.env.trace('inet_hash');
  cx.listeners.add(sk);
  return 0;
}

/** tcp_v4_connect(): the route first, then a port, a first sequence number and the SYN. */
export function connect(cx: TcpContext, sk: TcpSock, c: SkConnect, done: Done): void {
  if (sk.state !== TCP_CLOSE) {
    done(ERRNO.EISCONN);
    return;
  }
  if (c.fastopen && (cx.sysctl.tcpFastopen & TFO_CLIENT_ENABLE) === 0) {
    done(ERRNO.EOPNOTSUPP);
    return;
  }
  cx.env.trace('tcp_v4_connect');
  cx.env.trace('ip_route_connect');
  cx.routes.resolve({ daddr: c.addr, saddr: sk.boundAddr, oif: sk.oif, tos: sk.tos }, cx.now, (r) => {
    if (cx.socks.get(sk.id) !== sk || sk.state !== TCP_CLOSE) return;
    done(routed(cx, sk, c, r));
  });
}

function routed(cx: TcpContext, sk: TcpSock, c: SkConnect, r: RouteReply): number {
  if (r.errno === ERRNO.ENETUNREACH) cx.env.mib.inc('IpOutNoRoutes');
  if (r.errno !== 0) return r.errno;
  if (r.type === RTN_BROADCAST || r.type === RTN_MULTICAST) return ERRNO.ENETUNREACH;
  sk.laddr = sk.boundAddr !== 0 ? sk.boundAddr : r.saddr;
  sk.raddr = r.daddr;
  sk.rport = c.port;
  if (c.fastopen?.defer === true && canDefer(cx, sk)) {
    sk.raddr = sk.rport = 0;
    sk.laddr = sk.boundAddr;
    return ERRNO.ENODATA;
  }
  setState(cx, sk, TCP_SYN_SENT);
  const err = hashConnect(cx, sk);
  if (err !== 0) {
    setState(cx, sk, TCP_CLOSE);
    sk.raddr = sk.rport = 0;
    return err;
  }
  cx.env.trace('secure_tcp_seq_and_ts_off');
  // a TIME-WAIT that gave way has chosen already
  if (sk.iss === 0) sk.iss = cx.secrets.isn(sk.laddr, sk.raddr, sk.lport, sk.rport, cx.now);
  sk.tsOffset = cx.secrets.tsOffset(sk.laddr, sk.raddr);
  if (!tcpConnect(cx, sk, r.mtu > 0 ? r.mtu : 1500, c.fastopen ?? undefined)) {
    setState(cx, sk, TCP_CLOSE);
    sk.raddr = sk.rport = 0;
    return ERRNO.ENOBUFS;
  }
  recordChanged(cx, sk);
  return 0;
}

/** tcp_connect(). False: there is no memory for a SYN. */
function tcpConnect(cx: TcpContext, sk: TcpSock, mtu: number, fastopen: SkFastOpen | undefined): boolean {
  if (cx.env.fails('tcp_connect')) return false;
  connectInit(cx, sk, mtu);
  const flags = TCP_SYN | ecnSendSyn(cx, sk);
  cx.env.trace('tcp_connect_queue_skb');
  const syn = makeRec(0, 1, flags, TCP_MSS_DEFAULT);
  syn.sentMs = cx.now;
  rtxQueueAdd(sk, syn);
  sk.packetsOut = 1;
  sk.retransStampMs = cx.now;
  if (fastopen !== undefined) sendSynData(cx, sk, flags, fastopen);
  else transmit(cx, sk, 0, 0, flags);
  sk.sndNxt = sk.sndTail;
  sk.sndSml = sk.sndNxt;
  cx.env.mib.inc('TcpActiveOpens');
  rearmRto(cx, sk);
  return true;
}

/** tcp_connect_init(): what we offer. Whether it is in force, the SYN-ACK says. */
export function connectInit(cx: TcpContext, sk: TcpSock, mtu: number): void {
  cx.env.trace('tcp_connect_init');
  sk.tsOk = cx.sysctl.tcpTimestamps;
  sk.sackOk = cx.sysctl.tcpSack;
  sk.wscaleOk = cx.sysctl.tcpWindowScaling;
  sk.mssClamp = sk.userMss > 0 ? Math.min(sk.userMss, TCP_MSS_DEFAULT) : TCP_MSS_DEFAULT;
  syncMss(cx, sk, mtu);
  sk.advMss = sk.userMss > 0 ? Math.min(mtu - 40, sk.userMss) : mtu - 40;
  const mss = sk.advMss - (sk.tsOk ? 12 : 0);
  const w = selectInitialWindow(cx, sk.rcvbuf, sk.rcvbufLocked, sk.windowClamp, sk.tsOk ? mss + 12 : mss, sk.wscaleOk);
  sk.rcvWscale = w.wscale;
  sk.rcvAdv = w.wnd;
  sk.rcvSsthresh = w.wnd;
}
