import { describe, expect, test } from '@jest/globals';
import { ERRNO, TCP_CLOSE, TCP_ESTABLISHED } from '@skbus/skb';
import { established, readTo, SK, type Scripted, write } from './peer.ts';

/** The peer sends segments of `size` bytes until our window is full; nobody reads. Returns the offset reached. */
function fill(t: Scripted, size: number): number {
  let offset = 0;
  for (let i = 0; i < 10_000; i++) {
    const before = t.tcp.tcpInfo(SK)!.rcvWnd;
    if (before < size) break;
    t.inject('P.', 1 + offset, 1, { len: size });
    offset += size;
    t.view(SK, { rcvGot: offset, rcvRead: 0 });
  }
  t.wait(500);
  return offset;
}

/** A connection whose window closes completely. */
function closed(): { t: Scripted; offset: number } {
  const t = established({ mss: 1000 });
  t.cmd({ sk: SK, opSeq: 2, options: { rcvbuf: 20_000 } });
  const full = fill(t, 1000);
  const rest = t.tcp.tcpInfo(SK)!.rcvWnd;
  if (rest > 0) t.inject('P.', 1 + full, 1, { len: rest });
  t.view(SK, { rcvGot: full + rest, rcvRead: 0 });
  t.wait(500);
  expect(t.sent().at(-1)).toMatchObject({ ack: 1 + full + rest, win: 0 });
  return { t, offset: full + rest };
}

describe('the window we offer (RFC 9293 3.8.6)', () => {
  test('SHLD-14: its right edge never moves to the left', () => {
    const t = established({ mss: 1000, wscale: 7 });
    let edge = 0;
    let offset = 0;
    for (let i = 0; i < 300; i++) {
      const len = [1000, 13, 700, 1][i & 3]!;
      if (t.tcp.tcpInfo(SK)!.rcvWnd < len) break;
      t.inject('P.', 1 + offset, 1, { len });
      offset += len;
      t.view(SK, { rcvGot: offset, rcvRead: i % 7 === 0 ? Math.floor(offset / 2) : 0 });
      for (const s of t.sent()) {
        const right = s.ack + s.win * 2 ** t.tcp.tcpInfo(SK)!.rcvWscale;
        expect(right).toBeGreaterThanOrEqual(edge);
        edge = right;
      }
    }
    expect(edge).toBeGreaterThan(60_000);
  });

  test('MAY-8: it stays closed while nobody reads; each probe is answered', () => {
    const { t, offset } = closed();
    for (let i = 0; i < 50; i++) {
      t.wait(60_000);
      t.sent();
      t.inject('.', offset, 1);
      expect(t.sent().at(-1)).toMatchObject({ ack: 1 + offset, win: 0 });
    }
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    readTo(t, offset);
    expect(t.sent().at(-1)!.win).toBeGreaterThan(1000);
  });

  test('MUST-39: it is moved by a segment or half the buffer, not by crumbs', () => {
    const { t, offset } = closed();
    const base = offset - 10_000; // half of the buffer is window: from here on reading makes room
    for (let more = 0; more <= 900; more += 10) t.view(SK, { rcvGot: offset, rcvRead: base + more });
    expect(t.sent()).toEqual([]);
    t.wait(1000);
    t.inject('.', offset, 1);
    expect(t.sent().at(-1)).toMatchObject({ win: 0 });
    t.view(SK, { rcvGot: offset, rcvRead: base + 5000 });
    expect(t.sent().at(-1)!.win).toBeGreaterThanOrEqual(1000);
  });

  test('MUST-66: with the window closed a reset still counts, and so does an acknowledgement', () => {
    const acked = closed();
    acked.t.cmd({ sk: SK, data: { offset: 0, data: new Uint8Array(100) } });
    acked.t.inject('.', 1 + acked.offset, 101);
    expect(acked.t.lastView(SK).sndUna).toBe(100);
    const { t, offset } = closed();
    t.inject('R', 1 + offset, 0);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ECONNRESET });
  });
});

describe('acknowledging (RFC 9293 3.8.6.3, 3.10.7.4)', () => {
  /** Past the quick ACKs at the beginning of a connection. */
  const settled = (): { t: Scripted; offset: number } => {
    const t = established({ mss: 1000 });
    let offset = 0;
    for (let i = 0; i < 40; i++) {
      t.inject('.', 1 + offset, 1, { len: 1000 });
      offset += 1000;
      readTo(t, offset);
      t.wait(50);
    }
    t.sent();
    return { t, offset };
  };

  test('SHLD-18, MUST-40: a single segment is acknowledged a little later, within half a second', () => {
    const { t, offset } = settled();
    t.inject('.', 1 + offset, 1, { len: 1000 });
    readTo(t, offset + 1000);
    expect(t.sent()).toEqual([]);
    t.wait(499);
    expect(t.sent()).toMatchObject([{ ack: 1001 + offset }]);
  });

  test('SHLD-19: every second full-sized segment is acknowledged at once', () => {
    const { t, offset } = settled();
    for (let i = 1; i <= 20; i++) {
      t.inject('.', 1 + offset + (i - 1) * 1000, 1, { len: 1000 });
      readTo(t, offset + i * 1000);
    }
    expect(t.sent()).toHaveLength(10);
  });

  test('MUST-58, MUST-59: segments that arrive together are all processed before one ACK is sent', () => {
    const { t, offset } = settled();
    for (let i = 0; i < 8; i++) t.inject('P.', 1 + offset + i * 1000, 1, { len: 1000, noFlush: true });
    expect(t.sent()).toEqual([]);
    readTo(t, offset + 8000);
    expect(t.sent()).toMatchObject([{ ack: 8001 + offset, len: 0 }]);
  });

  test('SHLD-31, MAY-13: a segment that is early is kept and answered, and delivered when its turn comes', () => {
    const t = established({ mss: 1000 });
    t.inject('P.', 1001, 1, { len: 1000 });
    expect(t.sent()).toMatchObject([{ ack: 1 }]);
    t.inject('P.', 1, 1, { len: 1000 });
    expect(t.data(SK).reduce((n, d) => n + d.data.length, 0)).toBe(2000);
    readTo(t, 2000);
    expect(t.sent().at(-1)).toMatchObject({ ack: 2001 });
  });

  test('MAY-12: an acknowledgement from long ago is answered and its data not taken (RFC 5961 5)', () => {
    const t = established({ mss: 1000 }, 5000);
    t.inject('P.', 1, 1 - 5001, { len: 10 });
    expect(t.data(SK)).toEqual([]);
    expect(t.sent()).toMatchObject([{ flags: '.', ack: 1 }]);
    write(t, 0, 1000);
    t.inject('.', 1, 1001);
    t.inject('P.', 1, 1, { len: 10 });
    expect(t.data(SK)).toHaveLength(1);
  });
});
