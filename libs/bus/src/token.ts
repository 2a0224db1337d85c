import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { CredentialsError } from './credentials.ts';

/** The word in a file that nobody else can read; made if the file is not there. Throws CredentialsError with one sentence. */
export function ensureToken(file: string): string {
  try {
    // Looked for before: in a container the folder may be read-only.
    if (!existsSync(file))
      writeFileSync(file, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (e) {
    throw new CredentialsError(`cannot write the API token ${file}: ${(e as Error).message}`);
  }
  try {
    if ((statSync(file).mode & 0o077) === 0) return readFileSync(file, 'utf8').trim();
  } catch (e) {
    throw new CredentialsError(`cannot read the API token ${file}: ${(e as Error).message}`);
  }
  throw new CredentialsError(`others can read the API token ${file}: chmod 600 ${file}`);
}
