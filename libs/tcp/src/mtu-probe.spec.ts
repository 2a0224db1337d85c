import { describe, expect, test } from '@jest/globals';
import type { TcpStackOptions } from './stack.ts';
import { activeOpen, Scripted, SK } from './testing/peer.ts';

function established(sysctl: TcpStackOptions['sysctl']): Scripted {
  const t = new Scripted({ sysctl: { tcpMtuProbing: 2, tcpBaseMss: 512, ...sysctl } });
  activeOpen(t, { mss: 1460, sackPermitted: true }, 65_535);
  return t;
}

let offset = 0;
function write(t: Scripted, n: number): void {
  t.cmd({ sk: SK, data: { offset, data: new Uint8Array(n) } });
  offset += n;
}

/** Acknowledges all that is sent, until nothing more comes; the largest segment seen. */
function drain(t: Scripted, from: number): { to: number; largest: number } {
  let to = from;
  let largest = 0;
  for (let i = 0; i < 200; i++) {
    t.wait(1);
    const segs = t.sent().filter((s) => s.len > 0);
    if (segs.length === 0) break;
    for (const s of segs) {
      largest = Math.max(largest, s.gsoSize > 0 ? s.gsoSize : s.len);
      to = Math.max(to, s.seq + s.len);
    }
    t.inject('.', 1, to, { win: 65_535 });
  }
  return { to, largest };
}

describe('PLPMTUD (RFC 4821)', () => {
  test('from tcp_base_mss up to the path, in halves; the window stays the same in bytes', () => {
    offset = 0;
    const t = established({});
    expect(t.tcp.tcpInfo(SK)!.sndMss).toBe(512);
    let to = 1;
    let largest = 0;
    for (let i = 0; i < 40; i++) {
      write(t, 20_000);
      const r = drain(t, to);
      to = r.to;
      largest = Math.max(largest, r.largest);
    }
    expect(t.env.mib.get('TcpExtTCPMTUPSuccess')).toBeGreaterThan(3);
    expect(t.env.mib.get('TcpExtTCPMTUPFail')).toBe(0);
    expect(t.tcp.tcpInfo(SK)!.sndMss).toBeGreaterThan(1440);
    expect(largest).toBeLessThanOrEqual(1460);
    expect(t.env.ledger.imbalance).toBe(0);
  });

  test('a probe that is lost alone is no congestion: it goes again in small segments, the search narrows', () => {
    offset = 0;
    const t = established({});
    // a full initial window, acknowledged: there is room for a probe
    write(t, 5120);
    drain(t, 1);
    write(t, 20_000);
    const first = t.sent().filter((s) => s.len > 0);
    const probe = first.find((s) => s.len > 512 && s.gsoSize === 0)!;
    expect(probe.seq).toBe(5121);
    const cwnd = t.tcp.tcpInfo(SK)!.sndCwnd;
    const after = probe.seq + probe.len;
    const end = Math.max(...first.map((s) => s.seq + s.len));
    t.wait(50);
    for (let at = after; at < end; at += 512) {
      t.inject('.', 1, probe.seq, {
        win: 65_535,
        opts: { sack: [[t.ourIsn + after, t.ourIsn + Math.min(at + 512, end)]] },
      });
    }
    t.wait(30);
    expect(t.env.mib.get('TcpExtTCPMTUPFail')).toBe(1);
    const again = t.sent().filter((s) => s.seq >= probe.seq && s.seq < after && s.len > 0);
    expect(again.length).toBeGreaterThan(0);
    expect(t.env.mib.get('TcpExtTCPSackRecovery')).toBe(0);
    expect(t.tcp.tcpInfo(SK)!.sndCwnd).toBeGreaterThanOrEqual(cwnd);
  });

  test('tcp_mtu_probing 1: a black hole at R1 makes segments small, then smaller', () => {
    offset = 0;
    const t = established({ tcpMtuProbing: 1, tcpRetries1: 3 });
    expect(t.tcp.tcpInfo(SK)!.sndMss).toBe(1460);
    write(t, 1460);
    t.sent();
    t.wait(20_000);
    const sizes = t.sent().map((s) => s.gsoSize || s.len);
    expect(sizes[0]).toBe(1460);
    expect(sizes).toContain(512);
    expect(sizes.at(-1)).toBeLessThan(512);
  });
});
