import { describe, expect, test } from '@jest/globals';
import {
  CHECKSUM_PARTIAL,
  CHECKSUM_UNNECESSARY,
  ERRNO,
  INADDR_BROADCAST,
  PACKET_OTHERHOST,
  SeededRng,
  SkBuff,
  type SkEvt,
  below,
} from '@skbus/skb';
import { get32 } from '@skbus/wire';
import { truesize } from './sock.ts';
import { Host, ip, ME, ME_TOO, PEER, string, SUBNET_BROADCAST, text } from './testing/host.ts';

const bindAll = (h: Host, ...binds: [addr: number, options?: object][]): void => {
  for (const [i, [addr, options]] of binds.entries())
    h.op(2 * i + 2, { bind: { addr, port: 7 }, options: options ?? {} });
};
const takers = (events: SkEvt[]): number[] => events.filter((e) => e.dgram).map((e) => e.sk);

test('up to the socket, along the kernel path', () => {
  const h = new Host();
  bindAll(h, [0]);
  h.points.length = 0;
  const [evt] = h.receive({ data: text('hello') });
  expect(evt).toMatchObject({
    sk: 2,
    opAck: 1,
    opErrno: 0,
    dgram: { addr: PEER, port: 4000, daddr: ME, offset: 0, charge: truesize(13) },
  });
  expect(string(evt!.dgram!.data)).toBe('hello');
  expect(h.points).toEqual([
    'udp_rcv',
    '__udp4_lib_rcv',
    'udp_unicast_rcv_skb',
    'udp_queue_rcv_skb',
    'udp_queue_rcv_one_skb',
    '__udp_queue_rcv_skb',
    '__udp_enqueue_schedule_skb',
    'consume_skb',
  ]);
  expect(h.env.mib.get('UdpInDatagrams')).toBe(1);
  expect(h.env.ledger.imbalance).toBe(0);
});

describe('what is wrong with a datagram', () => {
  test.each([
    ['a wrong checksum', { checksum: 0x1234 }, 'UDP_CSUM'],
    ['a header that claims more than there is', { ulen: 100 }, 'PKT_TOO_SMALL'],
    ['a header that claims less than a header', { ulen: 7 }, 'PKT_TOO_SMALL'],
  ] as const)('%s', (_what, d, reason) => {
    const h = new Host();
    bindAll(h, [0]);
    expect(h.receive(d)).toEqual([]);
    expect([...h.env.ledger.drops]).toEqual([[reason, 1]]);
    expect(h.env.mib.get('UdpInErrors')).toBe(1);
    expect(h.env.mib.get('UdpInCsumErrors')).toBe(reason === 'UDP_CSUM' ? 1 : 0);
    expect(h.sent).toEqual([]);
  });

  test.each([
    ['no checksum', { checksum: 0 }],
    ['verified by the device', { checksum: 1, ipSummed: CHECKSUM_UNNECESSARY }],
    ['from this host', { checksum: 1, ipSummed: CHECKSUM_PARTIAL }],
    ['header in the fragments', { linear: 3 }],
    ['payload in the fragments', { linear: 9 }],
  ])('nothing: %s', (_what, d) => {
    const h = new Host();
    bindAll(h, [0]);
    expect(h.receive(d).map((e) => string(e.dgram!.data))).toEqual(['hello']);
  });

  test('padding is cut off', () => {
    const h = new Host();
    bindAll(h, [0]);
    const evts = h.receive({ data: text('hello, padding'), ulen: 13, checksum: 0 });
    expect(string(evts[0]!.dgram!.data)).toBe('hello');
  });

  test('an empty datagram is one', () => {
    const h = new Host();
    bindAll(h, [0]);
    expect(h.receive({ data: new Uint8Array(0) })[0]!.dgram!.data.length).toBe(0);
  });

  test('random bytes never throw, and are accounted for', () => {
    const rng = new SeededRng(7);
    const h = new Host();
    bindAll(h, [0]);
    for (let i = 0; i < 20_000; i++) {
      const n = below(rng, 80);
      const buf = Uint8Array.from({ length: n }, () => rng.u32() & (i % 3 === 0 ? 0x4f : 0xff));
      const at = below(rng, n + 1);
      const skb = new SkBuff(buf.slice(0, at + below(rng, n - at + 1)), 0, 0);
      skb.tail = skb.buf.length;
      skb.data = Math.min(at, skb.tail);
      skb.networkHeader = below(rng, skb.data + 2) - 1;
      if (below(rng, 2) === 0) skb.addFrag(buf.slice(at));
      skb.mark = rng.u32() & 0xffff;
      h.env.ledger.received++;
      if (i % 2 === 0) h.udp.onDatagram(skb, h.now);
      else h.udp.onIcmpError(skb, h.now);
    }
    h.udp.flush(h.now);
    expect(h.env.ledger.imbalance).toBe(0);
  });
});

test('nobody there: port unreachable about the whole packet, and NO_SOCKET', () => {
  const h = new Host();
  h.receive({ dport: 9, data: text('anybody?') });
  expect(h.sent.map((s) => s.to)).toEqual(['icmp_send']);
  const { skb } = h.sent[0]!;
  expect(skb.mark).toBe((3 << 8) | 3);
  expect(skb.parent).toBe(0x77);
  expect(skb.data).toBe(skb.networkHeader);
  expect(get32(skb.buf, skb.data + 12)).toBe(PEER);
  expect(skb.len).toBe(36);
  expect([...h.env.ledger.drops]).toEqual([['NO_SOCKET', 1]]);
  expect(h.env.mib.get('UdpNoPorts')).toBe(1);
  expect(h.env.ledger.imbalance).toBe(0);
});

describe('who gets it', () => {
  test('the address itself before any, connected before both', () => {
    const h = new Host();
    const reuse = { reuseAddr: true };
    bindAll(h, [0, reuse], [ME, reuse], [ME, reuse]);
    expect(takers(h.receive({ to: ME_TOO }))).toEqual([2]);
    // among equals the one bound last
    expect(takers(h.receive({ to: ME }))).toEqual([6]);
    h.op(4, { connect: { addr: PEER, port: 4000 } });
    expect(takers(h.receive({ sport: 4000 }))).toEqual([4]);
    expect(takers(h.receive({ sport: 4001 }))).toEqual([6]);
  });

  test('a connected socket hears its peer only', () => {
    const h = new Host();
    h.op(2, { connect: { addr: PEER, port: 7 } });
    const dport = h.port(2);
    expect(takers(h.receive({ dport, sport: 7 }))).toEqual([2]);
    expect(takers(h.receive({ dport, sport: 8 }))).toEqual([]);
    expect(takers(h.receive({ dport, sport: 7, from: ip('10.77.0.3') }))).toEqual([]);
  });

  test('SO_REUSEPORT spreads flows, and keeps each on one socket', () => {
    const h = new Host();
    const port = { reusePort: true };
    bindAll(h, [0, port], [0, port], [0, port]);
    const count = new Map<number, number>();
    for (let sport = 1000; sport < 4000; sport++) {
      const [sk] = takers(h.receive({ sport }));
      count.set(sk!, (count.get(sk!) ?? 0) + 1);
      h.view(sk!, Number.MAX_SAFE_INTEGER);
      if (sport % 100 === 0) expect(takers(h.receive({ sport }))).toEqual([sk]);
    }
    expect([...count.keys()].sort((a, b) => a - b)).toEqual([2, 4, 6]);
    for (const n of count.values()) expect(n).toBeGreaterThan(900);
  });

  test('a connected member of a group goes before the group', () => {
    const h = new Host();
    const port = { reusePort: true };
    bindAll(h, [ME, port], [ME, port], [ME, port]);
    h.op(4, { connect: { addr: PEER, port: 4000 } });
    expect(takers(h.receive({ sport: 4000 }))).toEqual([4]);
    for (let sport = 5000; sport < 5100; sport++) expect([2, 6]).toContain(takers(h.receive({ sport }))[0]);
  });

  test.each([SUBNET_BROADCAST, INADDR_BROADCAST, ip('224.0.0.251')])('a broadcast or group %p reaches all', (to) => {
    const h = new Host();
    const reuse = { reuseAddr: true };
    bindAll(h, [0, reuse], [0, reuse], [ME, reuse], [to, reuse]);
    const events = h.receive({ to, data: text('all') });
    expect(takers(events)).toEqual([2, 4, 8]);
    expect(events.map((e) => string(e.dgram!.data))).toEqual(['all', 'all', 'all']);
    expect(h.env.ledger).toMatchObject({ created: 2, consumed: 3 });
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('a broadcast nobody wants is dropped without a word', () => {
    const h = new Host();
    h.receive({ to: SUBNET_BROADCAST });
    expect(h.sent).toEqual([]);
    expect([...h.env.ledger.drops]).toEqual([['NO_SOCKET', 1]]);
    expect(h.env.mib.get('UdpIgnoredMulti')).toBe(1);
  });

  test('a tap on the wire is not a broadcast', () => {
    const h = new Host();
    bindAll(h, [0]);
    expect(takers(h.receive({ pktType: PACKET_OTHERHOST }))).toEqual([2]);
  });
});

describe('receive buffer', () => {
  const full = (h: Host): number => {
    let n = 0;
    while (h.receive({ data: new Uint8Array(1000) }).some((e) => e.dgram) && n < 1000) n++;
    return n;
  };

  test('fills, drops, and goes on when it was read', () => {
    const h = new Host();
    bindAll(h, [0, { rcvbuf: 10_000 }]);
    const n = full(h);
    expect(n).toBe(Math.floor(10_000 / truesize(1008)) + 1);
    expect(h.env.ledger.drops.get('SOCKET_RCVBUFF')).toBe(1);
    expect(h.points).toContain('udp_fail_queue_rcv_skb');
    expect(h.env.mib.get('UdpRcvbufErrors')).toBe(1);
    expect(h.env.mib.get('UdpInErrors')).toBe(1);
    expect(h.udp.sockets()[0]).toMatchObject({ rqueue: n * truesize(1008), drops: 1 });
    h.view(2, n * truesize(1008));
    expect(h.udp.sockets()[0]!.rqueue).toBe(0);
    expect(takers(h.receive())).toEqual([2]);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('offsets are the running sum of charges', () => {
    const h = new Host();
    bindAll(h, [0]);
    const a = h.receive({ data: text('a') })[0]!.dgram!;
    const b = h.receive({ data: new Uint8Array(500) })[0]!.dgram!;
    expect([a.offset, b.offset, b.charge]).toEqual([0, a.charge, truesize(508)]);
  });

  test('an old view takes nothing back, one from the future gives nothing', () => {
    const h = new Host();
    bindAll(h, [0]);
    h.receive();
    h.receive();
    h.view(2, truesize(13));
    h.view(2, 0);
    expect(h.udp.sockets()[0]!.rqueue).toBe(truesize(13));
    h.view(2, 1e9);
    expect(h.udp.sockets()[0]!.rqueue).toBe(0);
    h.receive();
    expect(h.udp.sockets()[0]!.rqueue).toBe(truesize(13));
  });

  test('events that got lost do not block it for ever', () => {
    const h = new Host();
    bindAll(h, [0, { rcvbuf: 10_000 }]);
    const n = full(h);
    // Nothing arrived. A full socket asks; the answer says so, but may have crossed what is on its way.
    h.view(2, 0);
    expect(h.receive({ data: new Uint8Array(1000) }).some((e) => e.dgram)).toBe(false);
    h.now += 1000;
    expect(h.receive().map((e) => e.view?.err)).toEqual([0]);
    h.view(2, 0);
    expect(h.udp.sockets()[0]!.rqueue).toBe(0);
    const [evt] = h.receive();
    expect(evt!.dgram!.offset).toBe(n * truesize(1008));
    // With the next one the gap is behind both.
    h.view(2, evt!.dgram!.offset, evt!.dgram!.offset + evt!.dgram!.charge);
    expect(h.udp.sockets()[0]!.rqueue).toBe(truesize(13));
    h.view(2, evt!.dgram!.offset + evt!.dgram!.charge);
    expect(h.udp.sockets()[0]!.rqueue).toBe(0);
  });

  test('views in any order, lost and doubled, keep the sum between nothing and all', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const rng = new SeededRng(seed);
      const h = new Host();
      bindAll(h, [0, { rcvbuf: 20_000 }]);
      let got = 0;
      let read = 0;
      const queue: { offset: number; charge: number }[] = [];
      const views: [number, number][] = [];
      for (let i = 0; i < 400; i++) {
        h.now += below(rng, 400);
        for (const e of h.receive({ data: new Uint8Array(below(rng, 1400)) })) {
          if (!e.dgram || below(rng, 3) === 0 || e.dgram.offset < got) continue;
          got = e.dgram.offset + e.dgram.charge;
          queue.push(e.dgram);
        }
        if (below(rng, 2) === 0) queue.shift();
        read = queue[0]?.offset ?? got;
        views.push([read, got]);
        const [r, g] = views[Math.max(0, views.length - 1 - below(rng, 4))]!;
        if (below(rng, 2) === 0) h.view(2, r, g);
        const { rqueue } = h.udp.sockets()[0]!;
        expect(rqueue).toBeGreaterThanOrEqual(0);
        // a gap counts again between the next arrival and its reading
        expect(rqueue).toBeLessThanOrEqual(2 * 20_000 + truesize(1500));
      }
      // quiet again: everything read, and nothing is left of what got lost
      h.now += 2000;
      h.view(2, got, got);
      expect(h.udp.sockets()[0]!.rqueue).toBe(0);
      expect(h.env.ledger.imbalance).toBe(0);
    }
  });
});

describe('ICMP errors', () => {
  test.each([
    ['port unreachable', 3, 3, ERRNO.ECONNREFUSED],
    ['protocol unreachable', 3, 2, ERRNO.ENOPROTOOPT],
    ['administratively filtered', 3, 13, ERRNO.EHOSTUNREACH],
    ['host unknown', 3, 7, ERRNO.EHOSTDOWN],
    ['fragmentation needed', 3, 4, ERRNO.EMSGSIZE],
    ['parameter problem', 12, 0, ERRNO.EPROTO],
    ['host unreachable may pass', 3, 1, 0],
    ['net unreachable may pass', 3, 0, 0],
    ['time exceeded may pass', 11, 0, 0],
    ['source quench', 4, 0, 0],
    ['redirect', 5, 1, 0],
    ['a code there is none of', 3, 99, 0],
  ])('%s', (_what, type, code, errno) => {
    const h = new Host();
    h.op(2, { connect: { addr: PEER, port: 7 } });
    const events = h.icmp(type, code, { lport: h.port(2), rport: 7 });
    expect(events.map((e) => e.view!.err)).toEqual(errno === 0 ? [] : [errno]);
    expect(h.env.ledger).toMatchObject({ received: 1, consumed: 1 });
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('an unconnected socket does not hear of it', () => {
    const h = new Host();
    bindAll(h, [0]);
    expect(h.icmp(3, 3, { lport: 7, rport: 9 })).toEqual([]);
    expect(h.env.mib.get('IcmpInErrors')).toBe(0);
  });

  test('nor does a socket with another peer; nobody at all is counted', () => {
    const h = new Host();
    h.op(2, { connect: { addr: PEER, port: 7 } });
    expect(h.icmp(3, 3, { lport: h.port(2), rport: 8 })).toEqual([]);
    expect(h.env.mib.get('IcmpInErrors')).toBe(1);
  });

  test('a path that became narrow is asked for again', () => {
    const h = new Host();
    h.op(2, { connect: { addr: PEER, port: 7 } });
    h.icmp(3, 4, { lport: h.port(2), rport: 7 });
    h.autoRoute = false;
    h.sendto(2, text('x'));
    expect(h.queries.length).toBe(1);
  });
});
