import { describe, expect, test } from '@jest/globals';
import { bytesOf, dataSent, established, SK, write, type Scripted, type Sysctl } from './peer.ts';

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
