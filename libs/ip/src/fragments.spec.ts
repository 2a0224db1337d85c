import { describe, expect, test } from '@jest/globals';
import { CHECKSUM_PARTIAL, SkBuff } from '@skbus/skb';
import { get16, ipv4ChecksumOk, parseIcmp, parseIpv4Header, udpChecksumOk } from '@skbus/wire';
import fc from 'fast-check';
import { Host, ip, ME, outgoing, packet, pattern, PEER, SKB0 } from './testing/host.ts';

/** A packet on the wire as the other host receives it. */
const arrive = (skb: SkBuff): SkBuff => {
  const bytes = skb.bytes();
  const in_ = SkBuff.alloc(0, bytes.length);
  in_.buf.set(bytes, in_.put(bytes.length));
  in_.ifindex = 2;
  return in_;
};

/** The other end of the link. */
function peer(): Host {
  const h = new Host({}, 'bare');
  h.ip.addDevice(SKB0);
  h.ip.addAddr({ ifindex: 2, local: PEER, prefixLen: 24, broadcast: 0, scope: 0, label: '' });
  return h;
}

test('round trip: any size, MTU and order, with duplicates', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20_000 }),
      fc.integer({ min: 68, max: 1500 }),
      fc.nat(),
      (size, mtu, seed) => {
        const a = new Host();
        a.ip.addDevice({ ...SKB0, mtu });
        const payload = pattern(size);
        a.xmit(outgoing(payload, { proto: 17 }));
        const sent = a.take().map((s) => s.skb);
        for (const f of sent) {
          expect(f.len).toBeLessThanOrEqual(mtu);
          expect(ipv4ChecksumOk(f.buf, f.data, 20)).toBe(true);
        }
        expect(a.env.ledger.imbalance).toBe(0);
        let x = seed || 1;
        const rand = (n: number): number => (x = (Math.imul(x, 1_103_515_245) + 12_345) >>> 0) % n;
        const order = [...sent, ...sent.filter(() => rand(4) === 0)];
        for (let i = order.length - 1; i > 0; i--) {
          const k = rand(i + 1);
          [order[i], order[k]] = [order[k]!, order[i]!];
        }
        const b = peer();
        for (const f of order) b.rcv(arrive(f));
        const got = b.take();
        expect(got[0]!.skb.bytes()).toEqual(payload);
        expect(parseIpv4Header(got[0]!.skb.buf, got[0]!.skb.networkHeader, got[0]!.skb.tail)).toMatchObject({
          mf: false,
          fragOffset: 0,
          totalLen: size + 20,
        });
        expect(b.env.ledger.imbalance).toBe(0);
        // late duplicates may have begun a new datagram, which the timer ends
        b.now += 30_000;
        b.ip.handleTimeout(b.now);
        expect(b.ip.fragUsage()).toEqual({ fragments: 0, queues: 0, memBytes: 0 });
        expect(b.env.ledger.imbalance).toBe(0);
      },
    ),
    { numRuns: 60 },
  );
});

describe('sending', () => {
  test("takes the kernel's path and counts", () => {
    const h = new Host().resolved();
    h.xmit(outgoing(pattern(10)));
    h.take();
    h.traced();
    h.xmit(outgoing(pattern(3000)));
    expect(h.points).toEqual([
      'ip_send_skb',
      'ip_local_out',
      '__ip_local_out',
      'dst_output',
      'ip_output',
      'ip_finish_output',
      'ip_fragment',
      'ip_do_fragment',
      'ip_finish_output2',
      'neigh_hh_output',
      'ip_finish_output2',
      'neigh_hh_output',
      'ip_finish_output2',
      'neigh_hh_output',
      'consume_skb',
    ]);
    expect([h.env.mib.get('IpFragCreates'), h.env.mib.get('IpFragOKs'), h.env.mib.get('IpOutRequests')]).toEqual([
      3, 1, 2,
    ]);
    const ids = h.take().map((s) => get16(s.skb.buf, s.skb.networkHeader + 4));
    expect(new Set(ids).size).toBe(1);
  });

  test('a checksum left to the device is made good first', () => {
    const h = new Host();
    const n = 4000;
    const skb = SkBuff.alloc(64, 8 + n);
    const at = skb.put(8 + n);
    skb.buf.set(pattern(n), at + 8);
    const header = [0, 53, 0, 53, (8 + n) >>> 8, (8 + n) & 255];
    skb.buf.set(header, at);
    // the pseudo header's sum, as a transport leaves it
    let sum = 17 + 8 + n;
    for (const a of [ME, PEER]) sum += (a >>> 16) + (a & 0xffff);
    while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
    skb.buf.set([sum >>> 8, sum & 255], at + 6);
    Object.assign(skb, {
      ipSummed: CHECKSUM_PARTIAL,
      csumStart: at,
      csumOffset: 6,
      flow: outgoing(new Uint8Array()).flow,
    });
    h.xmit(skb);
    const b = peer();
    for (const s of h.take()) b.rcv(arrive(s.skb));
    const got = b.take()[0]!.skb;
    expect(udpChecksumOk(ME, PEER, 8 + n, got.slices(0, got.len))).toBe(true);
  });
});

describe('reassembly', () => {
  const frag = (offset: number, n: number, mf: boolean, r: object = {}): SkBuff =>
    packet({ proto: 17, id: 9, mf, fragOffset: offset, ...r }, pattern(n));

  test('a duplicate is dropped alone; an overlap takes the datagram with it (RFC 5722)', () => {
    const h = new Host();
    h.rcv(frag(0, 16, true))
      .rcv(frag(0, 16, true))
      .rcv(frag(8, 8, true));
    expect(h.drops()).toEqual({ DUP_FRAG: 2 });
    expect(h.ip.fragUsage().fragments).toBe(1);
    h.rcv(frag(8, 16, true));
    expect(h.drops()).toEqual({ DUP_FRAG: 4 });
    expect(h.ip.fragUsage()).toEqual({ fragments: 0, queues: 0, memBytes: 0 });
    expect(h.env.mib.get('IpExtReasmOverlaps')).toBe(1);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test.each<[string, () => SkBuff[]]>([
    ['a last fragment that ends before what is there', () => [frag(16, 16, true), frag(8, 8, false)]],
    ['two different ends', () => [frag(16, 8, false), frag(32, 8, false)]],
    ['a fragment behind the end', () => [frag(16, 8, false), frag(32, 8, true)]],
    ['no payload', () => [frag(8, 0, false)]],
    ['less than eight bytes, more to come', () => [frag(0, 7, true)]],
    ['beyond 65535 bytes', () => [frag(65_528, 16, false), frag(0, 8, true)]],
    ['Not-ECT beside CE', () => [frag(0, 8, true), frag(8, 8, false, { tos: 3 })]],
  ])('drops all of a datagram with %s', (_name, make) => {
    const h = new Host();
    for (const f of make()) h.rcv(f);
    h.now += 30_000;
    h.ip.handleTimeout(h.now);
    expect(h.take().filter((s) => s.to === 'udp_rcv')).toEqual([]);
    expect(h.ip.fragUsage().queues).toBe(0);
    expect(h.env.ledger.imbalance).toBe(0);
    expect(h.env.mib.get('IpReasmFails')).toBeGreaterThan(0);
  });

  test('after 30 s it is given up; the sender hears of it only if the first fragment came', () => {
    const h = new Host().resolved();
    h.rcv(frag(0, 64, true)).rcv(frag(8, 8, true, { id: 10 }));
    expect(h.ip.pollTimeout()).toBe(h.now + 30_000);
    h.now += 29_999;
    h.ip.handleTimeout(h.now);
    expect(h.ip.fragUsage().queues).toBe(2);
    h.now += 1;
    h.ip.handleTimeout(h.now);
    const [s, ...more] = h.take();
    expect(more).toEqual([]);
    expect(parseIcmp(s!.skb.buf, s!.skb.networkHeader + 20, s!.skb.tail)).toMatchObject({ type: 11, code: 1 });
    expect(h.drops()).toEqual({ FRAG_REASM_TIMEOUT: 2 });
    expect([h.env.mib.get('IpReasmTimeout'), h.env.mib.get('IpReasmFails')]).toEqual([2, 2]);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('memory is bounded', () => {
    const h = new Host({ ipfragHighThresh: 20_000 });
    for (let i = 0; i < 100; i++) h.rcv(frag(0, 1000, true, { id: i }));
    expect(h.ip.fragUsage().memBytes).toBeLessThanOrEqual(21_600);
    expect(h.drops()['NOMEM']).toBe(100 - h.ip.fragUsage().fragments);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('a datagram whose source has sent 64 others in between starts anew', () => {
    const h = new Host();
    h.rcv(frag(0, 8, true, { id: 1 }));
    for (let i = 0; i < 70; i++) h.rcv(frag(0, 8, true, { id: 100 + i }));
    h.rcv(frag(8, 8, false, { id: 1 }));
    expect(h.drops()).toEqual({ FRAG_TOO_FAR: 1 });
    expect(h.take()).toEqual([]);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('ECN: CE on any fragment is CE on the whole', () => {
    const h = new Host();
    h.rcv(frag(0, 8, true, { tos: 2 })).rcv(frag(8, 8, false, { tos: 3 }));
    const s = h.take()[0]!.skb;
    expect(s.buf[s.networkHeader + 1]).toBe(3);
  });

  test('fragments of different sources do not mix', () => {
    const h = new Host();
    h.rcv(frag(0, 8, true)).rcv(frag(8, 8, false, { saddr: ip('10.77.0.3') }));
    expect(h.take()).toEqual([]);
    expect(h.ip.fragUsage().queues).toBe(2);
  });
});
