import { isIPv4, isIPv6 } from 'node:net';

export interface HostPort {
  host: string;
  port: number;
}

/** `127.0.0.1:7001`, `localhost:7001`, `[::1]:7001`. Throws with a sentence that names the field. */
export function parseHostPort(text: string | undefined, field: string, anyHost: boolean): HostPort {
  if (text === undefined || text === '')
    throw new Error(`${field}: missing; expected host:port, such as 127.0.0.1:7001`);
  const m = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const port = Number(m?.[3]);
  if (!m || port < 1 || port > 65_535) throw new Error(`${field}: "${text}" is not host:port`);
  const name = m[1] ?? m[2] ?? '';
  const host = name === 'localhost' ? '127.0.0.1' : name;
  if (!isIPv4(host) && !isIPv6(host)) throw new Error(`${field}: "${host}" is not an IP address`);
  if (!anyHost && !isLoopback(host)) {
    throw new Error(`${field}: ${host} is not a loopback address; frames would leave this machine unencrypted`);
  }
  return { host, port };
}

export const isLoopback = (host: string): boolean =>
  host.startsWith('127.') || host === '::1' || host === '::ffff:127.0.0.1';
