import { describe, expect, test } from '@jest/globals';
import { CHECKSUM_NONE, CHECKSUM_PARTIAL, ERRNO, INADDR_BROADCAST, SkBuff } from '@skbus/skb';
import { fold, parseUdp, pseudoHeaderSum, sumSlices, udpChecksumOk, verifies } from '@skbus/wire';
import { UDP_PAYLOAD_MAX } from './output.ts';
import { Host, ip, ME, NARROW, PEER, SUBNET_BROADCAST, text } from './testing/host.ts';

/** A host with a socket bound to port 53. */
function bound(options = {}): Host {
  const h = new Host();
  h.op(2, { bind: { addr: 0, port: 53 }, options });
  h.points.length = 0;
  return h;
}

const sentErr = (h: Host): number | undefined => h.events.at(-1)?.view?.err;

test('a datagram as IP wants it', () => {
  const h = bound({ tos: 0x10, ttl: 9 });
  h.sendto(2, text('hi there'), PEER, 7);
  expect(h.sent.map((s) => s.to)).toEqual(['ip_send_skb']);
  const { skb } = h.sent[0]!;
  expect(skb.flow).toEqual({
    saddr: ME,
    daddr: PEER,
    proto: 17,
    tos: 0x10,
    ttl: 9,
    df: true,
    oif: 0,
    connected: false,
  });
  expect(parseUdp(skb.buf, skb.data, skb.tail)).toMatchObject({ sport: 53, dport: 7, len: 16 });
  expect(skb.frags.map((f) => f.length)).toEqual([8]);
  expect([skb.ipSummed, skb.csumStart, skb.csumOffset, skb.transportHeader]).toEqual([
    CHECKSUM_PARTIAL,
    skb.data,
    6,
    skb.data,
  ]);
  expect(skb.data).toBeGreaterThanOrEqual(34);
  expect(h.points).toEqual(['ip_make_skb', 'udp_send_skb']);
  expect(h.env.mib.get('UdpOutDatagrams')).toBe(1);
});

test('the pseudo-header sum completes to a right checksum', () => {
  const h = bound();
  h.sendto(2, text('odd'), PEER, 7);
  const { skb } = h.sent[0]!;
  const head = skb.linear;
  expect((head[6]! << 8) | head[7]!).toBe(fold(pseudoHeaderSum(ME, PEER, 17, skb.len)));
  const finished = fold(sumSlices(skb.slices(0, skb.len))) ^ 0xffff;
  head[6] = finished >>> 8;
  head[7] = finished;
  expect(udpChecksumOk(ME, PEER, skb.len, skb.slices(0, skb.len))).toBe(true);
  expect(verifies(sumSlices(skb.slices(0, skb.len), pseudoHeaderSum(ME, PEER, 17, skb.len)))).toBe(true);
});

test.each([
  [1472, true],
  [1473, false],
])('%i bytes of payload over 1500: df %p', (n, df) => {
  const h = bound();
  h.sendto(2, new Uint8Array(n).fill(0xa5), PEER, 7);
  const { skb } = h.sent[0]!;
  expect(skb.flow!.df).toBe(df);
  expect(skb.ipSummed).toBe(df ? CHECKSUM_PARTIAL : CHECKSUM_NONE);
  // what IP will cut carries its sum already
  if (!df) expect(udpChecksumOk(ME, PEER, skb.len, skb.slices(0, skb.len))).toBe(true);
});

test('the path decides what fits', () => {
  const h = bound();
  h.sendto(2, new Uint8Array(600), NARROW, 7);
  expect(h.sent[0]!.skb.flow!.df).toBe(false);
});

test('a group gets TTL 1, a broadcast needs leave', () => {
  const h = bound({ broadcast: true });
  h.sendto(2, text('x'), ip('224.0.0.251'), 5353);
  h.sendto(2, text('x'), INADDR_BROADCAST, 67);
  expect(h.sent.map((s) => s.skb.flow!.ttl)).toEqual([1, 0]);
});

describe('what goes wrong is told once', () => {
  test.each([
    ['not connected, no address', {}, 0, 0, 1, ERRNO.EDESTADDRREQ],
    ['no port', {}, PEER, 0, 1, ERRNO.EINVAL],
    ['too long', {}, PEER, 7, UDP_PAYLOAD_MAX + 1, ERRNO.EMSGSIZE],
    ['no route', {}, ip('192.0.2.1'), 7, 1, ERRNO.ENETUNREACH],
    ['a broadcast without SO_BROADCAST', {}, SUBNET_BROADCAST, 7, 1, ERRNO.EACCES],
  ])('%s', (_what, options, addr, port, n, errno) => {
    const h = bound(options);
    h.sendto(2, new Uint8Array(n), addr, port);
    expect(sentErr(h)).toBe(errno);
    expect(h.sent).toEqual([]);
    expect(h.cmd({ sk: 2, opSeq: 1, bind: { addr: 0, port: 53 } })[0]!.view!.err).toBe(0);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('the longest one goes', () => {
    const h = bound();
    h.sendto(2, new Uint8Array(UDP_PAYLOAD_MAX), PEER, 7);
    expect(h.sent[0]!.skb.len).toBe(65_515);
  });
});

test('a socket without a port gets one', () => {
  const h = new Host();
  h.op(2, { options: {} });
  const events = h.sendto(2, text('x'), PEER, 7);
  expect(events.at(-1)!.view!.lport).toBe(h.port(2));
  expect(parseUdp(h.sent[0]!.skb.buf, h.sent[0]!.skb.data, h.sent[0]!.skb.tail)!.sport).toBe(h.port(2));
});

describe('waiting for a route', () => {
  test('in order, one query for all, counted as queued', () => {
    const h = bound();
    h.autoRoute = false;
    for (const c of 'abc') h.sendto(2, text(c), PEER, 7);
    expect(h.queries.length).toBe(1);
    expect(h.env.ledger.queued).toBe(3);
    expect(h.env.ledger.imbalance).toBe(0);
    h.batch(() => h.answer());
    expect(h.sent.map((s) => s.skb.bytes().slice(8))).toEqual([text('a'), text('b'), text('c')]);
    expect(h.env.ledger.queued).toBe(0);
    h.sendto(2, text('d'), PEER, 7);
    expect(h.sent.length).toBe(4);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('the send buffer is the limit', () => {
    const h = bound({ sndbuf: 8192 });
    h.autoRoute = false;
    for (let i = 0; i < 20; i++) h.sendto(2, new Uint8Array(1000), PEER, 7);
    expect(h.env.ledger.drops.get('NOMEM')).toBeGreaterThan(10);
    expect(h.env.mib.get('UdpSndbufErrors')).toBe(h.env.ledger.drops.get('NOMEM'));
    expect(sentErr(h)).toBe(ERRNO.ENOBUFS);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('what was sent before close still goes', () => {
    const h = bound();
    h.autoRoute = false;
    h.sendto(2, text('last words'), PEER, 7);
    h.op(2, { close: { abort: false } });
    h.batch(() => h.answer());
    expect(h.sent.length).toBe(1);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('IP never answers: dropped with a reason, ENETDOWN', () => {
    const h = bound();
    h.autoRoute = false;
    h.sendto(2, text('x'), PEER, 7);
    for (let i = 0; i < 12; i++) h.advance(500);
    expect(h.env.ledger.drops.get('IP_OUTNOROUTES')).toBe(1);
    expect(h.events.some((e) => e.view?.err === ERRNO.ENETDOWN)).toBe(true);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('a route that changed is asked for again', () => {
    const h = bound();
    h.sendto(2, text('x'), PEER, 7);
    h.autoRoute = false;
    h.sendto(2, text('x'), PEER, 7);
    expect(h.queries.length).toBe(0);
    h.udp.onRouteFlush();
    h.sendto(2, text('x'), PEER, 7);
    expect(h.queries.length).toBe(1);
  });
});

test('a short payload that waits lets go of the message it came in', () => {
  const h = bound();
  h.autoRoute = false;
  const message = new Uint8Array(100_000);
  h.sendto(2, message.subarray(10, 20), PEER, 7);
  h.batch(() => h.answer());
  const { skb } = h.sent[0]!;
  expect(skb).toBeInstanceOf(SkBuff);
  expect(skb.frags[0]!.buffer.byteLength).toBe(10);
});
