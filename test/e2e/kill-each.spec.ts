import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { demoSha256 } from '@skbus/app-demo';
import { eventually, Stack, whyNoTap, type Result, type ServiceStatus } from '../support/stack.ts';

const why = whyNoTap();
const suite = why ? describe.skip : describe;
const SIZE = 500_000_000;
const KILL_EVERY_MS = 2_000;
const LAYERS = ['nic', 'ip', 'neigh', 'tcp', 'socket', 'udp'];

suite('kill -9 of each layer in turn every 2 s, while curl has 500 MB each way', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.up('e2e-each');
  }, 90_000);
  afterAll(async () => {
    await stack?.down();
  }, 30_000);

  test('both transfers are whole, and there is no RST on the cable', async () => {
    const want = demoSha256(SIZE);
    const resets: string[] = [];
    const dump = stack.peerStart('tcpdump', '-i', 'any', '-nn', '-l', 'tcp[tcpflags] & tcp-rst != 0');
    let listening = false;
    dump.stderr!.on('data', (d: Buffer) => (listening ||= String(d).includes('listening on')));
    dump.stdout!.on('data', (d: Buffer) => resets.push(String(d)));
    await eventually('tcpdump listens', () => listening);

    const killed: string[] = [];
    // A fast machine is through before each layer has had its turn.
    while (killed.length < LAYERS.length) {
      const both = Promise.all([
        sh(`curl -sS http://10.77.0.2/bytes/${SIZE} | sha256sum`),
        sh(`curl -sS http://10.77.0.2/bytes/${SIZE} | curl -sS -T - http://10.77.0.2/sink`),
      ]);
      const over = killInTurn(both, killed);
      const [down, up] = await both;
      await over;
      expect([down.code, down.stdout.slice(0, 64), down.stderr]).toEqual([0, want, '']);
      expect([up.code, JSON.parse(up.stdout), up.stderr]).toEqual([0, { bytes: SIZE, sha256: want }, '']);
    }
    process.stderr.write(`kills: ${killed.join(' ')}\n`);

    const { services } = await stack.json<{ services: ServiceStatus[] }>('status');
    for (const layer of LAYERS) {
      const times = killed.filter((l) => l === layer).length;
      expect([layer, services.find((s) => s.name === layer)!.restarts]).toEqual([layer, times]);
    }
    expect(resets).toEqual([]);
    expect(stack.complaints()).toEqual([]);
  }, 300_000);

  const sh = (script: string): Promise<Result> => stack.peer('bash', '-o', 'pipefail', '-c', script);

  /** Until `work` is done; whom it has killed goes into `killed`. */
  async function killInTurn(work: Promise<unknown>, killed: string[]): Promise<void> {
    const state = { over: false };
    const end = (): void => void (state.over = true);
    const done = work.then(end, end);
    for (;;) {
      await Promise.race([done, new Promise((next) => setTimeout(next, KILL_EVERY_MS))]);
      const layer = LAYERS[killed.length % LAYERS.length]!;
      const pid = await stack.pidOf(layer);
      if (state.over) return;
      process.kill(pid, 'SIGKILL');
      killed.push(layer);
    }
  }
});
