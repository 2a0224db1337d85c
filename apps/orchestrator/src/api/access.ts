import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { isIP } from 'node:net';
import { ensureCertificate, ensureToken, type Certificate } from '@skbus/bus';
import { ConfigError } from '@skbus/nest-kit';
import type { OrchestratorConfig } from '../config.ts';
import type { RunFolder } from '../run-folder.ts';

/** How the control API of a stack is reached. */
export interface Access {
  host: string;
  token: string | undefined;
  tls: Certificate | undefined;
  /** For the CLI on this machine; '' where there is none. */
  tokenFile: string;
  caFile: string;
}

const TOKEN_MIN = 16;

/**
 * On loopback whoever has an account may ask. Elsewhere it takes a token, made here unless one is given, and TLS. Throws
 * ConfigError or CredentialsError with one sentence.
 */
export function accessOf(c: OrchestratorConfig, run: RunFolder): Access {
  const { apiHost: host, apiToken, apiTls } = c;
  const local = isLoopback(host);
  if (!local && apiTls === 'none')
    throw new ConfigError(
      `--api-host ${host} is reached from other machines, and that takes TLS: add --api-tls (a self-made certificate) or --api-cert FILE --api-key FILE`,
    );
  const wantsToken = !local || apiTls !== 'none' || c.apiTokenFile !== undefined;
  const tokenFile = c.apiTokenFile ?? run.path('api-token');
  const token = apiToken ?? (wantsToken ? ensureToken(tokenFile) : undefined);
  const tls = apiTls === 'none' || apiTls === 'outside' ? undefined : certificateOf(c, run);
  const caFile = apiTls === 'self' ? selfMade(run).cert : (c.apiCert ?? '');
  return {
    host,
    token: checkedToken(token, apiToken === undefined ? tokenFile : 'SKBUS_API_TOKEN'),
    tls,
    tokenFile: token === undefined || apiToken !== undefined ? '' : tokenFile,
    caFile: tls === undefined ? '' : caFile,
  };
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

function checkedToken(token: string | undefined, where: string): string | undefined {
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
    throw new ConfigError(`${where} holds no API token: one word of at least ${TOKEN_MIN} characters`);
  if (token !== undefined && token.length < TOKEN_MIN)
    throw new ConfigError(`the API token in ${where} is too short: at least ${TOKEN_MIN} characters`);
  return token;
}

const selfMade = (run: RunFolder): { cert: string; key: string } => ({
  cert: run.path('api-cert.pem'),
  key: run.path('api-key.pem'),
});

function certificateOf(c: OrchestratorConfig, run: RunFolder): Certificate {
  if (c.apiTls === 'self') return ensureCertificate(selfMade(run), `skbus ${c.stack}`, namesOf(c.apiHost), Date.now());
  const [certFile, keyFile] = [c.apiCert!, c.apiKey!];
  let given: Certificate;
  try {
    given = { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } catch (e) {
    throw new ConfigError(`--api-cert, --api-key: ${(e as Error).message}`);
  }
  const first = understood(() => new X509Certificate(given.cert), `--api-cert ${certFile} holds no certificate (PEM)`);
  const key = understood(
    () => createPrivateKey(given.key),
    `--api-key ${keyFile} holds no private key (PEM, without a passphrase)`,
  );
  if (!first.checkPrivateKey(key))
    throw new ConfigError(`the key in ${keyFile} is not that of the certificate in ${certFile}`);
  return given;
}

function understood<T>(read: () => T, what: string): T {
  try {
    return read();
  } catch {
    throw new ConfigError(what);
  }
}

/** Under what a client may reach this machine. */
export function namesOf(host: string): string[] {
  const names = new Set(['localhost', '127.0.0.1', '::1']);
  if (isIP(host) === 0) names.add(host);
  if (host === '0.0.0.0' || host === '::') {
    names.add(hostname());
    for (const list of Object.values(networkInterfaces()))
      for (const a of list ?? []) if (!a.address.startsWith('fe80:')) names.add(a.address);
  } else names.add(host);
  return [...names];
}
