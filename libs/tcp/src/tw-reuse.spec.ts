import { expect, test } from '@jest/globals';
import { ERRNO, TCP_SYN_SENT, TCP_TIME_WAIT } from '@skbus/skb';
import type { TcpOptions } from '@skbus/wire';
import { Scripted, THEM, US } from './testing/peer.ts';

/** A connection from port 5000 that we closed: a TIME-WAIT. With or without timestamps. */
function timeWait(timestamps: boolean, tcpTwReuse: number, bound = true): Scripted {
  const t = new Scripted({ sysctl: { tcpTwReuse, ipLocalPortRange: [5000, 5000] } });
  t.theirPort = 80;
  if (bound) t.cmd({ sk: 2, opSeq: 1, options: { reuseAddr: true }, bind: { addr: US, port: 5000 } });
  t.cmd({ sk: 2, opSeq: bound ? 2 : 1, connect: { addr: THEM, port: 80 } });
  const tsVal = t.sent()[0]!.opts.tsVal!;
  const ts = (val: number): TcpOptions => (timestamps ? { tsVal: val, tsEcr: tsVal } : {});
  t.inject('S.', 0, 1, { opts: { mss: 1000, ...ts(700) } });
  t.cmd({ sk: 2, opSeq: 3, close: { abort: false } });
  t.inject('F.', 1, 2, { opts: ts(701) });
  expect(t.tcp.sockets().map((s) => s.state)).toEqual([TCP_TIME_WAIT]);
  t.sent();
  t.forgetIsn();
  return t;
}

function again(t: Scripted): number {
  t.cmd({ sk: 4, opSeq: 1, options: { reuseAddr: true }, bind: { addr: US, port: 5000 } });
  t.cmd({ sk: 4, opSeq: 2, connect: { addr: THEM, port: 80 } });
  return t.events.findLast((e) => e.sk === 4)!.opErrno;
}

test('a bound socket takes the four-tuple of a TIME-WAIT if timestamps make it safe (RFC 6191), and goes on from it', () => {
  const t = timeWait(true, 2);
  t.wait(100);
  expect(again(t)).toBe(0);
  const [syn] = t.sent();
  expect(syn!.opts.tsEcr).toBe(701);
  expect(t.env.mib.get('TcpExtTWRecycled')).toBe(1);
  expect(t.tcp.sockets().map((s) => s.state)).toEqual([TCP_SYN_SENT]);
});

test('without timestamps it does not', () => {
  expect(again(timeWait(false, 1))).toBe(ERRNO.EADDRNOTAVAIL);
});

test('a port that connect() chooses: only with tcp_tw_reuse, and not within a second', () => {
  const connect = (tcpTwReuse: number, waitMs: number): number => {
    const t = timeWait(true, tcpTwReuse, false);
    t.wait(waitMs);
    t.cmd({ sk: 4, opSeq: 1, connect: { addr: THEM, port: 80 } });
    return t.events.findLast((e) => e.sk === 4)!.opErrno;
  };
  expect(connect(0, 2000)).toBe(ERRNO.EADDRNOTAVAIL);
  expect(connect(1, 500)).toBe(ERRNO.EADDRNOTAVAIL);
  expect(connect(1, 2000)).toBe(0);
  expect(connect(2, 2000)).toBe(ERRNO.EADDRNOTAVAIL); // these addresses are no loopback ones
});

test('beyond tcp_max_orphans a connection nobody owns is reset', () => {
  const t = new Scripted({ sysctl: { tcpMaxOrphans: 1 } });
  t.theirPort = 80;
  for (const sk of [2, 4]) {
    t.forgetIsn();
    t.cmd({ sk, opSeq: 1, connect: { addr: THEM, port: 80 } });
    t.inject('S.', 0, 1, { opts: { mss: 1000 } });
    t.sent();
    t.cmd({ sk, opSeq: 2, close: { abort: false } });
  }
  expect(t.sentText()[0]).toMatch(/^R\./);
  expect(t.env.mib.get('TcpExtTCPAbortOnMemory')).toBe(1);
});
