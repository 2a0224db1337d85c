import { beforeEach, describe, expect, test } from '@jest/globals';
import type { SkBuff, SkOptions } from '@skbus/skb';
import { activeOpen, Scripted, SK } from './testing/peer.ts';

const MSS = 1000;
const BASE = 0xffff_f001;

/** Established over 100 ms; what is below TCP stays there until the test says that it has left. */
function established(
  sysctl: ConstructorParameters<typeof Scripted>[0] & object = {},
  options: SkOptions = {},
  rttMs = 100,
): { t: Scripted; below: SkBuff[] } {
  const t = new Scripted({ ...sysctl, childIdBase: BASE });
  t.driverSends = false;
  activeOpen(t, { mss: MSS, wscale: 7, sackPermitted: true }, 65_535, rttMs, options);
  t.inject('.', 1, 1, { win: 65_535 });
  t.sent();
  const below: SkBuff[] = [];
  const pass = t.env.pass.bind(t.env);
  t.env.pass = (to, skb, instance) => {
    if (skb.dataLen > 0) below.push(skb);
    pass(to, skb, instance);
  };
  return { t, below };
}

let written = 0;
function write(t: Scripted, n: number): void {
  t.cmd({ sk: SK, data: { offset: written, data: new Uint8Array(n).fill(7) } });
  written += n;
}
const ack = (t: Scripted, to: number): void => t.inject('.', 1, to, { win: 65_535 });
const lens = (t: Scripted): number[] => t.sent().map((s) => s.len);
const sentBytes = (t: Scripted): number => lens(t).reduce((a, b) => a + b, 0);

/** The layers below say that these have left. */
function left(t: Scripted, skbs: SkBuff[]): void {
  for (const skb of skbs) if (skb.sk !== 0) t.tcp.onWfree(skb.sk, skb.wmem, t.now);
  t.tcp.flush(t.now);
}

beforeEach(() => {
  written = 0;
});

describe('tcp_small_queue_check', () => {
  const limited = { sysctl: { tcpLimitOutputBytes: 6000 } };

  test('what is below TCP is bounded; when it has left, more goes', () => {
    const { t, below } = established(limited);
    write(t, 20_000);
    // of two segments each: 1 ms at the pacing rate is less than that
    const first = lens(t);
    expect(first.every((n) => n === 2000)).toBe(true);
    expect(first.length).toBeLessThan(5);
    left(t, below.splice(0));
    expect(lens(t).length).toBeGreaterThan(0);
    for (let i = 0; i < 5; i++) left(t, below.splice(0));
    expect(sentBytes(t) + first.length * 2000).toBeGreaterThan(5000);
    expect(t.tcp.tcpInfo(SK)!.unacked).toBe(10); // the window is the limit now
  });

  test('an answer is asked for when half of the limit is on its way, not before', () => {
    const asked = (rttMs: number): number[] => {
      written = 0;
      const { t, below } = established({}, {}, rttMs);
      for (let i = 0; i < 5; i++) write(t, MSS);
      return below.map((skb) => skb.sk);
    };
    // over 100 ms two skbs are the limit, and the first of a flight never matters; over 2 ms ten are. Then it is corked.
    expect(asked(100)).toEqual([0, SK, SK]);
    expect(asked(2)).toEqual([0, 0, SK]);
  });

  test.each([
    ['twice', (t: Scripted, skbs: SkBuff[]) => (left(t, skbs), left(t, skbs))],
    ['the last alone', (t: Scripted, skbs: SkBuff[]) => left(t, skbs.slice(-1))],
    ['backwards', (t: Scripted, skbs: SkBuff[]) => left(t, skbs.toReversed())],
  ])('answers are running sums: %s', (_name, answer) => {
    const { t, below } = established(limited);
    write(t, 50_000);
    for (let i = 0; i < 20; i++) answer(t, below.splice(0));
    expect(sentBytes(t)).toBe(10 * MSS);
    ack(t, 10_001);
    for (let i = 0; i < 20; i++) answer(t, below.splice(0));
    expect(sentBytes(t)).toBe(20 * MSS);
  });

  test('what cannot be true is no answer', () => {
    const { t, below } = established(limited);
    write(t, 20_000);
    lens(t);
    const last = below.at(-1)!.wmem;
    for (const wmem of [BASE - 1, BASE, last + 1, (last - 1_000_000) >>> 0, (last + 2 ** 31) >>> 0])
      t.tcp.onWfree(SK, wmem, t.now);
    for (const sk of [0, 1, SK + 2, 0xffff_ffff]) t.tcp.onWfree(sk, last, t.now);
    t.tcp.flush(t.now);
    expect(lens(t)).toEqual([]);
  });

  test('with all answers lost, ACKs carry it on', () => {
    const { t } = established(limited);
    write(t, 100_000);
    let una = 1;
    for (let i = 0; i < 100 && una <= 100_000; i++) {
      una += sentBytes(t);
      t.wait(100);
      ack(t, una);
    }
    expect(una).toBe(100_001);
    expect(t.env.mib.get('TcpRetransSegs')).toBe(0);
  });

  test('with all answers and the data lost, the retransmission timer does, and what it sends is answered for', () => {
    const { t, below } = established(limited);
    write(t, 100_000);
    const lost = sentBytes(t);
    below.splice(0);
    t.wait(2000);
    expect(t.env.mib.get('TcpExtTCPTimeouts')).toBeGreaterThan(0);
    expect(below.length).toBeGreaterThan(0);
    let una = 1;
    for (let i = 0; i < 200 && una <= 100_000; i++) {
      left(t, below.splice(0));
      t.wait(100);
      for (const s of t.sent()) if (s.seq <= una && s.seq + s.len > una) una = s.seq + s.len;
      if (una <= lost) una = Math.max(una, 1);
      ack(t, una);
    }
    expect(una).toBe(100_001);
  });

  test('retransmissions wait for room, too, and have the first of it', () => {
    const again = (tcpLimitOutputBytes: number): number[][] => {
      written = 0;
      const { t, below } = established({ sysctl: { tcpLimitOutputBytes } });
      write(t, 20_000);
      for (let i = 0; i < 20; i++) left(t, below.splice(0));
      lens(t);
      const sacked = (from: number): void =>
        t.inject('.', 1, 1, { win: 65_535, opts: { sack: [[t.ourIsn + from, t.ourIsn + 10_001]] } });
      const seqs = (): number[] => t.sent().map((s) => s.seq);
      t.wait(50);
      sacked(6001);
      const first = seqs();
      sacked(4001);
      const second = seqs();
      left(t, below.splice(0));
      return [first, second, seqs()];
    };
    expect(again(1_048_576)).toEqual([[1, 2001], [10_001], []]);
    expect(again(100)).toEqual([[1], [], [2001]]);
  });
});

describe('autocorking', () => {
  const nodelay = { nodelay: true };
  const corked = (t: Scripted): number => t.env.mib.get('TcpExtTCPAutoCorking') ?? 0;

  test('small writes wait for each other while others have not left', () => {
    const { t, below } = established({}, nodelay);
    for (let i = 0; i < 6; i++) write(t, 100);
    // the first needs no answer, the second is what the others wait for
    expect(lens(t)).toEqual([100, 100]);
    expect(corked(t)).toBe(1);
    left(t, below.splice(0));
    expect(lens(t)).toEqual([400]);
    expect(corked(t)).toBe(1);
  });

  test('an ACK lets them go', () => {
    const { t } = established({}, nodelay);
    for (let i = 0; i < 4; i++) write(t, 100);
    lens(t);
    ack(t, 101);
    expect(lens(t)).toEqual([200]);
  });

  test('the end of the stream does not wait', () => {
    const { t } = established({}, nodelay);
    for (let i = 0; i < 3; i++) write(t, 100);
    expect(lens(t)).toEqual([100, 100]);
    const view = { sndTo: written, rcvGot: 0, rcvRead: 0, finGot: false, haveChild: true, accepted: true };
    t.cmd({ sk: SK, opSeq: 2, shutdown: { how: 1 }, view });
    expect(t.sentText()).toEqual(['FP. 201:301 ack 1']);
  });

  test.each([
    ['tcp_autocorking=0', { sysctl: { tcpAutocorking: false } }, false],
    ['all has left already', {}, true],
  ])('%s: it goes at once', (_name, so, leaves) => {
    const { t, below } = established(so, nodelay);
    for (let i = 0; i < 3; i++) {
      write(t, 100);
      if (leaves) left(t, below.splice(0));
    }
    expect(lens(t)).toEqual([100, 100, 100]);
    expect(corked(t)).toBe(0);
  });
});
