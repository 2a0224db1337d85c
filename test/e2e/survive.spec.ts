import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { demoSha256 } from '@skbus/app-demo';
import { eventually, run, Stack, whyNoTap, type ServiceStatus } from '../support/stack.ts';

const why = whyNoTap();
const suite = why ? describe.skip : describe;
const SIZE = 100_000_000;

suite('killing a layer, or the broker, in the middle of a transfer only delays it', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.up('e2e-kill');
  }, 90_000);
  afterAll(async () => {
    await stack?.down();
  }, 30_000);

  test.each(['ip', 'neigh', 'nic', 'nats'])(
    '%s, downloading and uploading',
    async (layer) => {
      const want = demoSha256(SIZE);
      const before = await stack.json<{ services: ServiceStatus[] }>('status');
      const pid = before.services.find((s) => s.name === layer)!.pid;

      const down = stack.peer(
        'bash',
        '-o',
        'pipefail',
        '-c',
        `curl -sS http://10.77.0.2/bytes/${SIZE} | tee >(sha256sum >&2) | wc -c`,
      );
      await moved(stack, 5_000_000);
      process.kill(pid, 'SIGKILL');
      const r = await down;
      expect(r.stdout.trim()).toBe(String(SIZE));
      expect(r.stderr).toContain(want);

      await back(layer, pid);
      const again = await stack.pidOf(layer);
      const upload = stack.peer(
        'bash',
        '-o',
        'pipefail',
        '-c',
        `curl -sS http://10.77.0.2/bytes/${SIZE} | curl -sS -T - http://10.77.0.2/sink`,
      );
      await moved(stack, 5_000_000);
      process.kill(again, 'SIGKILL');
      expect(JSON.parse((await upload).stdout)).toEqual({ bytes: SIZE, sha256: want });
      await back(layer, again);
      expect((await stack.peer('ping', '-c', '3', '-i', '0.2', '-W', '2', '10.77.0.2')).stdout).toMatch(
        / 0% packet loss/,
      );
    },
    180_000,
  );

  test.each(['nic', 'neigh', 'ip', 'udp'])(
    'replacing %s by a new process',
    async (layer) => {
      const down = stack.peer('bash', '-o', 'pipefail', '-c', `curl -sS http://10.77.0.2/bytes/${SIZE} | sha256sum`);
      await moved(stack, 5_000_000);
      const before = await stack.pidOf(layer);
      const r = await stack.json<{ from: number; to: number }>('upgrade', layer);
      expect(r.from).toBe(before);
      expect((await down).stdout).toContain(demoSha256(SIZE));
      expect(await stack.pidOf(layer)).toBe(r.to);
    },
    120_000,
  );

  async function back(layer: string, killed: number): Promise<void> {
    await eventually(`${layer} is back`, async () => {
      const { services } = await stack.json<{ services: ServiceStatus[] }>('status');
      const s = services.find((x) => x.name === layer)!;
      return s.pid !== killed && s.state === 'running' && s.restarts > 0;
    });
  }
});

/** Waits until the kernel side has moved some more bytes: the transfer is in full swing. */
async function moved(stack: Stack, bytes: number): Promise<void> {
  const read = async (): Promise<number> => {
    const r = await run('ip', ['netns', 'exec', stack.netns, 'cat', '/proc/net/dev']);
    return r.stdout
      .split('\n')
      .filter((l) => /^\s*(?!lo:)\S+:/.test(l))
      .reduce((n, l) => {
        const f = l.trim().split(/[:\s]+/);
        return n + Number(f[1]) + Number(f[9]);
      }, 0);
  };
  const start = await read();
  await eventually(`${bytes} bytes moved`, async () => (await read()) - start > bytes, 30_000);
}
