import { describe, expect, test } from '@jest/globals';
import { ERRNO, TCP_CLOSE, TCP_ESTABLISHED } from '@skbus/skb';
import { activeOpen, Scripted, SK } from './testing/peer.ts';
import type { TcpOptions } from '@skbus/wire';

const INF = Number.POSITIVE_INFINITY;
const bytes = (n: number): Uint8Array => new Uint8Array(n).fill(7);

function established(
  opts: TcpOptions = { mss: 1000 },
  win = 32_792,
  so: ConstructorParameters<typeof Scripted>[0] = {},
): Scripted {
  const t = new Scripted(so);
  activeOpen(t, opts, win);
  return t;
}

function send(t: Scripted, offset: number, n: number): void {
  t.cmd({ sk: SK, data: { offset, data: bytes(n) } });
}

function balanced(t: Scripted): void {
  expect(t.env.ledger.imbalance).toBe(0);
  expect(t.tcp.illegalTransitions).toBe(0);
}

describe('sending', () => {
  test("one segment, in the kernel's order", () => {
    const t = established();
    t.startTrace();
    send(t, 0, 100);
    expect(t.trace).toEqual([
      'tcp_push',
      '__tcp_push_pending_frames',
      'tcp_write_xmit',
      'tcp_transmit_skb',
      'tcp_event_new_data_sent',
    ]);
    expect(t.sentText()).toEqual(['P. 1:101 ack 1']);
    t.inject('.', 1, 101);
    expect(t.lastView(SK)).toMatchObject({ sndUna: 100, sndGot: 100 });
    // RFC 4898 counts sequence numbers: the SYN is one
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ unacked: 0, bytesAcked: 101 });
    balanced(t);
  });

  test('the initial window is ten segments, half a window per skb, whole segments', () => {
    const t = established();
    send(t, 0, 50_000);
    expect(t.sent().map((s) => s.len)).toEqual([5000, 5000]);
    t.inject('.', 1, 5001);
    expect(t.sent().reduce((n, s) => n + s.len, 0)).toBe(10_000);
    balanced(t);
  });

  test('small writes are gathered: Nagle holds the second one back', () => {
    const t = established();
    send(t, 0, 10);
    send(t, 10, 10);
    send(t, 20, 10);
    expect(t.sentText()).toEqual(['P. 1:11 ack 1']);
    t.inject('.', 1, 11);
    expect(t.sentText()).toEqual(['P. 11:31 ack 1']);
    balanced(t);
  });

  test('TCP_NODELAY lets it go; TCP_CORK holds all back until it is pulled', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, options: { nodelay: true } });
    send(t, 0, 10);
    send(t, 10, 10);
    expect(t.sentText()).toEqual(['P. 1:11 ack 1', 'P. 11:21 ack 1']);
    t.cmd({ sk: SK, opSeq: 3, options: { cork: true } });
    send(t, 20, 10);
    expect(t.sent()).toEqual([]);
    t.cmd({ sk: SK, opSeq: 4, options: { cork: false } });
    expect(t.sentText()).toEqual(['P. 21:31 ack 1']);
  });

  test('data that is old, doubled or early', () => {
    const t = established();
    send(t, 0, 100);
    send(t, 0, 100);
    send(t, 300, 50);
    t.wait(60);
    expect(t.lastView(SK)).toMatchObject({ sndGot: 100, sndUna: 0 });
    send(t, 50, 100);
    t.inject('.', 1, 101);
    expect(t.sentText()).toEqual(['P. 1:101 ack 1', 'P. 101:151 ack 1']);
  });

  test("the peer's window limits, to the byte when more than a segment goes and nothing small is in flight", () => {
    const t = established({ mss: 1000 }, 7500);
    send(t, 0, 10_000);
    expect(t.sent().reduce((n, s) => n + s.len, 0)).toBe(7500);
    balanced(t);
  });

  test('but an skb holds no more than half of that window, and if that is one segment it goes whole or not at all', () => {
    const t = established({ mss: 1000 }, 2500);
    send(t, 0, 10_000);
    expect(t.sent().reduce((n, s) => n + s.len, 0)).toBe(2000);
    balanced(t);
  });

  test('retransmission at RTO, doubled, then give up with ETIMEDOUT after about 15 minutes', () => {
    const t = established();
    send(t, 0, 100);
    t.sent();
    const start = t.now;
    const at: number[] = [];
    while (t.state(SK) === TCP_ESTABLISHED && t.now - start < 2_000_000) {
      t.wait(10);
      if (t.sent().length > 0) at.push(t.now - start);
    }
    expect(at.slice(0, 5)).toEqual([210, 610, 1410, 3010, 6210]);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ETIMEDOUT });
    expect(t.now - start).toBeGreaterThan(900_000);
    expect(t.now - start).toBeLessThan(1_100_000);
    balanced(t);
  });

  test('TCP_USER_TIMEOUT', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, options: { userTimeoutMs: 5000 } });
    send(t, 0, 100);
    const start = t.now;
    while (t.state(SK) === TCP_ESTABLISHED && t.now - start < 100_000) t.wait(100);
    expect(t.now - start).toBeGreaterThanOrEqual(5000);
    expect(t.now - start).toBeLessThan(7000);
    expect(t.lastView(SK).err).toBe(ERRNO.ETIMEDOUT);
  });

  test('three duplicate ACKs: fast retransmit of the first segment, and New Reno goes on (RFC 6582)', () => {
    const t = established();
    send(t, 0, 10_000);
    t.sent();
    t.inject('.', 1, 1001);
    t.sent();
    for (let i = 0; i < 2; i++) t.inject('.', 1, 1001);
    expect(t.sent().every((s) => s.seq > 1001)).toBe(true);
    t.inject('.', 1, 1001);
    expect(t.sentText()[0]).toBe('. 1001:2001 ack 1');
    t.inject('.', 1, 3001);
    expect(t.sentText()[0]).toBe('. 3001:4001 ack 1');
    t.inject('.', 1, 10_001);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ unacked: 0, sndSsthresh: 7 });
    expect(t.env.mib.get('TcpExtTCPRenoRecovery')).toBe(1);
    balanced(t);
  });

  test('SACK: only the holes go again', () => {
    const t = established({ mss: 1000, sackPermitted: true });
    send(t, 0, 10_000);
    t.sent();
    const sack = (...b: [number, number][]): { opts: TcpOptions } => ({
      opts: { sack: b.map(([l, r]) => [(l + t.ourIsn) >>> 0, (r + t.ourIsn) >>> 0]) },
    });
    t.inject('.', 1, 1, sack([2001, 3001]));
    t.inject('.', 1, 1, sack([2001, 4001]));
    t.inject('.', 1, 1, sack([2001, 5001]));
    t.inject('.', 1, 1, sack([2001, 6001]));
    t.inject('.', 1, 1, sack([8001, 10_001], [2001, 6001]));
    const text = t.sentText();
    expect(text).toContain('. 1:1001 ack 1');
    expect(text).toContain('. 1001:2001 ack 1');
    expect(text.join(' ')).not.toMatch(/ [2-5]001:/);
    expect(t.env.mib.get('TcpExtTCPSackRecovery')).toBe(1);
    t.inject('.', 1, 10_001);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ unacked: 0, sacked: 0, lost: 0, retrans: 0 });
    balanced(t);
  });

  test('zero window: probes with backoff, and on as soon as it opens', () => {
    const t = established();
    send(t, 0, 100);
    t.inject('.', 1, 101, { win: 0 });
    t.sent();
    send(t, 100, 100);
    expect(t.sent()).toEqual([]);
    const start = t.now;
    const at: number[] = [];
    for (let i = 0; i < 700; i++) {
      t.wait(10);
      if (!t.sent().some((s) => s.seq === 100 && s.len === 0)) continue;
      at.push(t.now - start);
      t.inject('.', 1, 101, { win: 0 });
    }
    expect(at).toEqual([210, 620, 1430, 3040, 6250]);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ timer: 4, state: TCP_ESTABLISHED });
    t.inject('.', 1, 101, { win: 5000 });
    expect(t.sentText()).toEqual(['P. 101:201 ack 1']);
    balanced(t);
  });

  test('a window that is taken back: one segment at a time, and no giving up while the peer answers', () => {
    const t = established();
    send(t, 0, 3000);
    t.inject('.', 1, 1, { win: 0 });
    t.sent();
    for (let i = 0; i < 400; i++) {
      t.wait(10_000);
      if (t.sent().length > 0) t.inject('.', 1, 1, { win: 0 });
    }
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    t.wait(600_000);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ETIMEDOUT });
    balanced(t);
  });

  test('FRAG_NEEDED: smaller segments, the large ones again, no congestion response', () => {
    const t = established({ mss: 1460 });
    send(t, 0, 2920);
    expect(t.sent().map((s) => s.len)).toEqual([2920]);
    t.icmp(3, 4, 1, 1000);
    const again = t.sent();
    expect(again.reduce((n, s) => n + s.len, 0)).toBe(2920);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ sndMss: 960, pmtu: 1000, sndCwnd: 10 });
    t.inject('.', 1, 2921);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ unacked: 0, lost: 0 });
    balanced(t);
  });

  test('a soft ICMP error only becomes the reason when the connection dies', () => {
    const t = established();
    send(t, 0, 10);
    t.icmp(3, 1, 1);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_ESTABLISHED, err: 0, softErr: ERRNO.EHOSTUNREACH });
    t.inject('.', 1, 11);
    expect(t.lastView(SK)).toMatchObject({ softErr: 0 });
  });

  test('keepalive: after 2 h, each 75 s, nine times', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, options: { keepalive: true } });
    t.wait(7_199_000);
    expect(t.sent()).toEqual([]);
    t.wait(2000);
    expect(t.sentText()).toEqual(['. 0:0 ack 1']);
    t.inject('.', 1, 1);
    t.wait(7_200_000);
    expect(t.sent()).toHaveLength(1);
    t.wait(75_000 * 8);
    expect(t.sent()).toHaveLength(8);
    t.wait(75_001);
    expect(t.sent().map((s) => s.flags)).toEqual(['R.']);
    expect(t.lastView(SK)).toMatchObject({ state: TCP_CLOSE, err: ERRNO.ETIMEDOUT });
    balanced(t);
  });
});

describe('receiving', () => {
  test('data goes up as it comes, and is acknowledged when it is confirmed', () => {
    const t = established();
    t.startTrace();
    t.inject('P.', 1, 1, { len: 10 });
    expect(t.trace).toEqual([
      'tcp_v4_rcv',
      '__inet_lookup_skb',
      'tcp_v4_do_rcv',
      'tcp_rcv_established',
      'tcp_probe',
      'tcp_queue_rcv',
      'tcp_event_data_recv',
      'consume_skb',
      'tcp_data_ready',
    ]);
    expect(t.data(SK)).toMatchObject([{ offset: 0, data: bytes(10).fill(1) }]);
    expect(t.sent()).toEqual([]);
    t.view(SK, { rcvGot: 10, rcvRead: 10 });
    expect(t.sentText()).toEqual(['. 1:1 ack 11']);
    balanced(t);
  });

  test('unconfirmed data is said again at 200 ms, 600 ms, 1.4 s, 2.4 s; never acknowledged', () => {
    const t = established();
    t.inject('P.', 1, 1, { len: 10 });
    const counts: number[] = [];
    for (let i = 0; i < 25; i++) {
      t.wait(100);
      counts.push(t.data(SK).length);
    }
    expect(counts.indexOf(2)).toBe(1);
    expect(counts.indexOf(3)).toBe(5);
    expect(counts.indexOf(4)).toBe(13);
    expect(counts.indexOf(5)).toBe(23);
    expect(t.sent().every((s) => s.ack === 1)).toBe(true);
    t.view(SK, { rcvGot: 10, rcvRead: 10 });
    expect(t.sent().at(-1)).toMatchObject({ ack: 11 });
    t.wait(60_000);
    expect(t.tcp.pollTimeout()).toBe(INF);
  });

  test('out of order: a duplicate ACK with SACK for each, then all of it', () => {
    const t = established({ mss: 1000, sackPermitted: true });
    t.inject('.', 1001, 1, { len: 1000 });
    expect(t.sent()).toMatchObject([{ ack: 1, opts: { sack: [[1001, 2001]] } }]);
    t.inject('.', 3001, 1, { len: 1000 });
    expect(t.sent()).toMatchObject([
      {
        ack: 1,
        opts: {
          sack: [
            [3001, 4001],
            [1001, 2001],
          ],
        },
      },
    ]);
    expect(t.env.ledger.queued).toBe(2);
    t.inject('.', 1, 1, { len: 1000 });
    t.view(SK, { rcvGot: 2000, rcvRead: 2000 });
    expect(t.sent().at(-1)).toMatchObject({ ack: 2001, opts: { sack: [[3001, 4001]] } });
    t.inject('.', 2001, 1, { len: 1000 });
    t.view(SK, { rcvGot: 4000, rcvRead: 4000 });
    expect(t.sent().at(-1)).toMatchObject({ ack: 4001 });
    expect(t.data(SK).map((d) => d.offset)).toEqual([0, 1000, 2000, 3000]);
    expect(t.env.ledger.queued).toBe(0);
    balanced(t);
  });

  test('overlapping segments: each byte once, the first to come stays', () => {
    const t = established();
    t.inject('.', 101, 1, { data: bytes(100).fill(1) });
    t.inject('.', 51, 1, { data: bytes(100).fill(2) });
    t.inject('.', 151, 1, { data: bytes(100).fill(3) });
    t.inject('.', 120, 1, { data: bytes(10).fill(4) });
    t.inject('.', 1, 1, { data: bytes(300).fill(5) });
    const all = t.data(SK).flatMap((d) => [...d.data]);
    expect(all).toEqual([...bytes(300).fill(5)]);
    expect(t.env.ledger.queued).toBe(0);
    balanced(t);
  });

  test('overlap with what was delivered', () => {
    const t = established();
    t.inject('P.', 1, 1, { data: bytes(100).fill(1) });
    t.view(SK, { rcvGot: 100, rcvRead: 100 });
    t.inject('P.', 51, 1, { data: bytes(100).fill(2) });
    expect(t.data(SK).map((d) => [d.offset, d.data.length])).toEqual([
      [0, 100],
      [100, 50],
    ]);
    t.inject('P.', 1, 1, { len: 50 });
    expect(t.env.ledger.drops.get('TCP_OLD_SEQUENCE')).toBe(1);
    balanced(t);
  });

  test('DSACK for a duplicate (RFC 2883)', () => {
    const t = established({ mss: 1000, sackPermitted: true });
    t.inject('P.', 1, 1, { len: 100 });
    t.view(SK, { rcvGot: 100, rcvRead: 100 });
    t.sent();
    t.inject('P.', 1, 1, { len: 100 });
    expect(t.sent()).toMatchObject([{ ack: 101, opts: { sack: [[1, 101]] } }]);
  });

  test('the window closes while nobody reads, stays closed for a little, opens when it is worth it', () => {
    const t = established();
    t.cmd({ sk: SK, opSeq: 2, options: { rcvbuf: 8192 } });
    let offset = 0;
    for (let i = 0; i < 100; i++) {
      const room = t.tcp.tcpInfo(SK)!.rcvWnd;
      if (room === 0) break;
      const n = Math.min(1000, room);
      t.inject('P.', 1 + offset, 1, { len: n });
      offset += n;
      t.view(SK, { rcvGot: offset, rcvRead: 0 });
      t.wait(50);
    }
    expect(t.sent().at(-1)).toMatchObject({ ack: 1 + offset, win: 0 });
    t.inject('P.', 1 + offset, 1, { len: 10 });
    expect(t.env.ledger.drops.get('TCP_ZEROWINDOW')).toBe(1);
    expect(t.sent().at(-1)).toMatchObject({ ack: 1 + offset, win: 0 });
    t.view(SK, { rcvGot: offset, rcvRead: offset - 65_536 / 2 });
    t.view(SK, { rcvGot: offset, rcvRead: offset });
    expect(t.sent().at(-1)!.win).toBeGreaterThan(1000);
    balanced(t);
  });

  test('delayed ACK after the quick ones: 40 ms, or at once for more than a segment', () => {
    const t = established();
    let offset = 0;
    const take = (n: number, read = true): void => {
      t.inject('P.', 1 + offset, 1, { len: n });
      offset += n;
      t.view(SK, { rcvGot: offset, ...(read ? { rcvRead: offset } : {}) });
    };
    for (let i = 0; i < 40; i++) {
      take(100);
      t.wait(50);
    }
    t.sent();
    take(100, false);
    expect(t.sent()).toEqual([]);
    t.wait(39);
    expect(t.sent()).toEqual([]);
    t.wait(2);
    expect(t.sent()).toMatchObject([{ ack: 1 + offset }]);
    expect(t.env.mib.get('TcpExtDelayedACKs')).toBeGreaterThan(0);
    // read to the last byte, the end of a write, and no dialogue: the peer may be waiting (tcp_cleanup_rbuf)
    take(100);
    expect(t.sent()).toMatchObject([{ ack: 1 + offset }]);
    take(1000);
    take(1000);
    expect(t.sent().length).toBeGreaterThan(0);
  });

  test('PAWS: an old timestamp is answered, and the data is not taken (RFC 7323 5)', () => {
    const t = established({ mss: 1000, tsVal: 1000, tsEcr: 0 });
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 1010, tsEcr: 0 } });
    t.view(SK, { rcvGot: 10, rcvRead: 10 });
    t.sent();
    t.inject('P.', 11, 1, { len: 10, opts: { tsVal: 900, tsEcr: 0 } });
    expect(t.data(SK)).toHaveLength(1);
    expect(t.sent()).toMatchObject([{ ack: 11, opts: { tsEcr: 1010 } }]);
    expect(t.env.mib.get('TcpExtPAWSEstab')).toBe(1);
    balanced(t);
  });

  test('a GRO skb counts as its segments, and comes up in one piece', () => {
    const t = established();
    t.inject('P.', 1, 1, { len: 14_000, gsoSize: 1000 });
    expect(t.data(SK)).toHaveLength(1);
    expect(t.env.mib.get('TcpInSegs')).toBe(15);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ rcvMss: 1000 });
  });

  test('random bytes after the ports never throw and are all accounted for', () => {
    const t = established();
    let x = 12345;
    const rnd = (): number => (x = (Math.imul(x, 1103515245) + 12345) >>> 0) >>> 8;
    for (let i = 0; i < 3000; i++) {
      const flags = ['S', 'F', 'R', 'P', '.'].filter(() => (rnd() & 3) === 0).join('');
      t.inject(flags === 'R' ? '.' : flags, rnd() & 0xfff, rnd() & 0xff, {
        len: rnd() & 0x3ff,
        win: rnd() & 0xffff,
        opts: (rnd() & 1) === 0 ? {} : { sack: [[rnd(), rnd()]] },
      });
      if ((i & 63) === 0) t.wait(300);
    }
    balanced(t);
  });
});
