import { describe, expect, test } from '@jest/globals';
import {
  ERRNO,
  IFF_BROADCAST,
  IFF_LOOPBACK,
  IFF_UP,
  LayerEnv,
  NUD_FAILED,
  NUD_NONE,
  NUD_REACHABLE,
  parseCidr,
  parseIpv4,
  type Route,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
  RT_TABLE_DEFAULT,
  RT_TABLE_LOCAL,
  RT_TABLE_MAIN,
  RTN_BLACKHOLE,
  RTN_BROADCAST,
  RTN_LOCAL,
  RTN_PROHIBIT,
  RTN_UNICAST,
  RTN_UNREACHABLE,
  RTPROT_BOOT,
  SeededRng,
  formatIpv4,
} from '@skbus/skb';
import { Fib } from './fib.ts';
import { FibFrontend } from './fib-frontend.ts';
import type { FibFlow } from './fib-table.ts';

const ip = (t: string): number => parseIpv4(t)!;
const LO = { ifindex: 1, name: 'lo', mac: 0, mtu: 65_536, flags: IFF_UP | IFF_LOOPBACK };
const ETH = { ifindex: 2, name: 'eth0', mac: 1, mtu: 1500, flags: IFF_UP | IFF_BROADCAST };
const ETH1 = { ...ETH, ifindex: 3, name: 'eth1' };

function setup(neigh: (ifindex: number, gw: number) => number = () => NUD_NONE): {
  fib: Fib;
  front: FibFrontend;
  flushes: () => number;
} {
  const env = new LayerEnv({ layer: 'ip', rng: new SeededRng(1), out: { pass: () => {} } });
  const fib = new Fib(env, neigh);
  let n = 0;
  const front = new FibFrontend(env, fib, () => void n++);
  for (const d of [LO, ETH, ETH1]) front.addDevice(d);
  return { fib, front, flushes: () => n };
}

const addr = (cidr: string, ifindex = 2, scope = RT_SCOPE_UNIVERSE) => {
  const { addr: local, len } = parseCidr(cidr)!;
  return { ifindex, local, prefixLen: len, broadcast: 0, scope, label: '' };
};

function route(cidr: string, r: Partial<Route> = {}): Route {
  const { addr: dst, len } = parseCidr(cidr)!;
  return {
    dst,
    dstLen: len,
    gateway: 0,
    oif: 0,
    prefsrc: 0,
    table: RT_TABLE_MAIN,
    type: RTN_UNICAST,
    scope: r.gateway || (r.type ?? 1) > RTN_BROADCAST ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
    protocol: RTPROT_BOOT,
    metric: 0,
    tos: 0,
    mtu: 0,
    ...r,
  };
}

const flow = (daddr: string, f: Partial<FibFlow> = {}): FibFlow => ({
  daddr: ip(daddr),
  saddr: 0,
  tos: 0,
  oif: 0,
  scope: RT_SCOPE_UNIVERSE,
  ...f,
});
const show = (r: Route): string => `${r.type}:${formatIpv4(r.dst)}/${r.dstLen}@${r.oif}`;

describe('addresses make routes', () => {
  test('lo comes up with 127.0.0.1/8 as the kernel does it', () => {
    const { fib } = setup();
    expect(fib.dump(RT_TABLE_LOCAL).map(show)).toEqual([
      '2:127.0.0.0/8@1',
      '2:127.0.0.1/32@1',
      '3:127.255.255.255/32@1',
    ]);
    expect(fib.addrType(ip('127.9.9.9'))).toBe(RTN_LOCAL);
  });

  test('local, connected and broadcast; and they go with the address', () => {
    const { fib, front } = setup();
    const before = fib.dump().length;
    expect(front.addAddr(addr('10.77.0.2/24'))).toBe(0);
    expect(fib.dump(RT_TABLE_LOCAL).map(show).slice(0, 2)).toEqual(['2:10.77.0.2/32@2', '3:10.77.0.255/32@2']);
    expect(fib.dump(RT_TABLE_MAIN)).toMatchObject([
      { dst: ip('10.77.0.0'), dstLen: 24, scope: RT_SCOPE_LINK, protocol: 2, prefsrc: ip('10.77.0.2') },
    ]);
    expect(front.delAddr(2, ip('10.77.0.2'), 24)).toBe(0);
    expect(fib.dump()).toHaveLength(before);
  });

  test('a /31 has no broadcast, a /32 no subnet, and a broadcast of its own is added', () => {
    const { fib, front } = setup();
    front.addAddr(addr('192.0.2.0/31'));
    expect(fib.dump(RT_TABLE_MAIN).map(show)).toEqual(['1:192.0.2.0/31@2']);
    expect(fib.dump(RT_TABLE_LOCAL).filter((r) => r.type === RTN_BROADCAST && r.oif === 2)).toEqual([]);
    front.addAddr(addr('198.51.100.7/32', 3));
    expect(fib.dump(RT_TABLE_MAIN).map(show)).toEqual(['1:192.0.2.0/31@2']);
    front.addAddr({ ...addr('203.0.113.5/24', 3), broadcast: ip('203.0.113.77') });
    expect(fib.addrType(ip('203.0.113.77'))).toBe(RTN_BROADCAST);
    expect(fib.addrType(ip('203.0.113.255'))).toBe(RTN_BROADCAST);
  });

  test('a second address of a subnet is secondary: one connected route, and it goes with the primary', () => {
    const { fib, front } = setup();
    front.addAddr(addr('10.0.0.1/24'));
    front.addAddr(addr('10.0.0.2/24'));
    expect(fib.dump(RT_TABLE_MAIN)).toHaveLength(1);
    expect(fib.devinet.selectAddr(2, ip('10.0.0.9'), RT_SCOPE_UNIVERSE)).toBe(ip('10.0.0.1'));
    front.delAddr(2, ip('10.0.0.1'), 24);
    expect(fib.isLocal(ip('10.0.0.2'))).toBe(false);
    expect(fib.dump(RT_TABLE_MAIN)).toEqual([]);
  });

  test('errnos', () => {
    const { front } = setup();
    expect(front.addAddr(addr('10.0.0.1/24', 9))).toBe(ERRNO.ENODEV);
    expect(front.addAddr({ ...addr('10.0.0.1/24'), prefixLen: 33 })).toBe(ERRNO.EINVAL);
    expect(front.addAddr(addr('10.0.0.1/24'))).toBe(0);
    expect(front.addAddr(addr('10.0.0.1/24'))).toBe(ERRNO.EEXIST);
    expect(front.addAddr(addr('10.0.0.2/24', 2, RT_SCOPE_HOST))).toBe(ERRNO.EINVAL);
    expect(front.delAddr(2, ip('10.0.0.3'), 24)).toBe(ERRNO.EADDRNOTAVAIL);
    expect(front.delAddr(7, ip('10.0.0.3'), 24)).toBe(ERRNO.ENODEV);
  });
});

describe('routes', () => {
  const ready = (neigh?: (ifindex: number, gw: number) => number): ReturnType<typeof setup> => {
    const s = setup(neigh);
    s.front.addAddr(addr('10.77.0.2/24'));
    return s;
  };

  test.each<[string, Partial<Route> & { to: string }, number]>([
    ['a gateway on the link', { to: '0.0.0.0/0', gateway: ip('10.77.0.1') }, 0],
    ['a gateway that is nowhere', { to: '10.1.0.0/16', gateway: ip('10.9.9.9') }, ERRNO.ENETUNREACH],
    ['a gateway on another device', { to: '10.1.0.0/16', gateway: ip('10.77.0.1'), oif: 3 }, ERRNO.ENETUNREACH],
    ['a gateway that is our own address', { to: '10.1.0.0/16', gateway: ip('10.77.0.2') }, 0],
    ['a gateway that is a broadcast address', { to: '10.1.0.0/16', gateway: ip('10.77.0.255') }, ERRNO.EINVAL],
    ['no such device', { to: '10.1.0.0/16', oif: 9 }, ERRNO.ENODEV],
    ['bits behind the prefix', { to: '10.1.0.1/16', oif: 2 }, ERRNO.EINVAL],
    ['a blackhole with a device', { to: '10.1.0.0/16', type: RTN_BLACKHOLE, oif: 2 }, ERRNO.EINVAL],
    ['a type nobody knows', { to: '10.1.0.0/16', type: 77, oif: 2 }, ERRNO.EINVAL],
    ['a source that is not ours', { to: '10.1.0.0/16', oif: 2, prefsrc: ip('10.3.3.3') }, ERRNO.EINVAL],
    ['a source that is ours', { to: '10.1.0.0/16', oif: 2, prefsrc: ip('10.77.0.2') }, 0],
    [
      'a local route of too wide a scope',
      { to: '10.1.0.0/16', oif: 2, type: RTN_LOCAL, scope: RT_SCOPE_LINK },
      ERRNO.EINVAL,
    ],
    [
      'a host route with a gateway',
      { to: '10.1.0.0/16', gateway: ip('10.77.0.1'), scope: RT_SCOPE_HOST },
      ERRNO.EINVAL,
    ],
    ['no such table', { to: '10.1.0.0/16', oif: 2, table: 100 }, ERRNO.EINVAL],
    ['a prefix length of 33', { to: '10.1.0.0/16', dstLen: 33, oif: 2 }, ERRNO.EINVAL],
  ])('adding %s', (_name, { to, ...r }, errno) => {
    expect(ready().front.addRoute(route(to, r), 'excl')).toBe(errno);
  });

  test('the most specific prefix wins, and types give their errnos', () => {
    const { fib, front } = ready();
    front.addRoute(route('0.0.0.0/0', { gateway: ip('10.77.0.1') }), 'excl');
    front.addRoute(route('10.1.0.0/16', { type: RTN_UNREACHABLE }), 'excl');
    front.addRoute(route('10.1.2.0/24', { type: RTN_PROHIBIT }), 'excl');
    front.addRoute(route('10.1.2.3/32', { type: RTN_BLACKHOLE }), 'excl');
    expect(fib.lookup(flow('8.8.8.8'))).toMatchObject({ errno: 0, prefixLen: 0, table: RT_TABLE_MAIN });
    expect(fib.lookup(flow('10.1.9.9')).errno).toBe(ERRNO.EHOSTUNREACH);
    expect(fib.lookup(flow('10.1.2.9')).errno).toBe(ERRNO.EACCES);
    expect(fib.lookup(flow('10.1.2.3')).errno).toBe(ERRNO.EINVAL);
    expect(fib.lookup(flow('10.77.0.2'))).toMatchObject({ errno: 0, type: RTN_LOCAL, table: RT_TABLE_LOCAL });
  });

  test('the tables are asked in order: local, main, default', () => {
    const { fib, front } = ready();
    expect(fib.lookup(flow('8.8.8.8')).errno).toBe(ERRNO.ENETUNREACH);
    front.addRoute(route('8.0.0.0/8', { gateway: ip('10.77.0.1'), table: RT_TABLE_DEFAULT }), 'excl');
    expect(fib.lookup(flow('8.8.8.8')).table).toBe(RT_TABLE_DEFAULT);
    front.addRoute(route('0.0.0.0/0', { gateway: ip('10.77.0.1') }), 'excl');
    expect(fib.lookup(flow('8.8.8.8')).table).toBe(RT_TABLE_MAIN);
  });

  test('TOS and metric order the routes of a prefix; a device may be asked for', () => {
    const { fib, front } = ready();
    front.addAddr(addr('10.88.0.2/24', 3));
    const to = (gateway: string, r: Partial<Route> = {}): number =>
      front.addRoute(route('0.0.0.0/0', { gateway: ip(gateway), ...r }), 'excl');
    expect(to('10.77.0.1', { metric: 200 })).toBe(0);
    expect(to('10.88.0.1', { metric: 100 })).toBe(0);
    expect(to('10.77.0.3', { tos: 0x10 })).toBe(0);
    const gw = (f: Partial<FibFlow>): string => formatIpv4(fib.lookup(flow('8.8.8.8', f)).fi!.nh!.gateway);
    expect(gw({})).toBe('10.88.0.1');
    expect(gw({ tos: 0x10 })).toBe('10.77.0.3');
    expect(gw({ oif: 2 })).toBe('10.77.0.1');
  });

  test('adding again: EEXIST, append, replace', () => {
    const { fib, front } = ready();
    const one = route('10.1.0.0/16', { gateway: ip('10.77.0.1') });
    const two = { ...one, gateway: ip('10.77.0.9') };
    expect(front.addRoute(one, 'excl')).toBe(0);
    expect(front.addRoute(two, 'excl')).toBe(ERRNO.EEXIST);
    expect(front.addRoute(one, 'append')).toBe(ERRNO.EEXIST);
    expect(front.addRoute(two, 'append')).toBe(0);
    const gws = (): string[] =>
      fib
        .dump(RT_TABLE_MAIN)
        .filter((r) => r.dstLen === 16)
        .map((r) => formatIpv4(r.gateway));
    expect(gws()).toEqual(['10.77.0.1', '10.77.0.9']);
    expect(front.addRoute({ ...one, gateway: ip('10.77.0.7') }, 'replace')).toBe(0);
    expect(gws()).toEqual(['10.77.0.7', '10.77.0.9']);
    expect(front.addRoute({ ...one, gateway: ip('10.77.0.7') }, 'replace')).toBe(0);
    expect(gws()).toEqual(['10.77.0.7', '10.77.0.9']);
  });

  test('deleting takes the first route that has all that is named', () => {
    const { front } = ready();
    front.addRoute(route('10.1.0.0/16', { gateway: ip('10.77.0.1'), metric: 5 }), 'excl');
    const dst = { dst: ip('10.1.0.0'), dstLen: 16 };
    expect(front.delRoute({ ...dst, metric: 6 })).toBe(ERRNO.ESRCH);
    expect(front.delRoute({ ...dst, gateway: ip('10.77.0.2') })).toBe(ERRNO.ESRCH);
    expect(front.delRoute({ ...dst, dstLen: 17 })).toBe(ERRNO.ESRCH);
    expect(front.delRoute({ ...dst, gateway: ip('10.77.0.1') })).toBe(0);
    expect(front.delRoute(dst)).toBe(ERRNO.ESRCH);
  });

  test('equal next hops share one fib_info, which goes with its last route', () => {
    const { fib, front } = ready();
    const before = fib.infoCount;
    for (let i = 0; i < 50; i++) front.addRoute(route(`10.${i}.0.0/16`, { gateway: ip('10.77.0.1') }), 'excl');
    expect(fib.infoCount).toBe(before + 1);
    for (let i = 0; i < 50; i++) front.delRoute({ dst: ip(`10.${i}.0.0`), dstLen: 16 });
    expect(fib.infoCount).toBe(before);
  });

  test('of two default routes the one whose gateway lives is taken', () => {
    const dead = new Set<string>();
    const { fib, front } = ready((_if, gw) => (dead.has(formatIpv4(gw)) ? NUD_FAILED : NUD_REACHABLE));
    front.addRoute(route('0.0.0.0/0', { gateway: ip('10.77.0.1') }), 'excl');
    front.addRoute(route('0.0.0.0/0', { gateway: ip('10.77.0.3') }), 'append');
    const chosen = (): string => {
      const f = flow('8.8.8.8');
      const res = fib.lookup(f);
      fib.selectPath(res, f);
      return formatIpv4(res.fi!.nh!.gateway);
    };
    expect(chosen()).toBe('10.77.0.1');
    dead.add('10.77.0.1');
    expect(chosen()).toBe('10.77.0.3');
    dead.clear();
    expect(chosen()).toBe('10.77.0.1');
  });

  test('a link that goes down loses its routes but not its addresses; removed, it loses all', () => {
    const { fib, front, flushes } = ready();
    front.addRoute(route('0.0.0.0/0', { gateway: ip('10.77.0.1') }), 'excl');
    const n = flushes();
    front.addDevice({ ...ETH, flags: IFF_BROADCAST });
    expect(flushes()).toBeGreaterThan(n);
    expect(fib.dump(RT_TABLE_MAIN)).toEqual([]);
    expect(fib.isLocal(ip('10.77.0.2'))).toBe(true);
    front.addDevice(ETH);
    expect(fib.dump(RT_TABLE_MAIN).map(show)).toEqual(['1:10.77.0.0/24@2']);
    front.removeDevice(2);
    expect(fib.dump().filter((r) => r.oif === 2)).toEqual([]);
  });

  test('a route through a source address goes with the address', () => {
    const { fib, front } = ready();
    front.addAddr(addr('10.99.0.2/24'));
    front.addRoute(route('10.5.0.0/16', { gateway: ip('10.77.0.1'), prefsrc: ip('10.99.0.2') }), 'excl');
    front.delAddr(2, ip('10.99.0.2'), 24);
    expect(fib.dump(RT_TABLE_MAIN).map(show)).toEqual(['1:10.77.0.0/24@2']);
  });
});

describe('source address selection', () => {
  test("the subnet of the next hop, else the device's first, else another device's", () => {
    const { fib, front } = setup();
    front.addAddr(addr('10.77.0.2/24'));
    front.addAddr(addr('192.0.2.2/24'));
    front.addAddr(addr('198.51.100.2/24', 3));
    const { devinet } = fib;
    expect(devinet.selectAddr(2, ip('192.0.2.9'), RT_SCOPE_UNIVERSE)).toBe(ip('192.0.2.2'));
    expect(devinet.selectAddr(2, ip('8.8.8.8'), RT_SCOPE_UNIVERSE)).toBe(ip('10.77.0.2'));
    expect(devinet.selectAddr(2, 0, RT_SCOPE_UNIVERSE)).toBe(ip('10.77.0.2'));
    expect(devinet.selectAddr(1, ip('8.8.8.8'), RT_SCOPE_UNIVERSE)).toBe(ip('10.77.0.2'));
    expect(devinet.selectAddr(1, 0, RT_SCOPE_HOST)).toBe(ip('127.0.0.1'));
  });

  test('addresses of narrow scope are not used for wide destinations', () => {
    const { fib, front } = setup();
    front.addAddr(addr('169.254.1.1/16', 2, RT_SCOPE_LINK));
    expect(fib.devinet.selectAddr(2, ip('8.8.8.8'), RT_SCOPE_UNIVERSE)).toBe(0);
    expect(fib.devinet.selectAddr(2, ip('169.254.9.9'), RT_SCOPE_LINK)).toBe(ip('169.254.1.1'));
  });
});
