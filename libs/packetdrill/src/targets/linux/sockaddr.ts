import { isIPv6 } from 'node:net';
import type { SysAddr } from '../../target.ts';
import { AF_INET, AF_INET6, memory } from './libc.ts';

export const SOCKADDR_IN_LEN = 16;
export const SOCKADDR_IN6_LEN = 28;

/** struct sockaddr_in or sockaddr_in6, and how long it is. */
export function sockaddr(addr: SysAddr): { buf: Uint8Array; len: number } {
  const buf = memory(SOCKADDR_IN6_LEN);
  const view = new DataView(buf.buffer);
  view.setUint16(2, addr.port);
  if (!isIPv6(addr.ip)) {
    view.setUint16(0, AF_INET, true);
    buf.set(addr.ip.split('.').map(Number), 4);
    return { buf, len: SOCKADDR_IN_LEN };
  }
  view.setUint16(0, AF_INET6, true);
  groups(addr.ip).forEach((g, i) => view.setUint16(8 + 2 * i, g));
  return { buf, len: SOCKADDR_IN6_LEN };
}

/** What the kernel wrote; `undefined` for an address of no family, as a connected stream's recvfrom() gives. */
export function parseSockaddr(buf: Uint8Array): SysAddr | undefined {
  const view = new DataView(buf.buffer, buf.byteOffset);
  const family = view.getUint16(0, true);
  const port = view.getUint16(2);
  if (family === AF_INET) return { ip: buf.subarray(4, 8).join('.'), port };
  if (family !== AF_INET6) return undefined;
  return { ip: Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16)).join(':'), port };
}

/** RFC 4291 2.2, without the dotted form. */
function groups(ip: string): number[] {
  const [head = '', tail] = ip.split('::');
  const hex = (s: string): number[] => (s === '' ? [] : s.split(':').map((g) => Number.parseInt(g, 16)));
  const [a, b] = [hex(head), hex(tail ?? '')];
  return tail === undefined ? a : [...a, ...Array<number>(8 - a.length - b.length).fill(0), ...b];
}
