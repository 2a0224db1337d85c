import { describe, expect, test } from '@jest/globals';
import { TCP_CLOSE, TCP_ESTABLISHED } from '@skbus/skb';
import { bytesOf, dataSent, established, SK, until, write, type Scripted } from './peer.ts';

const seqs = (t: Scripted): string[] => dataSent(t).map((s) => `${s.seq}:${s.seq + s.len}`);

describe('sending (RFC 9293 3.7.4, 3.9.1.2)', () => {
  test('SHLD-7: Nagle: with a small segment in flight small writes wait, and leave together', () => {
    const t = established();
    write(t, 0, 10);
    for (let i = 1; i < 6; i++) write(t, 10 * i, 10);
    expect(seqs(t)).toEqual(['1:11']);
    t.inject('.', 1, 11);
    expect(seqs(t)).toEqual(['11:61']);
  });

  test('MUST-17: an application can switch Nagle off for one connection', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, options: { nodelay: true } });
    for (let i = 0; i < 4; i++) write(t, 10 * i, 10);
    expect(seqs(t)).toEqual(['1:11', '11:21', '21:31', '31:41']);
  });

  test('MUST-60: what waits leaves without more data: with the ACK, or a corked tail after a while', () => {
    const t = established();
    write(t, 0, 10);
    write(t, 10, 10);
    t.sent();
    t.wait(150);
    t.inject('.', 1, 11);
    expect(seqs(t)).toEqual(['11:21']);
    t.inject('.', 1, 21);
    t.cmd({ sk: SK, opSeq: 2, options: { cork: true } });
    write(t, 20, 10);
    expect(seqs(t)).toEqual([]);
    t.wait(1000);
    expect(seqs(t)).toContain('21:31');
  });

  test('MUST-61: the last of what is queued carries PSH', () => {
    const t = established();
    write(t, 0, 4500);
    const sent = dataSent(t);
    expect(bytesOf(sent)).toBe(4500);
    expect(sent.map((s) => s.flags.includes('P'))).toEqual(sent.map((_s, i) => i === sent.length - 1));
  });

  test('SHLD-27, SHLD-28, MAY-16: successive writes are put together to segments of full size', () => {
    const t = established({ mss: 1000 }, 1000);
    write(t, 0, 1000);
    for (let i = 0; i < 30; i++) write(t, 1000 + 100 * i, 100);
    t.sent();
    t.inject('.', 1, 1001, { win: 32_792 });
    const sent = dataSent(t);
    expect(bytesOf(sent)).toBe(3000);
    expect(sent.every((s) => s.len % 1000 === 0)).toBe(true);
    expect(sent.filter((s) => s.flags.includes('P'))).toHaveLength(1);
  });
});

describe('a window that shrinks (RFC 9293 3.8.6)', () => {
  /** 5000 bytes in flight, then the peer takes its window back to 2000 bytes from the left edge. */
  const shrunk = (): Scripted => {
    const t = established();
    write(t, 0, 5000);
    t.sent();
    t.inject('.', 1, 1, { win: 2000 });
    return t;
  };

  test('MUST-34, SHLD-15: a usable window below zero is survived, and no new data is sent into it', () => {
    const t = shrunk();
    write(t, 5000, 5000);
    expect(dataSent(t)).toEqual([]);
    t.inject('.', 1, 2001, { win: 2000 });
    expect(dataSent(t).filter((s) => s.seq >= 5001)).toEqual([]);
    t.inject('.', 1, 5001, { win: 20_000 });
    expect(bytesOf(dataSent(t))).toBe(5000);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test('SHLD-16: what lies inside is retransmitted as usual', () => {
    const t = shrunk();
    t.wait(250);
    expect(seqs(t)[0]).toBe('1:1001');
    t.inject('.', 1, 1001, { win: 1000 });
    until(t, () => t.out.some((s) => s.seq === 1001), 50, 2000);
  });

  test('SHLD-17, MAY-7: beyond the edge it is tried as well, and while the peer answers nothing times out', () => {
    const t = established();
    write(t, 0, 3000);
    t.inject('.', 1, 1001, { win: 0 });
    t.sent();
    let again = 0;
    for (let i = 0; i < 400; i++) {
      t.wait(10_000);
      const n = dataSent(t).filter((s) => s.seq >= 1001).length;
      again += n;
      if (n > 0) t.inject('.', 1, 1001, { win: 0 });
    }
    expect(again).toBeGreaterThan(20);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test('MUST-35: shrunk to zero it is probed, and the answer that opens it is taken', () => {
    const t = established();
    write(t, 0, 1000);
    t.sent();
    t.inject('.', 1, 1001, { win: 0 });
    write(t, 1000, 500);
    until(t, () => t.out.length > 0, 10, 2000);
    expect(t.sent()).toHaveLength(1);
    t.inject('.', 1, 1001, { win: 1000 });
    expect(seqs(t)).toEqual(['1001:1501']);
  });
});

describe('zero windows (RFC 9293 3.8.6.1)', () => {
  /** A byte waits, the window is closed. Returns when the probes went, each answered with the window still closed. */
  const probed = (t: Scripted, howLong: number): number[] => {
    write(t, 0, 100);
    t.inject('.', 1, 101, { win: 0 });
    write(t, 100, 100);
    t.sent();
    const start = t.now;
    const at: number[] = [];
    while (t.now - start < howLong) {
      t.wait(100);
      if (t.sent().length === 0) continue;
      at.push(t.now - start);
      t.inject('.', 1, 101, { win: 0 });
    }
    return at;
  };

  test('MUST-36, SHLD-29, SHLD-30: the first probe after one RTO, the next ones each twice as late', () => {
    const t = established();
    const rto = t.tcp.tcpInfo(SK)!.rto;
    const at = probed(t, 60_000);
    expect(at[0]).toBeGreaterThanOrEqual(rto);
    expect(at[0]).toBeLessThan(rto + 200);
    expect(at.length).toBeGreaterThan(6);
    for (let i = 2; i < at.length; i++) {
      const ratio = (at[i]! - at[i - 1]!) / (at[i - 1]! - at[i - 2]!);
      expect(ratio).toBeGreaterThan(1.5);
      expect(ratio).toBeLessThan(2.6);
    }
  });

  test('MUST-37: as long as the probes are answered the window may stay closed for ever', () => {
    const t = established();
    const at = probed(t, 24 * 3_600_000);
    expect(at.length).toBeGreaterThan(500);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    t.inject('.', 1, 101, { win: 1000 });
    expect(seqs(t)).toEqual(['101:201']);
  });

  test('MUST-37: only silence ends it', () => {
    const t = established();
    write(t, 0, 100);
    t.inject('.', 1, 101, { win: 0 });
    write(t, 100, 100);
    until(t, () => t.lastView(SK).state === TCP_CLOSE, 10_000, 3_600_000);
  });
});

describe('silly windows, the sender (RFC 9293 3.8.6.2.1)', () => {
  test('MUST-38: a window that opens by crumbs is not filled with crumbs', () => {
    const t = established({ mss: 1000 }, 8000);
    write(t, 0, 8000);
    write(t, 8000, 20_000);
    expect(bytesOf(t.sent())).toBe(8000);
    t.inject('.', 1, 8001, { win: 100 });
    expect(dataSent(t)).toEqual([]);
    t.inject('.', 1, 8001, { win: 900 });
    expect(dataSent(t)).toEqual([]);
    t.inject('.', 1, 8001, { win: 1000 });
    expect(seqs(t)).toEqual(['8001:9001']);
  });

  test('MUST-38: and if it stays small, a timeout sends what fits', () => {
    const t = established({ mss: 1000 }, 8000);
    write(t, 0, 8000);
    write(t, 8000, 20_000);
    t.sent();
    t.inject('.', 1, 8001, { win: 300 });
    t.wait(1000);
    expect(seqs(t)[0]).toBe('8001:8301');
  });

  test('MUST-38: half of the largest window the peer ever had is enough', () => {
    const t = established({ mss: 1460 }, 1000);
    write(t, 0, 5000);
    expect(dataSent(t).every((s) => s.len >= 500)).toBe(true);
  });
});
