import { below, ERRNO } from '@skbus/skb';
import type { TcpContext } from './context.ts';
import type { TcpSock } from './sock.ts';

/** Which local port a socket gets: bind() and connect() (RFC 6056, net/ipv4/inet_hashtables.c). Results are errnos. */

/** inet_csk_get_port(): `port` 0 finds one. */
export function getPort(cx: TcpContext, sk: TcpSock, port: number): number {
  cx.env.trace('inet_csk_get_port');
  if (port !== 0) {
    if (cx.ports.conflicts(sk, port)) return ERRNO.EADDRINUSE;
    takePort(cx, sk, port);
    return 0;
  }
  const found = findOpenPort(cx, sk);
  if (found === 0) return ERRNO.EADDRINUSE;
  takePort(cx, sk, found);
  return 0;
}

/**
 * __inet_hash_connect(): a port whose four-tuple is free, and the sock in the established hash. Where the search starts
 * depends on the destination by a keyed hash and moves on a little each time (RFC 6056 3.3.4, double-hash selection).
 */
export function hashConnect(cx: TcpContext, sk: TcpSock): number {
  cx.env.trace('inet_hash_connect');
  if (sk.hasPort) {
    if (cx.ehash.find(sk.laddr, sk.lport, sk.raddr, sk.rport) !== undefined) return ERRNO.EADDRNOTAVAIL;
    cx.ehash.add(sk);
    return 0;
  }
  cx.env.trace('__inet_hash_connect');
  const [low, high] = cx.sysctl.ipLocalPortRange;
  const count = high - low + 1;
  const hash = cx.secrets.portOffset(sk.laddr, sk.raddr, sk.rport);
  const slot = hash & 255;
  const offset = ((cx.portPerturb[slot]! + (hash >>> 8)) % count) & ~1;
  // even ports first: bind() takes the odd ones
  for (let parity = 0; parity < 2; parity++) {
    for (let i = parity; i < count; i += 2) {
      const port = low + ((offset + i) % count);
      if (cx.ports.hasExplicit(port)) continue;
      if (cx.ehash.find(sk.laddr, port, sk.raddr, sk.rport) !== undefined) continue;
      cx.portPerturb[slot] = cx.portPerturb[slot]! + i + 2 + 2 * below(cx.env.rng, 8);
      takePort(cx, sk, port);
      cx.ehash.add(sk);
      return 0;
    }
  }
  return ERRNO.EADDRNOTAVAIL;
}

export function takePort(cx: TcpContext, sk: TcpSock, port: number): void {
  sk.lport = port;
  sk.hasPort = true;
  cx.ports.add(sk);
}

/** inet_csk_find_open_port(): odd ports first, from a random start. 0: none. */
function findOpenPort(cx: TcpContext, sk: TcpSock): number {
  const [low, high] = cx.sysctl.ipLocalPortRange;
  const count = high - low + 1;
  const offset = below(cx.env.rng, count) | 1;
  for (let parity = 0; parity < 2; parity++) {
    for (let i = parity; i < count; i += 2) {
      const port = low + ((offset + i) % count);
      if (!cx.ports.isUsed(port) || !cx.ports.conflicts(sk, port)) return port;
    }
  }
  return 0;
}
