import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, test } from '@jest/globals';
import { ensureCertificate, makeCertificate } from './certificate.ts';

const DAY_MS = 86_400_000;

test('a self-made certificate says for whom it is, until when, and belongs to its key', () => {
  const now = Date.UTC(2026, 10, 22, 12);
  const { cert, key } = makeCertificate('skbus a', ['localhost', '127.0.0.1', 'fe80::1:2', '::1'], now);
  const x = new X509Certificate(cert);
  expect(x.subject).toBe('CN=skbus a');
  expect(x.ca).toBe(true);
  expect(x.subjectAltName).toBe(
    'DNS:localhost, IP Address:127.0.0.1, IP Address:FE80:0:0:0:0:0:1:2, IP Address:0:0:0:0:0:0:0:1',
  );
  expect(Date.parse(x.validTo)).toBe(now + 365 * DAY_MS);
  expect(x.checkPrivateKey(createPrivateKey(key))).toBe(true);
  expect(x.verify(x.publicKey)).toBe(true);
  expect(new X509Certificate(makeCertificate('x', ['a'], Date.UTC(2055, 1, 1)).cert).validTo).toMatch(/2056/);
});

test('TLS: with the certificate as authority a client is content, without or for another name it is not', async () => {
  const { cert, key } = makeCertificate('skbus a', ['127.0.0.1'], Date.now());
  const server = createServer({ cert, key }, (s) => s.on('error', () => {}).end('hello')).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => {});
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const read = async (s: TLSSocket): Promise<string> => {
    let text = '';
    for await (const d of s) text += String(d);
    return text;
  };
  await expect(read(connect({ port, host: '127.0.0.1', ca: cert }))).resolves.toBe('hello');
  await expect(read(connect({ port, host: '127.0.0.1' }))).rejects.toMatchObject({
    code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
  });
  await expect(read(connect({ port, host: '127.0.0.1', ca: cert, servername: 'b.example' }))).rejects.toMatchObject({
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  });
  server.close();
});

test('the same one stays until it runs out or another name is wanted', () => {
  const dir = mkdtempSync(join(tmpdir(), 'skbus-cert-'));
  const files = { cert: join(dir, 'c.pem'), key: join(dir, 'k.pem') };
  const now = Date.now();
  const first = ensureCertificate(files, 'x', ['localhost'], now);
  expect(statSync(files.key).mode & 0o777).toBe(0o600);
  expect(ensureCertificate(files, 'x', ['localhost'], now + DAY_MS)).toEqual(first);
  const second = ensureCertificate(files, 'x', ['localhost', '10.1.2.3'], now);
  expect(second).not.toEqual(first);
  expect(ensureCertificate(files, 'x', ['localhost'], now)).toEqual(second);
  expect(ensureCertificate(files, 'x', ['localhost'], now + 340 * DAY_MS)).not.toEqual(second);
  rmSync(dir, { recursive: true, force: true });
});
