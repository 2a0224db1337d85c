import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request, type IncomingHttpHeaders } from 'node:http';
import { request as secure } from 'node:https';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { makeCertificate } from '@skbus/bus';
import type { Orchestrator } from '../orchestrator.ts';
import { inProcess } from '../testing/in-process.ts';
import { LOG_MAX_BYTES } from './guard.ts';
import { RateLimit } from './rate-limit.ts';

let dir: string;
let running: Orchestrator | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'skbus-access-'));
  running = undefined;
});
afterEach(async () => {
  await running?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function start(env: Record<string, string> = {}): Promise<Orchestrator> {
  running = inProcess(dir, env);
  await running.start();
  return running;
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  ca?: string;
  /** Only the beginning of an endless answer. */
  first?: boolean;
}

function ask(
  o: Orchestrator,
  path: string,
  { method = 'GET', headers = {}, body, ca, first }: Asked = {},
): Promise<Answer> {
  const url = new URL(path, o.stacks[0]!.opts.apiUrl());
  const options = {
    method,
    headers,
    agent: false as const,
    servername: 'localhost',
    ...(ca === undefined ? {} : { ca }),
  };
  return new Promise((resolve, reject) => {
    const req = (url.protocol === 'https:' ? secure : request)(url, options, (res) => {
      let text = '';
      const done = (): void => resolve({ status: res.statusCode!, headers: res.headers, text });
      res.on('data', (d: Buffer) => {
        text += d.toString();
        if (!first) return;
        res.destroy();
        done();
      });
      res.on('end', done);
    });
    req.on('error', reject);
    req.end(body);
  });
}

describe('on loopback', () => {
  test('CORS is closed: no other origin, no other name, and no word that would let one in', async () => {
    const o = await start();
    const preflight = { origin: 'http://evil.example', 'access-control-request-method': 'POST' };
    for (const a of [
      await ask(o, '/status', { headers: { origin: 'http://evil.example' } }),
      await ask(o, '/faults', { method: 'OPTIONS', headers: preflight }),
      await ask(o, '/status', { headers: { origin: 'null' } }),
      await ask(o, '/status', { headers: { host: 'rebound.example' } }),
    ]) {
      expect(a.status).toBe(403);
      expect(Object.keys(a.headers).filter((h) => h.startsWith('access-control'))).toEqual([]);
    }
    const { origin } = new URL(o.stacks[0]!.opts.apiUrl());
    expect((await ask(o, '/status', { headers: { origin } })).status).toBe(200);
  });

  test('bodies are bounded, a log may be long, and each one says how long it is', async () => {
    const o = await start();
    const post = (path: string, body: string, headers: Record<string, string> = {}): Promise<Answer> =>
      ask(o, path, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json', 'content-length': String(body.length), ...headers },
      });
    const long = JSON.stringify({ address: 'x'.repeat(300_000) });
    expect(await post('/ping', long)).toMatchObject({ status: 413 });
    expect(
      await post('/faults/replay', JSON.stringify({ rules: [], decisions: [], x: 'x'.repeat(300_000) })),
    ).toMatchObject({
      status: 400,
    });
    const tooLong = { 'content-length': String(LOG_MAX_BYTES + 1) };
    expect(await post('/faults/replay', '', tooLong)).toMatchObject({ status: 413 });
    const chunked = ask(o, '/ping', {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
    });
    expect(await chunked).toMatchObject({ status: 411 });
    expect(o.stacks[0]!.log.since(0).map((r) => r.text)).toContainEqual(
      expect.stringMatching(
        /^skbus: control API: refused 1, the last one from \S+: 413 a body here has at most 262144 bytes$/,
      ),
    );
  });

  test('too many requests are refused for a while', async () => {
    const o = await start({ SKBUS_API_RATE: '1' });
    // Two are let through at once and one more each second, however long these take.
    const all = await Promise.all(Array.from({ length: 40 }, () => ask(o, '/health')));
    const refused = all.filter((r) => r.status === 429);
    expect(all.filter((r) => r.status === 200).length).toBe(40 - refused.length);
    expect(refused[0]?.headers['retry-after']).toBe('1');
  });

  test('a bucket of two seconds’ worth, filled by time', () => {
    let now = 0;
    const limit = new RateLimit(5, () => now);
    const admitted = (): number => Array.from({ length: 20 }, () => limit.admits('a')).filter(Boolean).length;
    expect([admitted(), admitted()]).toEqual([10, 0]);
    now = 400;
    expect([admitted(), limit.admits('b')]).toEqual([2, true]);
    now = 100_000;
    expect(admitted()).toBe(10);
  });

  test('connections are bounded, and the log says who got none', async () => {
    const o = await start();
    const { port } = new URL(o.stacks[0]!.opts.apiUrl());
    const socks = Array.from({ length: 257 }, () => connect(Number(port), '127.0.0.1').on('error', () => {}));
    const closed = (s: Socket): Promise<unknown> => new Promise((r) => s.once('close', r));
    await Promise.race(socks.map(closed));
    expect(socks.filter((s) => s.closed)).toHaveLength(1);
    expect(o.stacks[0]!.log.since(0).map((r) => r.text)).toContain(
      'skbus: control API: refused 1, the last one from 127.0.0.1: 256 connections are open',
    );
    for (const s of socks) s.destroy();
  });

  test('a bucket fills up again, and strangers are not remembered without end', () => {
    let now = 0;
    const r = new RateLimit(10, () => now);
    for (let i = 0; i < 20; i++) expect(r.admits('a')).toBe(true);
    expect(r.admits('a')).toBe(false);
    for (let i = 0; i < 20; i++) expect(r.admits('b')).toBe(true);
    now += 100;
    expect([r.admits('a'), r.admits('a')]).toEqual([true, false]);
    // One who comes under ever new addresses gets the bucket of the oldest.
    r.admits('b');
    r.admits('a');
    for (let i = 0; i < 1022; i++) r.admits(`x${i}`);
    expect(r.admits('y')).toBe(false);
    expect(new RateLimit(0, () => now).admits('a')).toBe(true);
  });
});

describe('elsewhere', () => {
  test.each([
    [
      {},
      /^--api-host 0\.0\.0\.0 is reached from other machines, and that takes TLS: add --api-tls .* or --api-cert FILE --api-key FILE$/,
    ],
    [
      { SKBUS_API_TLS: 'self', SKBUS_API_TOKEN: 'short' },
      /^the API token in SKBUS_API_TOKEN is too short: at least 16/,
    ],
    [
      { SKBUS_API_TLS: 'self', SKBUS_API_TOKEN_FILE: '/nowhere/token' },
      /^cannot write the API token \/nowhere\/token: /,
    ],
    [{ SKBUS_API_CERT: '/nowhere/c', SKBUS_API_KEY: '/nowhere/k' }, /^--api-cert, --api-key: ENOENT/],
    [{ SKBUS_API_CERT: '/nowhere/c' }, /^SKBUS_API_CERT and SKBUS_API_KEY go together/],
  ])('%j: refused', async (env, why) => {
    await expect(start({ SKBUS_API_HOST: '0.0.0.0', ...env })).rejects.toThrow(why);
  });

  test.each([
    ['k', 'k', /^--api-cert \S+ holds no certificate \(PEM\)$/],
    ['c', 'c', /^--api-key \S+ holds no private key \(PEM, without a passphrase\)$/],
    ['c', 'o', /^the key in \S+o is not that of the certificate in \S+c$/],
  ])('the files %s and %s are not a certificate and its key', async (cert, key, why) => {
    const [one, other] = ['a', 'b'].map((name) => makeCertificate(name, ['localhost'], Date.now()));
    const files = { c: one!.cert, k: one!.key, o: other!.key };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    const env = { SKBUS_API_CERT: join(dir, cert), SKBUS_API_KEY: join(dir, key) };
    await expect(start({ SKBUS_API_HOST: '0.0.0.0', ...env })).rejects.toThrow(why);
  });

  test('a token that others can read is none', async () => {
    const file = join(dir, 'token');
    writeFileSync(file, 'a-token-of-some-length\n', { mode: 0o600 });
    chmodSync(file, 0o644);
    await expect(
      start({ SKBUS_API_HOST: '0.0.0.0', SKBUS_API_TLS: 'self', SKBUS_API_TOKEN_FILE: file }),
    ).rejects.toThrow(`others can read the API token ${file}: chmod 600 ${file}`);
  });

  test('a token and TLS, both made when they are wanted; every endpoint asks, streams too; no log has the token', async () => {
    const o = await start({ SKBUS_API_HOST: '0.0.0.0', SKBUS_API_TLS: 'self' });
    const { apiUrl, apiTokenFile, apiCaFile } = o.stacks[0]!.opts;
    expect(apiUrl()).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    expect([apiTokenFile, apiCaFile]).toEqual([join(dir, 'api-token'), join(dir, 'api-cert.pem')]);
    for (const f of ['api-token', 'api-key.pem']) expect(statSync(join(dir, f)).mode & 0o777).toBe(0o600);
    const token = readFileSync(apiTokenFile, 'utf8').trim();
    const ca = readFileSync(apiCaFile, 'utf8');
    const streams = ['/trace', '/dmesg?follow=1', '/faults/log?follow=1'];
    for (const path of ['/status', '/api', '/api-json', '/dmesg', '/nowhere', ...streams]) {
      expect([path, (await ask(o, path, { ca })).status]).toEqual([path, 401]);
      for (const wrong of ['x', `${token}x`, token.slice(1)]) {
        const a = await ask(o, path, { ca, headers: { authorization: `Bearer ${wrong}` } });
        expect([path, a.status, a.headers['www-authenticate']]).toEqual([path, 401, 'Bearer realm="skbus"']);
      }
    }
    const headers = { authorization: `Bearer ${token}` };
    expect(await ask(o, '/status', { ca, headers })).toMatchObject({ status: 200 });
    expect(await ask(o, '/dmesg?follow=1', { ca, headers, first: true })).toMatchObject({ status: 200 });
    // Whoever has the token may come by any name, a page in a browser may not.
    expect(await ask(o, '/status', { ca, headers: { ...headers, host: 'far.example' } })).toMatchObject({
      status: 200,
    });
    expect(await ask(o, '/status', { ca, headers: { ...headers, origin: 'https://evil.example' } })).toMatchObject({
      status: 403,
    });
    expect(await ask(o, '/health', { ca })).toMatchObject({ status: 200 });
    await expect(ask(o, '/status', { headers })).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    expect(JSON.stringify(o.stacks[0]!.log.since(0))).not.toContain(token);
    expect((await ask(o, '/status', { ca, headers })).text).not.toContain(token);
    await o.stop();
    // The same for the next run: copies elsewhere stay good.
    const again = await start({ SKBUS_API_HOST: '0.0.0.0', SKBUS_API_TLS: 'self' });
    expect(await ask(again, '/status', { ca, headers })).toMatchObject({ status: 200 });
  });
});
