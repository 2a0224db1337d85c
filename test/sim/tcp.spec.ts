import { describe, expect, test } from '@jest/globals';
import { errnoName, TCP_CLOSE, TCP_ESTABLISHED, TCP_TIME_WAIT } from '@skbus/skb';
import type { LinkModel } from '@skbus/sim';
import type { ReadProgress } from '@skbus/sim';
import { Program } from '@skbus/sim';
import { Net } from '@skbus/sim';
import { twoHosts } from '@skbus/sim';
import { transfer, whole } from '@skbus/sim';

const MB = 1_000_000;

describe('transfer', () => {
  test('1 MB both ways on a clean link: nothing is sent twice', () => {
    const two = twoHosts({ latencyMs: 1, bitsPerSecond: 100e6 });
    const t = transfer(two, MB);
    expect(t.toServer).toEqual(whole(MB));
    expect(t.toClient).toEqual(whole(MB));
    expect(two.net.check()).toEqual([]);
    for (const h of [two.a, two.b]) {
      expect(h.shells.tcp.env.mib.get('TcpRetransSegs')).toBe(0);
      expect(h.drops).toEqual({});
    }
    // 100 Mbit/s carry a megabyte in 80 ms; both directions have the wire to themselves.
    expect(t.took).toBeLessThan(250);
  });

  const rough: Partial<LinkModel> = { latencyMs: 5, loss: 0.05, duplicate: 0.02, reorder: 0.05, reorderMs: 4 };
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('1 MB both ways with 5 % loss, reordering and duplicates, seed %i', (seed) => {
    const two = twoHosts(rough, { seed });
    const t = transfer(two, MB);
    expect(t.toServer).toEqual(whole(MB));
    expect(t.toClient).toEqual(whole(MB));
    expect(two.net.check()).toEqual([]);
    expect(two.link.counters.lost).toBeGreaterThan(50);
    // Recovery by timeouts alone would take minutes.
    expect(t.took).toBeLessThan(60_000);
  });

  test('with checksum offload and whole GSO segments', () => {
    const two = twoHosts({ latencyMs: 1 }, { offload: true });
    const t = transfer(two, MB);
    expect([t.toServer, t.toClient]).toEqual([whole(MB), whole(MB)]);
    expect(two.net.check()).toEqual([]);
    expect(two.link.counters.sent).toBeLessThan(600);
  });

  test('without the codec, by reference', () => {
    const two = twoHosts({ latencyMs: 1 }, { codec: false });
    const t = transfer(two, MB);
    expect([t.toServer, t.toClient]).toEqual([whole(MB), whole(MB)]);
    expect(two.net.check()).toEqual([]);
  });

  test('over lo', () => {
    const two = twoHosts();
    const onA2 = new Program(two.net, two.a);
    const t = transfer({ ...two, b: two.a, onB: onA2 }, MB);
    expect([t.toServer, t.toClient]).toEqual([whole(MB), whole(MB)]);
    expect(two.net.check()).toEqual([]);
    expect(two.link.counters.sent).toBe(0);
  });

  test('through a router with a smaller MTU behind it: the path MTU is found', () => {
    const net = new Net(5);
    const [a, r, b] = [net.host('a'), net.host('r', { router: true }), net.host('b')];
    const [left, right] = [net.link(), net.link()];
    a.attach(left, '10.1.0.2/24');
    r.attach(left, '10.1.0.1/24');
    r.attach(right, '10.2.0.1/24', { mtu: 800 });
    b.attach(right, '10.2.0.2/24');
    a.route('default', '10.1.0.1');
    b.route('default', '10.2.0.1');
    let biggest = 0;
    right.drop = (bytes) => ((biggest = Math.max(biggest, bytes.length)), false);
    let got: ReadProgress | undefined;
    const onB = new Program(net, b);
    onB.serve(80, (fd) => (got = onB.readAll(fd)));
    const onA = new Program(net, a);
    const { fd } = onA.connect(b.addr, 80);
    onA.writeAll(fd, 200_000);
    net.runUntil(() => got?.done === true);
    net.runUntilIdle();
    expect(got).toEqual(whole(200_000));
    expect(net.check()).toEqual([]);
    expect(biggest).toBe(814);
  });
});

describe('connections', () => {
  test('to a port where nobody listens are refused', () => {
    const { net, a, b, onA } = twoHosts();
    const started = net.now;
    expect(errnoName(onA.connect(b.addr, 81).errno)).toBe('ECONNREFUSED');
    expect(net.now - started).toBeLessThan(10);
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
    expect(b.shells.tcp.env.mib.get('TcpOutRsts')).toBe(1);
    expect(b.drops).toMatchObject({ NO_SOCKET: 1 });
    expect(a.sockets.sockets().every((s) => s.state === TCP_CLOSE)).toBe(true);
  });

  test('to an address nobody has fail with EHOSTUNREACH', () => {
    const { net, a, onA } = twoHosts();
    expect(errnoName(onA.connect(a.addr + 100, 80).errno)).toBe('EHOSTUNREACH');
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
  });

  test('to a host that is silent time out after all SYN retries', () => {
    const { net, b, link, onA, onB } = twoHosts();
    onB.serve(80, () => {});
    onA.connect(b.addr, 80);
    let syns = 0;
    link.drop = (bytes) => bytes[13] === 0 && ++syns > 0;
    const started = net.now;
    expect(errnoName(onA.connect(b.addr, 80).errno)).toBe('ETIMEDOUT');
    // tcp_syn_retries 6 with tcp_syn_linear_timeouts 4: 1 s five times, then 2, 4 … (docs of the sysctls).
    expect(syns).toBeGreaterThanOrEqual(7);
    expect(net.now - started).toBeGreaterThan(10_000);
    link.drop = undefined;
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
  });

  test('20 at once', () => {
    const { net, b, onA, onB } = twoHosts({ latencyMs: 2, loss: 0.01 }, { seed: 9 });
    const served: ReadProgress[] = [];
    onB.serve(80, (fd) => {
      served.push(onB.readAll(fd));
      onB.writeAll(fd, 50_000);
    });
    const got: ReadProgress[] = [];
    for (let i = 0; i < 20; i++) {
      const fd = onA.socket(1);
      onA.call({ call: 'connect', fd, addr: { family: 2, addr: b.addr, port: 80 } }, (r) => {
        expect(r.errno).toBe(0);
        got.push(onA.readAll(fd));
        onA.writeAll(fd, 30_000);
      });
    }
    net.runUntil(() => got.length === 20 && served.length === 20 && [...got, ...served].every((p) => p.done));
    net.runUntilIdle();
    expect(got).toEqual(Array.from({ length: 20 }, () => whole(50_000)));
    expect(served).toEqual(Array.from({ length: 20 }, () => whole(30_000)));
    expect(net.check()).toEqual([]);
  });

  test('close leaves a TIME-WAIT on the side that closed first, which ends by itself', () => {
    const { net, a, b, onA, onB } = twoHosts();
    onB.serve(80, (fd) => {
      onB.readAll(fd);
      onB.writeAll(fd, 0);
    });
    const { fd } = onA.connect(b.addr, 80);
    onA.close(fd);
    net.runUntilIdle();
    expect(a.tcp.sockets().filter((s) => s.state === TCP_TIME_WAIT)).toHaveLength(1);
    expect(b.tcp.sockets().filter((s) => s.state === TCP_TIME_WAIT)).toHaveLength(0);
    net.runFor(61_000);
    expect(a.tcp.sockets().filter((s) => s.state === TCP_TIME_WAIT)).toHaveLength(0);
    expect(net.check()).toEqual([]);
  });
});

describe('slow reader', () => {
  test('sets the pace: what is held stays bounded, and the window opens as fast as it reads', () => {
    const { net, a, b, onA, onB } = twoHosts({ latencyMs: 1, bitsPerSecond: 100e6 });
    let got: ReadProgress | undefined;
    onB.serve(80, (fd) => (got = onB.readAll(fd, 0, { chunk: 4_000, pauseMs: 10 })));
    const { fd } = onA.connect(b.addr, 80);
    const sent = onA.writeAll(fd, 4 * MB);
    const started = net.now;
    let held = 0;
    let unread = 0;
    net.runUntil(() => got !== undefined);
    while (!got!.done && net.now < started + 60_000) {
      net.runFor(50);
      held = Math.max(held, sent.sent - got!.got);
      unread = Math.max(unread, ...b.sockets.sockets().map((s) => s.recvQ));
    }
    expect(got).toEqual(whole(4 * MB));
    // The sender's buffer and the receiver's, not the stream.
    expect(held).toBeLessThan(2.5 * MB);
    expect(unread).toBeLessThan(600_000);
    // 400 kB/s: the reader waits for nobody.
    expect(net.now - started).toBeLessThan(11_000);
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
    expect(a.drops).toEqual({});
  });

  test('that stops for a minute: the window closes and is probed, nothing is lost', () => {
    const { net, a, b, onA, onB } = twoHosts();
    let fdB = -1;
    onB.serve(80, (fd) => (fdB = fd));
    const { fd } = onA.connect(b.addr, 80);
    onA.writeAll(fd, MB);
    net.runFor(60_000);
    expect(a.shells.tcp.env.mib.get('TcpExtTCPWinProbe')).toBeGreaterThan(3);
    expect(b.shells.tcp.env.mib.get('TcpExtTCPToZeroWindowAdv')).toBe(1);
    expect(a.tcp.sockets()[0]).toMatchObject({ state: TCP_ESTABLISHED });
    expect(b.sockets.sockets().find((s) => s.fd === fdB)!.recvQ).toBeLessThan(200_000);
    const got = onB.readAll(fdB);
    const resumed = net.now;
    net.runUntil(() => got.done);
    expect(got).toEqual(whole(MB));
    // The reader's window update, not the next probe (now tens of seconds away), starts it again.
    expect(net.now - resumed).toBeLessThan(1_000);
    expect(b.shells.tcp.env.mib.get('TcpExtTCPFromZeroWindowAdv')).toBe(1);
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
  });
});

test('a link that is down for half a minute delays, and ends nothing', () => {
  const two = twoHosts({ latencyMs: 5, bitsPerSecond: 10e6 });
  let down = false;
  two.link.drop = () => down;
  two.net.after(300, () => (down = true));
  two.net.after(30_300, () => (down = false));
  const t = transfer(two, MB);
  expect([t.toServer, t.toClient]).toEqual([whole(MB), whole(MB)]);
  expect(t.took).toBeGreaterThan(30_000);
  expect(two.net.check()).toEqual([]);
});
