import { lookup as dnsLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { AF_INET, type Ipv4Addr, formatIpv4, parseIpv4 } from '@skbus/skb';
import type { skbus } from '@skbus/contracts';
import { argError } from './errors.ts';

/** An address and port, as Node's `address()` has it. */
export interface AddressInfo {
  address: string;
  family: 'IPv4';
  port: number;
}

export function toDoorAddr(address: Ipv4Addr, port: number): skbus.v1.DoorAddr.$Properties {
  return { family: AF_INET, addr: address, port };
}

export function fromDoorAddr(a: skbus.v1.DoorAddr.$Properties | null | undefined): AddressInfo | undefined {
  return a ? { address: formatIpv4(a.addr ?? 0), family: 'IPv4', port: a.port ?? 0 } : undefined;
}

/** A port number in Node's sense: a number or a string of digits. */
export function checkPort(port: unknown): number {
  const n = typeof port === 'string' && /^\d+$/.test(port.trim()) ? Number(port) : port;
  if (typeof n !== 'number' || !Number.isInteger(n) || n < 0 || n > 65_535) {
    const e = new RangeError(`Port should be >= 0 and < 65536. Received ${String(port)}.`);
    throw Object.assign(e, { code: 'ERR_SOCKET_BAD_PORT' });
  }
  return n;
}

/** A literal address, or undefined for a name. The stack has no IPv6, so `::` and `::1` mean their IPv4 twins. */
export function literal(host: string): Ipv4Addr | undefined {
  if (host === '::' || host === '') return 0;
  if (host === '::1') return 0x7f000001;
  return parseIpv4(host);
}

export type Lookup = LookupFunction;

/** Names are resolved by the host, not by the stack: it has no resolver. */
export function resolve(
  host: string,
  lookup: Lookup | undefined,
  done: (e: Error | null, address: string) => void,
): void {
  const ask = lookup ?? (dnsLookup as unknown as Lookup);
  ask(host, { family: 4, hints: 0 }, (e, address) => {
    if (e) return done(e, '');
    const first = Array.isArray(address) ? address[0]?.address : address;
    if (typeof first !== 'string' || parseIpv4(first) === undefined)
      return done(argError(`${host} has no IPv4 address`), '');
    done(null, first);
  });
}
