import { describe, expect, test } from '@jest/globals';
import { PACKET_OTHERHOST, SkBuff } from '@skbus/skb';
import { get32, icmpChecksumOk, ipv4ChecksumOk, parseEthernet, parseIcmp, parseIpv4Header } from '@skbus/wire';
import { Host, icmp, ip, ME, outgoing, packet, pattern, PEER, PEER_MAC, SKB0 } from './testing/host.ts';

/** The IPv4 header of a packet on its way to the device. */
const ipOf = (skb: SkBuff): NonNullable<ReturnType<typeof parseIpv4Header>> => {
  expect(ipv4ChecksumOk(skb.buf, skb.networkHeader, 20)).toBe(true);
  return parseIpv4Header(skb.buf, skb.networkHeader, skb.tail)!;
};

describe('receive', () => {
  test('a UDP packet reaches udp_rcv at its transport header with the MTU of the way back', () => {
    const h = new Host();
    h.rcv(packet({ proto: 17 }, pattern(20)));
    const [s] = h.take();
    expect(s!.to).toBe('udp_rcv');
    expect(s!.skb.bytes()).toEqual(pattern(20));
    expect(s!.skb.rtMtu).toBe(1500);
    expect(s!.skb.data).toBe(s!.skb.transportHeader);
    expect(get32(s!.skb.buf, s!.skb.networkHeader + 12)).toBe(PEER);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test("the trace points of a delivery come in the kernel's order", () => {
    const h = new Host().traced();
    h.rcv(packet({ proto: 6 }, pattern(20)));
    expect(h.points).toEqual([
      'ip_rcv',
      'ip_rcv_core',
      'ip_rcv_finish',
      'ip_route_input_noref',
      'ip_route_input_slow',
      'fib_lookup',
      'fib_table_lookup',
      'fib_validate_source',
      'ip_local_deliver',
      'ip_local_deliver_finish',
      'ip_protocol_deliver_rcu',
    ]);
    h.points.length = 0;
    h.rcv(packet({ proto: 6 }, pattern(20)));
    expect(h.points).toEqual([
      'ip_rcv',
      'ip_rcv_core',
      'ip_rcv_finish',
      'ip_route_input_noref',
      'ip_local_deliver',
      'ip_local_deliver_finish',
      'ip_protocol_deliver_rcu',
    ]);
    expect(h.details[0]!.detail).toMatchObject({
      dst: '10.77.0.2',
      prefix: '10.77.0.2/32',
      table: 255,
      dev: 'skb0',
      err: 0,
    });
  });

  test('padding behind the total length is cut off', () => {
    const h = new Host();
    const skb = packet({}, pattern(10));
    skb.put(16);
    h.rcv(skb);
    expect(h.take()[0]!.skb.bytes()).toEqual(pattern(10));
  });

  test('a GRO packet of 64 KiB passes whole', () => {
    const h = new Host();
    const skb = packet({ proto: 6, totalLen: 20 + 60_000 });
    skb.addFrag(pattern(60_000));
    skb.gsoSize = 1448;
    skb.gsoSegs = 42;
    h.rcv(skb);
    expect(h.take()[0]!.skb.len).toBe(60_000);
    expect(h.env.mib.get('IpExtInNoECTPkts')).toBe(42);
  });

  test('no handler: protocol unreachable and IP_NOPROTO', () => {
    const h = new Host().resolved();
    h.rcv(packet({ proto: 99 }, pattern(40)));
    const [s] = h.take();
    expect(s!.to).toBe('dev_queue_xmit');
    expect(parseIcmp(s!.skb.buf, s!.skb.networkHeader + 20, s!.skb.tail)).toMatchObject({ type: 3, code: 2 });
    expect(h.drops()).toEqual({ IP_NOPROTO: 1 });
    expect(h.env.mib.get('IpInUnknownProtos')).toBe(1);
    expect(h.env.ledger.imbalance).toBe(0);
  });
});

const bytesOf = (skb: SkBuff): Uint8Array => skb.bytes();
const raw = (change: (b: Uint8Array) => void): SkBuff => {
  const skb = packet({}, pattern(8));
  change(skb.buf.subarray(skb.data));
  return skb;
};

test.each<[string, () => SkBuff, string]>([
  [
    'shorter than a header',
    () => {
      const s = packet({});
      s.trim(19);
      return s;
    },
    'IP_INHDR',
  ],
  [
    'empty',
    () => {
      const s = packet({});
      s.trim(0);
      return s;
    },
    'IP_INHDR',
  ],
  ['version 6', () => raw((b) => void (b[0] = 0x65)), 'IP_INHDR'],
  ['header length 4', () => raw((b) => void (b[0] = 0x44)), 'IP_INHDR'],
  ['header length past the end', () => raw((b) => void (b[0] = 0x4f)), 'IP_INHDR'],
  ['bad checksum', () => raw((b) => void (b[10]! ^= 1)), 'IP_CSUM'],
  ['total length beyond the packet', () => packet({ totalLen: 100 }, pattern(8)), 'PKT_TOO_SMALL'],
  ['total length below the header', () => packet({ totalLen: 19 }, pattern(8)), 'IP_INHDR'],
  [
    'for somebody else on the link',
    () => {
      const s = packet({});
      s.pktType = PACKET_OTHERHOST;
      return s;
    },
    'OTHERHOST',
  ],
  ['from a multicast address', () => packet({ saddr: ip('224.0.0.5') }), 'IP_INADDRERRORS'],
  ['from the broadcast address', () => packet({ saddr: 0xffffffff }), 'IP_INADDRERRORS'],
  ['from 0.0.0.0 to us', () => packet({ saddr: 0 }), 'IP_INADDRERRORS'],
  ['from loopback', () => packet({ saddr: ip('127.0.0.1') }), 'IP_INADDRERRORS'],
  ['to loopback', () => packet({ daddr: ip('127.0.0.1') }), 'IP_INADDRERRORS'],
  ['to 0.0.0.1', () => packet({ daddr: 1 }), 'IP_INADDRERRORS'],
  ['from our own address', () => packet({ saddr: ME }), 'IP_INADDRERRORS'],
  ['to somebody else (not a router)', () => packet({ daddr: ip('10.99.0.1') }), 'IP_INADDRERRORS'],
  ['to a group nobody joined', () => packet({ daddr: ip('224.0.0.251') }), 'IP_INADDRERRORS'],
  ['an option with length 0', () => packet({}, pattern(8), [7, 0, 0, 0]), 'IP_INHDR'],
  ['an option past the header', () => packet({}, pattern(8), [7, 40, 4, 0]), 'IP_INHDR'],
  ['a loose source route', () => packet({}, pattern(8), [131, 7, 4, 10, 77, 0, 9, 0]), 'IP_INHDR'],
  ['a protocol nobody registered', () => packet({ proto: 132 }), 'IP_NOPROTO'],
])('dropped: %s', (_name, make, reason) => {
  const h = new Host();
  h.rcv(make());
  expect(h.drops()).toEqual({ [reason]: 1 });
  expect(h.env.ledger.imbalance).toBe(0);
});

test('options that are in order are no obstacle', () => {
  const h = new Host();
  h.rcv(packet({}, pattern(8), [148, 4, 0, 0, 1, 1, 1, 0]));
  expect(bytesOf(h.take()[0]!.skb)).toEqual(pattern(8));
});

describe('ICMP echo', () => {
  test('is answered with the same data, id and sequence', () => {
    const h = new Host().resolved();
    h.rcv(packet({ proto: 1, tos: 8 }, icmp({ id: 0x1234, seq: 5 }, pattern(56))));
    const [s] = h.take();
    expect(s).toMatchObject({ to: 'dev_queue_xmit', instance: 2 });
    expect(parseEthernet(s!.skb.buf, s!.skb.data, s!.skb.tail)).toEqual({ dst: PEER_MAC, src: SKB0.mac, type: 0x0800 });
    expect(ipOf(s!.skb)).toMatchObject({ saddr: ME, daddr: PEER, proto: 1, ttl: 64, tos: 8, df: false, totalLen: 84 });
    expect(parseIcmp(s!.skb.buf, s!.skb.networkHeader + 20, s!.skb.tail)).toEqual({
      type: 0,
      code: 0,
      id: 0x1234,
      seq: 5,
    });
    const message = s!.skb.slices(34, 64);
    expect(icmpChecksumOk(message)).toBe(true);
    expect(h.env.mib.get('IcmpInEchos')).toBe(1);
    expect(h.env.mib.get('IcmpOutEchoReps')).toBe(1);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test("takes the kernel's path down", () => {
    const h = new Host().resolved();
    h.rcv(packet({ proto: 1 }, icmp({}, pattern(56))));
    h.traced();
    h.rcv(packet({ proto: 1 }, icmp({}, pattern(56))));
    expect(h.points.slice(6)).toEqual([
      'ip_protocol_deliver_rcu',
      'icmp_rcv',
      'icmp_echo',
      'icmp_reply',
      'icmp_push_reply',
      'ip_append_data',
      'ip_push_pending_frames',
      'ip_send_skb',
      'ip_local_out',
      '__ip_local_out',
      'dst_output',
      'ip_output',
      'ip_finish_output',
      'ip_finish_output2',
      'neigh_hh_output',
      'consume_skb',
    ]);
  });

  test('a bad checksum is a counted drop', () => {
    const h = new Host();
    const m = icmp({}, pattern(10));
    m[12]! ^= 0x55;
    h.rcv(packet({ proto: 1 }, m));
    expect(h.drops()).toEqual({ ICMP_CSUM: 1 });
    expect(h.env.mib.get('IcmpInCsumErrors')).toBe(1);
  });

  test("to the subnet's broadcast address is ignored", () => {
    const h = new Host();
    h.rcv(packet({ proto: 1, daddr: ip('10.77.0.255') }, icmp({})));
    expect(h.drops()).toEqual({ INVALID_PROTO: 1 });
    expect(h.env.mib.get('IpExtInBcastPkts')).toBe(1);
  });
});

describe('send', () => {
  test('an unknown neighbour: to the neighbour layer with next hop and device', () => {
    const h = new Host();
    h.xmit(outgoing(pattern(30), { daddr: ip('192.0.2.9') }));
    const [s] = h.take();
    expect(s!.to).toBe('neigh_output');
    expect(s!.skb).toMatchObject({ nextHop: PEER, ifindex: 2, protocol: 0x0800 });
    expect(s!.skb.data).toBe(s!.skb.networkHeader);
    expect(ipOf(s!.skb)).toMatchObject({ saddr: ME, daddr: ip('192.0.2.9'), totalLen: 50, ttl: 64, proto: 17 });
  });

  test("TCP's trace points to the device", () => {
    const h = new Host().resolved();
    h.traced();
    h.xmit(outgoing(pattern(30), { proto: 6, df: true }), 'ipQueueXmit');
    expect(h.points).toEqual([
      'ip_queue_xmit',
      '__ip_queue_xmit',
      'ip_route_output_flow',
      'ip_route_output_key_hash_rcu',
      'fib_lookup',
      'fib_table_lookup',
      'fib_select_path',
      '__mkroute_output',
      'ip_local_out',
      '__ip_local_out',
      'dst_output',
      'ip_output',
      'ip_finish_output',
      'ip_finish_output2',
      'neigh_hh_output',
    ]);
    expect(h.details[0]!.detail).toMatchObject({
      prefix: '10.77.0.0/24',
      dst: '10.77.0.1',
      gw: '0.0.0.0',
      dev: 'skb0',
      table: 254,
    });
    expect(h.hints).toEqual([{ ifindex: 2, addr: PEER, confirm: false }]);
  });

  test('with DF a connection counts its identification on by segments, all others have 0', () => {
    const h = new Host().resolved();
    const ids = [0, 3, 0, -1].map((segs) => {
      const skb = outgoing(pattern(30), { proto: 6, df: true, connected: segs >= 0 });
      skb.gsoSegs = Math.max(0, segs);
      h.xmit(skb, 'ipQueueXmit');
      return ipOf(h.take()[0]!.skb).id;
    });
    expect((ids[1]! - ids[0]!) & 0xffff).toBe(1);
    expect((ids[2]! - ids[1]!) & 0xffff).toBe(3);
    expect(ids[3]).toBe(0);
  });

  test('a confirmation travels at most once a second', () => {
    const h = new Host().resolved();
    for (let i = 0; i < 5; i++) {
      const skb = outgoing(pattern(1));
      skb.confirm = true;
      h.xmit(skb);
      h.now += 300;
    }
    expect(h.hints.filter((x) => x.confirm)).toHaveLength(2);
    expect(h.hints.filter((x) => !x.confirm)).toHaveLength(2);
  });

  test('a header is used only while it is connected and young, and not for long after its neighbour layer died', () => {
    const h = new Host().resolved();
    const goes = (): string => {
      h.xmit(outgoing(pattern(1)));
      return h.take()[0]!.to;
    };
    expect(goes()).toBe('dev_queue_xmit');
    h.now += 60_000;
    expect(goes()).toBe('neigh_output');
    h.resolved();
    expect(goes()).toBe('dev_queue_xmit');
    h.ip.onNeighUpdate({ epoch: 2, ifindex: 0, addr: 0, lladdr: 0, devAddr: 0, connected: false, validMs: 0 }, h.now);
    // a new neighbour layer: the header serves for a while, and its next use is told at once
    const hints = h.hints.length;
    expect(goes()).toBe('dev_queue_xmit');
    expect(h.hints.length).toBe(hints + 1);
    h.now += 5_000;
    expect(goes()).toBe('neigh_output');
  });

  test('to ourselves: through lo with an empty Ethernet header', () => {
    const h = new Host();
    h.xmit(outgoing(pattern(5), { saddr: 0, daddr: ME }));
    const [s] = h.take();
    expect(s).toMatchObject({ to: 'dev_queue_xmit', instance: 1 });
    expect(parseEthernet(s!.skb.buf, s!.skb.data, s!.skb.tail)).toEqual({ dst: 0, src: 0, type: 0x0800 });
    expect(ipOf(s!.skb)).toMatchObject({ saddr: ME, daddr: ME });
    // and back in
    s!.skb.pull(14);
    h.rcv(s!.skb);
    expect(h.take()[0]!.to).toBe('udp_rcv');
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('broadcast: to everybody on the link, and a copy to ourselves', () => {
    const h = new Host();
    h.xmit(outgoing(pattern(5), { daddr: ip('10.77.0.255') }));
    const [own, wire] = h.take();
    expect(own).toMatchObject({ to: 'dev_queue_xmit', instance: 1 });
    expect(wire).toMatchObject({ to: 'dev_queue_xmit', instance: 2 });
    expect(parseEthernet(wire!.skb.buf, wire!.skb.data, wire!.skb.tail)).toMatchObject({
      dst: 0xffffffffffff,
      src: SKB0.mac,
    });
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('no route: dropped, counted, and the transport hears of it', () => {
    const h = new Host();
    h.ip.delRoute({ dst: 0, dstLen: 0 });
    h.xmit(outgoing(pattern(40), { proto: 6, daddr: ip('192.0.2.1') }), 'ipQueueXmit');
    const [s] = h.take();
    expect(s!.to).toBe('tcp_v4_err');
    expect(s!.skb.mark).toBe((3 << 8) | 0);
    expect(parseIpv4Header(s!.skb.buf, s!.skb.data, s!.skb.tail)).toMatchObject({
      saddr: ME,
      daddr: ip('192.0.2.1'),
      proto: 6,
    });
    expect(s!.skb.bytes().subarray(20)).toEqual(pattern(40));
    expect(h.drops()).toEqual({ IP_OUTNOROUTES: 1 });
    expect(h.env.mib.get('IpOutNoRoutes')).toBe(1);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('too big with DF: FRAG_NEEDED with the MTU to the transport', () => {
    const h = new Host().resolved();
    h.xmit(outgoing(pattern(1481), { proto: 6, df: true }), 'ipQueueXmit');
    const [s] = h.take();
    expect(s!.to).toBe('tcp_v4_err');
    expect(s!.skb).toMatchObject({ mark: (3 << 8) | 4, rtMtu: 1500 });
    expect(h.drops()).toEqual({ PKT_TOO_BIG: 1 });
  });

  test('a GSO packet goes whole when its segments fit', () => {
    const h = new Host().resolved();
    const segment = pattern(20 + 60_000);
    segment[12] = 0x50;
    const make = (gsoSize: number): SkBuff => {
      const skb = SkBuff.alloc(64, segment.length);
      skb.buf.set(segment, skb.put(segment.length));
      skb.flow = outgoing(new Uint8Array(), { proto: 6, df: true }).flow;
      skb.gsoSize = gsoSize;
      skb.gsoSegs = Math.ceil(60_000 / gsoSize);
      return skb;
    };
    h.xmit(make(1460), 'ipQueueXmit');
    expect(h.take()).toMatchObject([{ to: 'dev_queue_xmit' }]);
    h.xmit(make(1461), 'ipQueueXmit');
    expect(h.take()).toMatchObject([{ to: 'tcp_v4_err', skb: { rtMtu: 1500 } }]);
  });
});
