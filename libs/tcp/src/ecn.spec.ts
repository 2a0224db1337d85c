import { describe, expect, test } from '@jest/globals';
import { activeOpen, handshake, Scripted, SK, THEM } from './testing/peer.ts';

const SACK = { mss: 1000, sackPermitted: true };

/** A server that said yes to ECN; returns the child. */
function ecnServer(t: Scripted): number {
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
  t.inject('SEW', 0, 0, { opts: SACK });
  expect(t.sent()[0]).toMatchObject({ flags: 'S.E', tos: 0 });
  t.inject('.', 1, 1);
  const child = t.events.find((e) => e.child)!.sk;
  t.view(child, {});
  t.sent();
  return child;
}

const write = (t: Scripted, sk: number, offset: number, n: number): void =>
  t.cmd({ sk, data: { offset, data: new Uint8Array(n) } });

describe('negotiation (RFC 3168 6.1.1)', () => {
  test('tcp_ecn 2 answers but does not ask; 1 asks; 0 does neither', () => {
    for (const [tcpEcn, syn, synAck] of [
      [0, 'S', 'S.'],
      [1, 'SEW', 'S.E'],
      [2, 'S', 'S.E'],
    ] as const) {
      const t = new Scripted({ sysctl: { tcpEcn } });
      t.theirPort = 8080;
      t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
      expect(t.sent()[0]).toMatchObject({ flags: syn, tos: 0 });
      const s = new Scripted({ sysctl: { tcpEcn } });
      s.ourPort = 80;
      s.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
      s.inject('SEW', 0, 0, { opts: SACK });
      expect(s.sent()[0]!.flags).toBe(synAck);
    }
  });

  test('only ECE without CWR in the SYN-ACK is a yes; ECT on the SYN is a no', () => {
    for (const [flags, tos] of [
      ['S.E', 2],
      ['S.', 0],
      ['S.EW', 0],
    ] as const) {
      const t = new Scripted({ sysctl: { tcpEcn: 1 } });
      t.theirPort = 8080;
      t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
      t.inject(flags, 0, 1, { opts: SACK });
      t.sent();
      write(t, SK, 0, 10);
      expect(t.sent()[0]).toMatchObject({ flags: 'P.', tos });
    }
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
    t.inject('SEW', 0, 0, { opts: SACK, tos: 2 });
    expect(t.sent()[0]!.flags).toBe('S.');
  });

  test('a lost SYN goes again without asking (6.1.1.1), unless tcp_ecn_fallback is 0', () => {
    for (const [tcpEcnFallback, again] of [
      [true, 'S'],
      [false, 'SEW'],
    ] as const) {
      const t = new Scripted({ sysctl: { tcpEcn: 1, tcpEcnFallback } });
      t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
      t.sent();
      t.wait(1100);
      expect(t.sent()[0]!.flags).toBe(again);
    }
  });
});

describe('receiving marks', () => {
  test('CE is echoed on every ACK until CWR comes, and at once', () => {
    const t = new Scripted();
    const sk = ecnServer(t);
    t.inject('P.', 1, 1, { len: 100, tos: 3 });
    t.view(sk, { rcvGot: 100, rcvRead: 100 });
    expect(t.sent()).toMatchObject([{ flags: '.E', ack: 101, tos: 0 }]);
    write(t, sk, 0, 10);
    expect(t.sent()[0]).toMatchObject({ flags: 'P.E', tos: 2 });
    t.inject('P.', 101, 11, { len: 100, tos: 2 });
    t.view(sk, { rcvGot: 200, rcvRead: 200 });
    t.wait(50);
    expect(t.sent()).toMatchObject([{ flags: '.E', ack: 201 }]);
    t.inject('P.W', 201, 11, { len: 100, tos: 2 });
    t.view(sk, { rcvGot: 300, rcvRead: 300 });
    expect(t.sent()).toMatchObject([{ flags: '.', ack: 301 }]);
  });

  test('without negotiation a mark means nothing', () => {
    const t = new Scripted();
    const sk = ((): number => {
      t.ourPort = 80;
      t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 8 } });
      return handshake(t);
    })();
    t.inject('P.', 1, 1, { len: 100, tos: 3 });
    t.view(sk, { rcvGot: 100, rcvRead: 100 });
    expect(t.sent()).toMatchObject([{ flags: '.' }]);
  });
});

describe('being told of marks', () => {
  test('ECE shrinks the window once per window of data and is answered with CWR', () => {
    const t = new Scripted({ sysctl: { tcpCongestionControl: 'reno' } });
    const sk = ecnServer(t);
    write(t, sk, 0, 20_000);
    const before = t.tcp.tcpInfo(sk)!.sndCwnd;
    t.sent();
    t.inject('.E', 1, 2001);
    expect(t.tcp.tcpInfo(sk)).toMatchObject({ caState: 2, sndSsthresh: before >> 1 });
    t.inject('.E', 1, 4001);
    t.inject('.E', 1, 6001);
    t.inject('.E', 1, 8001);
    expect(t.tcp.tcpInfo(sk)!.sndSsthresh).toBe(before >> 1);
    const sent = t.sent();
    expect(sent.filter((s) => s.flags.includes('W'))).toHaveLength(1);
    expect(sent.find((s) => s.len > 0)!.flags).toContain('W');
    expect(sent.every((s) => s.tos === 2)).toBe(true);
    const end = sent.at(-1)!.seq + sent.at(-1)!.len;
    t.inject('.', 1, end);
    expect(t.tcp.tcpInfo(sk)).toMatchObject({ caState: 0, sndSsthresh: before >> 1 });
    expect(t.tcp.tcpInfo(sk)!.sndCwnd).toBeLessThan(before);
    expect(t.env.mib.get('TcpExtTCPDeliveredCE')).toBe(8);
  });

  test('retransmissions carry neither ECT nor CWR (6.1.5)', () => {
    const t = new Scripted({ sysctl: { tcpEcn: 1 } });
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.inject('S.E', 0, 1, { opts: SACK });
    t.sent();
    write(t, SK, 0, 500);
    t.sent();
    t.wait(1000);
    expect(t.sent()[0]).toMatchObject({ seq: 1, len: 500, tos: 0, flags: 'P.' });
    // a timeout is a reduction, too: the next new data says CWR
    t.inject('.', 1, 501);
    write(t, SK, 500, 500);
    expect(t.sent()[0]).toMatchObject({ seq: 501, tos: 2, flags: 'P.W' });
  });

  test('an ordinary connection is left alone', () => {
    const t = new Scripted();
    activeOpen(t);
    write(t, SK, 0, 5000);
    t.sent();
    t.inject('.E', 1, 1001);
    expect(t.tcp.tcpInfo(SK)!.caState).toBe(0);
  });
});
