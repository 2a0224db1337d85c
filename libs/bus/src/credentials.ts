import { readFileSync } from 'node:fs';
import { nkeys } from '@nats-io/transport-node';

/** Who a bus user is, and the seed of its nkey (Ed25519): whoever has the seed is that user. */
export interface Credentials {
  netns: string;
  service: string;
  seed: Uint8Array;
}

export class CredentialsError extends Error {
  override name = 'CredentialsError';
}

/** A new key pair: what goes into the user's file, and the public key for the broker's configuration. */
export function makeCredentials(netns: string, service: string): { file: string; publicKey: string } {
  const user = nkeys.createUser();
  const seed = new TextDecoder().decode(user.getSeed());
  return { file: `# skbus ${netns} ${service}\n${seed}\n`, publicKey: user.getPublicKey() };
}

/** The user's public key, for the broker's configuration. */
export const publicKeyOf = (c: Credentials): string => nkeys.fromSeed(c.seed).getPublicKey();

/** Throws CredentialsError with one sentence. */
export function readCredentials(path: string): Credentials {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (e) {
    throw new CredentialsError(
      `cannot read the bus credentials ${path}: ${(e as Error).message}; "skbus up" makes them, in compose the keys service`,
    );
  }
  const m = /^# skbus (\S+) (\S+)\n(SU[A-Z2-7]{56})\s*$/.exec(text);
  if (!m)
    throw new CredentialsError(
      `${path} holds no bus credentials (a comment line "# skbus STACK SERVICE" and an nkey seed)`,
    );
  const seed = new TextEncoder().encode(m[3]!);
  try {
    nkeys.fromSeed(seed);
  } catch {
    throw new CredentialsError(`${path}: the nkey seed is damaged`);
  }
  return { netns: m[1]!, service: m[2]!, seed };
}

/** Credentials for exactly this service; throws CredentialsError when they are another's. */
export function credentialsFor(path: string, netns: string, service: string): Credentials {
  const c = readCredentials(path);
  if (c.netns === netns && c.service === service) return c;
  throw new CredentialsError(
    `${path} holds the bus credentials of ${c.service} of stack ${c.netns}, not of ${service} of stack ${netns}`,
  );
}
