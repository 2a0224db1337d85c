import { ConfigError } from '@skbus/nest-kit';
import { DOOR_LIMITS, type DoorLimits } from './doors/admission.ts';

/** What the doors are told by the environment. */
export interface DoorConfig {
  sockPath: string;
  /** 0: none. */
  socksPort: number;
  httpProxyPort: number;
  /** Where SOCKS5 and HTTP CONNECT listen. */
  proxyHost: string;
  /** Of SOCKS5, of HTTP CONNECT, and of all exposed ports together. */
  limits: DoorLimits;
}

/** Throws ConfigError naming the variable. */
export function readDoorConfig(env: Record<string, string | undefined>, runDir: string): DoorConfig {
  return {
    sockPath: env['SKBUS_SOCK'] || `${runDir}/skbus.sock`,
    socksPort: port(env, 'SKBUS_SOCKS_PORT'),
    httpProxyPort: port(env, 'SKBUS_HTTP_PROXY_PORT'),
    proxyHost: env['SKBUS_PROXY_HOST'] || '127.0.0.1',
    limits: {
      connections: limit(env, 'SKBUS_DOOR_CONNECTIONS', DOOR_LIMITS.connections),
      halfOpen: limit(env, 'SKBUS_DOOR_HALF_OPEN', DOOR_LIMITS.halfOpen),
    },
  };
}

function port(env: Record<string, string | undefined>, name: string): number {
  const text = env[name] || '0';
  const n = Number(text);
  if (!/^\d+$/.test(text) || n > 65_535) throw new ConfigError(`${name} "${text}" is no port: 0 (none) to 65535`);
  return n;
}

function limit(env: Record<string, string | undefined>, name: string, otherwise: number): number {
  const text = env[name] || String(otherwise);
  const n = Number(text);
  if (!/^\d+$/.test(text) || n < 1 || n > 1_000_000)
    throw new ConfigError(`${name} "${text}" is no number of connections: 1 to 1000000`);
  return n;
}
