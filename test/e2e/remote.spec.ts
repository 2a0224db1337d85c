import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { freePort } from '../support/nats-server.ts';
import { root } from '../support/projects.ts';
import { eventually, run, type Result } from '../support/stack.ts';

// The control API as somebody on another machine has it: a URL, a copy of the token and one of the certificate.

const CLI = join(root, 'tools/skbus.mjs');
const dir = mkdtempSync(join(tmpdir(), 'skbus-remote-'));
const elsewhere = { SKBUS_RUN_ROOT: join(dir, 'elsewhere'), SKBUS_STACK: '', SKBUS_API: '' };
const here = { SKBUS_RUN_ROOT: join(dir, 'run'), SKBUS_STACK: 'r', SKBUS_API: '' };
const token = join(dir, 'token');
const ca = join(dir, 'ca.pem');
let url: string;
let started: Result;

const skbus = (env: Record<string, string>, ...args: string[]): Promise<Result> =>
  run(process.execPath, [CLI, ...args], { env, timeoutMs: 60_000 });
const up = (...args: string[]): Promise<Result> =>
  skbus(here, 'up', '-d', '--inproc', '--nic', 'wire', '--stack', 'r', '--socks-port', '0', ...args);

beforeAll(async () => {
  const port = await freePort();
  url = `https://127.0.0.1:${port}`;
  started = await up('--api-host', '0.0.0.0', '--api-tls', '--api-port', String(port));
  copyFileSync(join(dir, 'run/r/api-token'), token);
  copyFileSync(join(dir, 'run/r/api-cert.pem'), ca);
}, 60_000);
afterAll(async () => {
  await skbus(here, 'down');
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

describe('the control API from elsewhere', () => {
  test('up says how to get in, and not the token', () => {
    expect(started.code).toBe(0);
    expect(started.stderr).toMatch(
      /skbus --api https:\/\/\S+ --token-file \S+\/api-token --ca \S+\/api-cert.pem status/,
    );
    expect(started.stderr).not.toContain(readFileSync(token, 'utf8').trim());
  });

  test('with options before or behind the command, with variables, and on the machine itself without any', async () => {
    const options = ['--api', url, '--token-file', token, '--ca', ca];
    const variables = { ...elsewhere, SKBUS_API: url, SKBUS_TOKEN_FILE: token, SKBUS_CA: ca };
    for (const r of [
      await skbus(elsewhere, ...options, 'status'),
      await skbus(elsewhere, 'status', ...options),
      await skbus(variables, 'status'),
      await skbus({ ...variables, SKBUS_TOKEN_FILE: '', SKBUS_TOKEN: readFileSync(token, 'utf8').trim() }, 'status'),
      await skbus(here, 'status'),
    ])
      expect([r.code, r.stderr, r.stdout]).toEqual([0, '', expect.stringContaining('stack r  running')]);
    expect((await skbus(elsewhere, ...options, 'ip', 'route')).stdout).toContain('10.77.0.0/24 dev skb0');
  });

  test('what follows a log or a trace works, too', async () => {
    const child = spawn(
      process.execPath,
      [CLI, '--api', url, '--token-file', token, '--ca', ca, 'trace', '-c', '3', '--format', 'json'],
      { env: { ...process.env, ...elsewhere }, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let out = '';
    child.stdout.on('data', (d: Buffer) => (out += d.toString()));
    const done = new Promise<number | null>((resolve) => child.once('exit', resolve));
    const poke = setInterval(() => void skbus(here, 'ping', '-c', '1', '-W', '1', '10.77.0.2'), 1_000);
    expect(await done).toBe(0);
    clearInterval(poke);
    expect(out.trim().split('\n').length).toBe(3);
  });

  test.each([
    [() => ['--api', url, '--ca', ca], /^skbus: the control API wants a token: skbus --token-file FILE, or /],
    [() => ['--api', url, '--ca', ca, '--token-file', ca], /ca\.pem holds no token: that is one word\n$/],
    [
      () => ['--api', url, '--token-file', token],
      /is signed by nobody known here: give the stack's own with --ca FILE\n$/,
    ],
    [
      () => ['--api', url.replace('https', 'http'), '--token-file', token],
      /^skbus: the control API at http:\S+ does not answer: .*perhaps it wants https\n$/,
    ],
    [
      () => ['--api', 'http://10.1.2.3:7070', '--token-file', token],
      /would carry the token in the clear: use https\n$/,
    ],
    [() => ['--api', url, '--ca', join(dir, 'none')], /^skbus: cannot read the certificate of the control API: ENOENT/],
    [() => ['--api', url, '--ca', token], /token holds no certificate \(PEM\)\n$/],
    [() => ['--api', 'nonsense'], /^skbus: --api \(SKBUS_API\): nonsense is no URL such as https:/],
  ])('mistakes are one sentence: %#', async (options, why) => {
    const r = await skbus(elsewhere, ...options(), 'status');
    expect(r.stderr).toMatch(why);
    expect(r.stderr.trim().split('\n').length).toBe(1);
    expect(r.code).toBeGreaterThan(0);
  });

  test('a wrong token', async () => {
    const wrong = join(dir, 'wrong');
    writeFileSync(wrong, 'not-the-right-token-at-all\n');
    const r = await skbus(elsewhere, '--api', url, '--ca', ca, '--token-file', wrong, 'status');
    expect(r.stderr).toMatch(/^skbus: this is not the token of the control API/);
  });

  test.each([
    [['--api-host', '0.0.0.0'], 'takes TLS: add --api-tls'],
    [['--api-host', '0.0.0.0', '--api-cert', 'x'], '--api-cert and --api-key go together'],
    [['--api-host', '0.0.0.0', '--api-cert', 'x', '--api-key', 'y', '--api-tls'], '--api-tls makes a certificate'],
    [['--api-host', '203.0.113.77', '--api-tls'], 'nobody can listen on 203.0.113.77 here'],
  ])('up %j: refused', async (args, why) => {
    const r = await skbus(
      { ...here, SKBUS_STACK: 's' },
      'up',
      '-d',
      '--inproc',
      '--nic',
      'wire',
      '--stack',
      's',
      '--socks-port',
      '0',
      ...args,
    );
    expect(r.stderr).toContain(why);
    expect(r.code).toBeGreaterThan(0);
  });

  test('peer is for the machine of the stack; down is for the one that is named', async () => {
    const options = ['--api', url, '--token-file', token, '--ca', ca];
    const peer = await skbus(elsewhere, ...options, 'peer', '--', 'true');
    expect(peer).toMatchObject({ code: 1, stderr: expect.stringMatching(/is on the machine of the stack/) });
    expect(await skbus(elsewhere, ...options, 'down')).toMatchObject({
      code: 0,
      stderr: `skbus: the stack of ${url} goes down\n`,
    });
    await eventually('the stack to be gone', async () => (await skbus(here, 'status')).code === 1);
  });
});
