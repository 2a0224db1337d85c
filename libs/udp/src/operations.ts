import {
  ERRNO,
  INADDR_ANY,
  INADDR_BROADCAST,
  INADDR_LOOPBACK,
  type Ipv4Addr,
  isMulticastIpv4,
  type RouteReply,
  RTN_BROADCAST,
  RTN_LOCAL,
  SHUT_RDWR,
  type SkBind,
  type SkCmd,
  type SkConnect,
} from '@skbus/skb';
import type { UdpContext } from './context.ts';
import type { UdpSock } from './sock.ts';

/** The errno, or undefined: it waits for a route and is finished by finishOp(). */
type Outcome = number | undefined;

const PORT_MAX = 65_535;

/** Runs one numbered operation, for the first and only time. */
export function runOp(cx: UdpContext, sk: UdpSock, cmd: SkCmd): void {
  sk.opSeq = cmd.opSeq;
  sk.opErrno = 0;
  sk.opBusy = true;
  if (cmd.options) sk.applyOptions(cmd.options);
  const errno = dispatch(cx, sk, cmd);
  if (errno !== undefined) finishOp(cx, sk, errno);
}

/** inet_autobind(): false when no port is free. */
export function autobind(cx: UdpContext, sk: UdpSock): boolean {
  return sk.lport !== 0 || getPort(cx, sk, 0) === 0;
}

function dispatch(cx: UdpContext, sk: UdpSock, cmd: SkCmd): Outcome {
  if (cmd.bind) return bind(cx, sk, cmd.bind);
  if (cmd.connect) return connect(cx, sk, cmd.connect);
  if (cmd.shutdown) return shutdown(sk, cmd.shutdown.how ?? 0);
  if (cmd.listen) return ERRNO.EOPNOTSUPP;
  return 0;
}

function finishOp(cx: UdpContext, sk: UdpSock, errno: number): void {
  sk.opErrno = errno;
  sk.opBusy = false;
  cx.touch(sk);
}

/** net/ipv4/af_inet.c:__inet_bind. */
function bind(cx: UdpContext, sk: UdpSock, { addr, port }: SkBind): Outcome {
  if (port > PORT_MAX || sk.lport !== 0 || sk.connected) return ERRNO.EINVAL;
  if (addr === INADDR_ANY) return bindTo(cx, sk, addr, addr, port);
  if (addr === INADDR_BROADCAST || isMulticastIpv4(addr)) return bindTo(cx, sk, addr, 0, port);
  return viaRoute(cx, sk, addr, 0, (r) => {
    // ENETDOWN: the IP layer did not answer, so nobody knows.
    if (r.errno === ERRNO.ENETDOWN) return r.errno;
    if (r.errno === 0 && r.type === RTN_LOCAL) return bindTo(cx, sk, addr, addr, port);
    if (r.errno === 0 && r.type === RTN_BROADCAST) return bindTo(cx, sk, addr, 0, port);
    return ERRNO.EADDRNOTAVAIL;
  });
}

/** `saddr` 0: a group or broadcast address, which nothing is sent from. */
function bindTo(cx: UdpContext, sk: UdpSock, addr: Ipv4Addr, saddr: Ipv4Addr, port: number): number {
  if (sk.lport !== 0) return ERRNO.EINVAL;
  sk.rcvSaddr = addr;
  sk.saddr = saddr;
  const errno = getPort(cx, sk, port);
  if (errno !== 0) {
    sk.rcvSaddr = sk.saddr = 0;
    return errno;
  }
  sk.addrLocked = addr !== 0;
  sk.portLocked = port !== 0;
  return 0;
}

/** udp_lib_get_port(). */
function getPort(cx: UdpContext, sk: UdpSock, want: number): number {
  cx.env.trace('udp_v4_get_port');
  const { table, sysctl, env } = cx;
  let port = want;
  if (port === 0) {
    port =
      cx.portsTaken.on?.takes(cx.now) === true ? 0 : table.ephemeral(sk, sk.rcvSaddr, sysctl.ipLocalPortRange, env.rng);
    if (port === 0) return ERRNO.EADDRINUSE;
  } else {
    const owners = table.conflicts(sk, sk.rcvSaddr, port);
    if (owners.length > 0) {
      // An owner whose socket layer does not know it any more is closed when it shows itself; the next bind() succeeds.
      for (const o of owners) cx.touch(o);
      return ERRNO.EADDRINUSE;
    }
  }
  sk.lport = port;
  table.add(sk);
  return 0;
}

/** net/ipv4/datagram.c:__ip4_datagram_connect. 0.0.0.0 with a port means this host; without one, nobody: disconnect. */
function connect(cx: UdpContext, sk: UdpSock, { addr, port }: SkConnect): Outcome {
  if (port > PORT_MAX) return ERRNO.EINVAL;
  if (addr === 0 && port === 0) return disconnect(cx, sk);
  if (!autobind(cx, sk)) return ERRNO.EAGAIN;
  cx.env.trace('ip4_datagram_connect');
  const daddr = addr || sk.saddr || INADDR_LOOPBACK;
  return viaRoute(cx, sk, daddr, sk.saddr, (r) => {
    if (r.errno !== 0) return cx.routeFailed(r.errno);
    if (r.type === RTN_BROADCAST && !sk.broadcast) return ERRNO.EACCES;
    sk.daddr = daddr;
    sk.dport = port;
    sk.connected = true;
    if (sk.saddr === 0) sk.saddr = r.saddr;
    if (sk.rcvSaddr === 0) sk.rcvSaddr = r.saddr;
    return 0;
  });
}

/** What bind() did not ask for is given back. */
function disconnect(cx: UdpContext, sk: UdpSock): number {
  cx.env.trace('__udp_disconnect');
  sk.daddr = sk.dport = 0;
  sk.connected = false;
  if (!sk.addrLocked) sk.rcvSaddr = sk.saddr = 0;
  if (!sk.portLocked && sk.lport !== 0) {
    cx.table.remove(sk);
    sk.lport = 0;
  }
  return 0;
}

/** inet_shutdown(): only a connected socket can be shut down, but the flags stay. */
function shutdown(sk: UdpSock, how: number): number {
  if (how > SHUT_RDWR) return ERRNO.EINVAL;
  sk.shutdownMask |= how + 1;
  return sk.connected ? 0 : ERRNO.ENOTCONN;
}

/** Asks IP, and goes on with its answer unless the socket has gone meanwhile. */
function viaRoute(
  cx: UdpContext,
  sk: UdpSock,
  daddr: Ipv4Addr,
  saddr: Ipv4Addr,
  then: (r: RouteReply) => number,
): Outcome {
  const seq = sk.opSeq;
  let outcome: Outcome;
  let inside = true;
  cx.routes.resolve({ daddr, saddr, oif: 0, tos: sk.tos }, cx.now, (r) => {
    if (sk.closed || sk.opSeq !== seq) return;
    const errno = then(r);
    if (inside) outcome = errno;
    else finishOp(cx, sk, errno);
  });
  inside = false;
  return outcome;
}
