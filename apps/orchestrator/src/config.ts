import { isAbsolute, resolve } from 'node:path';
import { CmdlineError, parseCmdline, type Cmdline } from '@skbus/boot';
import { ConfigError } from '@skbus/nest-kit';
import { formatIpv4, maskOf, parseIpv4, type Ipv4Addr } from '@skbus/skb';
import { z } from 'zod';

const name = /^[a-z0-9_-]{1,32}$/;
const port = z.coerce.number('must be a port number').int().min(0).max(65535);
const limit = z.coerce.number('must be a number').int().min(1).max(1_000_000);
/** An empty variable is one that is not set, as compose files write it. */
const orUnset = <T extends z.ZodType>(s: T) => z.preprocess((v) => (v === '' ? undefined : v), s);

/** The environment of the orchestrator; `skbus up` and docker-compose fill it in. */
const schema = z.object({
  SKBUS_NETNS: orUnset(z.string().regex(name, 'must be 1 to 32 of a–z, 0–9, _ and -').default('a')),
  SKBUS_RUN_DIR: orUnset(z.string().optional()),
  SKBUS_SPAWN: orUnset(z.enum(['processes', 'inproc', 'none']).default('processes')),
  /** A broker that is already there; without it one is started. */
  SKBUS_NATS_URL: orUnset(
    z
      .string()
      .regex(/^(nats|tls):\/\//, 'must look like nats://127.0.0.1:4222')
      .optional(),
  ),
  /** Our credentials for a broker that is already there; without a file it must not ask. */
  SKBUS_NATS_CREDS: orUnset(z.string().optional()),
  /** Where the broker that is started listens: beyond loopback by TLS only. */
  SKBUS_NATS_HOST: orUnset(z.string().default('127.0.0.1')),
  /** What the owner of a broker elsewhere has made for us ("skbus admit"): credentials for each service, and its certificate. */
  SKBUS_NATS_KEYS: orUnset(z.string().optional()),
  /** The certificate to trust of a broker behind tls://. */
  SKBUS_NATS_CA: orUnset(z.string().optional()),
  /** The run folder of the stack on this machine whose broker that is. */
  SKBUS_NATS_HOME: orUnset(z.string().optional()),
  SKBUS_NATS_PORT: orUnset(port.default(0)),
  SKBUS_API_HOST: orUnset(z.string().default('127.0.0.1')),
  /** What a client must know; else it is read from the file, which is made if it is not there. */
  SKBUS_API_TOKEN: orUnset(z.string().optional()),
  SKBUS_API_TOKEN_FILE: orUnset(z.string().optional()),
  /** `self`: a self-made certificate; `outside`: whoever publishes the port keeps it from other machines. */
  SKBUS_API_TLS: orUnset(z.enum(['none', 'self', 'outside']).optional()),
  SKBUS_API_CERT: orUnset(z.string().optional()),
  SKBUS_API_KEY: orUnset(z.string().optional()),
  /** Requests a second from one address; 0: no bound. */
  SKBUS_API_RATE: orUnset(z.coerce.number('must be a number').int().min(0).max(1_000_000).default(500)),
  SKBUS_API_PORT: orUnset(port.default(7070)),
  SKBUS_SOCKS_PORT: orUnset(port.default(1080)),
  SKBUS_HTTP_PROXY_PORT: orUnset(port.default(0)),
  /** Of each door: how many connections at once, and how many of them half-open. */
  SKBUS_DOOR_CONNECTIONS: orUnset(limit.optional()),
  SKBUS_DOOR_HALF_OPEN: orUnset(limit.optional()),
  SKBUS_NIC_BACKEND: orUnset(z.enum(['auto', 'tap', 'wire', 'udp']).default('auto')),
  SKBUS_NIC_OFFLOAD: orUnset(z.enum(['on', 'off']).default('on')),
  SKBUS_NIC_UDP_LOCAL: orUnset(z.string().optional()),
  SKBUS_NIC_UDP_PEER: orUnset(z.string().optional()),
  SKBUS_NIC_CABLE: orUnset(z.string().regex(name, 'must be 1 to 32 of a–z, 0–9, _ and -').default('lan')),
  /** `host`, or the name of a network namespace for the TAP's kernel end. */
  SKBUS_PEER_NETNS: orUnset(
    z
      .string()
      .regex(/^[\w.-]{1,64}$/, 'must be a name of letters, digits, _ . and -, or host')
      .optional(),
  ),
  /** Appended to the kernel command line. */
  SKBUS_APPEND: orUnset(z.string().default('')),
  /** Seconds after which a layer that does not answer is killed and replaced; 0: it is only reported. */
  SKBUS_HANG_KILL: orUnset(z.coerce.number('must be a number of seconds').min(0).max(3600).default(10)),
  /** A warm process that becomes whatever layer dies. */
  SKBUS_SPARE: orUnset(z.enum(['on', 'off']).default('on')),
  SKBUS_DEMO: orUnset(z.enum(['on', 'off']).default('on')),
  SKBUS_LOG_LEVEL: orUnset(z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info')),
});

export type SpawnMode = 'processes' | 'inproc' | 'none';
export type Backend = 'tap' | 'wire' | 'udp';

export interface OrchestratorConfig {
  stack: string;
  runDir: string;
  spawn: SpawnMode;
  natsUrl: string | undefined;
  natsCreds: string | undefined;
  natsHost: string;
  natsKeys: string | undefined;
  natsCa: string | undefined;
  natsHome: string | undefined;
  natsPort: number;
  apiHost: string;
  apiToken: string | undefined;
  apiTokenFile: string | undefined;
  apiTls: 'none' | 'self' | 'files' | 'outside';
  apiCert: string | undefined;
  apiKey: string | undefined;
  apiRatePerS: number;
  apiPort: number;
  socksPort: number;
  httpProxyPort: number;
  /** undefined: as the socket service has it. */
  doorConnections: number | undefined;
  doorHalfOpen: number | undefined;
  backend: Backend | 'auto';
  offload: boolean;
  udpLocal: string;
  udpPeer: string;
  cable: string;
  peerNetns: string;
  cmdline: Cmdline;
  hangKillMs: number;
  spare: boolean;
  demo: boolean;
  logLevel: string;
}

/** Throws ConfigError naming the variable. */
export function readOrchestratorConfig(env: Record<string, string | undefined>): OrchestratorConfig {
  const r = schema.safeParse(env);
  if (!r.success) {
    const first = r.error.issues[0]!;
    throw new ConfigError(`${first.path.join('.')} ${first.message}`);
  }
  const c = r.data;
  if (c.SKBUS_NIC_BACKEND === 'udp' && !(c.SKBUS_NIC_UDP_LOCAL && c.SKBUS_NIC_UDP_PEER)) {
    throw new ConfigError(
      'SKBUS_NIC_UDP_LOCAL and SKBUS_NIC_UDP_PEER must name host:port for the udp back end (--udp-local, --udp-peer)',
    );
  }
  if ((c.SKBUS_API_CERT === undefined) !== (c.SKBUS_API_KEY === undefined))
    throw new ConfigError('SKBUS_API_CERT and SKBUS_API_KEY go together (--api-cert, --api-key)');
  const dir = c.SKBUS_RUN_DIR ?? `.run/${c.SKBUS_NETNS}`;
  return {
    stack: c.SKBUS_NETNS,
    runDir: isAbsolute(dir) ? dir : resolve(dir),
    spawn: c.SKBUS_SPAWN,
    natsUrl: c.SKBUS_NATS_URL,
    natsCreds: c.SKBUS_NATS_CREDS,
    natsHost: c.SKBUS_NATS_HOST,
    natsKeys: c.SKBUS_NATS_KEYS,
    natsCa: c.SKBUS_NATS_CA,
    natsHome: c.SKBUS_NATS_HOME,
    natsPort: c.SKBUS_NATS_PORT,
    apiHost: c.SKBUS_API_HOST,
    apiToken: c.SKBUS_API_TOKEN,
    apiTokenFile: c.SKBUS_API_TOKEN_FILE,
    apiTls: c.SKBUS_API_CERT === undefined ? (c.SKBUS_API_TLS ?? 'none') : 'files',
    apiCert: c.SKBUS_API_CERT,
    apiKey: c.SKBUS_API_KEY,
    apiRatePerS: c.SKBUS_API_RATE,
    apiPort: c.SKBUS_API_PORT,
    socksPort: c.SKBUS_SOCKS_PORT,
    httpProxyPort: c.SKBUS_HTTP_PROXY_PORT,
    doorConnections: c.SKBUS_DOOR_CONNECTIONS,
    doorHalfOpen: c.SKBUS_DOOR_HALF_OPEN,
    backend: c.SKBUS_NIC_BACKEND,
    offload: c.SKBUS_NIC_OFFLOAD === 'on',
    udpLocal: c.SKBUS_NIC_UDP_LOCAL ?? '',
    udpPeer: c.SKBUS_NIC_UDP_PEER ?? '',
    cable: c.SKBUS_NIC_CABLE,
    peerNetns: c.SKBUS_PEER_NETNS ?? (c.SKBUS_NETNS === 'a' ? 'skbus-peer' : `skbus-peer-${c.SKBUS_NETNS}`),
    cmdline: cmdlineOf(c.SKBUS_APPEND, '10.77.0.2'),
    hangKillMs: c.SKBUS_HANG_KILL * 1000,
    spare: c.SKBUS_SPARE === 'on',
    demo: c.SKBUS_DEMO === 'on',
    logLevel: c.SKBUS_LOG_LEVEL,
  };
}

/** What is appended comes last and so wins, as on a boot loader's command line. */
export function cmdlineOf(append: string, address: string): Cmdline {
  try {
    const appended = parseCmdline(append);
    const ip = appended.ip ? '' : `ip=${address}::10.77.0.1:255.255.255.0::skb0:off`;
    return parseCmdline([ip, append].filter((s) => s !== '').join(' '));
  } catch (e) {
    if (e instanceof CmdlineError) throw new ConfigError(`--append: ${e.message}`);
    throw e;
  }
}

/** The stack's own address, and what the kernel at the other end of the TAP gets: the gateway's. */
export interface Addressing {
  address: string;
  /** `10.77.0.1/24`; undefined: the command line names no gateway. */
  peerCidr: string | undefined;
  peer: string | undefined;
}

export function addressingOf(cmdline: Cmdline): Addressing | undefined {
  const { ip } = cmdline;
  if (!ip || ip.off || ip.client === undefined) return undefined;
  const mask = ip.netmask ?? maskOf(24);
  const peer = ip.gateway === undefined ? undefined : formatIpv4(ip.gateway);
  return { address: formatIpv4(ip.client), peer, peerCidr: peer && `${peer}/${prefixLenOf(mask)}` };
}

/** A stable locally administered Ethernet address for an IPv4 address: 02:00 and its four bytes. */
export function macFor(address: string): string {
  const a = parseIpv4(address) ?? 0;
  const bytes = [0x02, 0x00, a >>> 24, (a >>> 16) & 255, (a >>> 8) & 255, a & 255];
  return bytes.map((b) => b.toString(16).padStart(2, '0')).join(':');
}

function prefixLenOf(mask: Ipv4Addr): number {
  let n = 0;
  while (n < 32 && (mask >>> (31 - n)) & 1) n++;
  return n;
}
