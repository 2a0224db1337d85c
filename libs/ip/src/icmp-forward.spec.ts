import { describe, expect, test } from '@jest/globals';
import { PACKET_BROADCAST, SeededRng, SkBuff } from '@skbus/skb';
import { get16, ICMP_DEST_UNREACH, ipv4ChecksumOk, parseIcmp, parseIpv4Header } from '@skbus/wire';
import { Host, icmp, ip, ME, outgoing, packet, pattern, PEER, type Sent, SKB0 } from './testing/host.ts';

const icmpOf = (s: Sent | undefined): ReturnType<typeof parseIcmp> =>
  s && parseIcmp(s.skb.buf, s.skb.networkHeader + 20, s.skb.tail);
const ipOf = (s: Sent): ReturnType<typeof parseIpv4Header> =>
  parseIpv4Header(s.skb.buf, s.skb.networkHeader, s.skb.tail);

/** UDP found no socket: the datagram with data at its IP header. */
function portUnreachable(h: Host, change: (skb: SkBuff) => void = () => {}, r = {}): Sent[] {
  const skb = packet({ proto: 17, ...r }, pattern(40));
  skb.mark = (ICMP_DEST_UNREACH << 8) | 3;
  skb.networkHeader = skb.data;
  change(skb);
  h.env.ledger.received++;
  h.ip.icmpSend(skb, h.now);
  return h.take();
}

describe('errors', () => {
  test('quote the offender, from the address it was sent to, with precedence', () => {
    const h = new Host().resolved();
    const [s] = portUnreachable(h);
    expect(icmpOf(s)).toEqual({ type: 3, code: 3, id: 0, seq: 0 });
    expect(ipOf(s!)).toMatchObject({ saddr: ME, daddr: PEER, tos: 0xc0 });
    expect(s!.skb.bytes().subarray(14 + 28)).toEqual(packet({ proto: 17 }, pattern(40)).bytes());
    expect(h.env.mib.get('IcmpOutDestUnreachs')).toBe(1);
    expect(h.env.mib.get('IcmpMsgOutType3')).toBe(1);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('are never longer than 576 bytes', () => {
    const h = new Host().resolved();
    const skb = packet({ proto: 99 }, pattern(1400));
    h.rcv(skb);
    expect(ipOf(h.take()[0]!)!.totalLen).toBe(576);
  });

  test.each<[string, (h: Host) => Sent[]]>([
    ['a broadcast on the link', (h) => portUnreachable(h, (s) => void (s.pktType = PACKET_BROADCAST))],
    ['an IP broadcast', (h) => portUnreachable(h, () => {}, { daddr: ip('10.77.0.255') })],
    ['a multicast', (h) => portUnreachable(h, () => {}, { daddr: ip('224.0.0.1') })],
    ['a later fragment', (h) => portUnreachable(h, () => {}, { fragOffset: 8 })],
    ['an ICMP error', (h) => portUnreachable(h, (s) => void (s.buf[s.data + 20] = 3), { proto: 1 })],
    [
      'an ICMP message of unknown type',
      (h) => portUnreachable(h, (s) => void (s.buf[s.data + 20] = 200), { proto: 1 }),
    ],
    [
      'a source there is no way to',
      (h) => {
        h.ip.delRoute({ dst: 0, dstLen: 0 });
        return portUnreachable(h, () => {}, { saddr: ip('9.9.9.9') });
      },
    ],
  ])('are not sent about %s (RFC 1122 3.2.2)', (_name, run) => {
    const h = new Host().resolved();
    expect(run(h)).toEqual([]);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('to one host: six at once, then one a second', () => {
    const h = new Host().resolved();
    let n = 0;
    for (let i = 0; i < 20; i++) n += portUnreachable(h).length;
    expect(n).toBe(6);
    h.now += 1000;
    expect(portUnreachable(h)).toHaveLength(1);
    expect(portUnreachable(h)).toHaveLength(0);
    expect(h.env.mib.get('IcmpOutRateLimitHost')).toBe(15);
  });

  test('to all hosts together: a bucket that refills with a thousand a second', () => {
    const h = new Host().resolved();
    const flood = (from: number): number => {
      let n = 0;
      for (let i = 0; i < 500; i++)
        n += portUnreachable(h, () => {}, { saddr: (ip('192.0.2.0') + from + i) >>> 0 }).length;
      return n;
    };
    const first = flood(0);
    expect(first).toBeGreaterThan(20);
    expect(first).toBeLessThan(150);
    expect(h.env.mib.get('IcmpOutRateLimitGlobal')).toBe(500 - first);
    h.now += 1000;
    expect(flood(1000)).toBeGreaterThan(20);
  });

  test('echo replies are not limited', () => {
    const h = new Host().resolved();
    for (let i = 0; i < 200; i++) h.rcv(packet({ proto: 1 }, icmp({ seq: i })));
    expect(h.take()).toHaveLength(200);
  });
});

describe('received errors', () => {
  const quoted = (proto: number): Uint8Array => packet({ proto, saddr: ME, daddr: PEER }, pattern(8)).bytes();

  test.each<[string, number, number, number, string | undefined]>([
    ['port unreachable about UDP', 3, 3, 17, 'udp_err'],
    ['host unreachable about TCP', 3, 1, 6, 'tcp_v4_err'],
    ['time exceeded in transit', 11, 0, 17, 'udp_err'],
    ['time exceeded in reassembly', 11, 1, 17, undefined],
    ['parameter problem', 12, 0, 6, 'tcp_v4_err'],
    ['source quench', 4, 0, 6, 'tcp_v4_err'],
    ['about a protocol nobody has', 3, 1, 99, undefined],
    ['unreachable with an unknown code', 3, 16, 17, undefined],
  ])('%s', (_name, type, code, proto, to) => {
    const h = new Host();
    h.rcv(packet({ proto: 1 }, icmp({ type, code, id: 0, seq: 0 }, quoted(proto))));
    const [s] = h.take();
    expect(s?.to).toBe(to);
    if (s) expect(s.skb).toMatchObject({ mark: (type << 8) | code });
    if (s) expect(get16(s.skb.buf, s.skb.data + 2)).toBe(28);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test.each<[string, Uint8Array, string]>([
    ['no IP header', icmp({ type: 3, code: 1 }, pattern(19)), 'PKT_TOO_SMALL'],
    ['no transport header', icmp({ type: 3, code: 1 }, quoted(6).slice(0, 27)), 'PKT_TOO_SMALL'],
    ['a header length of 4', icmp({ type: 3, code: 1 }, quoted(6).with(0, 0x41)), 'IP_INHDR'],
    ['only four bytes', Uint8Array.of(0xf7, 0xff, 8, 0), 'PKT_TOO_SMALL'],
    ['an unknown type', icmp({ type: 77 }), 'UNHANDLED_PROTO'],
  ])('malformed: %s', (_name, message, reason) => {
    const h = new Host();
    h.rcv(packet({ proto: 1 }, message));
    expect(h.drops()).toEqual({ [reason]: 1 });
    expect(h.env.mib.get('IcmpInErrors')).toBe(1);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('a timestamp request is answered with a clock of our own', () => {
    const h = new Host().resolved();
    h.rcv(packet({ proto: 1 }, icmp({ type: 13 }, pattern(12))));
    expect(icmpOf(h.take()[0])).toMatchObject({ type: 14, code: 0, id: 7, seq: 1 });
  });
});

describe('forwarding', () => {
  const far = ip('192.0.2.5');
  const router = (sysctl = {}): Host => {
    const h = new Host({ ipForward: true, ...sysctl });
    h.ip.addDevice({ ...SKB0, ifindex: 3, name: 'skb1', mtu: 1000 });
    h.ip.addAddr({ ifindex: 3, local: ip('192.0.2.1'), prefixLen: 24, broadcast: 0, scope: 0, label: '' });
    return h.resolved();
  };

  test("takes the kernel's path, one hop off the TTL", () => {
    const h = router().traced();
    h.rcv(packet({ daddr: far, ttl: 10 }, pattern(50)));
    const [s] = h.take();
    expect(s).toMatchObject({ to: 'neigh_output', skb: { ifindex: 3, nextHop: far } });
    expect(ipOf(s!)).toMatchObject({ ttl: 9 });
    expect(ipv4ChecksumOk(s!.skb.buf, s!.skb.networkHeader, 20)).toBe(true);
    expect(h.points.slice(-5)).toEqual([
      'ip_forward',
      'dst_output',
      'ip_output',
      'ip_finish_output',
      'ip_finish_output2',
    ]);
    expect(h.env.mib.get('IpForwDatagrams')).toBe(1);
  });

  test.each<[string, SkBuff, object, string]>([
    ['TTL used up', packet({ daddr: far, ttl: 1 }, pattern(50)), { type: 11, code: 0 }, 'IP_INHDR'],
    [
      'too big with DF',
      packet({ daddr: far, df: true }, pattern(1200)),
      { type: 3, code: 4, seq: 1000 },
      'PKT_TOO_BIG',
    ],
    ['no route', packet({ daddr: ip('9.9.9.9') }, pattern(50)), { type: 3, code: 0 }, 'IP_INNOROUTES'],
  ])('%s', (_name, skb, message, reason) => {
    const h = router();
    h.ip.delRoute({ dst: 0, dstLen: 0 });
    h.rcv(skb);
    expect(icmpOf(h.take()[0])).toMatchObject(message);
    expect(h.drops()).toEqual({ [reason]: 1 });
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('too big without DF is cut', () => {
    const h = router();
    h.rcv(packet({ daddr: far }, pattern(1200)));
    expect(h.take().map((s) => s.skb.len)).toEqual([996, 20 + 1200 - 976]);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('rp_filter=1 refuses a source that is reached elsewhere', () => {
    const h = router({ rpFilter: 1 });
    h.rcv(packet({ saddr: ip('192.0.2.77'), daddr: ME }, pattern(8)));
    expect(h.drops()).toEqual({ IP_RPFILTER: 1 });
    expect(h.env.mib.get('TcpExtIPReversePathFilter')).toBe(1);
  });

  test('an unresolved next hop is told to the source', () => {
    const h = router();
    h.rcv(packet({ daddr: far }, pattern(50)));
    h.env.ledger.received++;
    h.ip.linkFailure(h.take()[0]!.skb, h.now);
    const [s] = h.take();
    expect(ipOf(s!)).toMatchObject({ daddr: PEER, saddr: ME });
    expect(icmpOf(s)).toMatchObject({ type: 3, code: 1 });
    expect(h.drops()).toEqual({ NEIGH_FAILED: 1 });
  });
});

test('random bytes never throw and every skb is accounted for', () => {
  const rng = new SeededRng(7);
  const h = new Host({ ipForward: true }).resolved();
  const junk = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => rng.u32());
  for (let i = 0; i < 20_000; i++) {
    const kind = rng.u32() % 8;
    const body = junk(rng.u32() % 120);
    let skb: SkBuff;
    if (kind < 3) {
      skb = SkBuff.alloc(rng.u32() % 20, body.length);
      skb.buf.set(body, skb.put(body.length));
      if (kind === 1) skb.addFrag(junk(rng.u32() % 50));
    } else {
      // a header that passes the checks, so that what lies behind is reached
      const options = kind === 4 ? [...junk(4 * (rng.u32() % 10))] : [];
      const mf = kind === 5;
      skb = packet(
        {
          proto: [1, 6, 17, 99][rng.u32() % 4]!,
          mf,
          fragOffset: mf ? (rng.u32() % 40) * 8 : 0,
          id: rng.u32() % 4,
          ttl: rng.u32() % 4,
        },
        body,
        options,
      );
      if (kind === 6) skb.addFrag(junk(10));
    }
    skb.ifindex = rng.u32() % 4;
    skb.mark = rng.u32();
    skb.gsoSize = rng.u32() % 10 === 0 ? rng.u32() % 2000 : 0;
    h.env.ledger.received++;
    h.now += rng.u32() % 50;
    const which = rng.u32() % 6;
    if (which === 0) h.ip.linkFailure(skb, h.now);
    else if (which === 1) h.ip.icmpSend(skb, h.now);
    else if (which === 2) {
      skb.flow =
        rng.u32() % 4 === 0
          ? undefined
          : { ...outgoing(body).flow!, daddr: rng.u32(), saddr: rng.u32() % 2 ? ME : rng.u32() };
      h.ip.ipSendSkb(skb, h.now);
    } else h.ip.ipRcv(skb, h.now);
    if (i % 100 === 0) h.ip.handleTimeout(h.now);
    h.sent.length = 0;
  }
  expect(h.env.ledger.imbalance).toBe(0);
});
