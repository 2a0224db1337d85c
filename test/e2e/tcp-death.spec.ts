import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { demoSha256 } from '@skbus/app-demo';
import { eventually, run, Stack, whyNoTap, type ServiceStatus } from '../support/stack.ts';

// kill -9 of tcp, again and again, under curl: right bytes, no reset on the wire, short pauses.

const why = whyNoTap();
const suite = why ? describe.skip : describe;
const SIZE = 100_000_000;
const KILLS = 3;

suite('tcp dies in the middle of transfers', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.up('e2e-tcpkill');
  }, 90_000);
  afterAll(async () => {
    await stack?.down();
  }, 30_000);

  test('a download', async () => {
    const wire = await capture(stack, 'down');
    const down = stack.peer('bash', '-o', 'pipefail', '-c', `curl -sS http://10.77.0.2/bytes/${SIZE} | sha256sum`);
    const killed = await killSome(stack, down);
    expect((await down).stdout).toContain(demoSha256(SIZE));
    await report('download', killed, await wire.end());
  }, 180_000);

  test('an upload', async () => {
    const file = join(stack.tmp, 'upload');
    await stack.peer('bash', '-c', `curl -sS http://10.77.0.2/bytes/${SIZE} -o ${file}`);
    const wire = await capture(stack, 'up');
    const up = stack.peer('curl', '-sS', '-T', file, 'http://10.77.0.2/sink');
    const killed = await killSome(stack, up);
    expect(JSON.parse((await up).stdout)).toEqual({ bytes: SIZE, sha256: demoSha256(SIZE) });
    await report('upload', killed, await wire.end());
  }, 180_000);

  test('replaced by a new process in the middle of a download', async () => {
    const wire = await capture(stack, 'upgrade');
    const down = stack.peer('bash', '-o', 'pipefail', '-c', `curl -sS http://10.77.0.2/bytes/${SIZE} | sha256sum`);
    const start = await bytesMoved(stack);
    await eventually('bytes move', async () => (await bytesMoved(stack)) - start > 8_000_000, 60_000);
    await stack.json('upgrade', 'tcp');
    expect((await down).stdout).toContain(demoSha256(SIZE));
    await report('download, by upgrade,', 1, await wire.end());
  }, 120_000);

  test('a connection that idles', async () => {
    const wire = await capture(stack, 'idle');
    // to echo, which never ends a connection for being idle, however long the kills take
    const client = stack.peerStart('bash', '-c', KEPT_OPEN);
    let said = '';
    client.stdout!.on('data', (d: Buffer) => (said += d.toString('latin1')));
    await eventually('the first answer', () => said === 'first\n');
    for (let i = 0; i < 2; i++) await killOnce(stack);
    client.stdin!.write('again\n');
    await eventually('the second answer', () => said === 'first\nagain\n');
    client.stdin!.end();
    expect((await wire.end()).resets).toBe('');
  }, 60_000);

  async function report(what: string, kills: number, seen: { resets: string; pausesMs: number[] }): Promise<void> {
    process.stderr.write(`tcp killed ${kills} times in a ${what}: longest pauses ${seen.pausesMs.join(', ')} ms\n`);
    expect(kills).toBeGreaterThan(0);
    expect(seen.resets).toBe('');
    expect(seen.pausesMs[0]).toBeLessThan(3_000);
  }
});

const KEPT_OPEN = `exec 3<>/dev/tcp/10.77.0.2/7
cat <&3 &
echo first >&3; read word; echo "$word" >&3; read stop; kill %1`;

async function killOnce(stack: Stack): Promise<void> {
  const pid = await stack.pidOf('tcp');
  process.kill(pid, 'SIGKILL');
  await eventually('tcp is back, and another process waits', async () => {
    const { services } = await stack.json<{ services: ServiceStatus[] }>('status');
    const s = services.find((x) => x.name === 'tcp')!;
    const spare = services.find((x) => x.name === 'spare');
    return s.pid !== pid && s.state === 'running' && spare?.state === 'ready';
  });
}

/** Kills tcp whenever it is back and has moved some bytes, until the transfer ends. */
async function killSome(stack: Stack, transfer: Promise<unknown>): Promise<number> {
  let over = false;
  void transfer.finally(() => (over = true));
  let killed = 0;
  for (; killed < KILLS; killed++) {
    const start = await bytesMoved(stack);
    await eventually('bytes move', async () => over || (await bytesMoved(stack)) - start > 8_000_000, 60_000);
    if (over) break;
    await killOnce(stack);
  }
  return killed;
}

async function bytesMoved(stack: Stack): Promise<number> {
  const r = await run('ip', ['netns', 'exec', stack.netns, 'cat', '/proc/net/dev']);
  return r.stdout
    .split('\n')
    .filter((l) => /^\s*(?!lo:)\S+:/.test(l))
    .reduce((n, l) => {
      const f = l.trim().split(/[:\s]+/);
      return n + Number(f[1]) + Number(f[9]);
    }, 0);
}

/** Watches the cable: resets, and how long nothing new was acknowledged. */
async function capture(
  stack: Stack,
  name: string,
): Promise<{ end(): Promise<{ resets: string; pausesMs: number[] }> }> {
  const file = join(stack.tmp, `${name}.pcap`);
  const dump = stack.peerStart('tcpdump', '-i', 'any', '-s', '100', '-U', '-w', file, 'tcp and port 80');
  let said = '';
  dump.stderr!.on('data', (d: Buffer) => (said += d.toString()));
  await eventually('tcpdump listens', () => said.includes('listening'));
  return {
    end: async () => {
      const ended = new Promise((r) => dump.once('close', r));
      dump.kill('SIGINT');
      await ended;
      const resets = await run('tshark', ['-r', file, '-Y', 'tcp.flags.reset == 1']);
      const acks = await run('tshark', [
        '-r',
        file,
        '-T',
        'fields',
        '-e',
        'frame.time_epoch',
        '-e',
        'tcp.srcport',
        '-e',
        'tcp.ack',
      ]);
      return { resets: resets.stdout, pausesMs: pauses(acks.stdout) };
    },
  };
}

/** The longest times without a new acknowledgement, in ms. */
function pauses(lines: string): number[] {
  const most = new Map<string, number>();
  const gaps: number[] = [];
  let last = 0;
  for (const line of lines.split('\n')) {
    const [at, port, ack] = line.split('\t');
    if (ack === undefined || Number(ack) <= (most.get(port!) ?? 0)) continue;
    most.set(port!, Number(ack));
    if (last > 0) gaps.push(Math.round((Number(at) - last) * 1000));
    last = Number(at);
  }
  return gaps.toSorted((a, b) => b - a).slice(0, 6);
}
