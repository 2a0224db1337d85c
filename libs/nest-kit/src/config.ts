import { LAYERS } from '@skbus/contracts';
import { z } from 'zod';

/** What a service is told by its environment. Everything else comes with the initcalls or from the KV store. */
const schema = z.object({
  /** Stack name: the netns token of every subject. */
  SKBUS_NETNS: z
    .string()
    .regex(/^[a-z0-9_-]{1,32}$/, 'must be 1 to 32 of a–z, 0–9, _ and -')
    .default('a'),
  SKBUS_NATS_URL: z
    .string()
    .regex(/^(nats|tls):\/\//, 'must look like nats://127.0.0.1:4222')
    .default('nats://127.0.0.1:4222'),
  /** The file with this service's credentials for the broker; none: the broker does not ask. */
  SKBUS_NATS_CREDS: z.string().optional(),
  /** The certificate to trust of a broker behind tls://. */
  SKBUS_NATS_CA: z.string().optional(),
  /** Folder for sockets and pid files of this stack. */
  SKBUS_RUN_DIR: z.string().min(1).default('.run/a'),
  /** Port of the health endpoint on loopback; 0: none. */
  SKBUS_HEALTH_PORT: z.coerce.number().int().min(0).max(65535).default(0),
  SKBUS_HEALTH_HOST: z.string().default('127.0.0.1'),
  SKBUS_LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export interface ServiceConfig {
  netns: string;
  natsUrl: string;
  natsCreds: string | undefined;
  natsCa: string | undefined;
  runDir: string;
  healthPort: number;
  healthHost: string;
  logLevel: string;
  /** All of the environment, for the options of one layer. */
  env: Record<string, string | undefined>;
}

export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** Throws ConfigError naming the variable. */
export function readConfig(env: Record<string, string | undefined>): ServiceConfig {
  const r = schema.safeParse(env);
  if (!r.success) {
    const first = r.error.issues[0]!;
    throw new ConfigError(`${first.path.join('.')} ${first.message} (services of a stack: ${LAYERS.join(', ')})`);
  }
  const c = r.data;
  return {
    netns: c.SKBUS_NETNS,
    natsUrl: c.SKBUS_NATS_URL,
    natsCreds: c.SKBUS_NATS_CREDS || undefined,
    natsCa: c.SKBUS_NATS_CA || undefined,
    runDir: c.SKBUS_RUN_DIR,
    healthPort: c.SKBUS_HEALTH_PORT,
    healthHost: c.SKBUS_HEALTH_HOST,
    logLevel: c.SKBUS_LOG_LEVEL,
    env,
  };
}
