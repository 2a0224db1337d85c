import { describe, expect, test } from '@jest/globals';
import { ERRNO, INADDR_BROADCAST, type SkOptions, TCP_CLOSE, TCP_ESTABLISHED } from '@skbus/skb';
import { Host, ip, ME, ME_TOO, PEER, SUBNET_BROADCAST, text } from './testing/host.ts';

const E = ERRNO;

describe('bind', () => {
  test.each([
    ['any address', 0, 53, 0],
    ['an address of ours', ME, 53, 0],
    ['a loopback address', ip('127.0.0.1'), 53, 0],
    ['the subnet broadcast', SUBNET_BROADCAST, 53, 0],
    ['the limited broadcast', INADDR_BROADCAST, 53, 0],
    ['a group', ip('224.0.0.251'), 5353, 0],
    ['an address of somebody else', PEER, 53, E.EADDRNOTAVAIL],
    ['an address there is no way to', ip('192.0.2.1'), 53, E.EADDRNOTAVAIL],
    ['a port that is none', 0, 70_000, E.EINVAL],
  ])('to %s', (_what, addr, port, errno) => {
    const h = new Host();
    expect(h.op(2, { bind: { addr, port } })).toBe(errno);
    expect(h.port(2)).toBe(errno === 0 ? port : 0);
    expect(h.points.includes('udp_v4_get_port')).toBe(errno === 0);
  });

  test('twice is EINVAL', () => {
    const h = new Host();
    h.op(2, { bind: { addr: 0, port: 53 } });
    expect(h.op(2, { bind: { addr: 0, port: 54 } })).toBe(E.EINVAL);
    expect(h.port(2)).toBe(53);
  });

  test('port 0 takes ephemeral ports until there are none', () => {
    const h = new Host({ sysctl: { ipLocalPortRange: [40_000, 40_003] } });
    const ports = new Set<number>();
    for (let sk = 2; sk <= 8; sk += 2) {
      expect(h.op(sk, { bind: { addr: 0, port: 0 } })).toBe(0);
      ports.add(h.port(sk));
    }
    expect([...ports].sort((a, b) => a - b)).toEqual([40_000, 40_001, 40_002, 40_003]);
    expect(h.op(10, { bind: { addr: 0, port: 0 } })).toBe(E.EADDRINUSE);
    expect(h.op(10, { connect: { addr: PEER, port: 7 } })).toBe(E.EAGAIN);
  });

  const none: SkOptions = {};
  const addr: SkOptions = { reuseAddr: true };
  const port: SkOptions = { reusePort: true };
  test.each([
    ['nothing allows it', 0, none, 0, none, E.EADDRINUSE],
    ['any against one address', 0, none, ME, none, E.EADDRINUSE],
    ['different addresses do not meet', ME_TOO, none, ME, none, 0],
    ['SO_REUSEADDR on both', 0, addr, 0, addr, 0],
    ['SO_REUSEADDR on one', 0, addr, 0, none, E.EADDRINUSE],
    ['SO_REUSEPORT on both', ME, port, ME, port, 0],
    ['SO_REUSEPORT on one', ME, none, ME, port, E.EADDRINUSE],
    ['one of each', 0, addr, 0, port, E.EADDRINUSE],
  ])('conflict: %s', (_what, addr1, options1, addr2, options2, errno) => {
    const h = new Host();
    expect(h.op(2, { bind: { addr: addr1, port: 53 }, options: options1 })).toBe(0);
    expect(h.op(4, { bind: { addr: addr2, port: 53 }, options: options2 })).toBe(errno);
  });

  test('a conflict makes the owner show itself, so that a forgotten one is closed', () => {
    const h = new Host();
    h.op(2, { bind: { addr: 0, port: 53 } });
    const events = h.cmd({ sk: 4, opSeq: 1, bind: { addr: 0, port: 53 } });
    expect(events.map((e) => e.sk).sort((a, b) => a - b)).toEqual([2, 4]);
    h.cmd({ sk: 2, opSeq: 2, close: { abort: true } });
    expect(h.cmd({ sk: 4, opSeq: 2, bind: { addr: 0, port: 53 } })[0]!.opErrno).toBe(0);
  });
});

describe('connect', () => {
  test('chooses source and port', () => {
    const h = new Host();
    expect(h.op(2, { connect: { addr: PEER, port: 7 } })).toBe(0);
    const { view } = h.events.at(-1)!;
    expect(view).toMatchObject({ state: TCP_ESTABLISHED, laddr: ME, raddr: PEER, rport: 7 });
    expect(view!.lport).toBeGreaterThanOrEqual(32_768);
    expect(view!.lport).toBeLessThanOrEqual(60_999);
    expect(h.points).toEqual(['udp_v4_get_port', 'ip4_datagram_connect']);
  });

  test.each([
    ['no route', { addr: ip('192.0.2.1'), port: 7 }, {}, E.ENETUNREACH],
    ['broadcast without SO_BROADCAST', { addr: SUBNET_BROADCAST, port: 7 }, {}, E.EACCES],
    ['broadcast with it', { addr: SUBNET_BROADCAST, port: 7 }, { broadcast: true }, 0],
    ['no port', { addr: PEER, port: 70_000 }, {}, E.EINVAL],
  ])('%s', (_what, connect, options, errno) => {
    const h = new Host();
    expect(h.op(2, { connect, options })).toBe(errno);
    expect(h.env.mib.get('IpOutNoRoutes')).toBe(errno === E.ENETUNREACH ? 1 : 0);
  });

  test('0.0.0.0 with a port is this host', () => {
    const h = new Host();
    h.op(2, { connect: { addr: 0, port: 7 } });
    expect(h.events.at(-1)!.view).toMatchObject({ raddr: ip('127.0.0.1'), laddr: ip('127.0.0.1') });
  });

  test('disconnect gives back what bind() did not ask for', () => {
    const h = new Host();
    h.op(2, { connect: { addr: PEER, port: 7 } });
    expect(h.op(2, { connect: { addr: 0, port: 0 } })).toBe(0);
    expect(h.events.at(-1)!.view).toMatchObject({ state: TCP_CLOSE, laddr: 0, lport: 0, raddr: 0, rport: 0 });
    expect(h.points.at(-1)).toBe('__udp_disconnect');

    h.op(4, { bind: { addr: ME, port: 53 } });
    h.op(4, { connect: { addr: PEER, port: 7 } });
    h.op(4, { connect: { addr: 0, port: 0 } });
    expect(h.events.at(-1)!.view).toMatchObject({ state: TCP_CLOSE, laddr: ME, lport: 53, raddr: 0, rport: 0 });
  });

  test('IP is silent: ENETDOWN after its retries, and the query was repeated', () => {
    const h = new Host();
    h.autoRoute = false;
    expect(h.cmd({ sk: 2, opSeq: 1, connect: { addr: PEER, port: 7 } })).toEqual([]);
    let answer: number | undefined;
    for (let i = 0; i < 20 && answer === undefined; i++) answer = h.advance(500)[0]?.opErrno;
    expect(answer).toBe(E.ENETDOWN);
    expect(h.queries.length).toBe(10);
    expect(h.udp.pollTimeout()).toBe(Infinity);
  });
});

describe('other operations', () => {
  test('listen, shutdown and bare options', () => {
    const h = new Host();
    expect(h.op(2, { options: { reuseAddr: true } })).toBe(0);
    expect(h.op(2, { listen: { backlog: 1 } })).toBe(E.EOPNOTSUPP);
    expect(h.op(2, { shutdown: { how: 1 } })).toBe(E.ENOTCONN);
    expect(h.op(2, { shutdown: { how: 3 } })).toBe(E.EINVAL);
    h.op(4, { connect: { addr: PEER, port: 7 } });
    expect(h.op(4, { shutdown: { how: 1 } })).toBe(0);
    expect(h.sendto(4, text('x')).at(-1)!.view!.err).toBe(E.EPIPE);
  });

  test('another gateway: all sockets are gone, their ports free', () => {
    const h = new Host();
    h.op(2, { bind: { addr: 0, port: 53 } });
    h.udp.onGatewayRestart(0);
    expect(h.udp.sockets()).toEqual([]);
    expect(h.op(4, { bind: { addr: 0, port: 53 } })).toBe(0);
  });
});
