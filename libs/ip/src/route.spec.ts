import { describe, expect, test } from '@jest/globals';
import {
  ERRNO,
  errnoName,
  formatIpv4,
  RTN_BLACKHOLE,
  RTN_PROHIBIT,
  RTN_UNREACHABLE,
  RT_SCOPE_UNIVERSE,
} from '@skbus/skb';
import { Host, icmp, ip, ME, outgoing, packet, pattern, PEER, route, SKB0 } from './testing/host.ts';

/** Addresses and routes of the host that gave the answers below (Linux, veth as skb0, no default route). */
function oracleHost(): Host {
  const h = new Host();
  h.ip.delRoute({ dst: 0, dstLen: 0 });
  h.ip.addRoute(route('10.6.0.0/16', { type: RTN_UNREACHABLE, scope: RT_SCOPE_UNIVERSE }));
  h.ip.addRoute(route('10.7.0.0/16', { type: RTN_PROHIBIT, scope: RT_SCOPE_UNIVERSE }));
  h.ip.addRoute(route('10.8.0.0/16', { type: RTN_BLACKHOLE, scope: RT_SCOPE_UNIVERSE }));
  return h;
}

// `ip route get`, asked of a real Linux
test.each<[string, { from?: string; oif?: number }, string]>([
  ['8.8.8.8', {}, 'ENETUNREACH'],
  ['10.77.0.1', { from: '1.2.3.4' }, 'ENETUNREACH'],
  ['10.77.0.1', { from: '224.0.0.1' }, 'EINVAL'],
  ['10.77.0.1', {}, 'unicast skb0 10.77.0.2'],
  ['127.0.0.5', {}, 'local lo 127.0.0.1'],
  ['0.0.0.0', {}, 'local lo 127.0.0.1'],
  ['10.77.0.2', {}, 'local lo 10.77.0.2'],
  ['10.77.0.255', {}, 'broadcast skb0 10.77.0.2'],
  ['255.255.255.255', {}, 'ENETUNREACH'],
  ['224.0.0.5', {}, 'ENETUNREACH'],
  ['255.255.255.255', { oif: 2 }, 'broadcast skb0 10.77.0.2'],
  ['224.0.0.5', { oif: 2 }, 'multicast skb0 10.77.0.2'],
  ['239.1.1.1', { from: '10.77.0.2' }, 'multicast skb0 10.77.0.2'],
  ['8.8.8.8', { oif: 2 }, 'unicast skb0 10.77.0.2'],
  ['127.0.0.1', { oif: 2 }, 'unicast skb0 10.77.0.2'],
  ['10.77.0.2', { oif: 2 }, 'local lo 10.77.0.2'],
  ['8.8.8.8', { oif: 7 }, 'ENODEV'],
  ['10.6.1.1', {}, 'EHOSTUNREACH'],
  ['10.7.1.1', {}, 'EACCES'],
  ['10.8.1.1', {}, 'EINVAL'],
])('ip route get %s %j: %s', (to, { from, oif = 0 }, want) => {
  const h = oracleHost();
  const r = h.ip.getRoute({ id: 1, daddr: ip(to), saddr: from ? ip(from) : 0, oif, tos: 0 });
  const types = ['', 'unicast', 'local', 'broadcast', '', 'multicast'];
  const dev = h.ip.devices().find((d) => d.ifindex === r.oif)?.name;
  expect(r.errno ? errnoName(r.errno) : `${types[r.type]} ${dev} ${formatIpv4(r.saddr)}`).toBe(want);
});

describe('the caches', () => {
  test('every change of routes, addresses and devices is told and takes effect at once', () => {
    const h = new Host();
    const via = (): string => {
      const r = h.ip.getRoute({ id: 0, daddr: ip('8.8.8.8'), saddr: 0, oif: 0, tos: 0 });
      return r.errno ? errnoName(r.errno) : formatIpv4(r.gateway);
    };
    expect(via()).toBe('10.77.0.1');
    let n = h.flushes;
    h.ip.addRoute(route('8.0.0.0/8', { gateway: ip('10.77.0.9') }));
    expect([via(), h.flushes]).toEqual(['10.77.0.9', ++n]);
    h.ip.delRoute({ dst: ip('8.0.0.0'), dstLen: 8 });
    expect([via(), h.flushes]).toEqual(['10.77.0.1', ++n]);
    h.ip.delAddr(2, ME, 24);
    expect([via(), h.flushes]).toEqual(['ENETUNREACH', ++n]);
  });

  test('a refused change is not told', () => {
    const h = new Host();
    const n = h.flushes;
    expect(h.ip.addRoute(route('0.0.0.0/0', { gateway: PEER }))).toBe(ERRNO.EEXIST);
    expect(h.ip.addRoute(route('9.0.0.0/8', { gateway: ip('9.9.9.9') }))).toBe(ERRNO.ENETUNREACH);
    expect(h.flushes).toBe(n);
  });

  test("a route may have an MTU, never above the device's", () => {
    const h = new Host();
    h.ip.addRoute(route('8.0.0.0/8', { gateway: PEER, mtu: 1400 }));
    h.ip.addRoute(route('9.0.0.0/8', { gateway: PEER, mtu: 9000 }));
    const mtu = (to: string): number => h.ip.getRoute({ id: 0, daddr: ip(to), saddr: 0, oif: 0, tos: 0 }).mtu;
    expect([mtu('8.8.8.8'), mtu('9.9.9.9'), mtu('7.7.7.7'), mtu('127.0.0.1')]).toEqual([1400, 1500, 1500, 65_535]);
    h.ip.addDevice({ ...SKB0, mtu: 1300 });
    expect(mtu('8.8.8.8')).toBe(1300);
  });
});

describe('path MTU', () => {
  const to = ip('192.0.2.80');
  const mtuOf = (h: Host): number => h.ip.getRoute({ id: 0, daddr: to, saddr: 0, oif: 0, tos: 0 }, h.now).mtu;
  /** A router says that our segment to `to` does not fit. */
  const fragNeeded = (h: Host, mtu: number): void => {
    h.xmit(outgoing(pattern(1000), { proto: 6, daddr: to, df: true }), 'ipQueueXmit');
    const quoted = h.take()[0]!.skb.bytes().slice(0, 28);
    h.rcv(packet({ proto: 1, saddr: ip('10.77.0.9') }, icmp({ type: 3, code: 4, id: 0, seq: mtu }, quoted)));
  };

  test('is learnt, told to the transport, and forgotten after ten minutes', () => {
    const h = new Host();
    h.rcv(packet({ proto: 6, saddr: to }, pattern(20)));
    expect(h.take()[0]!.skb.rtMtu).toBe(1500);
    fragNeeded(h, 1280);
    const [err] = h.take();
    expect(err).toMatchObject({ to: 'tcp_v4_err', skb: { mark: (3 << 8) | 4, rtMtu: 1280 } });
    expect(mtuOf(h)).toBe(1280);
    h.rcv(packet({ proto: 6, saddr: to }, pattern(20)));
    expect(h.take()[0]!.skb.rtMtu).toBe(1280);
    h.now += 600_000;
    expect(mtuOf(h)).toBe(1500);
    h.rcv(packet({ proto: 6, saddr: to }, pattern(20)));
    expect(h.take()[0]!.skb.rtMtu).toBe(1500);
    expect(h.env.ledger.imbalance).toBe(0);
  });

  test('an increase is not believed, nor a value below min_pmtu: that is cut without DF', () => {
    const h = new Host();
    fragNeeded(h, 9000);
    expect(mtuOf(h)).toBe(1500);
    h.take();
    fragNeeded(h, 68);
    expect(h.take()[0]!.skb.rtMtu).toBe(552);
    expect(mtuOf(h)).toBe(552);
    h.xmit(outgoing(pattern(1000), { proto: 6, daddr: to, df: true }), 'ipQueueXmit');
    expect(h.take().map((s) => s.skb.len)).toEqual([548, 20 + 472]);
  });
});
