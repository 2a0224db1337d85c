import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { demoBytes, demoSha256 } from './bytes.ts';
import { createDemoHttp } from './http.ts';
import { chargen, daytime } from './small-services.ts';

const http = createDemoHttp();
let base: string;

beforeAll(async () => {
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  base = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
});
afterAll(() => {
  http.closeAllConnections();
  http.close();
});

describe('the web pages', () => {
  test.each([0, 1, 65_536, 1_000_003])('/bytes/%d are the bytes one can make again', async (n) => {
    const r = await fetch(`${base}/bytes/${n}`);
    expect(r.headers.get('content-length')).toBe(String(n));
    const got = Buffer.from(await r.arrayBuffer());
    expect(got).toHaveLength(n);
    expect(createHash('sha256').update(got).digest('hex')).toBe(demoSha256(n));
  });

  test('byte i is what the page says', () => {
    const all = Buffer.concat([...demoBytes(200_000)]);
    for (const i of [0, 1, 255, 256, 65_535, 65_536, 199_999]) {
      const j = i & 65_535;
      expect(all[i]).toBe((j * 131 + (j >> 8) * 17) & 255);
    }
  });

  test.each(['POST', 'PUT'])('%s /sink counts and hashes', async (method) => {
    const body = Buffer.concat([...demoBytes(300_001)]);
    const r = await fetch(`${base}/sink`, { method, body });
    expect(await r.json()).toEqual({ bytes: 300_001, sha256: demoSha256(300_001) });
  });

  test.each([
    ['/', 'GET', 200],
    ['/nothing', 'GET', 404],
    ['/bytes/x', 'GET', 400],
    ['/bytes/-1', 'GET', 400],
    ['/bytes/', 'GET', 400],
    ['/bytes/99999999999999', 'GET', 400],
    ['/sink', 'GET', 405],
    ['/', 'DELETE', 405],
    ['/bytes/5', 'HEAD', 200],
  ])('%s %s: %d', async (path, method, status) => {
    expect((await fetch(base + path, { method })).status).toBe(status);
  });
});

describe('small services', () => {
  test('chargen: 72 characters a line, each line one further, and it waits for its reader', async () => {
    const c = new PassThrough({ highWaterMark: 1000 });
    chargen(c);
    c.pause();
    const got: Buffer[] = [];
    let bytes = 0;
    for await (const d of c) {
      got.push(d as Buffer);
      bytes += (d as Buffer).length;
      if (bytes > 20_000) break;
    }
    const lines = Buffer.concat(got).toString().split('\r\n');
    expect(lines[0]).toBe(String.fromCharCode(...Array.from({ length: 72 }, (_, i) => 32 + i)));
    expect(lines[1]).toBe(lines[0]!.slice(1) + String.fromCharCode(32 + 72));
    expect(lines[95]).toBe(lines[0]);
  });

  test('daytime says when and hangs up', async () => {
    const server = createServer(daytime).listen(0);
    await once(server, 'listening');
    const { connect } = await import('node:net');
    let text = '';
    for await (const d of connect((server.address() as AddressInfo).port)) text += String(d);
    expect(Date.parse(text.trim())).toBeGreaterThan(0);
    server.close();
  });
});
