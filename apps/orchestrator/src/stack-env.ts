import type { Layer } from '@skbus/contracts';
import { macFor, type Addressing, type Backend, type OrchestratorConfig } from './config.ts';
import { netnsPath } from './iproute2.ts';
import { credentialsIn } from '@skbus/bus';

/** What is decided when a stack starts. */
export interface StackPlan {
  stack: string;
  backend: Backend;
  addressing: Addressing | undefined;
  /** '' with the wire and udp back ends, and for `--peer-netns host`. */
  peerNetns: string;
  /** The TAP's name at the kernel's end. */
  kernelIfname: string;
  apiPort: number;
  socksPort: number;
  httpProxyPort: number;
  runDir: string;
  sock: string;
  natsUrl: string;
  /** Where each service's credentials for the broker are; undefined: it does not ask. */
  natsKeys: string | undefined;
  /** The certificate to trust of a broker behind tls://. */
  natsCa: string | undefined;
}

/** The environment of one layer, as libs/nest-kit/README.md says. */
export function layerEnv(c: OrchestratorConfig, p: StackPlan, layer: Layer | 'demo'): Record<string, string> {
  const env: Record<string, string> = {
    SKBUS_NETNS: p.stack,
    SKBUS_NATS_URL: p.natsUrl || 'nats://127.0.0.1:4222',
    SKBUS_RUN_DIR: p.runDir,
    SKBUS_LOG_LEVEL: c.logLevel,
    SKBUS_HEALTH_PORT: '0',
  };
  if (p.natsKeys !== undefined && layer !== 'demo') env.SKBUS_NATS_CREDS = credentialsIn(p.natsKeys)(layer);
  if (p.natsCa !== undefined) env.SKBUS_NATS_CA = p.natsCa;
  if (layer === 'nic') Object.assign(env, nicEnv(c, p));
  if (layer === 'socket') {
    env.SKBUS_SOCK = p.sock;
    env.SKBUS_SOCKS_PORT = String(p.socksPort);
    env.SKBUS_HTTP_PROXY_PORT = String(p.httpProxyPort);
    if (c.doorConnections !== undefined) env.SKBUS_DOOR_CONNECTIONS = String(c.doorConnections);
    if (c.doorHalfOpen !== undefined) env.SKBUS_DOOR_HALF_OPEN = String(c.doorHalfOpen);
  }
  if (layer === 'demo') {
    env.SKBUS_SOCK = p.sock;
    if (p.addressing) env.SKBUS_ADDRESS = p.addressing.address;
  }
  return env;
}

function nicEnv(c: OrchestratorConfig, p: StackPlan): Record<string, string> {
  const env: Record<string, string> = {
    SKBUS_NIC_BACKEND: p.backend,
    SKBUS_NIC_IFNAME: 'skb0',
    SKBUS_NIC_OFFLOAD: c.offload ? 'on' : 'off',
  };
  if (p.addressing) env.SKBUS_NIC_MAC = macFor(p.addressing.address);
  if (p.backend === 'tap') {
    env.SKBUS_NIC_KERNEL_IFNAME = p.kernelIfname;
    env.SKBUS_NIC_NETNS = p.peerNetns === '' ? '' : netnsPath(p.peerNetns);
  } else if (p.backend === 'udp') {
    env.SKBUS_NIC_UDP_LOCAL = c.udpLocal;
    env.SKBUS_NIC_UDP_PEER = c.udpPeer;
  } else env.SKBUS_NIC_CABLE = c.cable;
  return env;
}

/** `skbus-a`, at most 15 characters. */
export const kernelIfnameFor = (stack: string): string => `skbus-${stack}`.slice(0, 15);
