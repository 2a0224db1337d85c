import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { demoSha256 } from '@skbus/app-demo';
import { run, Stack, eventually, whyNoTap } from '../support/stack.ts';
import { expectConserved } from '../support/conservation.ts';

const why = whyNoTap();
if (why) process.stderr.write(`e2e against a Linux kernel: skipped (${why})\n`);
const suite = why ? describe.skip : describe;

const MB = 1_000_000;

// The same with segments of up to 64 KiB crossing the TAP whole, and with plain frames whose checksums tshark can verify.
suite.each([
  ['offload', [] as string[], 100 * MB],
  ['plain', ['--no-offload'], 20 * MB],
] as const)('a Linux kernel on the TAP, %s', (mode, args, size) => {
  let stack: Stack;
  let capture: ReturnType<Stack['peerStart']>;
  let pcap: string;

  beforeAll(async () => {
    stack = await Stack.up(`e2e-${mode}`, ...args);
    pcap = join(stack.tmp, 'peer.pcap');
    capture = stack.peerStart('tcpdump', '-i', 'any', '-U', '-s', '200', '-B', '65536', '-w', pcap);
    let said = '';
    capture.stderr!.on('data', (d: Buffer) => (said += d.toString()));
    await eventually('tcpdump listens', () => said.includes('listening on'));
  }, 90_000);

  afterAll(async () => {
    await stack?.down();
  }, 30_000);

  const sha256 = async (cmd: string): Promise<string> =>
    (await stack.peer('bash', '-o', 'pipefail', '-c', `${cmd} | sha256sum`)).stdout.slice(0, 64);

  test('ping loses nothing', async () => {
    const r = await stack.peer('ping', '-c', '5', '-i', '0.2', '10.77.0.2');
    expect(r.stdout).toMatch(/5 packets transmitted, 5 received, 0% packet loss/);
    await expectConserved(stack);
  }, 30_000);

  test('the front page says what this is', async () => {
    const r = await stack.peer('curl', '-sS', 'http://10.77.0.2/');
    expect(r.stdout).toMatch(/skbus/);
  });

  test('a download comes out as the same bytes', async () => {
    expect(await sha256(`curl -sS http://10.77.0.2/bytes/${size}`)).toBe(demoSha256(size));
    await expectConserved(stack);
  }, 120_000);

  test('an upload arrives as the same bytes', async () => {
    const file = join(stack.tmp, 'upload');
    await run('bash', ['-c', `head -c ${size} /dev/urandom > ${file}`]);
    const h = createHash('sha256');
    for await (const d of createReadStream(file)) h.update(d as Buffer);
    const want = h.digest('hex');
    for (const how of [
      ['-T', file],
      ['-X', 'POST', '--data-binary', `@${file}`],
    ]) {
      const r = await stack.peer('curl', '-sS', ...how, 'http://10.77.0.2/sink');
      expect(JSON.parse(r.stdout)).toEqual({ bytes: size, sha256: want });
    }
    await expectConserved(stack);
  }, 240_000);

  test('50 curls at once', async () => {
    const results = await Promise.all(
      Array.from({ length: 50 }, () => stack.peer('curl', '-sS', '--max-time', '60', 'http://10.77.0.2/bytes/100000')),
    );
    const want = demoSha256(100_000);
    expect(results.map((r) => r.code)).toEqual(Array(50).fill(0));
    expect(
      new Set(results.map((r) => createHash('sha256').update(Buffer.from(r.stdout, 'latin1')).digest('hex'))),
    ).toEqual(new Set([want]));
    await expectConserved(stack);
  }, 120_000);

  test('a slow reader and a stalled one stay correct', async () => {
    expect(await sha256('curl -sS --limit-rate 4M http://10.77.0.2/bytes/12000000')).toBe(demoSha256(12 * MB));
    // The reader takes nothing for three seconds: the window closes and opens again.
    expect(await sha256('curl -sS http://10.77.0.2/bytes/12000000 | (sleep 3; cat)')).toBe(demoSha256(12 * MB));
    await expectConserved(stack);
  }, 60_000);

  test('out through SOCKS5 to a server on the peer', async () => {
    const dir = join(stack.tmp, 'www');
    await run('mkdir', ['-p', dir]);
    writeFileSync(join(dir, 'hello.txt'), 'hello from the kernel side\n');
    const server = stack.peerStart(process.execPath, '-e', SERVER, dir);
    await once(server.stdout!, 'data');
    const r = await run('curl', [
      '-sS',
      '--socks5-hostname',
      `127.0.0.1:${stack.socksPort}`,
      'http://10.77.0.1:8000/hello.txt',
    ]);
    expect(r).toMatchObject({ code: 0, stdout: 'hello from the kernel side\n' });
    const refused = await run('curl', [
      '-sS',
      '--socks5-hostname',
      `127.0.0.1:${stack.socksPort}`,
      'http://10.77.0.1:8001/',
    ]);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/\(5\)|refused/);
  }, 30_000);

  test('fetch through @skbus/net', async () => {
    const r = await run(process.execPath, ['test/e2e/fetch-through.mjs', 'http://10.77.0.1:8000/hello.txt'], {
      env: { SKBUS_SOCK: stack.sock },
    });
    expect(r).toMatchObject({ code: 0, stdout: 'hello from the kernel side\n' });
  }, 30_000);

  test('iperf3 -s behind the stack serves the peer both ways', async () => {
    const server = run('iperf3', ['-s', '-1', '-p', '15201', '-B', '127.0.0.1'], { timeoutMs: 30_000 });
    expect((await stack.skbus('expose', '5201', '127.0.0.1:15201')).code).toBe(0);
    const up = await stack.peer('iperf3', '-c', '10.77.0.2', '-t', '2', '-J');
    expect(JSON.parse(up.stdout)).toMatchObject({ end: { sum_received: { bytes: expect.any(Number) } } });
    await server;
    const again = run('iperf3', ['-s', '-1', '-p', '15201', '-B', '127.0.0.1'], { timeoutMs: 30_000 });
    await eventually(
      'iperf3 listens again',
      async () => (await run('ss', ['-Hltn', 'sport', '=', ':15201'])).stdout.length > 0,
    );
    const down = await stack.peer('iperf3', '-c', '10.77.0.2', '-t', '2', '-R', '-J');
    expect(
      (JSON.parse(down.stdout) as { end: { sum_received: { bytes: number } } }).end.sum_received.bytes,
    ).toBeGreaterThan(MB);
    await again;
    await stack.skbus('expose', '--rm', '5201');
  }, 60_000);

  test('UDP echo, and an ICMP error from a port nobody has', async () => {
    const r = await stack.peer(process.execPath, '-e', UDP_CLIENT);
    expect(r.stdout.trim()).toBe('echo 1200 bytes; port 9999: ECONNREFUSED');
  }, 20_000);

  test('TCP services: echo 7, daytime 13, chargen 19, discard 9', async () => {
    const r = await stack.peer(process.execPath, '-e', TCP_SERVICES);
    expect(r.stdout.trim().split('\n')).toEqual(['echo ok', 'daytime ok', 'chargen ok', 'discard ok']);
  }, 30_000);

  test('tshark finds nothing wrong with what the stack sent', async () => {
    capture.kill('SIGINT');
    await once(capture, 'close');
    const bad = [
      '_ws.malformed',
      'ip.checksum.status=="Bad"',
      'tcp.short_segment',
      'tcp.option.len.invalid',
      'tcp.ack.nonzero',
      'tcp.options.mss.absent',
      'tcp.options.mss.present',
      'tcp.options.wscale.shift.invalid',
      'tcp.analysis.fast_retransmission',
      '(tcp.analysis.retransmission && !tcp.analysis.spurious_retransmission)',
      'tcp.analysis.out_of_order',
      'tcp.analysis.lost_segment',
      'tcp.analysis.ack_lost_segment',
      // With offload the checksum is the pseudo header's only, by design: the receiving kernel finishes it.
      ...(mode === 'plain'
        ? ['tcp.checksum.status=="Bad"', 'udp.checksum.status=="Bad"', 'icmp.checksum.status=="Bad"']
        : []),
    ].join(' || ');
    const options = [
      '-o',
      'ip.check_checksum:TRUE',
      '-o',
      `tcp.check_checksum:${mode === 'plain' ? 'TRUE' : 'FALSE'}`,
      '-o',
      'udp.check_checksum:TRUE',
    ];
    const find = async (filter: string): Promise<string[]> => {
      const r = await run('tshark', ['-r', pcap, ...options, '-Y', `ip.src==10.77.0.2 && ${filter}`]);
      expect(r.stderr).not.toMatch(/isn't a valid|cut short/);
      return r.stdout.split('\n').filter((line) => line !== '');
    };
    const wrong = await find(`(${bad}) && !tcp.analysis.zero_window_probe && !tcp.analysis.keep_alive`);
    expect(wrong.slice(0, 20)).toEqual([]);
    // A machine that stands still for a tenth of a second in between makes any TCP probe for a lost tail (RFC 8985 7), the
    // ACK being on its way. That much is nobody's fault; a probe that is not counted, or a third one, is.
    const again = await find('tcp.analysis.spurious_retransmission');
    const probes = JSON.parse((await stack.skbus('nstat', '-a', '-j', 'TcpExtTCPLossProbes')).stdout) as {
      kernel: { TcpExtTCPLossProbes?: number };
    };
    expect(again.slice(0, Math.min(2, probes.kernel.TcpExtTCPLossProbes ?? 0))).toEqual(again);
    const all = await run('tshark', [
      '-r',
      pcap,
      '-Y',
      'tcp && ip.src==10.77.0.2',
      '-T',
      'fields',
      '-e',
      'frame.number',
    ]);
    expect(all.stdout.split('\n').length).toBeGreaterThan(500);
  }, 120_000);

  test('no service has complained', () => {
    expect(stack.complaints()).toEqual([]);
  });
});

const SERVER = `
const fs = require('fs'), http = require('http'), dir = process.argv[1];
http.createServer((q, r) => fs.createReadStream(dir + q.url).on('error', () => r.writeHead(404).end()).pipe(r)).listen(8000, '10.77.0.1', () => console.log('up'));`;

const UDP_CLIENT = `
const s = require('dgram').createSocket('udp4'), t = require('dgram').createSocket('udp4');
const msg = Buffer.alloc(1200, 'u');
s.on('message', (m) => {
  s.close();
  t.on('error', (e) => { console.log('echo ' + (m.equals(msg) ? m.length : 'wrong') + ' bytes; port 9999: ' + e.code); t.close(); });
  t.connect(9999, '10.77.0.2', () => t.send('x'));
});
s.send(msg, 7, '10.77.0.2');
setTimeout(() => { console.log('no answer'); process.exit(1); }, 8000).unref();`;

const TCP_SERVICES = `
const net = require('net');
const dial = (port) => net.connect(port, '10.77.0.2');
const echo = () => new Promise((done) => { const s = dial(7), m = Buffer.alloc(70000, 'e'); let n = 0; s.on('data', (d) => { n += d.length; if (n === m.length) s.end(); }).on('end', () => { console.log(n === m.length ? 'echo ok' : 'echo ' + n); done(); }); s.write(m); });
const daytime = () => new Promise((done) => { let t = ''; dial(13).on('data', (d) => t += d).on('end', () => { console.log(/\\d{2}:\\d{2}:\\d{2}.*\\r\\n$/.test(t) ? 'daytime ok' : 'daytime ' + t); done(); }); });
const chargen = () => new Promise((done) => { const s = dial(19); let n = 0, first = ''; s.on('data', (d) => { if (first.length < 148) first += d; n += d.length; if (n > 2e6) { s.destroy(); } }).on('close', () => { const l = first.split('\\r\\n'); console.log(l[0].length === 72 && l[1][0] === l[0][1] ? 'chargen ok' : 'chargen ' + l[0]); done(); }); });
const discard = () => new Promise((done) => { const s = dial(9); let n = 0; s.on('data', (d) => n += d.length).on('end', () => { console.log(n === 0 ? 'discard ok' : 'discard ' + n); done(); }); s.end(Buffer.alloc(100000)); s.resume(); });
(async () => { await echo(); await daytime(); await chargen(); await discard(); })();
setTimeout(() => process.exit(1), 20000).unref();`;
