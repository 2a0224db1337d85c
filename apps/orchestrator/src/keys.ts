import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureToken, ensureUsers, natsConfig } from '@skbus/bus';

/**
 * Makes, for a stack of containers, what must not be in an image or a repository: each service's credentials, each in a folder of
 * its own (a volume that only that service mounts), the token of the control
 * API, and the broker's configuration with the public halves. Runs before the broker; what is there already stays.
 *
 * `keys.js STACK DIR [UID]`: DIR/tcp/creds … DIR/orchestrator/api-token, DIR/nats/nats.conf
 */
const [stack = '', dir = '', uid = ''] = process.argv.slice(2);
if (!/^[a-z0-9_-]{1,32}$/.test(stack) || dir === '') {
  process.stderr.write('usage: keys.js STACK DIR [UID]; STACK is 1 to 32 of a–z, 0–9, _ and -\n');
  process.exit(2);
}
const folder = (user: string): string => {
  const d = join(dir, user);
  mkdirSync(d, { recursive: true });
  return d;
};
try {
  const users = ensureUsers(stack, (user) => join(folder(user), 'creds'), uid === '' ? undefined : Number(uid));
  const token = join(folder('orchestrator'), 'api-token');
  ensureToken(token);
  if (uid !== '') chownSync(token, Number(uid), Number(uid));
  writeFileSync(
    join(folder('nats'), 'nats.conf'),
    natsConfig({
      listen: '0.0.0.0:4222',
      http: '127.0.0.1:8222',
      name: `skbus-${stack}`,
      storeDir: '/data',
      users,
    }),
    { mode: 0o644 },
  );
} catch (e) {
  process.stderr.write(`skbus-keys: ${(e as Error).message}\n`);
  process.exit(1);
}
