import { describe, expect, test } from '@jest/globals';
import { parseScript } from '../lang/parser.ts';
import type { Target } from '../target.ts';
import { FakeTarget, type Reply, type Tcp } from '../testing/fake-target.ts';
import { runScript, type RunOptions } from './runner.ts';

const ISN = 0xffff_ff00;
const SYN_ACK = (seen: Tcp) => ({ flags: 0x12, seq: ISN, ack: (seen.seq + 1) >>> 0 });
/** The handshake; every data segment is acknowledged `afterUs` later. */
const stack =
  (afterUs = 0, over: (seen: Tcp) => object = () => ({})): Reply =>
  (seen) => {
    if ((seen.flags & 2) !== 0) return [{ packet: SYN_ACK(seen) }];
    if (seen.payload.length === 0) return [];
    const ack = (seen.seq + seen.payload.length) >>> 0;
    return [{ afterUs, packet: { seq: (ISN + 1) >>> 0, ack, ...over(seen) } }];
  };

const OPEN = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000
+0 > S. 0:0(0) ack 1
+0 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4
`;
const DATA = '+0 < P. 1:101(100) ack 1 win 1000\n';

async function run(target: FakeTarget, text: string, opts: RunOptions = {}): Promise<string> {
  try {
    await runScript(parseScript(text, 'a.pkt'), target, opts);
    return '';
  } catch (e) {
    return (e as Error).message;
  }
}

describe('a script that is right', () => {
  test('numbers are mapped both ways, whatever the initial sequence numbers', async () => {
    for (const remoteShift of [0, 0xffff_ffce]) {
      const target = new FakeTarget(stack());
      expect(await run(target, `${OPEN}${DATA}+0 > . 1:1(0) ack 101\n`, { strict: true, remoteShift })).toBe('');
      expect(target.seen.map((p) => p.seq)).toEqual([0, 1, 1].map((n) => (n + remoteShift) >>> 0));
      expect(target.seen[1]!.ack).toBe((ISN + 1) >>> 0);
    }
  });

  test('the SYN says where the remote host begins; after it, 1 is the first byte', async () => {
    const target = new FakeTarget(stack());
    const script = OPEN.replace('S 0:0(0)', 'S 5000:5000(0)').replace('S. 0:0(0) ack 1', 'S. 0:0(0) ack 5001');
    expect(await run(target, `${script}${DATA}+0 > . 1:1(0) ack 101\n`, { strict: true })).toBe('');
    expect(target.seen.map((p) => p.seq)).toEqual([5000, 5001, 5001]);
  });

  test('SACK blocks are mapped; options compare in order; <...> takes any', async () => {
    const sack = { options: [{ kind: 'nop' }, { kind: 'nop' }, { kind: 'sack', blocks: [[200, 300]] }] };
    const target = new FakeTarget(stack(0, () => sack));
    expect(await run(target, `${OPEN}${DATA}+0 > . 1:1(0) ack 101 <nop,nop,sack 200:300>\n`)).toBe('');
    expect(await run(target, `${OPEN}${DATA}+0 > . 1:1(0) ack 101 <...>\n`)).toBe('');
  });

  test('a train of segments is one packet, and one above the MTU gives what is asked for', async () => {
    const piece = (from: number, len: number, flags = 0x10) => ({
      packet: { seq: (ISN + from) >>> 0, ack: 101, flags, payload: new Uint8Array(len) },
    });
    const reply: Reply = (seen) =>
      seen.payload.length === 0 ? stack()(seen) : [piece(1, 1000), piece(1001, 1000, 0x18), piece(2001, 3000, 0x18)];
    const expected = ['P. 1:2001(2000)', '. 2001:3001(1000)', '. 3001:4001(1000)', 'P. 4001:5001(1000)'];
    const script = `${OPEN}${DATA}${expected.map((p) => `+0 > ${p} ack 101\n`).join('')}`;
    expect(await run(new FakeTarget(reply), script, { strict: true })).toBe('');
  });

  test('with --tcp_ts_tick_usecs the clock behind the timestamps is checked, from its first value on', async () => {
    let clock = 77_000;
    const ts = () => ({ options: [{ kind: 'nop' }, { kind: 'nop' }, { kind: 'ts', val: clock, ecr: 9 }] });
    const script = (second: number): string => `--tcp_ts_tick_usecs=1000\n${OPEN}${DATA}
+0 > . 1:1(0) ack 101 <nop,nop,TS val 100 ecr 9>
+0 < P. 101:201(100) ack 1 win 1000
+0 > . 1:1(0) ack 201 <nop,nop,TS val ${second} ecr 9>\n`;
    const play = (second: number): Promise<string> => {
      clock = 76_950;
      return run(new FakeTarget(stack(0, () => ((clock += 50), ts()))), script(second));
    };
    expect(await play(150)).toBe('');
    expect(await play(154)).toBe('');
    expect(await play(200)).toContain('timestamp: expected 200, and it is 150');
  });

  test('an echoed timestamp is the one that was on the wire', async () => {
    const ts = (val: number) => ({ options: [{ kind: 'nop' }, { kind: 'nop' }, { kind: 'ts', val, ecr: 9 }] });
    const target = new FakeTarget(stack(0, () => ts(77_000)));
    const script = `${OPEN}${DATA}+0 > . 1:1(0) ack 101 <nop,nop,TS val 100 ecr 9>
+0 < . 101:101(0) ack 1 win 5 <nop,nop,TS val 10 ecr 100>\n`;
    expect(await run(target, script)).toBe('');
    expect(target.seen.at(-1)!.options.at(-1)).toEqual({ kind: 'ts', val: 10, ecr: 77_000 });
    expect(await run(target, script.replace('ecr 9>', 'ecr 8>'))).toContain('TS val 100 ecr 9');
  });

  test('packets that come in one after the other keep their distance; ports name a connection', async () => {
    const target = new FakeTarget(stack());
    const script = `${OPEN}+0.1 < 5 > 8080 S 10:10(0) win 1\n+0 > 8080 > 5 S. 0:0(0) ack 11\n`;
    expect(await run(target, script, { strict: true })).toBe('');
    expect([target.seen[2]!.sport, target.seen[2]!.dport]).toEqual([5, 8080]);
  });

  test('a blocking call comes back when the script says', async () => {
    const target = (afterUs: number): FakeTarget => new FakeTarget(stack(), { recv: { ret: 5, afterUs } });
    const script = `${OPEN}+0...0.2 read(4, ..., 5) = 5\n`;
    expect(await run(target(200_000), script)).toBe('');
    expect(await run(target(150_000), script)).toContain(
      'read() should have come back at 0.200, and came back at 0.150',
    );
    expect(await run(target(900_000), script)).toContain('should have come back at 0.200 and still blocks');
    expect(await run(target(900_000), `${OPEN}+0 read(4, ..., 5) = 5\n`)).toContain('read() blocks');
  });
});

const LATE = 20_000;
test.each([
  ['a wrong flag', stack(0, () => ({ flags: 0x11 })), '+0 > . 1:1(0) ack 101\n', 'flags: expected ., and it is F.'],
  ['a wrong number', stack(0, () => ({ ack: 100 })), '+0 > . 1:1(0) ack 101\n', 'ack: expected 101, and it is 100'],
  ['a wrong window', stack(), '+0 > . 1:1(0) ack 101 win 5\n', 'window: expected 5, and it is 1000'],
  ['too late', stack(LATE), '+0.01 > . 1:1(0) ack 101\n', 'the stack sent no packet'],
  ['too early', stack(0), '+0.02 > . 1:1(0) ack 101\n', 'came 0.020 s too early (0.004 s are allowed)'],
  ['not in the range', stack(LATE), '+0~+.01 > . 1:1(0) ack 101\n', 'the stack sent no packet'],
  ['missing', () => [], '+0 > . 1:1(0) ack 101\n', 'the stack sent no packet'],
  [
    'an option too many',
    stack(0, () => ({ options: [{ kind: 'nop' }, { kind: 'nop' }, { kind: 'sackOK' }] })),
    '+0 > . 1:1(0) ack 101\n',
    'options: expected none, and they are <nop,nop,sackOK>',
  ],
  [
    'an option missing',
    stack(),
    '+0 > . 1:1(0) ack 101 <nop,nop,sack 1:2>\n',
    'options: expected <nop,nop,sack 1:2>, and they are none',
  ],
  ['a wrong ECN codepoint', stack(), '+0 > [ect0] . 1:1(0) ack 101\n', 'ECN: expected ect0, TOS is 0'],
  [
    'one that nobody expected',
    (seen: Tcp) => [...stack()(seen), ...stack()(seen)],
    '+0 > . 1:1(0) ack 101\n',
    'a packet was left that nobody expected',
  ],
])('%s', async (_what, reply, expectation, message) => {
  const open = _what === 'missing' ? OPEN.replace('+0 > S. 0:0(0) ack 1\n', '') : OPEN;
  const both =
    _what === 'one that nobody expected'
      ? open.replace('+0 > S. 0:0(0) ack 1\n', '+0 > S. 0:0(0) ack 1\n+0 > S. 0:0(0) ack 1\n')
      : open;
  const got = await run(new FakeTarget(reply as Reply), `${both}${DATA}${expectation}`, { strict: true });
  expect(got).toContain(message);
  expect(got).toMatch(/^a\.pkt:\d+:\d+: /);
});

test('the message shows both packets, when, and what was before', async () => {
  const got = await run(new FakeTarget(stack(0, () => ({ flags: 0x14 }))), `${OPEN}${DATA}+0 > . 1:1(0) ack 101\n`);
  expect(got).toBe(`a.pkt:9:1: the packet differs: flags: expected ., and it is R.
  expected at 0: > . 1:1(0) ack 101
  actual   at 0: > R. 1:1(0) ack 101 win 1000
  before that:
         0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
         0 bind(3, ..., ...) = 0
         0 listen(3, 1) = 0
         0 < S 0:0(0) win 1000
         0 > S. 0:0(0) ack 1 win 1000
         0 < . 1:1(0) ack 1 win 1000
         0 accept(3, ..., ...) = 4
         0 < P. 1:101(100) ack 1 win 1000`);
});

test('a tolerance grows with the time since the event before', async () => {
  const script = `${OPEN}${DATA}+.4 > . 1:1(0) ack 101\n`;
  expect(await run(new FakeTarget(stack(445_000)), script)).toBe('');
  expect(await run(new FakeTarget(stack(455_000)), script)).toContain('the stack sent no packet');
});

test.each([
  ['close(3) = 0', { ret: -1, errno: 9 }, 'close(): expected 0, and it gave -1 EBADF'],
  ['close(3) = -1 EINVAL (x)', { ret: -1, errno: 9 }, 'close(): expected -1 EINVAL, and it gave -1 EBADF'],
  ['close(3) = -1 EBADF (x)', { ret: 0 }, 'close(): expected -1 EBADF, and it gave 0'],
  ['close(3) = -1 EBADF (x)', { ret: -1, errno: 9 }, ''],
  ['close(3) = ...', { ret: -1, errno: 9 }, ''],
])('%s that gives %j', async (call, result, message) => {
  const got = await run(new FakeTarget(stack(), { close: result }), `0 ${call}\n`);
  expect(got).toContain(message);
  expect(got === '').toBe(message === '');
});

test('what getsockopt, poll and ioctl give is compared', async () => {
  const int = (...v: number[]): Uint8Array => new Uint8Array(Int32Array.from(v).buffer);
  const target = new FakeTarget(stack(), {
    getsockopt: { opt: int(1, 5) },
    ioctl: { value: 12 },
    poll: { ret: 1, revents: [4] },
  });
  const line = async (text: string): Promise<string> => (await run(target, `0 ${text}\n`)).split('\n')[0]!;
  expect(await line('getsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, [8]) = 0')).toBe('');
  expect(await line('getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNRESET], [4]) = 0')).toContain(
    'expected 104, and it is 1',
  );
  expect(await line('ioctl(3, SIOCINQ, [11]) = 0')).toContain('expected 11, and it is 12');
  expect(await line('poll([{fd=3, events=POLLOUT, revents=POLLIN}], 1, 0) = 1')).toContain('expected POLLIN');
  expect(await line('poll([{fd=3, events=POLLOUT, revents=POLLOUT}], 1, 0) = 1')).toBe('');
  expect(await line('frobnicate(3) = 1')).toContain('the system call frobnicate() is not known here');
  expect(await line('close(NONSENSE) = 1')).toContain("1:9: 'NONSENSE' is no constant that is known here");
});

test.each([
  ['`sysctl -q -w net.ipv4.tcp_sack=0 net.ipv4.tcp_rmem="1 2 3"`', ['net.ipv4.tcp_sack=0', 'net.ipv4.tcp_rmem=1 2 3']],
  [
    '`./set_sysctls.py /proc/sys/net/ipv4/tcp_ecn=1 \\\n /proc/sys/net/ipv4/tcp_dsack=0`',
    ['net.ipv4.tcp_ecn=1', 'net.ipv4.tcp_dsack=0'],
  ],
  ['`echo 5 > /proc/sys/net/ipv4/tcp_reordering; tc qdisc add x || true`', ['net.ipv4.tcp_reordering=5']],
])('%s', async (command, sysctls) => {
  const target = new FakeTarget(stack());
  expect(await run(target, `${command}\n0 close(3) = 0\n`)).toBe('');
  expect(target.sysctls).toEqual(sysctls);
});

test('nstat counts from its last call; grep decides', async () => {
  const counted = [0, 2, 5];
  const target = new FakeTarget(stack());
  target.counters = () => Promise.resolve(new Map([['TcpExtTW', counted.shift() ?? 0]]));
  expect(await run(target, '0 `nstat -n`\n+0 `nstat | grep TcpExtTW | grep -q " 2 "`\n')).toBe('');
  counted.push(9, 9);
  expect(await run(target, '0 `nstat | grep TcpExtTW | grep -q " 2 " > /dev/null`\n')).toMatch(
    /counters are: TcpExtTW +5 /,
  );
});

test("on a real machine the suite's own commands are interpreted, a shell has the rest", async () => {
  const target = new FakeTarget(stack());
  const shell: string[] = [];
  (target as Target).command = (lines) => {
    shell.push(lines);
    return Promise.resolve();
  };
  const commands = 'a\n ./set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0\nb\nc\n/tmp/sysctl_restore_${PPID}.sh';
  expect(await run(target, `\`${commands}\`\n0 close(3) = 0\n`)).toBe('');
  expect(shell).toEqual(['a', 'b\nc']);
});

test('a command that nobody understands is an error', async () => {
  const got = await run(new FakeTarget(stack()), '0 `frobnicate --now`\n');
  expect(got).toContain("1:1: `frobnicate --now`: 'frobnicate' is not a command that the engine target understands");
});

test.each([
  ['--ip_version=ipv6', 'IPv6 is not supported yet'],
  ['--local_ip=fd00::1', 'IPv6 is not supported yet'],
  ['--nonsense', 'unknown option'],
  ['--mtu=x', 'expected a number'],
])('%s', async (option, message) => {
  expect(await run(new FakeTarget(stack()), `${option}\n0 close(3) = 0\n`)).toContain(
    `a.pkt:1:1: ${option.split('=')[0]}: ${message}`,
  );
});
