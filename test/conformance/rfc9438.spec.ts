import { describe, expect, test } from '@jest/globals';
import { bytesOf, dataSent, established, sack, SK, write, type Scripted, type Sysctl } from './peer.ts';

const MSS = 1000;
const info = (t: Scripted): NonNullable<ReturnType<Scripted['tcp']['tcpInfo']>> => t.tcp.tcpInfo(SK)!;

/** CUBIC, the default, on a connection that is limited by nothing else; grown by `rounds` round trips of 40 ms. */
function grown(rounds: number, sysctl: Sysctl['sysctl'] = {}): { t: Scripted; una: number } {
  const t = established({ mss: MSS, wscale: 7 }, 65_535, { sysctl });
  t.cmd({ sk: SK, opSeq: 2, options: { sndbuf: 4_000_000 } });
  t.inject('.', 1, 1, { win: 60_000 });
  let una = 1;
  for (let i = 0; i < rounds; i++) una = round(t, una);
  return { t, una };
}

/** One round trip: all that may leaves, and is acknowledged segment by segment. */
function round(t: Scripted, una: number): number {
  write(t, t.lastView(SK).sndGot, 2_000_000);
  t.sent();
  t.wait(40);
  let at = una;
  for (let n = info(t).unacked; n > 0; n--) t.inject('.', 1, (at += MSS), { win: 60_000 });
  return at;
}

test('4.6: a loss: ssthresh is 0.7 of the window, at once', () => {
  const { t, una } = grown(3);
  const { sndCwnd } = info(t);
  expect(info(t).congestion).toBe('cubic');
  write(t, t.lastView(SK).sndGot, 2_000_000);
  for (let i = 0; i < 3; i++) t.inject('.', 1, una, { win: 60_000 });
  expect(info(t).caState).toBe(3);
  expect(info(t).sndSsthresh).toBe(Math.floor(sndCwnd * 0.7));
});

test('4.6: a window that is not used up does not grow', () => {
  const t = established({ mss: MSS, wscale: 7 }, 65_535);
  for (let i = 0; i < 200; i++) {
    write(t, i * MSS, MSS);
    expect(bytesOf(dataSent(t))).toBe(MSS);
    t.wait(20);
    t.inject('.', 1, 1 + (i + 1) * MSS, { win: 60_000 });
  }
  expect(info(t).sndCwnd).toBeLessThanOrEqual(10);
});

describe('4.10: slow start', () => {
  test.each([2, 0])(
    '4.10: slow start below ssthresh, with HyStart++ or as Reno: tcp_cubic.hystart %i',
    (cubicHystart) => {
      const { t } = grown(0, { cubicHystart });
      let una = 1;
      for (const want of [20, 40, 80]) {
        una = round(t, una);
        expect(info(t).sndCwnd).toBe(want);
      }
    },
  );
});

describe('4.9: reductions that were for nothing', () => {
  /** SACK, the peer's clock at 1000 and ours echoed; ten segments in flight since 100 ms. */
  const flight = (): { t: Scripted; sent: number } => {
    const t = established({ mss: MSS, sackPermitted: true, tsVal: 1000, tsEcr: 0 }, 60_000);
    t.wait(1000);
    write(t, 0, 10 * (MSS - 12));
    const [first] = dataSent(t);
    t.wait(100);
    return { t, sent: first!.opts.tsVal! };
  };
  const SEG = MSS - 12;
  /** An ACK of `una` segments, with blocks beyond, that echoes `tsEcr`. */
  const ack = (t: Scripted, una: number, tsEcr: number, ...blocks: [number, number][]): void => {
    const opts = { tsVal: 1001, tsEcr };
    const edges = blocks.map(([l, r]): [number, number] => [1 + l * SEG, 1 + r * SEG]);
    const more = blocks.length > 0 ? sack(t, ...edges).opts : {};
    t.inject('.', 1, 1 + una * SEG, { win: 60_000, opts: { ...opts, ...more } });
  };

  test('4.9.1: a spurious timeout is found by F-RTO, and the window restored', () => {
    const { t, sent } = flight();
    const { sndCwnd } = info(t);
    t.wait(2000);
    expect(info(t)).toMatchObject({ caState: 4, sndCwnd: 1 });
    ack(t, 0, sent, [2, 3]); // of the original: sent once, and SACKed after the timeout
    expect(info(t).caState).not.toBe(4);
    expect(info(t).sndCwnd).toBeGreaterThanOrEqual(sndCwnd);
  });

  test('4.9.2: timestamps tell that the original arrived', () => {
    const { t, sent } = flight();
    const { sndCwnd, sndSsthresh } = info(t);
    ack(t, 0, sent, [1, 4]);
    expect(info(t).caState).toBe(3);
    expect(info(t).sndSsthresh).toBeLessThan(sndCwnd);
    t.wait(20);
    ack(t, 10, sent); // echoes what was sent before the retransmission
    expect(info(t)).toMatchObject({ caState: 0, sndSsthresh });
    expect(info(t).sndCwnd).toBeGreaterThanOrEqual(sndCwnd);
  });

  test('4.9.2: DSACKs tell that every retransmission was a duplicate', () => {
    const t = established({ mss: MSS, sackPermitted: true }, 60_000);
    write(t, 0, 10 * MSS);
    const { sndCwnd } = info(t);
    const block = (l: number, r: number): [number, number] => [1 + l * MSS, 1 + r * MSS];
    t.inject('.', 1, 1, { win: 60_000, ...sack(t, block(1, 4)) });
    expect(info(t).caState).toBe(3);
    t.inject('.', 1, 1 + 5 * MSS, { win: 60_000 });
    t.inject('.', 1, 1 + 5 * MSS, { win: 60_000, ...sack(t, block(0, 1)) });
    expect(info(t).sndCwnd).toBeGreaterThanOrEqual(sndCwnd);
    expect(info(t).sndSsthresh).toBeGreaterThan(100_000);
  });

  test('4.9.2: a real loss is not undone', () => {
    const { t } = flight();
    const { sndCwnd } = info(t);
    ack(t, 0, 0, [1, 4]);
    const again = t.sent().at(-1)!;
    t.wait(100);
    ack(t, 10, again.opts.tsVal!);
    expect(info(t).sndCwnd).toBeLessThan(sndCwnd);
  });
});
