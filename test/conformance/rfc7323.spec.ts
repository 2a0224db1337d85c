import { describe, expect, test } from '@jest/globals';
import { ERRNO, TCP_CLOSE, TCP_ESTABLISHED } from '@skbus/skb';
import { accepted, dataSent, established, readTo, Scripted, SK, THEM, write } from './peer.ts';

const TS = { mss: 1000, tsVal: 1000, tsEcr: 0 };
const DAY = 24 * 3_600_000;

function syn(sysctl = {}): Scripted {
  const t = new Scripted({ sysctl });
  t.theirPort = 8080;
  t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
  return t;
}

function listening(sysctl = {}): Scripted {
  const t = new Scripted({ sysctl });
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
  return t;
}

describe('window scale (RFC 7323 2)', () => {
  test('2.2: offered in the SYN, and in the SYN-ACK only to who offered it', () => {
    expect(syn().sent()[0]!.opts.wscale).toBe(7);
    const t = listening();
    t.inject('S', 0, 0, { opts: { mss: 1000, wscale: 3 } });
    expect(t.sent()[0]!.opts.wscale).toBe(7);
    t.theirPort++;
    t.inject('S', 0, 0, { opts: { mss: 1000 } });
    expect(t.sent()[0]!.opts.wscale).toBeUndefined();
  });

  test('2.2: it is in force when both have offered it, and only then', () => {
    const both = established({ mss: 1000, wscale: 4 });
    both.inject('.', 1, 1, { win: 1000 });
    expect(both.tcp.tcpInfo(SK)).toMatchObject({ sndWnd: 16_000, rcvWscale: 7 });
    const one = established({ mss: 1000 });
    one.inject('.', 1, 1, { win: 1000 });
    expect(one.tcp.tcpInfo(SK)).toMatchObject({ sndWnd: 1000, rcvWscale: 0 });
  });

  test('2.2: the window of a SYN is not scaled, neither way', () => {
    expect(syn().sent()[0]!.win).toBeGreaterThan(60_000);
    const t = established({ mss: 1000, wscale: 10 }, 2000);
    expect(t.tcp.tcpInfo(SK)!.sndWnd).toBe(2000);
    const l = listening();
    l.inject('S', 0, 0, { opts: { mss: 1000, wscale: 3 } });
    expect(l.sent()[0]!.win).toBeGreaterThan(60_000);
  });

  test('2.2: in a segment without SYN the option is ignored', () => {
    const t = established({ mss: 1000, wscale: 2 });
    t.inject('.', 1, 1, { win: 1000, opts: { wscale: 9 } });
    t.inject('.', 1, 1, { win: 1001 });
    expect(t.tcp.tcpInfo(SK)!.sndWnd).toBe(4004);
  });

  test('2.3: a shift above 14 counts as 14', () => {
    const t = established({ mss: 1000, wscale: 200 });
    t.inject('.', 1, 1, { win: 2 });
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ sndWscale: 14, sndWnd: 2 << 14 });
    const [p, child] = accepted({ mss: 1000, wscale: 15 });
    expect(p.tcp.tcpInfo(child)!.sndWscale).toBe(14);
  });

  test('2.3: our own shift is 14 at most, however large the buffer', () => {
    expect(syn({ tcpRmem: [4096, 131_072, 0x7fffffff] }).sent()[0]!.opts.wscale).toBe(14);
  });

  test('2.3: any other window is shifted left on its way in, and right on its way out', () => {
    const t = established({ mss: 1000, wscale: 4 });
    t.sent();
    t.inject('P.', 1, 1, { len: 10, win: 1000 });
    readTo(t, 10);
    t.wait(200);
    const { sndWnd, rcvWnd } = t.tcp.tcpInfo(SK)!;
    expect(sndWnd).toBe(16_000);
    expect(rcvWnd).toBeGreaterThan(60_000);
    expect(Math.abs(t.sent().at(-1)!.win * 128 - rcvWnd)).toBeLessThan(128);
  });

  test('2.4: a window that seems to shrink by less than a unit of the scale loses nothing', () => {
    const t = established({ mss: 1000, wscale: 7 });
    t.cmd({ sk: SK, opSeq: 2, options: { rcvbuf: 131_072 } });
    let offset = 0;
    for (let i = 0; i < 200; i++) {
      t.inject('P.', 1 + offset, 1, { len: 333 });
      offset += 333;
      readTo(t, offset);
      const ack = t.sent().at(-1);
      if (ack === undefined) continue;
      const edge = ack.ack + ack.win * 128;
      // the peer may use all that was ever offered
      expect(edge).toBeLessThanOrEqual(1 + offset + t.tcp.tcpInfo(SK)!.rcvWnd + 127);
    }
    expect(t.env.ledger.drops.size).toBe(0);
  });

  test('2.4: and into one that does shrink goes again what fits; into none, a whole segment', () => {
    const t = established({ mss: 1000, wscale: 7 }, 32_792);
    write(t, 0, 5000);
    t.sent();
    t.inject('.', 1, 1, { win: 2 });
    t.wait(250);
    expect(dataSent(t)[0]).toMatchObject({ seq: 1, len: 256 });
    t.inject('.', 1, 1, { win: 0 });
    t.wait(2000);
    expect(dataSent(t)[0]).toMatchObject({ seq: 1 });
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });
});

describe('timestamps (RFC 7323 3)', () => {
  test('3.2: offered in the SYN, and in the SYN-ACK only to who offered them', () => {
    expect(syn().sent()[0]!.opts.tsVal).toBeDefined();
    const t = listening();
    t.inject('S', 0, 0, { opts: TS });
    expect(t.sent()[0]!.opts).toMatchObject({ tsEcr: 1000 });
    t.theirPort++;
    t.inject('S', 0, 0, { opts: { mss: 1000 } });
    expect(t.sent()[0]!.opts.tsVal).toBeUndefined();
  });

  test('3.2: once agreed they are in every segment, retransmissions and FINs too', () => {
    const t = established(TS);
    write(t, 0, 3000);
    t.wait(3000);
    t.inject('P.', 1, 3001, { len: 10, opts: { tsVal: 1001, tsEcr: 0 } });
    readTo(t, 10);
    t.cmd({ sk: SK, opSeq: 2, shutdown: { how: 1 } });
    t.wait(2000);
    const sent = t.sent();
    expect(sent.length).toBeGreaterThan(5);
    expect(sent.filter((s) => s.opts.tsVal === undefined)).toEqual([]);
  });

  test('3.2: a reset of an established connection has them', () => {
    const t = established(TS);
    t.cmd({ sk: SK, opSeq: 2, close: { abort: true } });
    expect(t.sent()).toMatchObject([{ flags: 'R.', opts: { tsEcr: 1000 } }]);
  });

  test('3.2: a segment without them does not abort', () => {
    const t = established(TS);
    t.inject('P.', 1, 1, { len: 10 });
    expect(t.lastView(SK)).toMatchObject({ state: TCP_ESTABLISHED, err: 0 });
    t.inject('P.', 11, 1, { len: 10, opts: { tsVal: 1001, tsEcr: 0 } });
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test('3.2: where they were not agreed they are ignored', () => {
    const t = established({ mss: 1000 });
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 5000, tsEcr: 7 } });
    t.inject('P.', 11, 1, { len: 10, opts: { tsVal: 1, tsEcr: 7 } });
    expect(t.data(SK)).toHaveLength(2);
    readTo(t, 20);
    expect(t.sent().every((s) => s.opts.tsVal === undefined)).toBe(true);
  });

  test('3.2: the echo of a SYN is zero, and only an acknowledgement has one that counts', () => {
    expect(syn().sent()[0]!.opts.tsEcr).toBe(0);
    const t = syn();
    t.sent();
    t.inject('S', 0, 0, { opts: { ...TS, tsEcr: 12_345 } });
    expect(t.sent()[0]).toMatchObject({ flags: 'S.', opts: { tsEcr: 1000 } });
  });

  test('4.1: an RTT is taken from an echo only when the left edge moves', () => {
    const t = established(TS);
    write(t, 0, 1000);
    const sent = t.sent()[0]!;
    const { rtt } = t.tcp.tcpInfo(SK)!;
    t.wait(100);
    t.inject('.', 1, 1, { opts: { tsVal: 1100, tsEcr: sent.opts.tsVal! } });
    expect(t.tcp.tcpInfo(SK)!.rtt).toBe(rtt);
    t.inject('.', 1, 1001, { opts: { tsVal: 1100, tsEcr: sent.opts.tsVal! } });
    expect(t.tcp.tcpInfo(SK)!.rtt).toBeGreaterThan(rtt);
  });

  test('4.3: what is echoed is the newest timestamp that is not beyond the last ACK', () => {
    const t = established(TS);
    t.inject('P.', 1001, 1, { len: 10, opts: { tsVal: 2000, tsEcr: 0 } }); // early: does not count
    expect(t.sent().at(-1)!.opts.tsEcr).toBe(1000);
    t.inject('P.', 1, 1, { len: 1000, opts: { tsVal: 1500, tsEcr: 0 } });
    readTo(t, 1010);
    expect(t.sent().at(-1)!.opts.tsEcr).toBe(1500);
  });

  test('5.4: the clock ticks a millisecond at a time, in proportion to real time', () => {
    const t = established(TS);
    const at: number[] = [];
    for (let i = 0; i < 5; i++) {
      write(t, i * 10, 10);
      const sent = t.sent();
      at.push(sent.at(-1)!.opts.tsVal!);
      t.inject('.', 1, 1 + (i + 1) * 10, { opts: { tsVal: 1001 + i, tsEcr: at.at(-1)! } });
      t.wait(1000);
    }
    expect(at.slice(1).map((v, i) => (v - at[i]!) >>> 0)).toEqual([1000, 1000, 1000, 1000]);
  });

  test('7.1: where it starts differs from host to host by a secret', () => {
    const a = syn().sent()[0]!.opts.tsVal!;
    const t = new Scripted({ seed: 99 });
    t.theirPort = 8080;
    t.cmd({ sk: SK, opSeq: 1, connect: { addr: THEM, port: 8080 } });
    const b = t.sent()[0]!.opts.tsVal!;
    expect(Math.abs(a - b)).toBeGreaterThan(100_000);
  });
});

describe('PAWS (RFC 7323 5)', () => {
  test('5.3: a segment with an older timestamp is answered and dropped, in order or not', () => {
    const t = established(TS);
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 1100, tsEcr: 0 } });
    readTo(t, 10);
    t.sent();
    t.inject('P.', 11, 1, { len: 10, opts: { tsVal: 1050, tsEcr: 0 } });
    t.wait(600);
    t.inject('P.', 500, 1, { len: 10, opts: { tsVal: 1050, tsEcr: 0 } });
    expect(t.data(SK)).toHaveLength(1);
    expect(t.sent()).toMatchObject([{ ack: 11 }, { ack: 11 }]);
    expect(t.env.ledger.drops.get('TCP_RFC7323_PAWS')).toBe(2);
  });

  test('5.3: the timestamp is looked at before the sequence number', () => {
    const t = established(TS);
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 1100, tsEcr: 0 } });
    readTo(t, 10);
    t.sent();
    t.inject('P.', 1_000_000, 1, { len: 10, opts: { tsVal: 1050, tsEcr: 0 } });
    expect(t.sent()).toMatchObject([{ ack: 11 }]);
    expect(t.env.mib.get('TcpExtPAWSEstab')).toBe(1);
    expect(t.env.ledger.drops.get('TCP_RFC7323_PAWS')).toBe(1);
  });

  test('5.3: what was early is judged when it arrives, not when its turn comes', () => {
    const t = established(TS);
    t.inject('P.', 1001, 1, { len: 1000, opts: { tsVal: 1010, tsEcr: 0 } });
    t.inject('P.', 1, 1, { len: 1000, opts: { tsVal: 1500, tsEcr: 0 } });
    expect(t.data(SK).reduce((n, d) => n + d.data.length, 0)).toBe(2000);
  });

  test('5.2: a reset is not judged by its timestamp, and changes none', () => {
    const t = established(TS);
    t.inject('R.', 5, 1, { opts: { tsVal: 9000, tsEcr: 0 } }); // in the window: challenged
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 1010, tsEcr: 0 } });
    expect(t.data(SK)).toHaveLength(1);
    t.inject('R.', 11, 1, { opts: { tsVal: 3, tsEcr: 0 } });
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ECONNRESET });
  });

  test('5.2: comparison is modulo 2^32', () => {
    const t = established({ ...TS, tsVal: 0xffff_fff0 });
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 5, tsEcr: 0 } });
    expect(t.data(SK)).toHaveLength(1);
    t.inject('P.', 11, 1, { len: 10, opts: { tsVal: 0xffff_fff8, tsEcr: 0 } });
    expect(t.data(SK)).toHaveLength(1);
  });

  test('5.5: after 24 idle days the old timestamp is worth nothing', () => {
    const t = established({ ...TS, tsVal: 0x7000_0000 });
    t.wait(23 * DAY);
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 100, tsEcr: 0 } });
    expect(t.data(SK)).toEqual([]);
    t.wait(2 * DAY);
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 100, tsEcr: 0 } });
    expect(t.data(SK)).toHaveLength(1);
  });
});
