import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensureUsersIn, type NatsUser } from '@skbus/bus';
import type { RunFolder } from './run-folder.ts';

/** The broker's certificate in its run folder, and the copy that a guest is given. */
export const NATS_CERT = 'nats-cert.pem';
export const GUEST_CA = 'ca.pem';

const NAME = /^[a-z0-9_-]{1,32}$/;

/** What a stack on another machine needs to join the cable of this one: `guests/<stack>`, to be carried there. */
export function makeGuest(home: RunFolder, stack: string): { dir: string; users: NatsUser[] } {
  const dir = home.path(join('guests', stack));
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  copyFileSync(home.path(NATS_CERT), join(dir, GUEST_CA));
  return { dir, users: ensureUsersIn(stack, dir) };
}

/** Whom the broker lets in besides its own: those who were admitted in an earlier run, too. */
export function guestsOf(home: RunFolder): NatsUser[] {
  const all = home.path('guests');
  const names = existsSync(all) ? readdirSync(all).filter((n) => NAME.test(n)) : [];
  return names.flatMap((n) => ensureUsersIn(n, join(all, n)));
}
