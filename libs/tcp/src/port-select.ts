import { below, ERRNO, TCP_TIME_WAIT } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';
import { recycleTimeWait, type TimeWaitSock } from './timewait.ts';
import { TABLE_PERTURB_SIZE } from './sysctl.ts';
import { timeWaitUnique } from './tw-reuse.ts';

/** Which local port a socket gets: bind() and connect() (RFC 6056, net/ipv4/inet_hashtables.c). Results are errnos. */

/** inet_csk_get_port(): `port` 0 finds one. */
export function getPort(cx: TcpContext, sk: TcpSock, port: number): number {
  cx.env.trace('inet_csk_get_port');
  if (port !== 0) {
    if (cx.ports.conflicts(sk, port)) return ERRNO.EADDRINUSE;
    takePort(cx, sk, port);
    return 0;
  }
  const found = cx.faults.portsTaken.on?.takes(cx.now) === true ? 0 : findOpenPort(cx, sk);
  if (found === 0) return ERRNO.EADDRINUSE;
  takePort(cx, sk, found);
  return 0;
}

/**
 * inet_hash_connect(): a port whose four-tuple is free, and the sock in the established hash. Where the search starts
 * depends on the destination by a keyed hash and moves on a little each time (RFC 6056 3.3.4, double-hash selection).
 */
export function hashConnect(cx: TcpContext, sk: TcpSock): number {
  cx.env.trace('inet_hash_connect');
  cx.env.trace('__inet_hash_connect');
  if (sk.hasPort) return checkEstablished(cx, sk, sk.lport, true) ? 0 : ERRNO.EADDRNOTAVAIL;
  if (cx.faults.portsTaken.on?.takes(cx.now) === true) return ERRNO.EADDRNOTAVAIL;
  const [low, high] = cx.sysctl.ipLocalPortRange;
  const count = high - low + 1;
  const remaining = count > 1 ? count & ~1 : count;
  const hash = cx.secrets.portOffset(sk.laddr, sk.raddr, sk.rport);
  const slot = hash.low & (TABLE_PERTURB_SIZE - 1);
  const offset = ((cx.portPerturb[slot]! + hash.high) % remaining) & ~1;
  // ports with the parity of the lowest one first: bind() prefers the others
  for (let parity = 0; parity < 2; parity++) {
    for (let i = 0; i < remaining; i += 2) {
      const port = low + ((offset + parity + i) % remaining);
      if (isReserved(cx, port) || cx.ports.hasExplicit(port)) continue;
      if (!checkEstablished(cx, sk, port, false)) continue;
      cx.portPerturb[slot] = cx.portPerturb[slot]! + Math.max(i, 2 * below(cx.env.rng, 8)) + 2;
      takePort(cx, sk, port);
      return 0;
    }
    if (remaining === 1) break;
  }
  return ERRNO.EADDRNOTAVAIL;
}

/** __inet_check_established(): nobody has the four-tuple, or only a TIME-WAIT that gives way. Then it is the sock's. */
function checkEstablished(cx: TcpContext, sk: TcpSock, port: number, bound: boolean): boolean {
  const found = cx.ehash.find(sk.laddr, port, sk.raddr, sk.rport);
  if (found !== undefined) {
    if (found.state !== TCP_TIME_WAIT || !timeWaitUnique(cx, sk, found as TimeWaitSock, bound)) return false;
    recycleTimeWait(cx, found as TimeWaitSock);
  }
  sk.lport = port;
  cx.ehash.add(sk);
  return true;
}

export function takePort(cx: TcpContext, sk: TcpSock, port: number): void {
  sk.lport = port;
  sk.hasPort = true;
  cx.ports.add(sk);
}

/** inet_csk_find_open_port(): odd ports first, from a random start; with SO_REUSEADDR in the lower half first. 0: none. */
function findOpenPort(cx: TcpContext, sk: TcpSock): number {
  const [low, last] = cx.sysctl.ipLocalPortRange;
  const high = last + 1;
  if (!sk.reuseAddr || high - low < 4) return scanPorts(cx, sk, low, high);
  const half = low + (((high - low) >> 2) << 1);
  return scanPorts(cx, sk, low, half) || scanPorts(cx, sk, half, high);
}

function scanPorts(cx: TcpContext, sk: TcpSock, low: number, high: number): number {
  const remaining = high - low > 1 ? (high - low) & ~1 : high - low;
  const offset = below(cx.env.rng, remaining) | 1;
  for (let parity = 0; parity < 2; parity++) {
    for (let i = 0; i < remaining; i += 2) {
      const port = low + ((offset - parity + i) % remaining);
      if (!isReserved(cx, port) && !cx.ports.conflicts(sk, port, true)) return port;
    }
  }
  return 0;
}

/** inet_is_local_reserved_port() */
function isReserved(cx: TcpContext, port: number): boolean {
  for (const [from, to] of cx.sysctl.ipLocalReservedPorts) if (port >= from && port <= to) return true;
  return false;
}
