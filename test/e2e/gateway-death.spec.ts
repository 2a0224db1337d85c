import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { demoSha256 } from '@skbus/app-demo';
import { eventually, run, Stack, whyNoTap } from '../support/stack.ts';

const why = whyNoTap();
const suite = why ? describe.skip : describe;
const SIZE = 100_000_000;
const KILLS = 3;

suite('killing the socket service breaks no connection of a program that uses @skbus/net', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.up('e2e-sock');
  }, 90_000);
  afterAll(async () => {
    await stack?.down();
  }, 30_000);

  const bash = (script: string): ReturnType<Stack['peer']> => stack.peer('bash', '-o', 'pipefail', '-c', script);

  test.each([
    ['download', `curl -sS http://10.77.0.2/bytes/${SIZE} | sha256sum`],
    [
      'upload',
      `curl -sS http://10.77.0.2/bytes/${SIZE} > BYTES && curl -sS -T BYTES http://10.77.0.2/sink; rm -f BYTES`,
    ],
  ])(
    '%s of 100 MB, killed again and again',
    async (what, script) => {
      const pcap = join(stack.tmp, `${what}.pcap`);
      const stop = capture(stack, pcap);
      await sleep(500);
      const state = { over: false };
      const transfer = bash(script.replaceAll('BYTES', join(stack.tmp, 'bytes'))).finally(() => (state.over = true));
      let kills = 0;
      while (!state.over && kills < KILLS) {
        await sleep(150 + 200 * kills);
        const pid = await stack.pidOf('socket');
        if (state.over) break;
        process.kill(pid, 'SIGKILL');
        kills++;
        await eventually('the socket service is back', async () => {
          const now = await stack.pidOf('socket').catch(() => pid);
          return now !== pid && now > 0;
        });
      }
      const r = await transfer;
      await sleep(300);
      await stop();
      expect({ stderr: r.stderr, right: r.stdout.includes(demoSha256(SIZE)) }).toEqual({ stderr: '', right: true });
      expect(kills).toBeGreaterThan(0);
      expect(await resets(pcap)).toBe(0);
      const gap = await longestGapMs(pcap);
      process.stderr.write(`${what}: ${kills} kills, longest time without a segment ${gap.toFixed(0)} ms\n`);
      expect(gap).toBeLessThan(3_000);
    },
    180_000,
  );

  test('listening sockets go on accepting, and an idle connection lives', async () => {
    const echo = bash('exec 3<>/dev/tcp/10.77.0.2/7; echo one >&3; head -n1 <&3; sleep 4; echo two >&3; head -n1 <&3');
    await sleep(1_000);
    const pid = await stack.pidOf('socket');
    process.kill(pid, 'SIGKILL');
    expect((await bash('curl -sS --connect-timeout 10 http://10.77.0.2/bytes/5 | wc -c')).stdout.trim()).toBe('5');
    expect((await echo).stdout).toBe('one\ntwo\n');
  }, 60_000);
});

/** Headers of what the peer's kernel sends and receives; the result ends it. */
function capture(stack: Stack, file: string): () => Promise<void> {
  const args = ['netns', 'exec', stack.netns, 'tcpdump', '-i', 'any', '-s', '96', '-w', file, 'tcp port 80'];
  const child = spawn('ip', args, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return async () => {
    child.kill('SIGTERM');
    await ended;
  };
}

async function resets(pcap: string): Promise<number> {
  const r = await run('tshark', ['-r', pcap, '-Y', 'tcp.flags.reset == 1', '-T', 'fields', '-e', 'frame.number']);
  return r.stdout.split('\n').filter((l) => l !== '').length;
}

async function longestGapMs(pcap: string): Promise<number> {
  const r = await run('tshark', ['-r', pcap, '-T', 'fields', '-e', 'frame.time_delta']);
  return Math.max(0, ...r.stdout.split('\n').map((l) => Number(l) * 1000 || 0));
}
