import { describe, expect, test } from '@jest/globals';
import { errnoName, MSG_DONTWAIT } from '@skbus/skb';
import type { SysReply } from '@skbus/socket';
import { Net } from '@skbus/sim';
import { pattern, Program, sockAddr } from '@skbus/sim';
import { twoHosts } from '@skbus/sim';

const recv = (fd: number) => ({ call: 'recvfrom', fd, len: 65_535, flags: 0 }) as const;
const joined = (r: SysReply): number[] => (r.data ?? []).flatMap((d) => Array.from(d));

describe('datagrams', () => {
  test("there and back, with the sender's address", () => {
    const { net, a, b, onA, onB } = twoHosts();
    const [fa, fb] = [onA.udp(5000), onB.udp(7)];
    onA.must({ call: 'sendto', fd: fa, data: [pattern(0, 100)], flags: 0, to: sockAddr(b.addr, 7) });
    const got = onB.sys(recv(fb));
    expect(got).toMatchObject({ errno: 0, result: 100, addr: sockAddr(a.addr, 5000) });
    onB.must({ call: 'sendto', fd: fb, data: [...got.data!], flags: 0, to: got.addr! });
    const back = onA.sys(recv(fa));
    expect(back.addr).toEqual(sockAddr(b.addr, 7));
    expect(joined(back)).toEqual(Array.from(pattern(0, 100)));
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
  });

  test('to a closed port: the connected sender is told ECONNREFUSED', () => {
    const { net, b, onA } = twoHosts();
    const fd = onA.udp(5000);
    onA.must({ call: 'connect', fd, addr: sockAddr(b.addr, 9) });
    onA.must({ call: 'sendto', fd, data: [pattern(0, 10)], flags: 0, to: undefined });
    expect(errnoName(onA.sys(recv(fd)).errno)).toBe('ECONNREFUSED');
    net.runUntilIdle();
    expect(b.shells.udp.env.mib.get('UdpNoPorts')).toBe(1);
    expect(b.shells.ip.env.mib.get('IcmpOutDestUnreachs')).toBe(1);
    expect(b.drops).toEqual({ NO_SOCKET: 1 });
    expect(net.check()).toEqual([]);
  });

  test('to an address nobody has: that is a soft error, which UDP does not tell without IP_RECVERR', () => {
    const { net, a, onA } = twoHosts();
    const fd = onA.udp(5000);
    onA.must({ call: 'connect', fd, addr: sockAddr(a.addr + 100, 9) });
    onA.must({ call: 'sendto', fd, data: [pattern(0, 10)], flags: 0, to: undefined });
    net.runUntilIdle();
    expect(errnoName(onA.sys({ ...recv(fd), flags: MSG_DONTWAIT }).errno)).toBe('EAGAIN');
    expect(a.drops).toMatchObject({ NEIGH_FAILED: 1 });
    expect(a.shells.ip.env.mib.get('IcmpInDestUnreachs')).toBe(1);
    expect(net.check()).toEqual([]);
  });

  test('to a network without a route: ENETUNREACH at once', () => {
    const { net, onA } = twoHosts();
    const fd = onA.udp(5000);
    const r = onA.sys({ call: 'connect', fd, addr: sockAddr('192.0.2.1', 9) });
    expect(errnoName(r.errno)).toBe('ENETUNREACH');
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
  });

  test('several to a new neighbour wait for ARP and arrive in order', () => {
    const { net, b, link, onA, onB } = twoHosts({ latencyMs: 10 });
    const [fa, fb] = [onA.udp(5000), onB.udp(7)];
    for (let i = 0; i < 5; i++) {
      onA.must({ call: 'sendto', fd: fa, data: [Uint8Array.of(i)], flags: 0, to: sockAddr(b.addr, 7) });
    }
    for (let i = 0; i < 5; i++) expect(joined(onB.sys(recv(fb)))).toEqual([i]);
    net.runUntilIdle();
    expect(link.counters.sent).toBe(1 + 1 + 5);
    expect(net.check()).toEqual([]);
  });

  test('more than the receive buffer holds: the rest is dropped with a reason', () => {
    const { net, b, onA, onB } = twoHosts();
    const [fa, fb] = [onA.udp(5000), onB.udp(7)];
    onA.must({ call: 'sendto', fd: fa, data: [], flags: 0, to: sockAddr(b.addr, 7) });
    onB.sys(recv(fb));
    for (let i = 0; i < 400; i++) {
      onA.must({ call: 'sendto', fd: fa, data: [pattern(i, 1400)], flags: 0, to: sockAddr(b.addr, 7) });
    }
    net.runUntilIdle();
    const dropped = b.drops['SOCKET_RCVBUFF'] ?? 0;
    expect(dropped).toBeGreaterThan(0);
    expect(b.shells.udp.env.mib.get('UdpRcvbufErrors')).toBe(dropped);
    let got = 0;
    for (; got < 400; got++) if (onB.sys({ ...recv(fb), flags: MSG_DONTWAIT }).errno !== 0) break;
    expect(got + dropped).toBe(400);
    // Once read there is room again.
    onA.must({ call: 'sendto', fd: fa, data: [Uint8Array.of(1)], flags: 0, to: sockAddr(b.addr, 7) });
    expect(onB.sys(recv(fb)).result).toBe(1);
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
  });
});

describe('a datagram larger than the MTU', () => {
  test.each([576, 1500])('is cut for MTU %i and put together again', (mtu) => {
    const { net, b, link, onA, onB } = twoHosts({ latencyMs: 1 }, { mtu });
    const [fa, fb] = [onA.udp(5000), onB.udp(7)];
    onA.must({ call: 'sendto', fd: fa, data: [pattern(0, 20_000)], flags: 0, to: sockAddr(b.addr, 7) });
    const got = onB.sys(recv(fb));
    expect(got.result).toBe(20_000);
    expect(joined(got)).toEqual(Array.from(pattern(0, 20_000)));
    net.runUntilIdle();
    expect(link.counters.sent).toBe(2 + Math.ceil(20_008 / ((mtu - 20) & ~7)));
    expect(b.shells.ip.env.mib.get('IpReasmOKs')).toBe(1);
    expect(net.check()).toEqual([]);
  });

  test('by a router on the way', () => {
    const net = new Net(2);
    const [a, r, b] = [net.host('a'), net.host('r', { router: true }), net.host('b')];
    const [left, right] = [net.link(), net.link()];
    a.attach(left, '10.1.0.2/24');
    r.attach(left, '10.1.0.1/24');
    r.attach(right, '10.2.0.1/24', { mtu: 576 });
    b.attach(right, '10.2.0.2/24');
    a.route('default', '10.1.0.1');
    b.route('default', '10.2.0.1');
    const [onA, onB] = [new Program(net, a), new Program(net, b)];
    const [fa, fb] = [onA.udp(5000), onB.udp(7)];
    onA.must({ call: 'sendto', fd: fa, data: [pattern(0, 5_000)], flags: 0, to: sockAddr(b.addr, 7) });
    expect(joined(onB.sys(recv(fb)))).toEqual(Array.from(pattern(0, 5_000)));
    net.runUntilIdle();
    expect(r.shells.ip.env.mib.get('IpFragOKs')).toBeGreaterThan(0);
    expect(net.check()).toEqual([]);
  });

  test('survives reordering and duplicates of its fragments', () => {
    const { net, b, onA, onB } = twoHosts({ duplicate: 0.3, reorder: 0.5, reorderMs: 3 }, { mtu: 576, seed: 4 });
    const [fa, fb] = [onA.udp(5000), onB.udp(7)];
    for (let i = 0; i < 10; i++) {
      onA.must({ call: 'sendto', fd: fa, data: [pattern(i, 8_000)], flags: 0, to: sockAddr(b.addr, 7) });
      const got = onB.sys(recv(fb));
      expect(joined(got)).toEqual(Array.from(pattern(i, 8_000)));
    }
    net.runUntilIdle();
    expect(net.check()).toEqual([]);
  });

  test('with a fragment missing times out with a reason, and is forgotten', () => {
    const { net, b, link, onA, onB } = twoHosts({}, { mtu: 576 });
    const [fa, fb] = [onA.udp(5000), onB.udp(7)];
    onA.must({ call: 'sendto', fd: fa, data: [pattern(0, 10)], flags: 0, to: sockAddr(b.addr, 7) });
    onB.sys(recv(fb));
    let n = 0;
    link.drop = () => ++n === 3;
    onA.must({ call: 'sendto', fd: fa, data: [pattern(0, 3_000)], flags: 0, to: sockAddr(b.addr, 7) });
    net.runFor(31_000);
    net.runUntilIdle();
    expect(b.drops).toMatchObject({ FRAG_REASM_TIMEOUT: 5 });
    expect(b.ip.fragUsage()).toMatchObject({ fragments: 0, queues: 0, memBytes: 0 });
    expect(net.check()).toEqual([]);
  });
});
