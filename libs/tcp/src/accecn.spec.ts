import { describe, expect, test } from '@jest/globals';
import { fitOption } from './accecn.ts';
import { ADDR_B, Pair } from './testing/pair.ts';
import type { MiniSock } from './testing/mini-socket.ts';
import { Scripted, SK, THEM } from './testing/peer.ts';

const SYN = { mss: 1012, sackPermitted: true };

/** A server whose peer offered AccECN; returns the child. */
function server(t: Scripted, third = '.W', tos = 0): number {
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
  t.inject('SEWA', 0, 0, { opts: SYN });
  expect(t.sent()[0]).toMatchObject({ flags: 'S.W', tos: 0 });
  t.inject(third, 1, 1, { tos, opts: { accecn: { order1: true, fields: [1, 0, 1] } } });
  const child = t.events.find((e) => e.child)!.sk;
  t.view(child, {});
  t.sent();
  return child;
}

const write = (t: Scripted, sk: number, offset: number, n: number): void =>
  t.cmd({ sk, data: { offset, data: new Uint8Array(n) } });

/** `n` segments are out. */
function outstanding(t: Scripted, sk: number, n: number): void {
  for (let i = 0; i < n; i++) write(t, sk, i * 1000, 1000);
  expect(t.sent().reduce((bytes, s) => bytes + s.len, 0)).toBe(n * 1000);
}

describe('negotiation (RFC 9768 3.1)', () => {
  test.each([
    [0, 'S', 'S.', 'S.'],
    [1, 'SEW', 'S.E', 'S.E'],
    [2, 'S', 'S.E', 'S.E'],
    [3, 'SEWA', 'S.W', 'S.E'],
    [4, 'SEW', 'S.W', 'S.E'],
    [5, 'S', 'S.W', 'S.E'],
  ])('tcp_ecn %i asks by %s, answers %s to AccECN and %s to RFC 3168', (tcpEcn, syn, accurate, classic) => {
    const t = new Scripted({ sysctl: { tcpEcn } });
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    expect(t.sent()[0]).toMatchObject({ flags: syn, tos: 0 });
    for (const [asked, answer] of [
      ['SEWA', accurate],
      ['SEW', classic],
    ] as const) {
      const s = new Scripted({ sysctl: { tcpEcn } });
      s.ourPort = 80;
      s.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
      s.inject(asked, 0, 0, { opts: SYN });
      expect(s.sent()[0]!.flags).toBe(answer);
    }
  });

  test('the first SYN that goes again still offers it, the second does not', () => {
    const t = new Scripted({ sysctl: { tcpEcn: 3 } });
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.sent();
    t.wait(1100);
    expect(t.sent()[0]!.flags).toBe('SEWA');
    t.wait(2100);
    expect(t.sent()[0]!.flags).toBe('S');
  });

  test.each([
    ['S.', 0, 'P.'],
    ['S.EWA', 0, 'P.'],
    ['S.E', 2, 'P.'],
    ['S.EA', 2, 'P.EA'], // reserved: taken for AccECN
    ['S.W', 2, 'P.EA'],
    ['S.EW', 0, 'P.EA'], // our SYN was not ECT(1)
  ])('a client takes %s for: data with ECN field %i and flags %s', (answer, tos, flags) => {
    const t = new Scripted({ sysctl: { tcpEcn: 3 } });
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.inject(answer, 0, 1, { opts: SYN });
    t.sent();
    write(t, SK, 0, 10);
    expect(t.sent()[0]).toMatchObject({ flags, tos });
  });
});

describe('what the peer counts', () => {
  test('ACE may have wrapped: of 12 segments at once the safe assumption, unless the bytes say otherwise (A.2)', () => {
    for (const [accecn, want] of [
      [undefined, 10],
      [{ order1: true, fields: [1, 2000, 12_001] }, 2],
      [{ order1: false, fields: [4001, 10_000, 1] }, 10],
    ] as const) {
      const t = new Scripted({ sysctl: { tcpCongestionControl: 'reno', tcpWmem: [4096, 65_536, 1 << 22] } });
      const sk = server(t);
      outstanding(t, sk, 10);
      // two first, so that the window holds what follows
      const first = accecn === undefined ? {} : { accecn: { order1: true, fields: [1, 0, 2001] } };
      t.inject('.EA', 1, 2001, { tos: 2, opts: first });
      for (let i = 10; i < 14; i++) write(t, sk, i * 1000, 1000);
      const opts = accecn === undefined ? {} : { accecn: { order1: accecn.order1, fields: [...accecn.fields] } };
      t.inject('.EWA', 1, 14_001, { tos: 2, opts });
      expect(t.tcp.tcpInfo(sk)!.deliveredCe % 8).toBe(2);
      expect(t.tcp.tcpInfo(sk)!.deliveredCe).toBe(want);
      expect(t.tcp.tcpInfo(sk)!.caState).toBe(2);
    }
  });

  test('a zeroed field, or counters that start at zero, are not believed (3.2.2.4, 3.2.3.2.4)', () => {
    const t = new Scripted();
    const sk = server(t);
    outstanding(t, sk, 1);
    t.inject('.', 1, 1001, { tos: 2 });
    expect(t.tcp.tcpInfo(sk)!.deliveredCe).toBe(0);
    write(t, sk, 1000, 10);
    expect(t.sent()[0]).toMatchObject({ tos: 0 });
  });
});

test('marks that come back in ACE by a link that marks: none is missed, none invented', () => {
  for (const share of [0, 0.1, 0.5, 1]) {
    const p = new Pair({ gro: false, latencyMs: 5, sysctl: { tcpEcn: 3 } });
    const listener = p.b.socks.listen(80);
    p.run(() => listener.opAck === 1);
    const c = p.a.socks.connect(ADDR_B, 80);
    let s: MiniSock | undefined;
    p.run(() => (s ??= p.b.socks.accept(listener)) !== undefined && c.established);
    // the first counters show which codepoint arrives; before that, an ACK for many could hide marks
    p.a.socks.write(c, new Uint8Array(1000));
    p.runFor(100);
    let packets = 0;
    let marked = 0;
    p.a.marks = () => {
      const mark = Math.floor(++packets * share) > Math.floor((packets - 1) * share);
      if (mark) marked++;
      return mark;
    };
    p.a.socks.write(c, new Uint8Array(500_000));
    p.run(() => s!.received.length === 501_000);
    p.runFor(200);
    expect(p.a.tcp.tcpInfo(c.id)!.deliveredCe).toBe(marked);
  }
});

test('SACK blocks but two give way to counters that are due', () => {
  expect(fitOption(12, 0, 0)).toEqual([3, 0]);
  expect(fitOption(12, 3, 0)).toEqual([0, 3]);
  expect(fitOption(12, 3, 1)).toEqual([2, 2]);
  expect(fitOption(0, 4, 0)).toEqual([1, 4]);
  expect(fitOption(0, 3, 3)).toEqual([3, 3]);
});
