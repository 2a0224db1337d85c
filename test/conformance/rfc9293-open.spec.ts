import { describe, expect, test } from '@jest/globals';
import {
  ERRNO,
  TCP_CLOSE,
  TCP_CLOSE_WAIT,
  TCP_ESTABLISHED,
  TCP_LISTEN,
  TCP_SYN_RECV,
  TCP_SYN_SENT,
  TCP_TIME_WAIT,
} from '@skbus/skb';
import { outcome, twoHosts } from '@skbus/sim';
import { accepted, calling, established, readTo, Scripted, SK, tapOutput, THEM, US, write } from './peer.ts';

/** Our initial sequence number for a connection to THEM:8080 from port 5000. */
function isnAt(t: Scripted, sk: number, port = 5000, addr = THEM): number {
  t.forgetIsn();
  t.theirPort = 8080;
  t.cmd({ sk, opSeq: 1, bind: { addr: 0, port }, connect: { addr, port: 8080 }, options: { reuseAddr: true } });
  const isn = t.ourIsn;
  t.cmd({ sk, opSeq: 2, close: { abort: true } });
  t.sent();
  return isn;
}

describe('initial sequence numbers (RFC 9293 3.4.1)', () => {
  test('MUST-8: between two connections of the same four-tuple a clock of 4 µs has moved on', () => {
    const t = new Scripted();
    const first = isnAt(t, 2);
    t.wait(1000);
    expect((isnAt(t, 4) - first) >>> 0).toBe(250_000);
    t.wait(3_600_000);
    expect((isnAt(t, 6) - first) >>> 0).toBe((3_601_000 * 250) % 2 ** 32);
  });

  test('MUST-9: where a four-tuple starts depends on a secret, and one says nothing of another', () => {
    const one = new Scripted({ seed: 1 });
    const two = new Scripted({ seed: 2 });
    expect(isnAt(one, 2)).not.toBe(isnAt(two, 2));
    const steps = new Set<number>();
    let last = isnAt(one, 4, 5001);
    for (let i = 0; i < 50; i++) {
      const isn = isnAt(one, 6 + 2 * i, 5002 + i);
      steps.add((isn - last) >>> 0);
      last = isn;
    }
    expect(steps.size).toBe(50);
    // spread over the whole space: no 4 of 50 differences in the same 64th of it
    const slots = new Map<number, number>();
    for (const s of steps) slots.set(s >>> 26, (slots.get(s >>> 26) ?? 0) + 1);
    expect(Math.max(...slots.values())).toBeLessThan(6);
  });

  test('SHLD-1: clock plus a function of both addresses and both ports', () => {
    const t = new Scripted();
    const isn = isnAt(t, 2);
    expect(isnAt(t, 4)).toBe(isn);
    expect(isnAt(t, 6, 5001)).not.toBe(isn);
    expect(isnAt(t, 8, 5000, THEM + 7)).not.toBe(isn);
  });
});

describe('opening (RFC 9293 3.5)', () => {
  test('MUST-10: simultaneous open', () => {
    const t = new Scripted();
    calling(t);
    t.inject('S', 0, 0, { opts: { mss: 1000 } });
    expect(t.state(SK)).toBe(TCP_SYN_RECV);
    expect(t.sentText()).toEqual(['S. 0:0 ack 1']);
    t.inject('S.', 0, 1, { opts: { mss: 1000 } });
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test('MUST-11: SYN-RECEIVED remembers how it began: a reset refuses the one, and leaves the other listening', () => {
    const active = new Scripted();
    active.theirPort = 8080;
    active.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    active.inject('S', 0, 0, { opts: { mss: 1000 } });
    active.inject('R', 1, 0);
    expect(active.lastView(SK).state).toBe(TCP_CLOSE);
    expect(active.lastView(SK).err).not.toBe(0);

    const passive = new Scripted();
    passive.ourPort = 80;
    passive.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    passive.inject('S', 0, 0);
    passive.inject('R', 1, 0);
    expect(passive.lastView(SK)).toMatchObject({ state: TCP_LISTEN, err: 0 });
    expect(passive.tcp.sockets()).toHaveLength(1);
  });

  test('MUST-41: a passive open disturbs no connection there is', () => {
    const [t, child] = accepted();
    t.cmd({ sk: 10, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    expect(t.events.at(-1)).toMatchObject({ sk: 10, opErrno: ERRNO.EADDRINUSE });
    t.cmd({ sk: 12, opSeq: 1, bind: { addr: 0, port: 81 }, listen: { backlog: 5 } });
    expect(t.events.at(-1)).toMatchObject({ sk: 12, opErrno: 0 });
    expect([t.state(SK), t.state(child)]).toEqual([TCP_LISTEN, TCP_ESTABLISHED]);
    t.inject('P.', 1, 1, { len: 10 });
    expect(t.data(child)).toHaveLength(1);
  });

  test('MUST-42: one may listen on a port from which another is just connecting', () => {
    const t = new Scripted();
    const options = { reuseAddr: true };
    t.theirPort = 8080;
    t.cmd({ sk: 4, opSeq: 1, options, bind: { addr: 0, port: 80 }, connect: { addr: THEM, port: 8080 } });
    expect(t.state(4)).toBe(TCP_SYN_SENT);
    t.cmd({ sk: 6, opSeq: 1, options, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    expect(t.lastView(6).state).toBe(TCP_LISTEN);
    t.inject('S', 0, 0); // simultaneous open: now SYN-RECEIVED
    t.cmd({ sk: 8, opSeq: 1, options, bind: { addr: US, port: 80 } });
    expect([t.state(4), t.state(6)]).toEqual([TCP_SYN_RECV, TCP_LISTEN]);
    t.theirPort = 9000;
    t.sent();
    t.forgetIsn();
    t.inject('S', 0, 0);
    expect(t.sent()).toMatchObject([{ flags: 'S.' }]);
  });

  test('MUST-43, MUST-45: the local address that was asked for is used, and stays', () => {
    const t = new Scripted();
    const out = tapOutput(t);
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: US, port: 0 }, connect: { addr: THEM, port: 8080 } });
    t.inject('S.', 0, 1, { opts: { mss: 1000 } });
    write(t, 0, 100);
    t.inject('P.', 1, 101, { len: 5 });
    readTo(t, 5);
    t.cmd({ sk: SK, opSeq: 2, close: { abort: true } });
    expect(out.length).toBeGreaterThan(3);
    expect(new Set(out.map((skb) => skb.flow!.saddr))).toEqual(new Set([US]));
    t.cmd({ sk: 4, opSeq: 1, bind: { addr: US + 9, port: 0 } });
    expect(t.events.at(-1)).toMatchObject({ sk: 4, opErrno: ERRNO.EADDRNOTAVAIL });
  });

  test('MUST-44: without one, the IP layer chooses it before the first SYN', () => {
    const two = twoHosts();
    two.onB.listen(80);
    two.onA.connect('10.77.0.2', 80);
    two.net.runFor(10);
    expect(two.b.tcp.sockets().find((s) => s.state === TCP_ESTABLISHED)?.raddr).toBe(two.a.addr);
    const lo = two.onB.connect('127.0.0.1', 80);
    expect(outcome(lo)).toBe('ok');
    expect(two.b.tcp.sockets().some((s) => s.laddr === 0x7f000001 && s.raddr === 0x7f000001)).toBe(true);
  });

  test.each([
    ['the broadcast address', '255.255.255.255'],
    ['a directed broadcast address', '10.77.0.255'],
    ['a multicast address', '224.0.0.1'],
  ])('MUST-46: an open to %s is refused', (_what, addr) => {
    const two = twoHosts();
    expect(outcome(two.onA.connect(addr, 80))).not.toBe('ok');
    two.net.runFor(5000);
    expect(two.link.counters.sent).toBe(0);
  });
});

describe('maximum segment size (RFC 9293 3.7.1)', () => {
  test('MUST-14, SHLD-5, MAY-3: both SYN and SYN-ACK say what we take, and what the peer says is kept', () => {
    const t = new Scripted();
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    expect(t.sent()[0]!.opts.mss).toBe(1460);
    t.inject('S.', 0, 1, { opts: { mss: 700 } });
    write(t, 0, 5000);
    expect(t.tcp.tcpInfo(SK)!.sndMss).toBe(700);
    const p = new Scripted();
    p.ourPort = 80;
    p.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    p.inject('S', 0, 0);
    expect(p.sent()[0]!.opts.mss).toBe(1460);
  });

  test('MUST-15: a peer that says nothing gets 536', () => {
    const t = established({});
    expect(t.tcp.tcpInfo(SK)!.sndMss).toBe(536);
    const [p, child] = accepted({});
    expect(p.tcp.tcpInfo(child)!.sndMss).toBe(536);
  });

  test.each([
    ['the peer', 700, 1500, false, 700],
    ['the path', 1460, 900, false, 860],
    ['the path, and timestamps take twelve', 1460, 900, true, 848],
    ['our device', 9000, 1500, false, 1460],
  ])('MUST-16: what one segment carries is limited by %s', (_what, mss, mtu, ts, carries) => {
    const t = established(ts ? { mss, tsVal: 1, tsEcr: 0 } : { mss });
    if (mtu < 1500) {
      write(t, 0, 1000);
      t.icmp(3, 4, 1, mtu);
    }
    expect(t.tcp.tcpInfo(SK)!.sndMss).toBe(carries);
    expect(t.sent().every((s) => s.len <= Math.max(1000, carries))).toBe(true);
  });

  test.each([
    [1500, 1460],
    [9000, 8960],
    [576, 536],
  ])('MUST-67: with an MTU of %i the option is %i, headers off', (mtu, mss) => {
    const two = twoHosts({}, { mtu });
    two.onB.listen(80);
    const seen: number[] = [];
    two.link.drop = (f) => {
      if (f[23] === 6 && (f[47]! & 2) !== 0 && f[54] === 2) seen.push((f[56]! << 8) | f[57]!);
      return false;
    };
    two.onA.connect('10.77.0.2', 80);
    expect(seen).toEqual([mss, mss]);
  });
});

describe('closing (RFC 9293 3.6)', () => {
  test('MUST-12: the application can tell an abort from a close', () => {
    const closed = established();
    closed.inject('F.', 1, 1);
    closed.view(SK, { finGot: true });
    expect(closed.lastView(SK)).toMatchObject({ state: TCP_CLOSE_WAIT, finRcvd: true, err: 0 });
    const aborted = established();
    aborted.inject('R.', 1, 1);
    expect(aborted.lastView(SK)).toMatchObject({ state: TCP_CLOSE, finRcvd: false, err: ERRNO.ECONNRESET });
  });

  test('MUST-13: the side that closes first keeps the connection in TIME-WAIT for a minute, and answers', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, close: { abort: false } });
    t.inject('F.', 1, 2);
    t.sent();
    expect(t.tcp.sockets().map((s) => s.state)).toEqual([TCP_TIME_WAIT]);
    t.wait(30_000);
    t.inject('F.', 1, 2); // our ACK was lost: 2 MSL start again
    expect(t.sentText()).toEqual(['. 2:2 ack 2']);
    t.wait(59_900);
    expect(t.tcp.sockets()).toHaveLength(1);
    t.wait(200);
    expect(t.tcp.sockets()).toEqual([]);
  });

  test('SHLD-2: a reset may carry data', () => {
    const t = established();
    t.inject('R.', 1, 1, { len: 30 });
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ECONNRESET });
    expect(t.data(SK)).toEqual([]);
  });

  test('SHLD-3, MAY-1: close with data that nobody will read is a reset', () => {
    const two = twoHosts();
    let fd = -1;
    two.onB.serve(80, (f) => (fd = f));
    const c = two.onA.connect('10.77.0.2', 80);
    two.onA.must({ call: 'sendto', fd: c.fd, data: [new Uint8Array(10)], flags: 0, to: undefined });
    two.net.runFor(100);
    two.onB.close(fd);
    two.net.runFor(100);
    expect(outcome(two.onA.sys({ call: 'recvfrom', fd: c.fd, len: 10, flags: 0 }))).toBe('ECONNRESET');
  });

  test('SHLD-4, MAY-2: a SYN that is surely new ends TIME-WAIT early: later by timestamp', () => {
    const [t, child] = accepted({ mss: 1000, tsVal: 1000, tsEcr: 0 });
    t.cmd({ sk: child, opSeq: 1, close: { abort: false } });
    t.inject('F.', 1, 2, { opts: { tsVal: 1010, tsEcr: 0 } });
    expect(t.tcp.sockets().map((s) => s.state)).toContain(TCP_TIME_WAIT);
    t.sent();
    t.inject('S', -5000, 0, { opts: { mss: 1000, tsVal: 900, tsEcr: 0 } });
    expect(t.sent().map((s) => s.flags)).toEqual(['.']);
    t.inject('S', -5000, 0, { opts: { mss: 1000, tsVal: 5000, tsEcr: 0 } });
    expect(t.sent().map((s) => s.flags)).toEqual(['S.']);
  });
});
