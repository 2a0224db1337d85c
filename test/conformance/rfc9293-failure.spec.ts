import { describe, expect, test } from '@jest/globals';
import { ERRNO, TCP_CLOSE, TCP_ESTABLISHED, TCP_SYN_SENT } from '@skbus/skb';
import { activeOpen, dataSent, established, Scripted, SK, tapOutput, THEM, until, write } from './peer.ts';

const HOUR = 3_600_000;

describe('retransmission (RFC 9293 3.8.1, 3.8.2)', () => {
  test('MUST-18: Karn: no RTT from a segment that was sent twice, and the back-off stays until one is known', () => {
    const t = established({ mss: 1000 });
    t.wait(50);
    write(t, 0, 100);
    t.wait(30);
    t.inject('.', 1, 101);
    const { rtt, rto } = t.tcp.tcpInfo(SK)!;
    write(t, 100, 100);
    t.wait(rto + 10);
    expect(dataSent(t).length).toBeGreaterThan(1);
    t.inject('.', 1, 201);
    expect(t.tcp.tcpInfo(SK)!.rtt).toBe(rtt);
    expect(t.tcp.tcpInfo(SK)!.backoff).toBe(1);
    write(t, 200, 100);
    t.wait(30);
    t.inject('.', 1, 301);
    expect(t.tcp.tcpInfo(SK)!.backoff).toBe(0);
  });

  test('MUST-19: slow start to begin with, the timer backs off, and after it slow start again', () => {
    const t = established({ mss: 1000, sackPermitted: true }, 65_535);
    write(t, 0, 60_000);
    t.sent();
    t.inject('.', 1, 10_001, { win: 65_535 });
    expect(t.tcp.tcpInfo(SK)!.sndCwnd).toBe(20);
    t.sent();
    const start = t.now;
    const at: number[] = [];
    while (t.now - start < 20_000) {
      t.wait(20);
      for (const s of dataSent(t)) if (s.seq === 10_001) at.push(t.now - start);
    }
    for (let i = 2; i < at.length; i++) expect((at[i]! - at[i - 1]!) / (at[i - 1]! - at[i - 2]!)).toBeCloseTo(2, 0);
    const info = t.tcp.tcpInfo(SK)!;
    expect(info.sndCwnd).toBeLessThanOrEqual(2);
    expect(info.sndSsthresh).toBeLessThan(20);
  });
});

describe('connection failures (RFC 9293 3.8.3)', () => {
  test('MUST-20, SHLD-11: data that nobody acknowledges ends the connection, but not before 100 s', () => {
    const t = established();
    write(t, 0, 100);
    const took = until(t, () => t.lastView(SK).state === TCP_CLOSE, 1000, 3 * HOUR);
    expect(took).toBeGreaterThan(100_000);
    expect(t.lastView(SK).err).toBe(ERRNO.ETIMEDOUT);
  });

  test('MUST-20, SHLD-10: IP is given advice when three retransmissions, and no fewer, had no answer', () => {
    const t = established();
    write(t, 0, 100);
    t.sent();
    t.startTrace();
    let again = 0;
    while (!t.trace.includes('__dst_negative_advice')) {
      t.wait(100);
      again += dataSent(t).length;
      expect(again).toBeLessThan(20);
    }
    expect(again).toBeGreaterThanOrEqual(3);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test.each([3000, 30_000, 1_800_000])(
    'MUST-21: an application can set R2 for a connection: %i ms',
    (userTimeoutMs) => {
      const t = established();
      t.cmd({ sk: SK, opSeq: 2, options: { userTimeoutMs } });
      write(t, 0, 100);
      const took = until(t, () => t.lastView(SK).state === TCP_CLOSE, 100, 3 * HOUR);
      expect(took).toBeGreaterThanOrEqual(userTimeoutMs);
      expect(took).toBeLessThan(userTimeoutMs + 130_000);
      expect(t.lastView(SK).err).toBe(ERRNO.ETIMEDOUT);
    },
  );

  const silence = (options: { synCnt?: number }): { took: number; syns: number; err: number } => {
    const t = new Scripted();
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, options, connect: { addr: THEM, port: 8080 } });
    const took = until(t, () => t.lastView(SK).state !== TCP_SYN_SENT, 100, 3 * HOUR);
    return { took, syns: t.sent().length, err: t.lastView(SK).err };
  };

  test('MUST-22: a SYN that nobody answers is repeated, and the application hears of it', () => {
    const { syns, err } = silence({});
    expect(syns).toBe(11);
    expect(err).toBe(ERRNO.ETIMEDOUT);
  });

  test('MUST-23: with TCP_SYNCNT 7 a SYN is tried for three minutes; by default for more than two', () => {
    expect(silence({}).took).toBeGreaterThan(120_000);
    expect(silence({ synCnt: 7 }).took).toBeGreaterThan(180_000);
    expect(silence({ synCnt: 1 }).took).toBeLessThan(10_000);
  });
});

describe('keepalive (RFC 9293 3.8.4)', () => {
  const on = (t: Scripted, more = {}): void => t.cmd({ sk: SK, opSeq: 2, options: { keepalive: true, ...more } });

  test('MUST-24: it can be switched on and off for each connection', () => {
    const t = established();
    on(t);
    t.cmd({ sk: SK, opSeq: 3, options: { keepalive: false } });
    t.wait(10 * HOUR);
    expect(t.sent()).toEqual([]);
    t.cmd({ sk: SK, opSeq: 4, options: { keepalive: true } });
    t.wait(3 * HOUR);
    expect(t.sent().length).toBeGreaterThan(0);
  });

  test('MUST-25: it is off by default', () => {
    const t = established();
    t.wait(1000 * HOUR);
    expect(t.sent()).toEqual([]);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test('MUST-26: only an idle connection is probed', () => {
    const t = established();
    on(t, { keepIdleMs: 60_000 });
    for (let i = 0; i < 10; i++) {
      t.wait(50_000);
      t.inject('.', 1, 1);
    }
    expect(t.sent()).toEqual([]);
    write(t, 0, 10); // outstanding data is asked after by the retransmission timer alone
    t.sent();
    t.wait(100_000);
    expect(t.sent().every((s) => s.len === 10)).toBe(true);
  });

  test('MUST-27: after how long is for the application to say', () => {
    const t = established();
    on(t, { keepIdleMs: 5000, keepIntvlMs: 1000 });
    t.wait(4900);
    expect(t.sent()).toEqual([]);
    t.wait(200);
    expect(t.sent()).toHaveLength(1);
    t.wait(1000);
    expect(t.sent()).toHaveLength(1);
  });

  test('MUST-28, SHLD-12, MAY-5: two hours by default, and the probe has no data', () => {
    const t = established();
    on(t);
    t.wait(2 * HOUR - 100);
    expect(t.sent()).toEqual([]);
    t.wait(200);
    expect(t.sent()).toMatchObject([{ seq: 0, len: 0, flags: '.' }]);
  });

  test('MUST-29: no single lost probe ends a connection', () => {
    const t = established();
    on(t, { keepIdleMs: 5000, keepIntvlMs: 1000 });
    t.wait(5100 + 7 * 1000);
    expect(t.sent()).toHaveLength(8);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    t.inject('.', 1, 1);
    t.wait(4000);
    expect(t.sent()).toEqual([]);
  });
});

describe('ICMP (RFC 9293 3.9.2.2)', () => {
  const inFlight = (): Scripted => {
    const t = established();
    write(t, 0, 100);
    t.sent();
    return t;
  };
  const SOFT: [string, number, number, number][] = [
    ['network unreachable', 3, 0, ERRNO.ENETUNREACH],
    ['host unreachable', 3, 1, ERRNO.EHOSTUNREACH],
    ['source route failed', 3, 5, ERRNO.EOPNOTSUPP],
    ['time exceeded in transit', 11, 0, ERRNO.EHOSTUNREACH],
    ['time exceeded in reassembly', 11, 1, ERRNO.EHOSTUNREACH],
    ['parameter problem', 12, 0, ERRNO.EPROTO],
  ];

  test('MUST-54: an error goes to the connection whose segment it quotes, and to no other', () => {
    const t = inFlight();
    t.cmd({ sk: 4, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.icmp(3, 1, 1);
    expect(t.lastView(SK).softErr).toBe(ERRNO.EHOSTUNREACH);
    expect(t.lastView(4)).toMatchObject({ state: TCP_SYN_SENT, err: 0, softErr: 0 });
    const lone = new Scripted();
    activeOpen(lone);
    lone.icmp(3, 1, 5000); // quotes what was never sent
    expect(lone.lastView(SK).softErr).toBe(0);
  });

  test('MUST-55: source quench changes nothing', () => {
    const t = inFlight();
    const before = t.tcp.tcpInfo(SK)!;
    const view = t.lastView(SK);
    t.icmp(4, 0, 1);
    expect(t.tcp.tcpInfo(SK)).toEqual(before);
    expect(t.lastView(SK)).toEqual(view);
    expect(t.sent()).toEqual([]);
  });

  test.each(SOFT)('MUST-56: %s does not abort', (_what, type, code) => {
    const t = inFlight();
    t.icmp(type, code, 1);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_ESTABLISHED, err: 0 });
    t.inject('.', 1, 101);
    expect(t.lastView(SK).sndUna).toBe(100);
  });

  test.each(SOFT)('SHLD-25, MUST-47: the application can learn of %s', (_what, type, code, errno) => {
    const t = inFlight();
    t.icmp(type, code, 1);
    expect(t.lastView(SK).softErr).toBe(errno);
    const took = until(t, () => t.lastView(SK).state === TCP_CLOSE, 10_000, 3 * HOUR);
    expect(took).toBeGreaterThan(100_000);
    expect(t.lastView(SK).err).toBe(errno);
  });

  test.each([
    ['protocol', 2],
    ['port', 3],
  ])('SHLD-26: %s unreachable ends an attempt to connect, and as Linux has it no connection', (_what, code) => {
    const t = new Scripted();
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    t.icmp(3, code, 0);
    expect(t.lastView(SK).state).toBe(TCP_CLOSE);
    const c = inFlight();
    c.icmp(3, code, 1);
    expect(c.lastView(SK)).toMatchObject({ state: TCP_ESTABLISHED, err: 0 });
  });
});

describe('what the application sets (RFC 9293 3.9.1.9, 3.9.2)', () => {
  test('MUST-48, SHLD-21, SHLD-22: the Diffserv field, also later, and unchanged on every segment', () => {
    const t = new Scripted();
    const out = tapOutput(t);
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, options: { tos: 0xb8 }, connect: { addr: THEM, port: 8080 } });
    t.inject('S.', 0, 1, { opts: { mss: 1000 } });
    write(t, 0, 100);
    expect(out.map((s) => s.flow!.tos)).toEqual([0xb8, 0xb8, 0xb8]);
    t.cmd({ sk: SK, opSeq: 2, options: { tos: 0x20 } });
    write(t, 100, 1000);
    expect(out.slice(3).map((s) => s.flow!.tos)).toEqual(out.slice(3).map(() => 0x20));
    expect(out.length).toBeGreaterThan(3);
  });

  test('MUST-49: the time to live', () => {
    const t = new Scripted();
    const out = tapOutput(t);
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, options: { ttl: 5 }, connect: { addr: THEM, port: 8080 } });
    t.inject('S.', 0, 1, { opts: { mss: 1000 } });
    write(t, 0, 100);
    expect(out.map((s) => s.flow!.ttl)).toEqual([5, 5, 5]);
  });
});
