import { describe, expect, test } from '@jest/globals';
import { below, errnoName, formatIpv4, formatMac, SOCK_DGRAM, SOCK_STREAM, SeededRng, type MibName } from '@skbus/skb';
import {
  outcome,
  patternByte,
  sockAddr,
  transfer,
  twoHosts,
  whole,
  type Host,
  type ReadProgress,
  type Two,
} from '@skbus/sim';

const SIZE = 50_000;

function moves(two: Two): void {
  const t = transfer(two, SIZE);
  expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
  expect(two.net.check()).toEqual([]);
}

const connectTo = ({ onA, b }: Two, port = 80): string => outcome(onA.connect(b.addr, port));

describe('ARP', () => {
  test('no reply: the peer asks three times, then its program has EHOSTUNREACH (net/ipv4/arp.c:arp_error_report)', () => {
    const two = twoHosts();
    two.b.fault('at neigh layer arp-silent');
    two.onB.serve(80, () => {});
    expect(connectTo(two)).toBe('EHOSTUNREACH');
    expect(two.b.faultLog().map((d) => d.ordinal)).toEqual([0, 1, 2, 3]);
    expect(two.net.check()).toEqual([]);
  });

  test('the first reply is missing: the second request, a second later, is answered', () => {
    const two = twoHosts();
    two.b.fault('at neigh layer arp-silent first 1');
    two.onB.serve(80, () => {});
    expect(connectTo(two)).toBe('ok');
    expect(two.net.now).toBeGreaterThan(1_000);
    expect(two.net.now).toBeLessThan(1_100);
  });

  test('a late reply: what waits goes when it comes', () => {
    const two = twoHosts();
    two.b.fault(`at neigh layer arp-late 300ms 10.0.0.99`);
    const id = two.b.fault('at neigh layer arp-late 700ms');
    two.onB.serve(80, () => {});
    expect(connectTo(two)).toBe('ok');
    expect(two.net.now).toBeGreaterThan(700);
    expect(two.net.now).toBeLessThan(800);
    expect(two.b.faultLog().filter((d) => d.ordinal > 0)).toMatchObject([{ rule: id, atMs: expect.any(Number) }]);
  });

  test('a poisoned reply: the peer sends to nobody; another reply heals it', () => {
    const two = twoHosts();
    two.b.fault('at neigh layer arp-poison 02:00:00:00:00:99 first 1');
    two.onB.serve(80, () => {});
    two.net.after(500, () => {
      const [n] = two.a.neigh.entries().filter((e) => e.addr === two.b.addr);
      expect(formatMac(n!.lladdr!)).toBe('02:00:00:00:00:99');
    });
    expect(connectTo(two)).toBe('ok');
    expect(two.net.now).toBeGreaterThan(5_000);
    expect(two.b.drops).toHaveProperty('OTHERHOST');
  });
});

test('the neighbour table is full: packets end as NEIGH_CREATEFAIL, and a connect waits (net/core/neighbour.c:neigh_alloc)', () => {
  const two = twoHosts();
  two.a.fault('at neigh layer table-full for 2500ms');
  two.onB.serve(80, () => {});
  expect(connectTo(two)).toBe('ok');
  expect(two.a.drops).toMatchObject({ NEIGH_CREATEFAIL: 3 });
  expect(two.a.neigh.stats).toMatchObject({ table_fulls: 3 });
  // SYNs go each second at first (tcp_syn_linear_timeouts)
  expect(two.net.now).toBeGreaterThan(3_000);
  expect(two.net.now).toBeLessThan(3_100);
});

test('a standing fault survives the restart of its layer', () => {
  const two = twoHosts();
  two.b.fault('at neigh layer arp-silent');
  two.b.restart('neigh');
  expect(connectTo(two)).toBe('EHOSTUNREACH');
  two.b.heal();
  moves(two);
});

const mib = ({ shells }: Host, layer: 'tcp' | 'udp' | 'ip', name: MibName): number => shells[layer].env.mib.get(name);

describe('routes', () => {
  test('an entry is missing: ENETUNREACH at once, and nothing once it is back', () => {
    const two = twoHosts();
    two.a.fault('at ip layer route-missing 10.77.0.0/24 for 1s');
    expect(connectTo(two)).toBe('ENETUNREACH');
    expect(two.a.ip.routes().some((r) => r.dstLen === 24)).toBe(true);
    two.net.runFor(1_000);
    moves(two);
  });

  test('an entry flaps: a connection waits for it', () => {
    const two = twoHosts();
    two.b.fault('at ip layer route-missing 10.77.0.0/24 after 5ms for 3s flap 700ms');
    moves(two);
    expect(two.b.faultLog().map((d) => d.op.op)).toEqual(['layer', 'end', 'layer', 'end', 'layer', 'end']);
  });

  test('an entry names another next hop, which nobody is: EHOSTUNREACH', () => {
    const two = twoHosts();
    two.a.fault('at ip layer route-wrong 10.77.0.0/24 via 10.77.0.99');
    expect(connectTo(two)).toBe('EHOSTUNREACH');
    expect(two.a.neigh.entries().map((n) => formatIpv4(n.addr))).toContain('10.77.0.99');
    two.a.heal();
    moves(two);
  });
});

describe('the path MTU shrinks', () => {
  test('in silence: what is sent is sent again until the path is whole (RFC 2923 2.1)', () => {
    const two = twoHosts();
    two.b.fault('at ip layer mtu-black-hole 1000 for 5s');
    const t = transfer(two, SIZE);
    expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
    expect(t.took).toBeGreaterThan(5_000);
    expect(two.b.drops.PKT_TOO_BIG).toBeGreaterThan(5);
    expect(two.net.check()).toEqual([]);
  });

  test('in silence, with tcp_mtu_probing=1: TCP finds out (RFC 4821, tcp_mtu_probing())', () => {
    const two = twoHosts({}, { tcp: { tcpMtuProbing: 1 } });
    two.b.fault('at ip layer mtu-black-hole 1100');
    moves(two);
  });

  test('with ICMP: both ends go on with less (RFC 1191)', () => {
    const two = twoHosts();
    two.b.fault('at ip layer mtu-too-big 1000');
    const t = transfer(two, SIZE);
    expect([t.toServer, t.toClient]).toEqual([whole(SIZE), whole(SIZE)]);
    expect(t.took).toBeLessThan(2_000);
    expect(two.a.ip.getRoute({ id: 0, daddr: two.b.addr, saddr: 0, oif: 0, tos: 0 }, two.a.shells.ip.now).mtu).toBe(
      1000,
    );
    expect(two.net.check()).toEqual([]);
  });
});

describe('the device', () => {
  test('the carrier is away: packets end in noop_qdisc, neighbours are forgotten, the connection goes on', () => {
    const two = twoHosts();
    two.a.fault('at nic layer carrier-off after 10ms for 2s');
    const t = transfer(two, 500_000);
    expect([t.toServer, t.toClient]).toEqual([whole(500_000), whole(500_000)]);
    expect(t.took).toBeGreaterThan(2_000);
    expect(two.a.drops.QDISC_DROP).toBeGreaterThan(0);
    expect(two.a.neigh.stats.destroys).toBe(1);
    expect(two.net.check()).toEqual([]);
  });

  test('a sum that the device did not look at: the program reads what was never sent', () => {
    const two = twoHosts({}, { offload: true });
    two.b.fault("at nic rx match 'tcp.len > 1000' corrupt 100% nth 3");
    two.b.fault('at nic rx layer rx-csum-lies');
    let server: ReadProgress | undefined;
    two.onB.serve(80, (fd) => (server = two.onB.readAll(fd, 0)));
    const { fd } = two.onA.connect(two.b.addr, 80);
    two.onA.writeAll(fd, SIZE);
    two.net.runUntil(() => server?.done === true);
    expect(server!.got).toBe(SIZE);
    expect(patternByte(0, 0)).toBe(0);
    expect(server!.wrongAt).toBeGreaterThanOrEqual(0);
  });

  test.each([false, true])('sums that the device never finishes (offload %p): TCP_CSUM, and sent again', (offload) => {
    const two = twoHosts({}, { offload });
    two.a.fault('at nic layer tx-csum-unfinished first 3');
    moves(two);
    expect(two.b.drops).toMatchObject({ TCP_CSUM: 3 });
    expect(mib(two.b, 'tcp', 'TcpInCsumErrors')).toBe(3);
  });
});

describe('TCP', () => {
  test('no window for a time: the peer probes (RFC 9293 3.8.6.1), and hears when there is one again', () => {
    const two = twoHosts();
    two.b.fault('at tcp layer zero-window port 80 after 2ms for 3s');
    const t = transfer(two, 500_000);
    expect([t.toServer, t.toClient]).toEqual([whole(500_000), whole(500_000)]);
    expect(t.took).toBeGreaterThan(3_000);
    expect(t.took).toBeLessThan(3_300);
    expect(mib(two.b, 'tcp', 'TcpExtTCPToZeroWindowAdv')).toBe(1);
    expect(mib(two.b, 'tcp', 'TcpExtTCPFromZeroWindowAdv')).toBe(1);
    expect(mib(two.a, 'tcp', 'TcpExtTCPWinProbe')).toBeGreaterThan(1);
    expect(two.net.check()).toEqual([]);
  });

  test('numbers jump beyond the window: the peer takes nothing more (TCP_INVALID_SEQUENCE), and the writer times out', () => {
    const two = twoHosts();
    two.a.fault("at tcp tx match 'tcp.len > 0' layer seq-jump 100000000 nth 5");
    two.onB.serve(80, (fd) => void two.onB.readAll(fd));
    const { fd } = two.onA.connect(two.b.addr, 80);
    const w = two.onA.writeAll(fd, 1_000_000);
    two.net.runUntil(() => w.done, { withinMs: 2_000_000 });
    expect(errnoName(w.errno)).toBe('ETIMEDOUT');
    expect(two.b.drops.TCP_INVALID_SEQUENCE).toBeGreaterThan(10);
  });

  test('a number in the middle of the stream jumps by little: what is missing is asked for in vain', () => {
    const two = twoHosts();
    two.a.fault("at tcp tx match 'tcp.len > 0' layer seq-jump 1000 nth 5");
    two.onB.serve(80, (fd) => void two.onB.readAll(fd));
    const { fd } = two.onA.connect(two.b.addr, 80);
    two.onA.writeAll(fd, SIZE);
    two.net.runFor(5_000);
    expect(mib(two.b, 'tcp', 'TcpExtTCPOFOQueue')).toBeGreaterThan(0);
    expect(two.net.check()).toEqual([]);
  });

  test('every port is taken: EADDRNOTAVAIL to connect(), EADDRINUSE to bind()', () => {
    const two = twoHosts();
    two.a.fault('at tcp layer ports-taken first 2');
    const { onA } = two;
    expect(connectTo(two)).toBe('EADDRNOTAVAIL');
    const fd = onA.socket(SOCK_STREAM);
    expect(outcome(onA.sys({ call: 'bind', fd, addr: sockAddr(0, 0) }))).toBe('EADDRINUSE');
    moves(two);
  });

  test('a flood of SYNs: the queue is full, cookies go out, and who answers is let in (RFC 4987 3.6)', () => {
    const two = twoHosts();
    const { a, b, onB } = two;
    b.route('default', '10.77.0.1');
    b.fault('at tcp layer syn-flood 1000 to 10.77.0.2 port 80 for 2s seed 5');
    onB.listen(80, 64);
    two.net.runFor(1_000);
    expect(connectTo(two)).toBe('ok');
    two.net.runFor(1_500);
    expect(mib(b, 'tcp', 'TcpExtSyncookiesSent')).toBeGreaterThan(1_500);
    expect(mib(b, 'tcp', 'TcpExtSyncookiesRecv')).toBe(1);
    expect(mib(a, 'tcp', 'TcpInSegs')).toBe(1);
    expect(two.net.check()).toEqual([]);
  });
});

test('every UDP port is taken: EADDRINUSE to bind(), EAGAIN to who sends without (inet_autobind)', () => {
  const two = twoHosts();
  const { onA, a, b } = two;
  a.fault('at udp layer ports-taken');
  const fd = onA.socket(SOCK_DGRAM);
  expect(outcome(onA.sys({ call: 'bind', fd, addr: sockAddr(0, 0) }))).toBe('EADDRINUSE');
  expect(outcome(onA.sys({ call: 'connect', fd, addr: sockAddr(b.addr, 9) }))).toBe('EAGAIN');
});

describe('the clock that a layer sees jumps', () => {
  const layers = ['nic', 'neigh', 'ip', 'tcp', 'udp', 'socket'];
  test.each(
    layers.flatMap((l) => [
      `at ${l} layer clock-jump +1h after 5ms`,
      `at ${l} layer clock-jump -900ms after 5ms for 2s`,
    ]),
  )('%s: the streams are whole', (rule) => {
    const two = twoHosts();
    two.b.fault(rule);
    const t = transfer(two, 500_000);
    expect([t.toServer, t.toClient]).toEqual([whole(500_000), whole(500_000)]);
    expect(t.took).toBeLessThan(10_000);
    two.net.runFor(5_000);
    two.b.heal();
    expect(two.b.faultLog().map((d) => d.op.op)).toEqual(['layer', 'end']);
    expect(two.net.check()).toEqual([]);
  });

  test('a rule for a time lasts as long as it says', () => {
    const two = twoHosts();
    two.b.fault('at tcp layer clock-jump +1h for 2s');
    two.b.fault('at tcp layer ports-taken for 3s');
    two.net.runFor(5_000);
    expect(two.b.faultLog().map((d) => [d.atMs - 78_777.25, d.op.op])).toEqual([
      [0, 'layer'],
      [3_000, 'end'],
      [3_600_000, 'layer'],
      [3_602_000, 'end'],
    ]);
  });
});

/** Each of them for a time, so that all is well in the end. */
const POOL = [
  'at nic layer carrier-off',
  'at nic layer tx-csum-unfinished probability 0.1',
  'at neigh layer arp-silent',
  'at neigh layer arp-late 300ms',
  'at neigh layer arp-poison 02:00:00:00:00:99 first 1',
  'at neigh layer table-full',
  'at ip layer route-missing 10.77.0.0/24',
  'at ip layer route-wrong 10.77.0.0/24 via 10.77.0.99',
  'at ip layer mtu-black-hole 1000',
  'at ip layer mtu-too-big 900',
  'at tcp layer zero-window',
  'at tcp layer ports-taken',
  'at tcp layer syn-flood 500 to 10.77.0.2 port 80',
  'at nic layer clock-jump +7s',
  'at neigh layer clock-jump +40s',
  'at ip layer clock-jump -3s',
  'at tcp layer clock-jump -2s',
  'at tcp layer clock-jump +20s',
  'at socket layer clock-jump -1s',
  'at socket layer clock-jump +60s',
  'at tcp:tcp_v4_do_rcv drop probability 0.05',
  'at tcp:tcp_data_queue drop probability 0.05',
  'at tcp:tcp_transmit_skb drop NOMEM probability 0.05',
  'at ip:ip_finish_output2 drop probability 0.05',
  'at nic:netif_receive_skb drop probability 0.05',
  'at tcp:inet_reqsk_alloc drop NOMEM probability 0.5',
  'at tcp:tcp_v4_syn_recv_sock drop NOMEM probability 0.5',
];

test.each(Array.from({ length: 20 }, (_, i) => i + 1))(
  'seed %i: five faults at random, coming and going: the streams are whole',
  (seed) => {
    const rng = new SeededRng(seed);
    const two = twoHosts(
      { latencyMs: below(rng, 20), bitsPerSecond: 8e6 },
      { seed, offload: below(rng, 2) === 1, busMs: below(rng, 2) },
    );
    for (let i = 0; i < 5; i++) {
      const rule = POOL[below(rng, POOL.length)]!;
      const flap = rule.includes(' layer ') && below(rng, 2) === 1 ? `flap ${100 + below(rng, 400)}ms` : '';
      const host = below(rng, 2) === 1 ? two.a : two.b;
      host.fault(
        `${rule} seed ${seed * 10 + i} after ${150 + below(rng, 300)}ms for ${100 + below(rng, 3000)}ms ${flap}`,
      );
    }
    const t = transfer(two, 300_000);
    two.net.runFor(4_000);
    expect([t.toServer, t.toClient]).toEqual([whole(300_000), whole(300_000)]);
    expect(two.net.check()).toEqual([]);
  },
);
