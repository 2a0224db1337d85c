import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { demoSha256 } from '@skbus/app-demo';
import { stack as testing } from '@skbus/testing';
import { expectConserved } from '../support/conservation.ts';
import { eventually, run, Stack, whyNoTap } from '../support/stack.ts';

const why = whyNoTap();
const suite = why ? describe.skip : describe;

interface RuleView {
  id: string;
  matched: number;
  hits: number;
  held: number;
}

suite('fault rules in a running stack', () => {
  let stack: Stack;
  const pcap = join(tmpdir(), `skbus-fault-${process.pid}.pcap`);
  const logFile = join(tmpdir(), `skbus-fault-${process.pid}.log`);
  beforeAll(async () => {
    stack = await Stack.up('e2e-fault');
  }, 90_000);
  afterAll(async () => {
    await stack?.down();
    rmSync(pcap, { force: true });
    rmSync(logFile, { force: true });
  }, 30_000);
  afterEach(async () => {
    await stack.skbus('fault', 'clear');
  });

  const rules = (): Promise<RuleView[]> => stack.json<RuleView[]>('fault', 'ls');
  const get = (...options: string[]): Promise<{ code: number | null; stdout: string }> =>
    stack.peer('curl', '-sS', '-o', '/dev/null', '-w', '%{http_code} %{time_connect}', ...options, 'http://10.77.0.2/');

  test('the first SYN-ACK and its repetition are dropped at tcp tx: one SYN more, and the rule says so', async () => {
    const capture = stack.peerStart('tcpdump', '--immediate-mode', '-i', 'any', '-U', '-w', pcap, 'tcp port 80');
    let said = '';
    capture.stderr!.on('data', (d: Buffer) => (said += d.toString()));
    await eventually('tcpdump listens', () => said.includes('listening on'));
    const match = 'tcp.flags.syn == 1 && tcp.flags.ack == 1';
    const added = await stack.skbus(
      'fault',
      'add',
      '--id',
      'synack',
      'at',
      'tcp',
      'tx',
      'match',
      match,
      'drop',
      'first',
      '2',
    );
    expect(added.stdout.trim()).toBe(`synack: at tcp tx match '${match}' drop first 2`);
    expect((await get()).stdout).toMatch(/^200 /);
    capture.kill('SIGINT');
    await new Promise((r) => capture.once('exit', r));
    const tshark = await run('tshark', ['-r', pcap, '-Y', 'tcp.flags.syn == 1', '-T', 'fields', '-e', 'tcp.flags.ack']);
    const flags = tshark.stdout.trim().split('\n');
    expect(flags.filter((f) => f === 'False' || f === '0').length).toBe(2);
    expect(await rules()).toMatchObject([{ id: 'synack', hits: 2 }]);
    const log = await stack.json<{ decisions: { rule: string; func: string; what: string; skb: number }[] }>(
      'fault',
      'log',
    );
    expect(log.decisions).toMatchObject(
      [1, 2].map((ordinal) => ({ rule: 'synack', func: 'ip_queue_xmit', ordinal, what: 'drop FAULT_INJECTED' })),
    );
    expect(log.decisions[0]!.skb).toBeGreaterThan(0);
    writeFileSync(logFile, JSON.stringify(log));
  }, 30_000);

  test('a log of that does it again', async () => {
    const replayed = await stack.skbus('fault', 'replay', logFile);
    expect(replayed.stdout.trim()).toContain("script '1: drop FAULT_INJECTED; 2: drop FAULT_INJECTED'");
    expect(Number((await get()).stdout.split(' ')[1])).toBeGreaterThan(0.9);
    expect(await rules()).toMatchObject([{ id: 'synack', hits: 2 }]);
  }, 30_000);

  test('what is held waits until it is released', async () => {
    await stack.skbus('fault', 'add', '--id', 'stop', 'at', 'ip', 'rx', 'match', 'icmp.type == 8', 'hold');
    const ping = stack.peer('ping', '-c', '1', '-W', '10', '10.77.0.2');
    await eventually('the request is held', async () => (await rules())[0]!.held === 1);
    const held = await stack.json<{ tuple: string; bytes: string }[]>('fault', 'held');
    expect(held[0]!.tuple).toBe('10.77.0.1:0->10.77.0.2:0(icmp)');
    await stack.skbus('fault', 'release', 'stop');
    expect((await ping).stdout).toContain('1 received');
  }, 30_000);

  test('an answer to a route query never comes: the connection is there when the second one does', async () => {
    stack.peerStart('python3', '-m', 'http.server', '8000', '--bind', '10.77.0.1', '--directory', stack.tmp);
    const curl = (): Promise<{ code: number }> =>
      run('curl', ['-sS', '-m', '20', '-x', `socks5://127.0.0.1:${stack.socksPort}`, 'http://10.77.0.1:8000/']);
    await eventually('the server is up', async () => (await curl()).code === 0);
    await stack.skbus('fault', 'add', '--id', 'q', 'at', 'ip.ctl.route_query', 'drop', 'first', '1');
    await stack.skbus('ip', 'route', 'add', '10.99.0.0/16', 'via', '10.77.0.1');
    expect((await curl()).code).toBe(0);
    expect(await rules()).toMatchObject([{ id: 'q', hits: 1 }]);
  }, 60_000);

  test('delay at neigh: a new neighbour is late by that much, one that is known is not', async () => {
    await stack.skbus('fault', 'add', '--id', 'slow-arp', 'at', 'neigh', 'rx', 'delay', '400ms');
    await stack.skbus('ip', 'neigh', 'flush', 'dev', 'skb0');
    const rtts = (await stack.skbus('ping', '-c', '3', '-i', '0.2', '10.77.0.1')).stdout.match(/time=([\d.]+)/g)!;
    const ms = rtts.map((t) => Number(t.slice(5)));
    expect(ms[0]).toBeGreaterThan(390);
    expect(Math.min(...ms)).toBeLessThan(390);
    expect(await rules()).toMatchObject([{ id: 'slow-arp' }]);
    await expectConserved(stack);
  }, 30_000);

  test('loss, delay and corruption on the device: a download comes out whole', async () => {
    const netem = 'at nic tx delay 2ms 1ms 25% loss 1% corrupt 0.5% duplicate 1% seed 11';
    await stack.skbus('fault', 'add', netem);
    const size = 2_000_000;
    const sum = await stack.peer('bash', '-c', `curl -sS http://10.77.0.2/bytes/${size} | sha256sum`);
    expect(sum.stdout.slice(0, 64)).toBe(demoSha256(size));
    const [r] = await rules();
    expect(r!.hits).toBeGreaterThan(10);
  }, 60_000);

  test('an ARP reply that never comes: the peer’s kernel says so, and finds us when the rule is gone', async () => {
    await stack.skbus('fault', 'add', 'id quiet at neigh layer arp-silent');
    await stack.peer('ip', 'neigh', 'flush', 'all');
    const ping = await stack.peer('ping', '-c', '1', '-W', '6', '10.77.0.2');
    expect(ping.stdout).toContain('Destination Host Unreachable');
    expect((await rules())[0]!.hits).toBeGreaterThanOrEqual(3);
    await stack.skbus('fault', 'rm', 'quiet');
    expect((await stack.peer('ping', '-c', '1', '-W', '6', '10.77.0.2')).stdout).toContain('1 received');
  }, 60_000);

  test('a carrier that flaps, a clock that jumps and segments lost inside tcp: a download comes out whole', async () => {
    await stack.skbus('fault', 'add', 'id flaps at nic layer carrier-off skb0 flap 300ms for 2s');
    // Back only when the download is over: what is armed meanwhile would wait an hour.
    await stack.skbus('fault', 'add', 'id jumps at tcp layer clock-jump +1h');
    await stack.skbus('fault', 'add', 'id inside at tcp:tcp_v4_do_rcv drop SOCKET_FILTER every 20');
    const size = 20_000_000;
    const sum = await stack.peer(
      'bash',
      '-o',
      'pipefail',
      '-c',
      `curl -sS -m 50 http://10.77.0.2/bytes/${size} | sha256sum`,
    );
    expect(sum).toMatchObject({ stderr: '', stdout: expect.stringContaining(demoSha256(size)) });
    const hits = Object.fromEntries((await rules()).map((r) => [r.id, r.hits]));
    expect(hits).toMatchObject({ flaps: expect.any(Number), jumps: 1 });
    expect(hits.flaps).toBeGreaterThan(1);
    expect(hits.inside).toBeGreaterThan(0);
  }, 90_000);

  test('no memory for a SYN: the program has ENOBUFS; with the rule used up, a connection', async () => {
    await stack.skbus('fault', 'add', 'id poor at tcp:tcp_connect drop NOMEM first 1');
    const curl = (): Promise<{ code: number }> =>
      run('curl', ['-sS', '-m', '20', '-x', `socks5h://127.0.0.1:${stack.socksPort}`, 'http://10.77.0.1:8000/']);
    expect((await curl()).code).not.toBe(0);
    expect((await curl()).code).toBe(0);
  }, 60_000);

  test('a service is killed by the packet that it was told to die of, and knows its rules when it is back', async () => {
    const before = await stack.pidOf('ip');
    await stack.skbus(
      'fault',
      'add',
      '--id',
      'die',
      'at',
      'ip',
      'rx',
      'match',
      'icmp.type == 8',
      'service',
      'kill',
      'ip',
      'nth',
      '2',
    );
    await stack.skbus(
      'fault',
      'add',
      '--id',
      'later',
      'at',
      'ip',
      'rx',
      'match',
      'icmp.type == 8',
      'drop',
      'first',
      '1000000',
    );
    await stack.peer('ping', '-c', '4', '-i', '0.2', '-W', '1', '10.77.0.2');
    await eventually('ip is another process', async () => (await stack.pidOf('ip')) !== before);
    await eventually('it knows its rules', async () => {
      await stack.peer('ping', '-c', '1', '-W', '1', '10.77.0.2');
      return (await rules()).find((r) => r.id === 'later')!.matched > 0;
    });
    expect((await rules()).find((r) => r.id === 'die')!.hits).toBe(1);
  }, 60_000);

  test('from a test of one’s own: @skbus/testing', async () => {
    const broken = await testing(stack.api).fault('tcp').ingress().match('tcp.flags.syn == 1').drop().first(1);
    expect((await get('-m', '20')).stdout).toMatch(/^200 [1-9]/);
    expect(await broken.counters()).toEqual({ matched: expect.any(Number), hits: 1 });
    await broken.remove();
    expect(await rules()).toEqual([]);
    await expect(testing(stack.api).fault('tcp').match('tcp.flags.sin == 1').drop()).rejects.toThrow('tcp.flags.sin');
  }, 60_000);

  test('what is wrong with a rule is said, with a caret', async () => {
    const bad = await stack.skbus('fault', 'add', 'at', 'tcp', 'rx', 'match', 'tcp.flags.sin == 1', 'drop');
    expect(bad.code).not.toBe(0);
    expect(bad.stderr).toMatch(/at tcp rx match 'tcp.flags.sin == 1' drop\n {21}\^~+/);
  });
});
