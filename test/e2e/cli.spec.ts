import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { root } from '../support/projects.ts';
import { run, type Result } from '../support/stack.ts';

// The CLI as a program, against a control API that says what this test wants.

const CLI = join(root, 'tools/skbus.mjs');
let dir: string;
let server: Server;
let api: string;
const seen: { method: string; url: string; body: unknown }[] = [];
const answers: Record<string, { status?: number; body: unknown }> = {};

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'skbus-cli-'));
  server = createServer((req, res) => {
    let text = '';
    req.on('data', (d: Buffer) => (text += d.toString()));
    req.on('end', () => {
      seen.push({ method: req.method!, url: req.url!, body: text === '' ? undefined : JSON.parse(text) });
      const a = answers[`${req.method} ${req.url}`] ?? { status: 404, body: { message: `no ${req.url}` } };
      res.writeHead(a.status ?? 200, { 'content-type': 'application/json' });
      res.end(JSON.stringify(a.body));
    });
  });
  await new Promise<void>((r) => server.listen(0, '127.0.0.1', r));
  api = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true, force: true });
});

const skbus = (...args: string[]): Promise<Result> =>
  run(process.execPath, [CLI, ...args], {
    env: { SKBUS_RUN_ROOT: dir, SKBUS_API: api, SKBUS_STACK: '' },
    timeoutMs: 20_000,
  });

const LO = { ifindex: 1, name: 'lo', mac: '00:00:00:00:00:00', mtu: 65_536, flags: 0x10049, stats: {} };
const SKB0 = {
  ifindex: 2,
  name: 'skb0',
  mac: '02:00:0a:4d:00:02',
  mtu: 1500,
  flags: 0x11043,
  stats: { rx_bytes: 90, rx_packets: 1 },
};
const ADDR = {
  ifindex: 2,
  dev: 'skb0',
  local: '10.77.0.2',
  prefixLen: 24,
  broadcast: '10.77.0.255',
  scope: 0,
  label: 'skb0',
};

describe('ip', () => {
  test('prints what iproute2 prints', async () => {
    answers['GET /link'] = { body: [LO, SKB0] };
    answers['GET /addr'] = { body: [ADDR] };
    expect((await skbus('ip', '-br', 'a')).stdout).toBe(
      'lo               UNKNOWN        \nskb0             UP             10.77.0.2/24 \n',
    );
    expect((await skbus('ip', 'addr', 'show', 'dev', 'skb0')).stdout.split('\n')).toEqual([
      '2: skb0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000',
      '    link/ether 02:00:0a:4d:00:02 brd ff:ff:ff:ff:ff:ff',
      '    inet 10.77.0.2/24 brd 10.77.0.255 scope global skb0',
      '       valid_lft forever preferred_lft forever',
      '',
    ]);
    const [, j] = JSON.parse((await skbus('ip', '-j', 'addr')).stdout) as Record<string, unknown>[];
    expect(Object.keys(j!)).toEqual([
      'ifindex',
      'ifname',
      'flags',
      'mtu',
      'qdisc',
      'operstate',
      'group',
      'txqlen',
      'link_type',
      'address',
      'broadcast',
      'addr_info',
    ]);
    expect((j!.addr_info as object[])[0]).toEqual({
      family: 'inet',
      local: '10.77.0.2',
      prefixlen: 24,
      broadcast: '10.77.0.255',
      scope: 'global',
      label: 'skb0',
      valid_life_time: 4_294_967_295,
      preferred_life_time: 4_294_967_295,
    });
  });

  test('sends what was asked', async () => {
    answers['POST /addr'] = { status: 201, body: { ok: true } };
    answers['POST /route'] = { status: 201, body: { ok: true } };
    answers['PATCH /link/skb0'] = { body: { ok: true } };
    answers['POST /neigh'] = { status: 201, body: { ok: true } };
    seen.length = 0;
    await skbus('ip', 'addr', 'add', '10.77.0.9/24', 'dev', 'skb0');
    await skbus('ip', 'route', 'add', '10.1.0.0/16', 'via', '10.77.0.1', 'metric', '5');
    await skbus('ip', 'link', 'set', 'skb0', 'down', 'mtu', '1400');
    await skbus('ip', 'n', 'a', '10.77.0.5', 'lladdr', '02:00:00:00:00:05', 'dev', 'skb0');
    expect(seen.map(({ method, url, body }) => [method, url, body])).toEqual([
      ['POST', '/addr', { address: '10.77.0.9/24', dev: 'skb0' }],
      ['POST', '/route', { dst: '10.1.0.0/16', via: '10.77.0.1', metric: 5, op: 'add' }],
      ['PATCH', '/link/skb0', { up: false, mtu: 1400 }],
      ['POST', '/neigh', { address: '10.77.0.5', lladdr: '02:00:00:00:00:05', dev: 'skb0' }],
    ]);
  });

  test('refusals: 1 with the kernel’s words, 2 for what makes no sense', async () => {
    answers['POST /addr'] = {
      status: 409,
      body: { errno: 17, strerror: 'File exists', message: '10.77.0.2/24 is already on skb0' },
    };
    expect(await skbus('ip', 'addr', 'add', '10.77.0.2/24', 'dev', 'skb0')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'skbus: RTNETLINK answers: File exists (10.77.0.2/24 is already on skb0)\n',
    });
    for (const [args, why] of [
      [['ip', 'frob'], 'Object "frob" is unknown'],
      [
        ['ip', 'addr', 'add', '10.77.0.300/24', 'dev', 'skb0'],
        'any valid prefix is expected rather than "10.77.0.300/24"',
      ],
      [['ip', 'addr', 'add', '10.77.0.3/24'], '"dev" argument is required'],
      [['ip', 'route', 'add', '10.0.0.0/8', 'via'], '"via" needs a value'],
      [['ip', 'link', 'set', 'skb0', 'mtu', '12'], 'mtu 12: expected a number from 68'],
      [['ip', 'neigh', 'add', '10.0.0.1', 'lladdr', 'zz', 'dev', 'skb0'], '"zz" is invalid lladdr'],
    ] as const) {
      const r = await skbus(...args);
      expect([args.join(' '), r.code]).toEqual([args.join(' '), 2]);
      expect(r.stderr).toContain(why);
    }
  });
});

describe('exit codes and streams', () => {
  test.each([
    [['--frob'], 2, "unknown option '--frob'"],
    [['frob'], 2, "unknown command 'frob'"],
    [['up', '--nic', 'eth'], 2, '--nic eth: expected tap, wire or udp'],
    [['up', '--api-port', '99999'], 2, '--api-port 99999: expected a number from 0 to 65535'],
    [['up', '--udp-peer', '127.0.0.1:1'], 2, '--udp-peer goes with --nic udp'],
    [['up', '--nic', 'udp', '--udp-local', 'x', '--udp-peer', '127.0.0.1:1'], 2, '--udp-local x: expected host:port'],
    [['up', '--append', 'ip=dhcp'], 2, '--append: ip=dhcp: there is no DHCP client here'],
    [['up', '--stack', 'A B'], 2, '--stack A B: expected 1 to 32'],
    [['expose', '99999', '127.0.0.1:1'], 2, 'PORT 99999'],
    [['expose', '80'], 2, 'expose 80: where to?'],
    [['trace', '--format', 'xml'], 2, '--format xml'],
    [['trace', '--follow', 'me'], 2, '--follow me'],
    [['ping', '-c', '0', '10.0.0.1'], 2, '-c 0: expected a number'],
    [['peer', '--stack', 'none', '--', 'true'], 1, 'stack none is not running'],
    [['nstat'], 1, 'no /nstat'],
  ])('%j', async (args, code, why) => {
    const r = await skbus(...args);
    expect(r.stderr).toContain(why);
    expect(r).toMatchObject({ code, stdout: '' });
  });

  test('no API: one sentence', async () => {
    const r = await run(process.execPath, [CLI, 'status'], {
      env: { SKBUS_RUN_ROOT: dir, SKBUS_API: 'http://127.0.0.1:1' },
    });
    expect(r).toMatchObject({ code: 1, stdout: '' });
    expect(r.stderr).toMatch(/^skbus: the control API at http:\/\/127\.0\.0\.1:1 does not answer: [^\n]+\n$/);
  });

  test('no stack: how to get one; down is then content', async () => {
    const env = { SKBUS_RUN_ROOT: dir, SKBUS_API: '', SKBUS_STACK: '' };
    const r = await run(process.execPath, [CLI, 'ss'], { env });
    expect(r).toMatchObject({
      code: 1,
      stderr: 'skbus: no stack is running; start one with "npm start" or "skbus up -d"\n',
    });
    expect(await run(process.execPath, [CLI, 'down'], { env })).toMatchObject({
      code: 0,
      stderr: 'skbus: no stack is running\n',
    });
  });

  test('whoever stops reading is no error', async () => {
    answers['GET /dmesg'] = {
      body: Array.from({ length: 50_000 }, (_, seq) => ({ seq, ms: seq, layer: 'ip', text: 'x'.repeat(60) })),
    };
    const child = spawn('sh', ['-c', `"${process.execPath}" "${CLI}" dmesg | head -n 1`], {
      env: { ...process.env, SKBUS_RUN_ROOT: dir, SKBUS_API: api },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let err = '';
    child.stderr.on('data', (d: Buffer) => (err += d.toString()));
    child.stdout.resume();
    await new Promise((r) => child.once('close', r));
    expect(err).toBe('');
  });

  test('no colours where nobody looks', async () => {
    expect((await skbus('doctor')).stdout).not.toContain('\u001b');
  });
});

describe('ping', () => {
  const reply = {
    errno: 0,
    strerror: '',
    from: '10.77.0.1',
    ttl: 64,
    rttMs: 0.2154,
    type: 0,
    code: 0,
    bytes: 64,
    seq: 1,
  };

  test('reads like iputils, exits 0, 1 or 2', async () => {
    answers['POST /ping'] = { body: reply };
    const r = await skbus('ping', '-c', '1', '10.77.0.1');
    expect(r.code).toBe(0);
    expect(r.stdout.replace(/time \d+ms/, 'time 0ms').split('\n')).toEqual([
      'PING 10.77.0.1 (10.77.0.1) 56(84) bytes of data.',
      '64 bytes from 10.77.0.1: icmp_seq=1 ttl=64 time=0.215 ms',
      '',
      '--- 10.77.0.1 ping statistics ---',
      '1 packets transmitted, 1 received, 0% packet loss, time 0ms',
      'rtt min/avg/max/mdev = 0.215/0.215/0.215/0.000 ms',
      '',
    ]);
    answers['POST /ping'] = { body: { ...reply, type: 3, code: 1, from: '10.77.0.2' } };
    const far = await skbus('ping', '-c', '1', '10.77.0.99');
    expect(far.code).toBe(1);
    expect(far.stdout).toContain('From 10.77.0.2 icmp_seq=1 Destination Host Unreachable');
    expect(far.stdout).toContain('1 packets transmitted, 0 received, +1 errors, 100% packet loss');
    answers['POST /ping'] = { body: { ...reply, errno: 110, strerror: 'Connection timed out' } };
    expect((await skbus('ping', '-c', '1', '10.77.0.99')).code).toBe(1);
    answers['POST /ping'] = { body: { ...reply, errno: 101, strerror: 'Network is unreachable' } };
    expect(await skbus('ping', '-c', '1', '9.9.9.9')).toMatchObject({
      code: 2,
      stderr: 'skbus: ping: 9.9.9.9: Network is unreachable\n',
    });
  });
});

describe('ss', () => {
  const socket = (state: number) => ({
    state,
    laddr: '0.0.0.0',
    lport: 80,
    raddr: '0.0.0.0',
    rport: 0,
    rqueue: 0,
    wqueue: 0,
  });

  test('-s counts; TIME-WAIT is among the closed ones; -tanp is what people type', async () => {
    answers['GET /ss'] = { body: { tcp: [socket(10), socket(1), socket(6)], udp: [socket(7)] } };
    expect((await skbus('ss', '-s')).stdout).toContain('TCP:   3 (estab 1, closed 1, timewait 1)');
    expect((await skbus('ss', '-s', '--json')).stdout).toBe(
      '{"total":4,"tcp":{"total":3,"estab":1,"closed":1,"timewait":1},"udp":1}\n',
    );
    expect((await skbus('ss', '-Htanp')).stdout.split('\n')).toHaveLength(4);
  });
});

describe('nstat', () => {
  test('increments since the last call; -a absolute, -z with zeros', async () => {
    answers['GET /nstat'] = { body: { IpInReceives: 7, IpInHdrErrors: 0 } };
    const history = { NSTAT_HISTORY: join(dir, 'history') };
    const nstat = (...a: string[]): Promise<Result> =>
      run(process.execPath, [CLI, 'nstat', ...a], { env: { SKBUS_RUN_ROOT: dir, SKBUS_API: api, ...history } });
    expect((await nstat()).stdout).toBe(`#kernel\n${'IpInReceives'.padEnd(32)}${'7'.padEnd(16)}   0.0\n`);
    expect((await nstat()).stdout).toBe('#kernel\n');
    answers['GET /nstat'] = { body: { IpInReceives: 9, IpInHdrErrors: 0 } };
    expect(JSON.parse((await nstat('--json')).stdout)).toEqual({ kernel: { IpInReceives: 2 } });
    expect(JSON.parse((await nstat('-a', '-z', '--json')).stdout)).toEqual({
      kernel: { IpInReceives: 9, IpInHdrErrors: 0 },
    });
  });
});
