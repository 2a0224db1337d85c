import { existsSync } from 'node:fs';
import { admit } from './broker.ts';
import { makeGuest, NATS_CERT } from './guests.ts';
import { RunFolder } from './run-folder.ts';

// `node admit.js RUN_DIR STACK`: lets a stack of another machine in on the broker of this run folder, and prints the folder
// that has to be carried there.

const [dir = '', stack = ''] = process.argv.slice(2);
try {
  const home = new RunFolder(dir);
  if (!existsSync(home.path(NATS_CERT)))
    throw new Error('its broker is for this machine only: start it with "skbus up --nats-host 0.0.0.0"');
  const guest = makeGuest(home, stack);
  admit(home, stack, guest.users);
  process.stdout.write(`${guest.dir}\n`);
} catch (e) {
  process.stderr.write(`${(e as Error).message}\n`);
  process.exit(1);
}
