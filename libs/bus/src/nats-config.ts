import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCredentials, publicKeyOf, readCredentials } from './credentials.ts';
import { LAYERS, observerPermissions, permissionsOf, type Permissions, type Service } from '@skbus/contracts';

/** Everybody who has credentials of their own: the services, and one who only listens. */
export const BUS_USERS = [...LAYERS, 'orchestrator', 'observer'] as const;
export type BusUser = (typeof BUS_USERS)[number];

export interface NatsConfig {
  /** host:port */
  listen: string;
  /** host:port of the monitor; absent: none. */
  http?: string;
  name: string;
  storeDir: string;
  users: readonly NatsUser[];
  /** Files with the certificate and its key: clients come by TLS or not at all. */
  tls?: { cert: string; key: string } | undefined;
}

export interface NatsUser {
  publicKey: string;
  comment: string;
  permissions: Permissions;
}

/**
 * Makes sure that each user of a stack has a file with credentials, readable for its owner alone, and says what the broker
 * must know of them. `fileOf` may put each into a folder of its own; `uid`: who shall own them.
 */
export function ensureUsers(netns: string, fileOf: (user: BusUser) => string, uid?: number): NatsUser[] {
  return BUS_USERS.map((user) => {
    const file = fileOf(user);
    if (!existsSync(file)) {
      writeFileSync(file, makeCredentials(netns, user).file, { mode: 0o600, flag: 'wx' });
      // As long as it is ours: who may give files away (CAP_CHOWN) may not change those of others (CAP_FOWNER).
      chmodSync(file, 0o400);
      // The nic runs as root, without the capability to read other people's files.
      if (uid !== undefined && user !== 'nic') chownSync(file, uid, uid);
    }
    const permissions = user === 'observer' ? observerPermissions(netns) : permissionsOf(netns, user as Service);
    return { publicKey: publicKeyOf(readCredentials(file)), comment: `${netns} ${user}`, permissions };
  });
}

/** Where the credentials of one stack's services are: `creds/tcp` in its run folder. */
export const credentialsIn = (runDir: string) => (user: BusUser) => join(runDir, 'creds', user);

/** Makes the credentials of a stack in its run folder. */
export function ensureUsersIn(netns: string, runDir: string): NatsUser[] {
  mkdirSync(join(runDir, 'creds'), { recursive: true, mode: 0o700 });
  return ensureUsers(netns, credentialsIn(runDir));
}

const CONF = 'nats.conf';
const PLAN = 'nats.json';

/** Writes a broker's configuration into its run folder, and what it takes to write it again; returns the file's path. */
export function writeNatsConfig(home: string, config: NatsConfig): string {
  writeFileSync(join(home, PLAN), JSON.stringify(config), { mode: 0o600 });
  writeFileSync(join(home, CONF), natsConfig(config), { mode: 0o600 });
  return join(home, CONF);
}

/** Lets the users of another stack in on the broker of `home`, which has to be told by SIGHUP. */
export function admitUsers(home: string, netns: string, users: readonly NatsUser[]): void {
  const config = JSON.parse(readFileSync(join(home, PLAN), 'utf8')) as NatsConfig;
  const others = config.users.filter((u) => !u.comment.startsWith(`${netns} `));
  writeNatsConfig(home, { ...config, users: [...others, ...users] });
}

/** The text of nats-server's configuration file. */
export function natsConfig(c: NatsConfig): string {
  return `# Written by skbus up.
server_name: ${JSON.stringify(c.name)}
listen: ${JSON.stringify(c.listen)}
${c.http === undefined ? '' : `http: ${JSON.stringify(c.http)}\n`}${tlsText(c.tls)}max_payload: 8MB
max_pending: 64MB
write_deadline: "10s"
jetstream {
  store_dir: ${JSON.stringify(c.storeDir)}
  max_memory_store: 16MB
  max_file_store: 256MB
}
accounts {
  skbus {
    jetstream: enabled
    users: [
${c.users.map(userText).join('\n')}
    ]
  }
}
`;
}

const tlsText = (tls: NatsConfig['tls']): string =>
  tls === undefined
    ? ''
    : `tls {
  cert_file: ${JSON.stringify(tls.cert)}
  key_file: ${JSON.stringify(tls.key)}
  timeout: 5
}
`;

function userText(u: NatsUser): string {
  const list = (subjects: readonly string[]): string =>
    subjects.length === 0 ? '{ deny: [">"] }' : `{ allow: [${subjects.map((s) => JSON.stringify(s)).join(', ')}] }`;
  const { publish, subscribe } = u.permissions;
  return `      # ${u.comment}
      { nkey: ${u.publicKey}, permissions: { publish: ${list(publish)}, subscribe: ${list(subscribe)}, allow_responses: true } }`;
}
