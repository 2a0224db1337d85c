import { describe, expect, test } from '@jest/globals';
import { macOfAddress } from '@skbus/dev';
import { PACKET_BROADCAST, PACKET_MULTICAST, TCP_ESTABLISHED } from '@skbus/skb';
import { twoHosts, transfer, whole } from '@skbus/sim';
import {
  emitIpv4Header,
  emitTcp,
  finish,
  get16,
  pseudoHeaderSum,
  put16,
  putMac,
  sumSlices,
  TCP_ACK,
  TCP_PSH,
  TCP_SYN,
  tcpChecksumOk,
} from '@skbus/wire';
import {
  accepted,
  activeOpen,
  bytesOf,
  calling,
  established,
  injectRaw,
  optionBytes,
  readTo,
  Scripted,
  SK,
  tapOutput,
  write,
} from './peer.ts';

const data = new Uint8Array(10).fill(9);
const PA = TCP_ACK | TCP_PSH;

describe('window (RFC 9293 3.1)', () => {
  test('MUST-1: a window above 32767 is no negative number', () => {
    const t = established({ mss: 1400 }, 65_535);
    write(t, 0, 1_000_000);
    let una = 1;
    let inFlight = 0;
    for (let i = 0; i < 12; i++) {
      inFlight = bytesOf(t.sent());
      una += inFlight;
      t.inject('.', 1, una, { win: 65_535 });
      write(t, t.lastView(SK).sndGot, 1_000_000);
    }
    expect(inFlight).toBeGreaterThan(60_000);
    expect(inFlight).toBeLessThanOrEqual(65_535);
  });

  test('REC-1: window variables hold more than 16 bits', () => {
    const t = established({ mss: 1460, wscale: 14 });
    t.inject('.', 1, 1, { win: 65_535 });
    expect(t.tcp.tcpInfo(SK)?.sndWnd).toBe(65_535 * 2 ** 14);
  });
});

describe('checksum (RFC 9293 3.1)', () => {
  test('MUST-2: every segment that leaves a host has the sum over pseudo-header, header and text', () => {
    const two = twoHosts();
    let segments = 0;
    let wrong = 0;
    two.link.drop = (frame) => {
      if (get16(frame, 12) !== 0x800 || frame[23] !== 6) return false;
      const [saddr, daddr] = [26, 30].map((at) => new DataView(frame.buffer, frame.byteOffset + at).getUint32(0));
      const tcp = frame.subarray(34, 14 + get16(frame, 16));
      segments++;
      if (!tcpChecksumOk(saddr!, daddr!, tcp.length, [tcp])) wrong++;
      return false;
    };
    expect(transfer(two, 100_000).toServer).toEqual(whole(100_000));
    expect(segments).toBeGreaterThan(100);
    expect(wrong).toBe(0);
  });

  test('MUST-3: a segment with a wrong sum is dropped, with a right one taken', () => {
    const t = established();
    injectRaw(t, { flags: PA, seq: 1, ack: 1, data, csumOff: 1 });
    expect(t.data(SK)).toEqual([]);
    expect(t.sent()).toEqual([]);
    expect(t.env.ledger.drops.get('TCP_CSUM')).toBe(1);
    injectRaw(t, { flags: PA, seq: 1, ack: 1, data, csumOff: 0 });
    expect(t.data(SK)).toHaveLength(1);
  });
});

describe('options (RFC 9293 3.1, 3.2)', () => {
  /** Our side of a connection whose SYN-ACK has these options; the MSS says what was read of them. */
  const mssAfter = (options: readonly number[]): number => {
    const t = new Scripted({ sysctl: { tcpTimestamps: false } });
    calling(t);
    injectRaw(t, { flags: TCP_SYN | TCP_ACK, seq: 0, ack: 1, options });
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
    return t.tcp.tcpInfo(SK)!.sndMss;
  };
  const MSS_700 = [2, 4, 0x02, 0xbc] as const;

  test('MUST-4: end of list, no-operation and MSS are understood', () => {
    expect(mssAfter([1, 1, ...MSS_700, 0])).toBe(700);
    expect(mssAfter([0, 1, 1, 1, ...MSS_700])).toBe(536);
  });

  test('MUST-5: options are read in any segment', () => {
    const t = established({ mss: 1000, tsVal: 5, tsEcr: 0 });
    t.inject('P.', 1, 1, { len: 10, opts: { tsVal: 77, tsEcr: 0 } });
    readTo(t, 10);
    expect(t.sent().at(-1)).toMatchObject({ ack: 11, opts: { tsEcr: 77 } });
    t.inject('F.', 11, 1, { opts: { tsVal: 78, tsEcr: 0 } });
    t.view(SK, { rcvGot: 10, rcvRead: 10, finGot: true });
    t.wait(50);
    expect(t.sent().at(-1)).toMatchObject({ ack: 12, opts: { tsEcr: 78 } });
  });

  test('MUST-6: an unknown option is skipped by its length', () => {
    expect(mssAfter([222, 5, 2, 4, 9, ...MSS_700])).toBe(700);
    const t = established();
    injectRaw(t, { flags: PA, seq: 1, ack: 1, data, options: [222, 4, 0, 0] });
    expect(t.data(SK)).toHaveLength(1);
  });

  test.each([
    ['zero', [222, 0, 1, 1]],
    ['one', [222, 1, 1, 1]],
    ['beyond the header', [222, 60, 1, 1]],
    ['none at all', [1, 1, 1, 222]],
    ['wrong for its kind', [2, 3, 5, 1]],
  ])('MUST-7: an option whose length is %s does no harm', (_what, options) => {
    expect(mssAfter([...MSS_700, ...options])).toBe(700);
    const t = established();
    injectRaw(t, { flags: PA, seq: 1, ack: 1, data, options });
    expect(t.data(SK)).toHaveLength(1);
    expect(t.state(SK)).toBe(TCP_ESTABLISHED);
  });

  test.each([0, 1, 2, 3])('MUST-64: an option may start %i bytes after a word', (n) => {
    expect(mssAfter([...Array.from({ length: n }, () => 1), ...MSS_700])).toBe(700);
  });

  /** All segments of a connection with everything on: handshake, data, SACK, close. */
  const everySegment = (): { flags: number; options: Uint8Array }[] => {
    const t = new Scripted();
    const out = tapOutput(t);
    activeOpen(t, { mss: 1000, sackPermitted: true, tsVal: 5, tsEcr: 0, wscale: 7 });
    write(t, 0, 5000);
    t.inject('P.', 100, 1, { len: 10, opts: { tsVal: 6, tsEcr: 0 } });
    t.inject('P.', 300, 1, { len: 10, opts: { tsVal: 7, tsEcr: 0 } });
    t.cmd({ sk: SK, opSeq: 2, shutdown: { how: 1 } });
    t.wait(3000);
    const [p] = accepted({ mss: 1000, sackPermitted: true, wscale: 3 });
    const theirs = tapOutput(p);
    p.theirPort++;
    p.forgetIsn();
    p.inject('S', 0, 0, { opts: { mss: 1000, sackPermitted: true, wscale: 3 } });
    const all = [...out, ...theirs].map((skb) => ({ flags: skb.bytes()[13]!, options: optionBytes(skb) }));
    expect(all.length).toBeGreaterThan(8);
    return all;
  };
  const kinds = (o: Uint8Array): number[] => {
    const found: number[] = [];
    for (let i = 0; i < o.length; i += o[i]! < 2 ? 1 : o[i + 1]!) found.push(o[i]!);
    return found;
  };

  test('MUST-65: only segments with SYN carry the MSS option', () => {
    for (const s of everySegment()) expect(kinds(s.options).includes(2)).toBe((s.flags & TCP_SYN) !== 0);
  });

  test('MUST-68: every option we send but EOL and NOP has its length', () => {
    for (const { options } of everySegment()) {
      let i = 0;
      while (i < options.length) {
        if (options[i]! < 2) i++;
        else {
          expect(options[i + 1]).toBeGreaterThanOrEqual(2);
          i += options[i + 1]!;
        }
      }
      expect(i).toBe(options.length);
    }
  });

  test('MUST-69: nothing but zeros follows the end of the options', () => {
    for (const { options } of everySegment()) {
      const end = kinds(options).includes(0) ? options.indexOf(0) : options.length;
      expect(options.subarray(end).every((b) => b === 0)).toBe(true);
    }
  });
});

describe('addresses (RFC 9293 3.9.2.3)', () => {
  test.each([
    ['broadcast', PACKET_BROADCAST],
    ['multicast', PACKET_MULTICAST],
  ])('MUST-57: a segment sent to a %s address is dropped without an answer', (_what, pktType) => {
    const t = new Scripted();
    t.ourPort = 80;
    t.cmd({ sk: SK, opSeq: 1, bind: { addr: 0, port: 80 }, listen: { backlog: 5 } });
    injectRaw(t, { flags: TCP_SYN, seq: 0, pktType });
    t.ourPort = 81;
    injectRaw(t, { flags: TCP_SYN, seq: 0, pktType });
    expect(t.sent()).toEqual([]);
    expect(t.tcp.sockets()).toHaveLength(1);
  });

  test('MUST-63: a SYN from an address nobody may have is dropped by IP, and the listener stays as it was', () => {
    const two = twoHosts();
    two.onB.listen(80);
    const children = (saddr: number): number => {
      const frame = synFrame(two.b.addr, saddr);
      two.b.nic.receive(frame, 2, { csum: 'none' }, two.b.shells.nic.now);
      two.b.shells.nic.run(() => {});
      two.net.runFor(0.5);
      return two.b.tcp.sockets().filter((s) => s.raddr !== 0).length;
    };
    for (const saddr of [0xffffffff, 0xe0000005, 0x7f000001, two.b.addr, 0]) expect(children(saddr)).toBe(0);
    expect(two.link.counters.sent).toBe(0);
    expect(children(two.a.addr)).toBe(1);
  });
});

/** A SYN to port 80 from any address. */
function synFrame(daddr: number, saddr: number): Uint8Array {
  const f = new Uint8Array(54);
  putMac(f, 0, macOfAddress(daddr));
  put16(f, 12, 0x800);
  const ip = { hlen: 20, tos: 0, totalLen: 40, id: 1, df: true, mf: false, fragOffset: 0, ttl: 64, proto: 6 };
  emitIpv4Header({ ...ip, saddr, daddr }, f, 14);
  const tcp = { sport: 1234, dport: 80, seq: 1, ack: 0, hlen: 20, flags: TCP_SYN, window: 1000, urgent: 0 };
  emitTcp(tcp, f, 34);
  put16(f, 50, finish(sumSlices([f.subarray(34)], pseudoHeaderSum(saddr, daddr, 6, 20))));
  return f;
}
