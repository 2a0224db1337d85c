import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Toxiproxy } from 'toxiproxy-node-client';
import { eventually, run, Stack, whyNoTap } from '../support/stack.ts';

// Toxiproxy's published client, a stack and a Linux kernel: proxies out of the stack and into it, and a layer's seam.

const why = whyNoTap();
const suite = why ? describe.skip : describe;

const SERVER = `
require('http').createServer((q, r) => r.end('x'.repeat(50000))).listen(8000, '10.77.0.1', () => console.log('up'));`;

suite('skbus toxiproxy', () => {
  let stack: Stack;
  let serving: ReturnType<Stack['skbusStart']>;
  let toxiproxy: Toxiproxy;

  beforeAll(async () => {
    stack = await Stack.up('e2e-toxi');
    serving = stack.skbusStart('toxiproxy', '--port', '0');
    let said = '';
    serving.stderr!.on('data', (d: Buffer) => (said += d.toString()));
    await eventually('the API is there', () => /at (http:\S+)/.test(said));
    toxiproxy = new Toxiproxy(/at (http:\S+)/.exec(said)![1]!);
    const web = stack.peerStart(process.execPath, '-e', SERVER);
    await once(web.stdout!, 'data');
  }, 90_000);
  afterAll(async () => {
    await stack?.down();
  }, 30_000);

  const curl = async (url: string): Promise<{ code: number | null; bytes: number; seconds: number }> => {
    const r = await run('curl', ['-s', '-o', '/dev/null', '-w', '%{size_download} %{time_total}', url]);
    const [bytes, seconds] = r.stdout.split(' ').map(Number);
    return { code: r.code, bytes: bytes!, seconds: seconds! };
  };

  test('out of the stack: late by the latency, cut at the limit, whole after the reset', async () => {
    const proxy = await toxiproxy.createProxy({ name: 'web', listen: '127.0.0.1:0', upstream: '10.77.0.1:8000' });
    const url = `http://${proxy.listen}/`;
    expect(await curl(url)).toMatchObject({ code: 0, bytes: 50_000 });
    await proxy.addToxic({ type: 'latency', attributes: { latency: 300 } } as never);
    const late = await curl(url);
    expect(late).toMatchObject({ code: 0, bytes: 50_000 });
    expect(late.seconds).toBeGreaterThan(0.3);
    await proxy.addToxic({ type: 'limit_data', attributes: { bytes: 10_000 } } as never);
    const cut = await curl(url);
    expect(cut.code).not.toBe(0);
    expect(cut.bytes).toBeLessThan(10_000);
    await toxiproxy.reset();
    expect(await curl(url)).toMatchObject({ code: 0, bytes: 50_000 });
  }, 30_000);

  test('into the stack, from a listener on its address', async () => {
    const back = await toxiproxy.createProxy({ name: 'back', listen: '127.0.0.1:0', upstream: '10.77.0.1:8000' });
    const into = await toxiproxy.createProxy({ name: 'into', listen: '10.77.0.2:0', upstream: back.listen });
    expect(into.listen).toMatch(/^10\.77\.0\.2:\d+$/);
    const r = await stack.peer('curl', '-sS', `http://${into.listen}/`);
    expect(r.stdout.length).toBe(50_000);
    await into.update({ enabled: false, listen: into.listen, upstream: into.upstream });
    expect((await stack.peer('curl', '-sS', `http://${into.listen}/`)).code).toBe(7);
  }, 30_000);

  test('a toxic of a seam is a fault rule, and gone when the API is', async () => {
    const ids = async (): Promise<string[]> => (await stack.json<{ id: string }[]>('fault', 'ls')).map((r) => r.id);
    const tcp = await toxiproxy.get('seam-tcp');
    await tcp.addToxic({ type: 'latency', attributes: { latency: 200 } } as never);
    expect(await ids()).toEqual(['seam-tcp-latency_downstream']);
    const r = await stack.peer('curl', '-s', '-o', '/dev/null', '-w', '%{time_connect}', 'http://10.77.0.2/');
    // the SYN comes late
    expect(Number(r.stdout)).toBeGreaterThan(0.19);
    const rule = (await stack.json<{ matched: number }[]>('fault', 'ls'))[0]!;
    expect(rule.matched).toBeGreaterThan(0);
    serving.kill('SIGTERM');
    await once(serving, 'exit');
    expect(serving.exitCode).toBe(0);
    expect(await ids()).toEqual([]);
  }, 30_000);
});
