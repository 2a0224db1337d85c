import { beforeEach, describe, expect, test } from '@jest/globals';
import type { SkOptions } from '@skbus/skb';
import { activeOpen, Scripted, SK } from './testing/peer.ts';
import { GSO_PAYLOAD_MAX } from './sysctl.ts';

const MSS = 1000;
const RTT = 100;

/** An established connection whose handshake took `rttMs`; the peer's window is large. */
function established(rttMs = RTT, so: ConstructorParameters<typeof Scripted>[0] = {}, options?: SkOptions): Scripted {
  const t = new Scripted(so);
  activeOpen(t, { mss: MSS, wscale: 7 }, 65_535, rttMs, options);
  t.inject('.', 1, 1, { win: 65_535 });
  t.sent();
  return t;
}

let written = 0;
function write(t: Scripted, n: number, more = false): void {
  t.cmd({ sk: SK, data: { offset: written, data: new Uint8Array(n).fill(7), more } });
  written += n;
}

const info = (t: Scripted) => t.tcp.tcpInfo(SK)!;
const ack = (t: Scripted, to: number): void => t.inject('.', 1, to, { win: 65_535 });
const lens = (t: Scripted): number[] => t.sent().map((s) => s.len);

beforeEach(() => {
  written = 0;
});

describe('small segments', () => {
  const held = (o: SkOptions, more: boolean, inFlight: 'nothing' | 'full' | 'small'): boolean => {
    written = 0;
    const t = established();
    if (inFlight === 'full') write(t, MSS);
    if (inFlight === 'small') write(t, 10);
    t.sent();
    t.cmd({ sk: SK, opSeq: 2, options: o });
    write(t, 10, more);
    return t.sent().length === 0;
  };

  // what is in flight:                    nothing, a full segment, a small one
  test.each([
    ['Nagle as Minshall has it', {}, false, [false, false, true]],
    ['TCP_NODELAY', { nodelay: true }, false, [false, false, false]],
    ['TCP_CORK', { cork: true }, false, [true, true, true]],
    ['TCP_CORK is stronger than TCP_NODELAY', { cork: true, nodelay: true }, false, [true, true, true]],
    ['MSG_MORE', {}, true, [true, true, true]],
    ['MSG_MORE with TCP_NODELAY', { nodelay: true }, true, [true, true, true]],
  ] as const)('%s', (_name, options, more, want) => {
    expect((['nothing', 'full', 'small'] as const).map((x) => held(options, more, x))).toEqual(want);
  });

  test('what MSG_MORE holds goes with the next write, with an ACK, or after 200 ms', () => {
    const t = established();
    write(t, 10, true);
    write(t, 20);
    expect(lens(t)).toEqual([30]);
    write(t, 10, true);
    ack(t, 31);
    expect(lens(t)).toEqual([10]);
    ack(t, 41);
    write(t, 10, true);
    t.wait(199);
    expect(lens(t)).toEqual([]);
    t.wait(200);
    expect(lens(t)).toEqual([10]);
  });

  test('whole segments of a corked write go, only the tail stays; pulling the cork or TCP_NODELAY lets it go', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, options: { cork: true } });
    write(t, 2 * MSS + 300);
    expect(t.sentText()).toEqual(['P. 1:2001 ack 1']);
    t.cmd({ sk: SK, opSeq: 3, options: { nodelay: true } });
    expect(t.sentText()).toEqual(['P. 2001:2301 ack 1']);
    write(t, 5);
    expect(t.sent()).toEqual([]);
    t.cmd({ sk: SK, opSeq: 4, options: { cork: false } });
    expect(t.sentText()).toEqual(['P. 2301:2306 ack 1']);
  });

  test('PSH: at the end of a write, not when more is announced, once per half a window, and on GSO skbs', () => {
    const t = established();
    write(t, 3 * MSS, true);
    expect(t.sentText()).toEqual(['P. 1:2001 ack 1', '. 2001:3001 ack 1']);
    write(t, 3 * MSS);
    expect(t.sentText()).toEqual(['P. 3001:5001 ack 1', 'P. 5001:6001 ack 1']);
    written = 0;
    const small = new Scripted();
    activeOpen(small, { mss: MSS }, 8000, RTT);
    for (let i = 0; i < 8; i++) write(small, MSS, true);
    expect(
      small
        .sentText()
        .map((s) => s[0])
        .join(''),
    ).toBe('....P...');
  });
});

describe('the size of GSO skbs (tcp_tso_autosize)', () => {
  test('a long path and a small window: two segments each', () => {
    const t = established(RTT);
    // 200 % of 10 segments per 100 ms: 200 bytes per 1/1024 s
    expect(info(t).pacingRate).toBe(200_000);
    write(t, 10 * MSS);
    expect(lens(t)).toEqual([2000, 2000, 2000, 2000, 2000]);
  });

  test('tcp_min_tso_segs; a short path has a budget of its own (tcp_tso_rtt_log)', () => {
    const min = established(RTT, { sysctl: { tcpMinTsoSegs: 4 } });
    write(min, 10 * MSS);
    expect(lens(min)).toEqual([4000, 4000, 2000]);
    written = 0;
    const near = established(1);
    // 64 KiB >> (1000 µs >> 9) = 32 KiB, so half of the window is what limits
    write(near, 10 * MSS);
    expect(lens(near)).toEqual([5000, 5000]);
  });

  test('an ACK for a little is not answered with a little: the rest of the window waits for the next (tcp_tso_should_defer)', () => {
    const t = established(RTT, { sysctl: { tcpMinTsoSegs: 40 } });
    write(t, 60 * MSS);
    t.sent();
    t.wait(60);
    ack(t, 1001);
    // the last segment left long ago: nothing to wait for
    expect(lens(t).reduce((a, b) => a + b)).toBe(2000);
    ack(t, 2001);
    expect(lens(t)).toEqual([]);
    ack(t, 5001);
    // eight may go; half of the window in one piece, and the last one waits again
    expect(lens(t)).toEqual([7000]);
  });
});

describe('pacing', () => {
  test('SO_MAX_PACING_RATE: after the first ten segments exactly that rate', () => {
    const t = established(RTT, {}, { maxPacingRate: 100_000 });
    const at: number[] = [];
    write(t, 40 * MSS);
    const acks: [number, number][] = [];
    while (at.length < 40) {
      for (const s of t.sent()) {
        for (let left = s.len; left > 0; left -= MSS) at.push(t.now);
        acks.push([t.now + RTT, s.seq + s.len]);
      }
      while (acks[0] !== undefined && acks[0][0] <= t.now) ack(t, acks.shift()![1]);
      t.wait(0.5);
    }
    // two segments per skb, 20 ms per skb; the first gap is shorter, as the time before it counts as a late timer
    const gaps = at.slice(16).map((x, i) => x - at[15 + i]!);
    expect(new Set(gaps)).toEqual(new Set([0, 20]));
    expect(info(t)).toMatchObject({ pacingRate: 100_000, maxPacingRate: 100_000 });
  });

  test('without it nothing is spaced, the rate only sizes skbs', () => {
    const t = established(RTT);
    write(t, 10 * MSS);
    expect(t.sent().reduce((n, s) => n + s.len, 0)).toBe(10 * MSS);
  });

  test('200 % of the window per RTT in slow start, 120 % from half of the threshold on', () => {
    const t = established(RTT, { sysctl: { tcpPacingSsRatio: 300, tcpPacingCaRatio: 150 } });
    expect(info(t).pacingRate).toBe(300_000);
  });
});

describe('the congestion window and its use', () => {
  test('after an idle time it is halved per RTO, down to ten (RFC 5681 4.1, RFC 2861)', () => {
    const t = established(RTT);
    write(t, 70 * MSS);
    for (let i = 10; i <= 70; i += 10) {
      t.wait(RTT);
      ack(t, i * MSS + 1);
    }
    t.sent();
    expect(info(t).sndCwnd).toBe(80);
    t.wait(3.5 * info(t).rto);
    write(t, 100 * MSS);
    expect(info(t)).toMatchObject({ sndCwnd: 10 });
    written = 0;
    const off = established(RTT, { sysctl: { tcpSlowStartAfterIdle: false } });
    write(off, 10 * MSS);
    off.wait(RTT);
    ack(off, 10 * MSS + 1);
    off.wait(60_000);
    write(off, 20 * MSS);
    expect(off.sent().reduce((n, s) => n + s.len, 0)).toBe(30 * MSS);
  });

  test('a window that the application does not fill does not grow, and goes back to what is used', () => {
    const t = established(RTT);
    for (let i = 0; i < 10; i++) {
      write(t, 3 * MSS);
      t.wait(RTT);
      ack(t, written + 1);
    }
    expect(info(t).sndCwnd).toBe(10);
  });

  test('delivery rate: what was delivered between two ACKs; a bubble makes it application-limited', () => {
    const t = established(RTT);
    write(t, 20 * MSS);
    t.wait(RTT);
    ack(t, 10 * MSS + 1);
    t.wait(RTT);
    ack(t, 20 * MSS + 1);
    expect(info(t)).toMatchObject({ deliveryRate: 100_000, deliveryRateAppLimited: false });
    write(t, MSS);
    t.wait(RTT);
    ack(t, written + 1);
    write(t, MSS);
    t.wait(RTT);
    ack(t, written + 1);
    // 1 segment per RTT is less than the best and says nothing
    expect(info(t)).toMatchObject({ deliveryRate: 100_000, deliveryRateAppLimited: false });
  });

  test('tcp_chrono: busy, and how long the peer or the send buffer was to blame', () => {
    const t = new Scripted();
    activeOpen(t, { mss: MSS }, 3000);
    write(t, 10 * MSS);
    t.wait(50);
    t.inject('.', 1, 3001, { win: 30_000 });
    t.wait(50);
    t.inject('.', 1, 10_001, { win: 30_000 });
    t.wait(1000);
    expect(info(t)).toMatchObject({ busyTime: 100, rwndLimited: 50, sndbufLimited: 0 });
  });
});

describe('the send buffer', () => {
  test('it has room for twice the window and grows with it (tcp_sndbuf_expand); SO_SNDBUF pins it', () => {
    const t = established(RTT);
    // 10 segments of 1000 bytes in buffers of 2048 + 256 bytes, twice
    expect(t.lastView(SK).sndbuf).toBe(2 * 10 * 2304);
    write(t, 20 * MSS);
    ack(t, 10 * MSS + 1);
    expect(t.lastView(SK).sndbuf).toBe(2 * 20 * 2304);
    const pinned = established(RTT, {}, { sndbuf: 9216 });
    // the skb that a write has begun may be filled: the socket layer knows how large it is
    const { sndbuf, sndLimit, sndGoal, sndBurst } = pinned.lastView(SK)!;
    expect([sndbuf, sndLimit, sndBurst]).toEqual([9216, 9216 + GSO_PAYLOAD_MAX, 10 * MSS]);
    expect(sndGoal! % MSS).toBe(0);
  });

  test('TCP_NOTSENT_LOWAT: the socket layer hears at once what was sent', () => {
    const t = established(RTT, {}, { notsentLowat: 5000 });
    write(t, 15 * MSS);
    expect(t.lastView(SK)).toMatchObject({ sndGot: 15 * MSS, sndNxt: 10 * MSS });
  });

  test('tcp_notsent_lowat: no more is taken than that beyond what is sent', () => {
    const t = established(RTT, { sysctl: { tcpNotsentLowat: 5000 } });
    expect(t.lastView(SK).sndLimit).toBe(5000);
    write(t, 5000);
    t.wait(50);
    expect(t.lastView(SK)).toMatchObject({ sndGot: 5000, sndLimit: 10_000 });
    write(t, 5000);
    write(t, 5000);
    t.wait(50);
    expect(t.lastView(SK)).toMatchObject({ sndGot: 15_000, sndLimit: 15_000 });
  });
});

test("tcp_probe: the kernel's fields, on each segment received", () => {
  const t = established(RTT);
  write(t, 5 * MSS);
  let probe: Readonly<Record<string, unknown>> | undefined;
  t.env.setTraceSink((e) => {
    if (e.point === 'tcp_probe') probe = e.detail;
  });
  ack(t, 2 * MSS + 1);
  expect(probe).toMatchObject({
    sport: t.ourPort,
    dport: t.theirPort,
    data_len: 0,
    snd_nxt: (t.ourIsn + 1 + 5 * MSS) >>> 0,
    snd_una: (t.ourIsn + 1) >>> 0,
    snd_cwnd: 10,
    snd_wnd: 65_535 * 128,
    srtt: RTT * 1000,
  });
});
