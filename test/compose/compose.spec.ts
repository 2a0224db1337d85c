import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { demoSha256 } from '@skbus/app-demo';
import { buckets, LAYERS, mayPublish, subjects } from '@skbus/contracts';
import { HAND_OVERS } from '@skbus/skb';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { loadavg } from 'node:os';
import { eventually } from '../support/stack.ts';
import { IMAGES, Project, whyNoEngine } from './project.ts';

const missing = whyNoEngine();
if (missing !== undefined) process.stderr.write(`compose tests skipped: ${missing}\n`);
const suite = missing === undefined ? describe : describe.skip;

interface Service {
  name: string;
  state: string;
  ledger?: unknown;
}

const MB = 1_000_000;
const MINUTE = 60_000;
const CABLE = 'skbus-test-cable';
const A = '10.79.0.2';
const B = '10.79.0.3';
const zeros = (n: number): string => {
  const h = createHash('sha256');
  const block = new Uint8Array(MB);
  for (let i = 0; i < n; i += MB) h.update(block);
  return h.digest('hex');
};

suite('docker compose', () => {
  const a = new Project('skbus-test-a', A);
  const b = new Project('skbus-test-b', B);

  beforeAll(async () => {
    for (const p of [a, b]) await p.prepare(CABLE);
    await a.compose('build');
    await upInTime(a, '--profile', 'peer');
  }, 10 * MINUTE);
  afterAll(async () => {
    for (const p of [b, a]) {
      await p.tryCompose('--profile', 'peer', 'down', '-v', '-t', '2');
      rmSync(p.runRoot, { recursive: true, force: true });
    }
    const built = (await a.docker('images', '-q', `${IMAGES}-*`)).stdout.split('\n').filter(Boolean);
    const peer = (await a.docker('images', '-q', 'skbus-test-peer')).stdout.trim();
    for (const id of new Set(built)) if (id !== peer) await a.docker('rmi', '-f', id);
  }, 2 * MINUTE);

  /** What somebody waits for who has the images. */
  async function upInTime(p: Project, ...profile: string[]): Promise<void> {
    const start = performance.now();
    await p.compose(...profile, 'up', '-d', '--wait', '--wait-timeout', '120');
    process.stderr.write(`${p.name}: healthy after ${((performance.now() - start) / 1000).toFixed(1)} s\n`);
  }

  test(
    'each starts once: nobody fails first and is started again',
    async () => {
      for (const s of ['keys', 'nats', ...LAYERS, 'orchestrator', 'demo'])
        expect([s, (await a.container(s)).restarts]).toEqual([s, 0]);
    },
    MINUTE,
  );

  /** A transfer in the midst of which something happens. */
  async function under(megabytes: number, what: () => Promise<unknown>): Promise<number> {
    let got = 0;
    let over = false;
    const download = a.download(megabytes * MB, (n) => (got = n)).finally(() => (over = true));
    await eventually('the transfer to be under way', () => over || got > 5 * MB, MINUTE);
    expect(over).toBe(false);
    await what();
    const { code, sha256, pauseMs } = await download;
    expect([code, sha256]).toEqual([0, demoSha256(megabytes * MB)]);
    return pauseMs;
  }

  const hash = async (command: string): Promise<string> =>
    (await a.peer('bash', '-o', 'pipefail', '-c', `${command} | sha256sum`)).stdout.slice(0, 64);
  const page = async (address: string): Promise<string> =>
    (await a.peer('curl', '-sS', '-m', '10', `http://${address}/`)).stdout;

  test(
    'a plain Linux container on the cable pings the stack and fetches its page',
    async () => {
      const r = await a.peer('ping', '-c', '3', '-i', '0.3', A);
      expect(r.stdout).toMatch(/ 0% packet loss/);
      expect(await page(A)).toContain('This is skbus');
    },
    MINUTE,
  );

  test(
    '100 MB down and up',
    async () => {
      expect(await hash(`curl -sS http://${A}/bytes/${100 * MB}`)).toBe(demoSha256(100 * MB));
      const r = await a.peer('bash', '-c', `head -c ${100 * MB} /dev/zero | curl -sS -T - http://${A}/sink`);
      expect(JSON.parse(r.stdout)).toEqual({ bytes: 100 * MB, sha256: zeros(100 * MB) });
    },
    5 * MINUTE,
  );

  test(
    'the CLI works against the containers',
    async () => {
      const skbus = async (...args: string[]): Promise<string> => (await a.cli(...args)).stdout;
      expect(JSON.parse(await skbus('status', '--json'))).toMatchObject({ spawn: 'none', address: A });
      expect(await skbus('ip', 'route')).toContain(`10.79.0.0/24 dev skb0 proto kernel scope link src ${A}`);
      expect(await skbus('ss', '-tl')).toMatch(/LISTEN .* 0\.0\.0\.0:80 /);
      expect(await skbus('dmesg')).toContain('bridged with');
      expect(await skbus('ping', '-c', '1', '10.79.0.1')).toContain('1 received');
    },
    MINUTE,
  );

  test(
    'a service cannot command the others by the control API that it shares a network with',
    async () => {
      const ask = 'exec 3<>/dev/tcp/orchestrator/7070; printf "POST /shutdown HTTP/1.0\\r\\n\\r\\n" >&3; head -n 1 <&3';
      expect((await a.tryCompose('exec', '-T', 'udp', 'bash', '-c', ask)).stdout).toBe('HTTP/1.1 401 Unauthorized\r\n');
      const r = await fetch(`${a.api}/status`);
      expect(r.status).toBe(401);
    },
    MINUTE,
  );

  // What comes back by itself when its main process is killed from outside, as by the kernel's out-of-memory killer.
  test.each(['nic', 'neigh', 'ip', 'udp', 'tcp', 'socket', 'orchestrator', 'nats'])(
    '%s is killed in the middle of a transfer: it comes back, the transfer goes on',
    async (service) => {
      const before = await a.container(service);
      const pauseMs = await under(50, async () => void process.kill(before.pid, 'SIGKILL'));
      let after = before;
      await eventually(
        `${service} to be healthy again`,
        async () => {
          after = await a.container(service);
          return after.restarts > before.restarts && after.health === 'healthy';
        },
        MINUTE,
      );
      process.stderr.write(
        `${service} killed: longest pause of the transfer ${pauseMs} ms, ${after.awayMs} ms of the engine's, load ${loadavg()[0]!.toFixed(1)}\n`,
      );
    },
    3 * MINUTE,
  );

  test.each(['tcp', 'socket'])(
    '%s is killed in the middle of an upload of 100 MB',
    async (service) => {
      const { pid } = await a.container(service);
      const upload = a.peer('bash', '-c', `head -c ${100 * MB} /dev/zero | curl -sS -m 100 -T - http://${A}/sink`);
      await new Promise((r) => setTimeout(r, 1_500));
      process.kill(pid, 'SIGKILL');
      expect(JSON.parse((await upload).stdout)).toEqual({ bytes: 100 * MB, sha256: zeros(100 * MB) });
    },
    3 * MINUTE,
  );

  // The cut comes first in the same transfer: what is cut off says so within a moment, what is paused says nothing.
  test.each(['nic', 'neigh', 'ip', 'udp', 'tcp', 'socket', 'orchestrator', 'nats'])(
    '%s is cut off from the bus and paused for a while: nothing is lost',
    async (service) => {
      const { id } = await a.container(service);
      await under(100, async () => {
        if (service !== 'nic') {
          const net = `${a.name}_bus`;
          await a.docker('network', 'disconnect', net, id);
          await a.docker('network', 'connect', '--alias', service, net, id);
        }
        // runc gives up freezing a busy machine's processes after a while.
        await eventually(`a pause of ${service}`, async () => (await a.docker('pause', id)).code === 0, MINUTE);
        await a.docker('unpause', id);
      });
    },
    3 * MINUTE,
  );

  test(
    'fault rules act on containers',
    async () => {
      const before = await a.container('tcp');
      const add = async (...rule: string[]): Promise<void> => {
        const r = await a.cli('fault', 'add', 'service', ...rule);
        expect([r.code, r.stdout]).toEqual([0, expect.stringContaining(rule.join(' '))]);
      };
      await under(100, () => add('kill', 'tcp'));
      await eventually('a restart', async () => (await a.container('tcp')).restarts > before.restarts, MINUTE);
      const states = async (): Promise<string> => (await a.cli('status')).stdout;
      await add('hang', 'udp', '2s');
      await eventually('udp to be paused', async () => /^udp .* paused /m.test(await states()), MINUTE);
      await eventually('udp to run again', async () => /^udp .* running /m.test(await states()), MINUTE);
      await add('cut', 'ip', '500ms');
      await eventually('the page', async () => (await page(A)).includes('This is skbus'), MINUTE);
      expect((await a.cli('dmesg')).stdout).toMatch(/skbus: fault: cut ip 500 ms/);
      expect((await a.cli('fault', 'clear')).code).toBe(0);
    },
    3 * MINUTE,
  );

  test(
    'the cable of the nic is pulled out and plugged in again',
    async () => {
      const { id } = await a.container('nic');
      await a.docker('network', 'disconnect', CABLE, id);
      expect((await a.peer('ping', '-c', '1', '-W', '1', A)).code).not.toBe(0);
      await a.docker('network', 'connect', CABLE, id);
      await eventually('the page', async () => (await page(A)).includes('This is skbus'), MINUTE);
    },
    2 * MINUTE,
  );

  test(
    'two projects on one cable are two hosts',
    async () => {
      await upInTime(b);
      expect(await page(B)).toContain('This is skbus');
      const ping = await fetch(`${a.api}/ping`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${await a.token()}` },
        body: JSON.stringify({ address: B, timeoutMs: 5_000 }),
      });
      expect(await ping.json()).toMatchObject({ errno: 0, type: 0, from: B });
    },
    4 * MINUTE,
  );

  test(
    'what a service publishes where it has no business is refused',
    async () => {
      const script = readFileSync(new URL('wrong-publish.mjs', import.meta.url), 'utf8');
      const catalog = [
        ...HAND_OVERS.map((to) => subjects.skb(a.name, to, 2)),
        ...LAYERS.flatMap((l) => ['register', 'initcall', 'sysctl'].map((v) => subjects.ctl(a.name, l, v))),
        ...(['tcp', 'udp'] as const).flatMap((t) => [subjects.skCmd(a.name, t), subjects.skEvt(a.name, t)]),
        ...LAYERS.flatMap((l) => [subjects.log(a.name, l), subjects.trace(a.name, l)]),
        `$KV.${buckets.secret(a.name)}.x`,
        `$KV.${buckets.route(a.name)}.x`,
      ];
      for (const l of LAYERS) {
        const foreign = catalog.filter((c) => !mayPublish(a.name, l, c));
        const r = await a.tryCompose(
          'exec',
          '-T',
          l,
          'node',
          '--input-type=module',
          '-e',
          script,
          'x',
          JSON.stringify(foreign),
        );
        expect([l, r.stderr, (JSON.parse(r.stdout || '[]') as string[]).sort()]).toEqual([l, '', foreign.sort()]);
        expect(foreign.length).toBeGreaterThan(20);
      }
    },
    3 * MINUTE,
  );

  test(
    'with another’s credentials a service says so and ends',
    async () => {
      const r = await a.docker(
        ...['run', '--rm', '--network', `${a.name}_bus`, '-v', `${a.name}_keys-nic:/keys:ro`, '--user', '0'],
        ...[
          '-e',
          `SKBUS_NETNS=${a.name}`,
          '-e',
          'SKBUS_NATS_URL=nats://nats:4222',
          '-e',
          'SKBUS_NATS_CREDS=/keys/creds',
        ],
        `${IMAGES}-tcp`,
      );
      expect(r.code).toBe(1);
      expect(r.stderr).toBe(
        `skbus-tcp: cannot start: /keys/creds holds the bus credentials of nic of stack ${a.name}, not of tcp of stack ${a.name}\n`,
      );
    },
    MINUTE,
  );

  test(
    'SOCKS5 and HTTP CONNECT on this machine’s loopback lead through the stack, and half-open places are used up',
    async () => {
      await upInTime(b);
      const through = (): Promise<string> =>
        a.curl('-x', `socks5://127.0.0.1:${a.socksPort}`, `http://${B}/`).then((r) => r.stdout);
      expect(await through()).toContain('This is skbus');
      const connectDoor = (await a.compose('port', 'socket', '8118')).stdout.trim();
      expect(connectDoor).toMatch(/^127\.0\.0\.1:\d+$/);
      const tunnel = await a.curl('--proxytunnel', '-x', `http://${connectDoor}`, `http://${B}/`);
      expect(tunnel.stdout).toContain('This is skbus');
      const silent = Array.from({ length: 40 }, () => connect(a.socksPort, '127.0.0.1').on('error', () => {}));
      const refused = (): number => silent.filter((s) => s.closed).length;
      await eventually('those above 32 to be refused', () => refused() === 8, MINUTE);
      for (const s of silent) s.destroy();
      await eventually('a place', async () => (await through()).includes('This is skbus'), MINUTE);
    },
    2 * MINUTE,
  );

  test(
    'whatever a service that has gone mad says on its own subjects ends no other, and is nothing to another host',
    async () => {
      await upInTime(b);
      const script = readFileSync(new URL('fuzz.mjs', import.meta.url), 'utf8');
      const processes = (services: readonly string[]): Promise<unknown[]> =>
        Promise.all(services.map(async (s) => b.container(s).then(({ pid, restarts }) => [s, pid, restarts])));
      const everybody = [...LAYERS, 'orchestrator', 'nats', 'demo'];
      const before = await processes(everybody);
      const serves = (): Promise<void> =>
        eventually('the fuzzed host to serve', async () => (await page(B)).includes('This is skbus'), MINUTE);
      // What these say of the host's devices, neighbours, addresses and sockets is believed as long as they live.
      const believed = ['nic', 'neigh', 'ip', 'socket'];
      const sorted = [...LAYERS].sort((x, y) => believed.indexOf(x) - believed.indexOf(y));
      for (const [i, l] of sorted.entries()) {
        const argv = ['--input-type=module', '-e', script, 'x', l, String(i + 1)];
        const r = await b.tryCompose('exec', '-T', l, 'node', ...argv);
        expect([l, r.code, r.stderr]).toEqual([l, 0, '']);
        expect(JSON.parse(r.stdout)).toMatchObject({ refused: 0 });
        expect([l, await processes(everybody)]).toEqual([l, before]);
        if (!believed.includes(l)) await serves();
      }
      const { services } = JSON.parse((await b.cli('status', '--json')).stdout) as { services: Service[] };
      // Each answers to the question for its counters.
      expect(services.filter((s) => s.ledger !== undefined).map((s) => s.name)).toEqual([...LAYERS]);
      expect(services.filter((s) => s.state !== 'running')).toEqual([]);
      expect(await page(A)).toContain('This is skbus');
      // Their lies end with them; nobody else has to be started again.
      await b.compose('restart', '-t', '2', ...believed);
      await serves();
      const others = everybody.filter((s) => !believed.includes(s));
      expect(await processes(others)).toEqual(before.filter((_, i) => others.includes(everybody[i]!)));
    },
    4 * MINUTE,
  );

  test(
    'down leaves nothing',
    async () => {
      // As a user: also what acts on the containers ends.
      for (const p of [b, a]) expect((await p.cli('down')).code).toBe(0);
      expect((await a.docker('ps', '-aq', '--filter', 'label=skbus.stack')).stdout).toBe('');
      expect(readdirSync(a.runRoot)).toEqual([]);
      for (const kind of ['container', 'volume', 'network']) {
        const { stdout } = await a.docker(
          kind,
          'ls',
          '-q',
          '--filter',
          'label=com.docker.compose.project',
          ...(kind === 'container' ? ['-a'] : []),
        );
        const names = stdout.split('\n').filter((n) => n.includes('skbus-test'));
        expect([kind, names]).toEqual([kind, []]);
      }
      expect((await a.docker('network', 'ls', '-q', '--filter', `name=${CABLE}`)).stdout).toBe('');
      expect((await a.docker('ps', '-aq', '--filter', 'name=skbus-test')).stdout).toBe('');
      expect((await a.docker('volume', 'ls', '-q', '--filter', 'name=skbus-test')).stdout).toBe('');
    },
    2 * MINUTE,
  );
});
