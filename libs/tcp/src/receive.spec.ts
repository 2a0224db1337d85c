import { describe, expect, test } from '@jest/globals';
import type { TcpOptions } from '@skbus/wire';
import { activeOpen, Scripted, SK } from './testing/peer.ts';

const SACK: TcpOptions = { mss: 1000, sackPermitted: true };

function established(opts: TcpOptions = SACK, so: ConstructorParameters<typeof Scripted>[0] = {}): Scripted {
  const t = new Scripted(so);
  activeOpen(t, opts);
  return t;
}

const mib = (t: Scripted, name: Parameters<Scripted['env']['mib']['get']>[0]): number => t.env.mib.get(name);
const acks = (t: Scripted): unknown[] => t.sent().map((s) => [s.ack, s.opts.sack ?? []]);

/** All quick ACKs are used up, as after the first dozen segments of a long transfer; 1 + the result is rcvNxt. */
function pastQuickAcks(t: Scripted): number {
  let at = 0;
  for (let i = 0; i < 80; i++) {
    t.inject('.', 1 + at, 1, { len: 1000 });
    at += 1000;
    t.view(SK, { rcvGot: at, rcvRead: at });
    t.wait(5);
  }
  t.sent();
  return at;
}

function balanced(t: Scripted): void {
  expect(t.env.ledger.imbalance).toBe(0);
  expect(t.tcp.illegalTransitions).toBe(0);
}

describe('out of order', () => {
  test('ACK compression: three at once, the others wait for each other, a new hole starts over', () => {
    const t = established(SACK, { sysctl: { tcpRmem: [4096, 4_000_000, 6_291_456] } });
    const at = pastQuickAcks(t);
    for (let i = 2; i < 12; i++) t.inject('.', 1 + at + i * 1000, 1, { len: 1000 });
    expect(t.sent()).toHaveLength(3);
    expect(t.tcp.pollTimeout() - t.now).toBeLessThanOrEqual(1);
    t.wait(2);
    expect(acks(t)).toEqual([[1 + at, [[1 + at + 2000, 1 + at + 12_000]]]]);
    expect(mib(t, 'TcpExtTCPAckCompressed')).toBe(6);
    balanced(t);
  });

  test('tcp_comp_sack_nr 0: every one at once', () => {
    const t = established(SACK, { sysctl: { tcpCompSackNr: 0 } });
    const at = pastQuickAcks(t);
    for (let i = 2; i < 12; i++) t.inject('.', 1 + at + i * 1000, 1, { len: 1000 });
    expect(t.sent()).toHaveLength(10);
  });

  test('a SACK block that may not fit later forces the ACK', () => {
    const t = established();
    const at = pastQuickAcks(t);
    for (const i of [2, 4, 6, 8, 10, 12]) t.inject('.', 1 + at + i * 1000, 1, { len: 1000 });
    // 3 at once; the 4th and the 5th are held back; each new block flushes what is held
    expect(t.sent().length).toBeGreaterThan(3);
    balanced(t);
  });

  test('the newest block first; a duplicate before it (RFC 2018 4, 2883 4)', () => {
    const t = established();
    for (const seq of [2001, 4001, 6001]) t.inject('.', seq, 1, { len: 1000 });
    expect(t.sent().at(-1)!.opts.sack).toEqual([
      [6001, 7001],
      [4001, 5001],
      [2001, 3001],
    ]);
    t.inject('.', 4001, 1, { len: 1000 });
    expect(t.sent().at(-1)!.opts.sack).toEqual([
      [4001, 5001],
      [4001, 5001],
      [6001, 7001],
      [2001, 3001],
    ]);
    expect(mib(t, 'TcpExtTCPDSACKOfoSent')).toBe(1);
    expect(mib(t, 'TcpExtTCPOFOMerge')).toBe(1);
    balanced(t);
  });

  test('DSACK of each kind: old, partly old, inside the hole, over what waited', () => {
    const t = established();
    t.inject('.', 1, 1, { len: 1000 });
    t.view(SK, { rcvGot: 1000, rcvRead: 1000 });
    t.sent();
    t.inject('.', 501, 1, { len: 1000 });
    t.view(SK, { rcvGot: 1500, rcvRead: 1500 });
    expect(acks(t)).toEqual([[1501, [[501, 1001]]]]);
    t.inject('.', 2501, 1, { len: 1000 });
    t.inject('.', 3001, 1, { len: 1000 });
    expect(acks(t)).toEqual([
      [1501, [[2501, 3501]]],
      [
        1501,
        [
          [3001, 3501],
          [2501, 4001],
        ],
      ],
    ]);
    // fills the hole and repeats the first 500 bytes beyond it
    t.inject('.', 1501, 1, { len: 1500 });
    t.view(SK, { rcvGot: 4000, rcvRead: 4000 });
    expect(acks(t)).toEqual([[4001, [[2501, 3001]]]]);
    expect(t.data(SK).reduce((n, d) => n + d.data.length, 0)).toBe(4000);
    balanced(t);
  });

  test('tiny segments: the buffer grows to tcp_rmem, then they share skbs, then the farthest go', () => {
    const t = established(SACK, { sysctl: { tcpRmem: [4096, 16_384, 16_384] } });
    for (let i = 0; i < 200; i++) t.inject('.', 3 + 2 * i, 1, { len: 1 });
    const held = t.tcp.tcpInfo(SK)!;
    expect(held.rcvOoopack).toBeGreaterThan(15);
    expect(mib(t, 'TcpExtPruneCalled')).toBeGreaterThan(0);
    expect(mib(t, 'TcpExtTCPOFODrop')).toBeGreaterThan(100);
    expect(mib(t, 'TcpExtRcvPruned')).toBeGreaterThan(100);
    // what is nearer takes the place of what is farther
    t.inject('.', 2, 1, { len: 1 });
    expect(mib(t, 'TcpExtOfoPruned')).toBe(1);
    expect(t.env.ledger.drops.get('TCP_OFO_QUEUE_PRUNE')).toBeGreaterThan(0);
    balanced(t);
  });

  test('neighbours are joined before anything is thrown away (TCPRcvCollapsed)', () => {
    const t = established(SACK, { sysctl: { tcpRmem: [4096, 16_384, 16_384] } });
    for (let i = 0; i < 300; i++) t.inject('.', 11 + i, 1, { len: 1 });
    expect(mib(t, 'TcpExtTCPRcvCollapsed')).toBeGreaterThan(20);
    expect(mib(t, 'TcpExtTCPOFODrop')).toBe(0);
    t.inject('.', 1, 1, { len: 10 });
    expect(t.data(SK).reduce((n, d) => n + d.data.length, 0)).toBe(310);
    for (const d of t.data(SK)) if (d.offset >= 10) d.data.forEach((b, i) => expect(b).toBe((d.offset + 1 + i) & 255));
    balanced(t);
  });
});

describe('the window', () => {
  test('nothing is taken from beyond it; RST and URG count although it is closed (RFC 9293 MUST-66)', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, options: { rcvbuf: 4096 } });
    let at = 0;
    for (let i = 0; i < 100 && t.tcp.tcpInfo(SK)!.rcvWnd > 0; i++) {
      const n = Math.min(1000, t.tcp.tcpInfo(SK)!.rcvWnd);
      t.inject('P.', 1 + at, 1, { len: n });
      at += n;
      t.view(SK, { rcvGot: at, rcvRead: 0 });
      t.wait(50);
    }
    t.sent();
    t.inject('P.', 1 + at, 1, { len: 1 });
    expect(t.sent()).toMatchObject([{ ack: 1 + at, win: 0 }]);
    expect(mib(t, 'TcpExtTCPZeroWindowDrop')).toBe(1);
    t.inject('R', 1 + at, 0);
    expect(t.state(SK)).toBe(7);
    balanced(t);
  });

  test('full segments open it up to the buffer, tiny ones do not (tcp_grow_window)', () => {
    const grown = (len: number): number => {
      const t = established({ mss: 1000, wscale: 7 }, { sysctl: { tcpRmem: [4096, 131_072, 6_291_456] } });
      t.cmd({ sk: SK, opSeq: 2, options: { rcvbuf: 1_000_000 } });
      const before = t.tcp.tcpInfo(SK)!.rcvSsthresh;
      for (let i = 0; i < 20; i++) {
        t.inject('.', 1 + i * len, 1, { len });
        t.view(SK, { rcvGot: (i + 1) * len, rcvRead: (i + 1) * len });
      }
      return t.tcp.tcpInfo(SK)!.rcvSsthresh - before;
    };
    expect(grown(100)).toBe(0);
    // the clamp is what the first buffer allowed
    expect(grown(1000)).toBe(0);
  });

  test('DRS: what is read per round trip decides about the buffer', () => {
    const t = established({ mss: 1000, wscale: 7, tsVal: 1, tsEcr: 0, sackPermitted: true });
    const before = t.tcp.tcpInfo(SK)!.rcvSsthresh;
    let at = 0;
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 20 * (round + 1); i++) {
        const ecr = t.out.at(-1)?.opts.tsVal ?? 0;
        t.inject('.', 1 + at, 1, { len: 988, opts: { tsVal: 10 + round, tsEcr: ecr } });
        at += 988;
        t.view(SK, { rcvGot: at, rcvRead: at });
      }
      t.wait(20);
    }
    expect(t.tcp.tcpInfo(SK)!.rcvSsthresh).toBeGreaterThan(3 * before);
    balanced(t);
  });
});

describe('acknowledging', () => {
  test('an answer makes it a dialogue: the next ACK waits for the next answer (pingpong)', () => {
    const t = established();
    t.inject('P.', 1, 1, { len: 10 });
    t.view(SK, { rcvGot: 10, rcvRead: 10 });
    t.cmd({ sk: SK, data: { offset: 0, data: new Uint8Array(5) } });
    t.sent();
    t.inject('P.', 11, 6, { len: 10 });
    t.view(SK, { rcvGot: 20, rcvRead: 20 });
    expect(t.sent()).toEqual([]);
    t.wait(39);
    expect(t.sent()).toEqual([]);
    t.wait(2);
    expect(t.sent()).toMatchObject([{ ack: 21 }]);
    // no answer came: no dialogue any more
    t.inject('P.', 21, 6, { len: 10 });
    t.view(SK, { rcvGot: 30, rcvRead: 30 });
    expect(t.sent()).toMatchObject([{ ack: 31 }]);
  });

  test('data sent between arrival and confirmation does not swallow the ACK', () => {
    const t = established();
    t.inject('P.', 1, 1, { len: 10 });
    t.cmd({ sk: SK, data: { offset: 0, data: new Uint8Array(5) } });
    expect(t.sent()).toMatchObject([{ ack: 1, len: 5 }]);
    t.view(SK, { rcvGot: 10 });
    t.wait(50);
    expect(t.sent()).toMatchObject([{ ack: 11 }]);
  });

  test('what waits for its confirmation holds no ACK back: one for every two segments that it covers', () => {
    for (const wscale of [0, 7]) {
      // the window is as open as it will get
      const t = established({ ...SACK, wscale }, { sysctl: { tcpRmem: [4096, 120_000, 120_000] } });
      const at = pastQuickAcks(t);
      // Twelve on their way up and back, as over a busy bus, and then they come back two by two. Twelve unread ones leave
      // less of the window than the last ACK offered: the first has to wait until something is read.
      for (let i = 0; i < 12; i++) t.inject('.', 1 + at + i * 1000, 1, { len: 1000 });
      const got: number[] = [];
      for (let i = 2; i <= 12; i += 2) {
        t.view(SK, { rcvGot: at + i * 1000, rcvRead: at + (i - 2) * 1000 });
        got.push(...t.sent().map((s) => (s.ack - 1 - at) / 1000));
      }
      expect({ wscale, got }).toEqual({ wscale, got: [4, 6, 8, 10, 12] });
      balanced(t);
    }
  });

  test('a hole is filled: no ACK goes that would take back what the SACK blocks said', () => {
    const t = established();
    const at = pastQuickAcks(t);
    for (let i = 1; i < 6; i++) t.inject('.', 1 + at + i * 1000, 1, { len: 1000 });
    t.wait(2);
    expect(acks(t).at(-1)).toEqual([1 + at, [[1 + at + 1000, 1 + at + 6000]]]);
    t.inject('.', 1 + at, 1, { len: 1000 });
    t.view(SK, { rcvGot: at + 1000 });
    t.view(SK, { rcvGot: at + 3000 });
    expect(acks(t)).toEqual([]);
    t.view(SK, { rcvGot: at + 6000 });
    expect(acks(t)).toEqual([[1 + at + 6000, []]]);
    balanced(t);
  });

  test('what filled a hole is not confirmed for long: the ACK says what is', () => {
    const t = established();
    const at = pastQuickAcks(t);
    for (let i = 1; i < 6; i++) t.inject('.', 1 + at + i * 1000, 1, { len: 1000 });
    t.wait(2);
    t.sent();
    t.inject('.', 1 + at, 1, { len: 1000 });
    t.view(SK, { rcvGot: at + 3000 });
    t.wait(9);
    expect(acks(t)).toEqual([]);
    t.wait(2);
    expect(acks(t)).toEqual([[1 + at + 3000, []]]);
    balanced(t);
  });

  test('TCP_QUICKACK 1 sends what is pending, 0 delays', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, options: { quickack: false } });
    t.inject('P.', 1, 1, { len: 10 });
    t.view(SK, { rcvGot: 10, rcvRead: 10 });
    expect(t.sent()).toEqual([]);
    t.cmd({ sk: SK, opSeq: 3, options: { quickack: true } });
    expect(t.sent()).toMatchObject([{ ack: 11 }]);
  });
});

describe('urgent data', () => {
  test('the byte is told when it is here, in order or not; the mark is one before the pointer (RFC 6093 3.1)', () => {
    const t = established();
    t.inject('UP.', 101, 1, { data: Uint8Array.of(7, 8, 9), urgent: 2 });
    expect(t.lastView(SK)).toMatchObject({ urgAt: 101 + 1, urgByte: 8 + 1 });
    t.inject('P.', 1, 1, { len: 100 });
    // a pointer that is not ahead of what was announced changes nothing; a later one does
    t.inject('UP.', 101, 1, { data: Uint8Array.of(7, 8, 9), urgent: 2 });
    t.inject('UP.', 104, 1, { data: Uint8Array.of(1), urgent: 0 });
    expect(t.lastView(SK)).toMatchObject({ urgAt: 104, urgByte: 1 + 1 });
    balanced(t);
  });

  test('ours: the pointer is right after the byte, in every segment before it', () => {
    const t = established();
    t.cmd({
      sk: SK,
      view: { sndTo: 5, rcvGot: 0, rcvRead: 0, finGot: false, haveChild: true, accepted: true, urgTo: 5 },
      data: { offset: 0, data: new Uint8Array(5) },
    });
    expect(t.sent()).toMatchObject([{ flags: 'UP.', seq: 1, urgent: 5 }]);
    t.inject('.', 1, 6);
    t.cmd({ sk: SK, data: { offset: 5, data: new Uint8Array(5) } });
    expect(t.sent()).toMatchObject([{ flags: 'P.', seq: 6, urgent: 0 }]);
  });
});
