import { describe, expect, test } from '@jest/globals';
import type { TcpOptions } from '@skbus/wire';
import { Scripted, SK } from './testing/peer.ts';

const FULL: TcpOptions = { mss: 1460, sackPermitted: true, tsVal: 1000, tsEcr: 0, wscale: 9 };

function server(opts: ConstructorParameters<typeof Scripted>[0] = {}, backlog = 4): Scripted {
  const t = new Scripted(opts);
  t.ourPort = 80;
  t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog } });
  return t;
}

/** SYNs from ports that never answer. */
function flood(t: Scripted, n: number, from = 1000): void {
  for (let i = 0; i < n; i++) t.inject('S', 0, 0, { sport: from + i, opts: FULL });
  t.sent();
}

/** A real client: SYN, and an ACK of what came back. The SYN-ACK's own number counts, as cookies differ per port. */
function client(t: Scripted, sport: number, opts: TcpOptions, waitMs = 0): TcpOptions {
  t.inject('S', 0, 0, { sport, opts });
  const synAck = t.sent().at(-1)!;
  t.wait(waitMs);
  const ts = synAck.opts.tsVal === undefined ? {} : { tsVal: 1001, tsEcr: synAck.opts.tsVal };
  t.inject('.', 1, synAck.seq + 1, { sport, opts: ts });
  return synAck.opts;
}

const children = (t: Scripted): number[] => [...new Set(t.events.filter((e) => e.child).map((e) => e.sk))];

describe('SYN cookies', () => {
  test('a flood fills the queue and no more; real clients get in, with all their options', () => {
    const t = server();
    flood(t, 5000);
    expect(t.tcp.tcpInfo(SK)).toMatchObject({ synBacklog: 5 });
    expect(t.env.mib.get('TcpExtTCPReqQFullDoCookies')).toBe(4995);
    expect(t.env.mib.get('TcpExtSyncookiesSent')).toBe(4995);
    expect(client(t, 50_000, FULL)).toMatchObject({ mss: 1460, sackPermitted: true, wscale: expect.any(Number) });
    const [child] = children(t);
    expect(t.tcp.tcpInfo(child!)).toMatchObject({ timestamps: true, sack: true, sndWscale: 9, sndMss: 1448 });
    expect(t.env.mib.get('TcpExtSyncookiesRecv')).toBe(1);
    expect(t.env.ledger.imbalance).toBe(0);
    expect(t.tcp.illegalTransitions).toBe(0);
  });

  test('without timestamps a cookie holds the MSS alone, rounded down', () => {
    for (const [mss, kept] of [
      [1460, 1460],
      [1450, 1440],
      [1400, 1300],
      [600, 536],
      [200, 536],
    ] as const) {
      const t = server();
      flood(t, 5);
      const { wscale, sackPermitted } = client(t, 50_000, { mss, sackPermitted: true, wscale: 9 });
      expect({ wscale, sackPermitted }).toEqual({});
      expect(t.tcp.tcpInfo(children(t)[0]!)).toMatchObject({ sndMss: kept, sack: false, wscale: false });
    }
  });

  test('good for two minutes at most, and only after an overflow', () => {
    const t = server();
    flood(t, 5);
    client(t, 50_000, FULL, 50_000);
    expect(children(t)).toHaveLength(1);
    client(t, 50_001, FULL, 121_000);
    expect(children(t)).toHaveLength(1);
    expect(t.sentText().at(-1)).toMatch(/^R/);
    // the queue was full again, so cookies are looked for; this one is none
    flood(t, 8, 2000);
    t.inject('.', 1, 12_345, { sport: 50_002 });
    expect(t.env.mib.get('TcpExtSyncookiesFailed')).toBe(1);
    expect(t.sentText().at(-1)).toMatch(/^R/);
  });

  test('tcp_syncookies 0 drops, 2 always sends cookies', () => {
    const off = server({ sysctl: { tcpSyncookies: 0 } });
    flood(off, 7);
    expect(off.env.mib.get('TcpExtTCPReqQFullDrop')).toBe(2);
    expect(off.env.mib.get('TcpExtListenDrops')).toBe(2);
    const on = server({ sysctl: { tcpSyncookies: 2 } });
    client(on, 50_000, FULL);
    expect(on.tcp.tcpInfo(SK)!.synBacklog).toBe(0);
    expect(children(on)).toHaveLength(1);
  });

  test('without cookies the last quarter of tcp_max_syn_backlog stays free', () => {
    const t = server({ sysctl: { tcpSyncookies: 0, tcpMaxSynBacklog: 8 } }, 100);
    flood(t, 20);
    expect(t.tcp.tcpInfo(SK)!.synBacklog).toBe(7);
  });

  test('a full accept queue refuses the cookie too', () => {
    const t = server({ sysctl: { tcpSyncookies: 2 } }, 0);
    t.inject('S', 0, 0, { sport: 50_000, opts: FULL });
    const { seq, opts } = t.sent()[0]!;
    client(t, 50_001, FULL);
    expect(children(t)).toHaveLength(1);
    t.inject('.', 1, seq + 1, { sport: 50_000, opts: { tsVal: 1001, tsEcr: opts.tsVal! } });
    expect(children(t)).toHaveLength(1);
    expect(t.env.mib.get('TcpExtListenOverflows')).toBe(1);
  });
});

describe('the queue of requests', () => {
  test('SYN-ACKs go again after 1, 2, 4, 8 and 16 s; fewer times when old ones fill the queue', () => {
    const t = server({}, 100);
    t.inject('S', 0, 0, { opts: FULL });
    t.sent();
    t.wait(64_000);
    expect(t.sent()).toHaveLength(5);
    expect(t.tcp.tcpInfo(SK)!.synBacklog).toBe(0);
    flood(t, 60);
    t.wait(64_000);
    // ten had to go after two tries; what was left fits
    expect(t.sent()).toHaveLength(60 * 2 + 50 * 3);
    expect(t.tcp.tcpInfo(SK)!.synBacklog).toBe(0);
  });

  test('signed segments are refused in silence (RFC 2385, RFC 5925)', () => {
    const t = server();
    const raw = (option: number[]): void => t.inject('S', 0, 0, { rawOpts: Uint8Array.from(option) });
    raw([19, 18, ...Array.from({ length: 16 }, () => 7), 1, 1]);
    raw([29, 16, 1, 1, ...Array.from({ length: 12 }, () => 7)]);
    raw([29, 8, 1, 1, 7, 7, 7, 7, 29, 8, 1, 1, 7, 7, 7, 7]);
    expect(t.sent()).toEqual([]);
    expect(t.env.mib.get('TcpExtTCPMD5Unexpected')).toBe(1);
    expect(t.env.mib.get('TcpExtTCPAOKeyNotFound')).toBe(1);
    // nobody is there: not even a reset, which would have to be signed
    t.inject('S', 0, 0, { dport: 81, rawOpts: Uint8Array.of(19, 18, ...Array.from({ length: 16 }, () => 7), 1, 1) });
    expect(t.sent()).toEqual([]);
    t.inject('S', 0, 0, { dport: 81 });
    expect(t.sent()).toHaveLength(1);
  });

  test('malformed options of every kind and length do no harm', () => {
    for (let kind = 0; kind < 256; kind += 1) {
      if (kind === 19 || kind === 29) continue;
      for (const len of [0, 1, 2, 3, 4, 5, 10, 12, 41, 255]) {
        const t = server();
        t.inject('S', 0, 0, { rawOpts: Uint8Array.of(2, 4, 4, 0, kind, len, 1, 2) });
        expect(t.sent()[0]).toMatchObject({ flags: 'S.', ack: 1 });
      }
    }
  });
});
