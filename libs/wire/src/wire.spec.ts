import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  emitArp,
  emitEthernet,
  emitIcmp,
  emitIpv4Header,
  emitTcp,
  emitTcpOptions,
  emitUdp,
  fold,
  icmpChecksumOk,
  ipv4ChecksumOk,
  parseArp,
  parseEthernet,
  parseIcmp,
  parseIpv4Header,
  parseTcp,
  parseTcpOptions,
  parseUdp,
  sumBytes,
  sumSlices,
  tcpChecksumOk,
  tcpOptionsLen,
  udpChecksum,
  udpChecksumOk,
  verifies,
  type TcpOptions,
} from './index.ts';

const hex = (s: string): Uint8Array =>
  Uint8Array.from(s.replaceAll(/\s/g, '').match(/../g) ?? [], (h) => Number.parseInt(h, 16));
const u = (bits: number) => fc.nat({ max: 2 ** bits - 1 });

describe('a real frame, byte by byte', () => {
  // A SYN as a Linux 6.12 sent it: Ethernet, IPv4, TCP with MSS, SACK-permitted, timestamp, window scale.
  const frame = hex(`02000a4d0002 02000a4d0001 0800
    4500003c 1c464000 40060a1f 0a4d0001 0a4d0002
    c3500050 3ade68b1 00000000 a002faf0 0bb40000
    020405b4 0402080a 0000ea60 00000000 01030307`);

  test('parses', () => {
    expect(parseEthernet(frame, 0, frame.length)).toEqual({ dst: 0x02000a4d0002, src: 0x02000a4d0001, type: 0x800 });
    expect(parseIpv4Header(frame, 14, frame.length)).toEqual({
      hlen: 20,
      tos: 0,
      totalLen: 60,
      id: 0x1c46,
      df: true,
      mf: false,
      fragOffset: 0,
      ttl: 64,
      proto: 6,
      saddr: 0x0a4d0001,
      daddr: 0x0a4d0002,
    });
    expect(parseTcp(frame, 34, frame.length)).toEqual({
      sport: 50000,
      dport: 80,
      seq: 0x3ade68b1,
      ack: 0,
      hlen: 40,
      flags: 2,
      window: 64240,
      urgent: 0,
    });
    expect(parseTcpOptions(frame, 54, 74)).toEqual({
      mss: 1460,
      sackPermitted: true,
      tsVal: 60000,
      tsEcr: 0,
      wscale: 7,
    });
  });

  test('emits the same bytes', () => {
    const out = frame.slice();
    out.fill(0, 14, 34);
    emitIpv4Header(parseIpv4Header(frame, 14, frame.length)!, out, 14);
    expect(out.slice(14, 24)).toEqual(frame.slice(14, 24));
    expect(ipv4ChecksumOk(out, 14, 20)).toBe(true);
    const options = parseTcpOptions(frame, 54, 74);
    const bytes = new Uint8Array(tcpOptionsLen(options));
    emitTcpOptions(options, bytes, 0);
    expect(bytes).toEqual(frame.slice(54, 74));
  });
});

describe('checksum', () => {
  test('RFC 1071 section 3: the worked example', () => {
    expect(fold(sumBytes(hex('0001 f203 f4f5 f6f7'), 0, 8))).toBe(0xddf2);
  });

  test('does not depend on how the bytes are cut into views', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat({ max: 300 }), { maxLength: 5 }), (all, cuts) => {
        const at = [0, ...cuts.map((c) => Math.min(c, all.length)).sort((a, b) => a - b), all.length];
        const parts = at.slice(1).map((end, i) => all.subarray(at[i], end));
        expect(fold(sumSlices(parts))).toBe(fold(sumBytes(all, 0, all.length)));
      }),
    );
  });

  test('64 KiB of ones does not overflow', () => {
    expect(fold(sumBytes(new Uint8Array(65536).fill(0xff), 0, 65536))).toBe(0xffff);
    expect(verifies(0xffff * 100_000)).toBe(true);
  });

  test('a UDP sum of zero is sent as all ones (RFC 768)', () => {
    const d = new Uint8Array(8);
    // addresses and length chosen so that the sum is 0xffff before complementing
    expect(udpChecksum(0xffff - 17 - 8, 0, 8, [d])).toBe(0xffff);
    expect(udpChecksumOk(0x0a000001, 0x0a000002, 8, [d])).toBe(false);
  });
});

describe('emit(parse(x)) = x', () => {
  const at = 3; // never at offset 0 only: offsets into a buffer are where such code goes wrong

  test('ethernet, arp, udp', () => {
    fc.assert(
      fc.property(u(48), u(48), u(16), (dst, src, type) => {
        const b = new Uint8Array(64);
        emitEthernet({ dst, src, type }, b, at);
        expect(parseEthernet(b, at, b.length)).toEqual({ dst, src, type });
      }),
    );
    fc.assert(
      fc.property(u(16), u(48), u(32), u(48), u(32), (op, sha, spa, tha, tpa) => {
        const b = new Uint8Array(64);
        emitArp({ op, sha, spa, tha, tpa }, b, at);
        expect(parseArp(b, at, at + 28)).toEqual({ op, sha, spa, tha, tpa });
      }),
    );
    fc.assert(
      fc.property(u(16), u(16), u(16), u(16), (sport, dport, len, checksum) => {
        const b = new Uint8Array(64);
        emitUdp({ sport, dport, len, checksum }, b, at);
        expect(parseUdp(b, at, b.length)).toEqual({ sport, dport, len, checksum });
      }),
    );
  });

  test('ipv4', () => {
    fc.assert(
      fc.property(
        u(8),
        u(16),
        u(16),
        fc.boolean(),
        fc.boolean(),
        u(13),
        u(8),
        u(8),
        u(32),
        u(32),
        (tos, totalLen, id, df, mf, off, ttl, proto, saddr, daddr) => {
          const repr = { hlen: 20, tos, totalLen, id, df, mf, fragOffset: off * 8, ttl, proto, saddr, daddr };
          const b = new Uint8Array(64);
          emitIpv4Header(repr, b, at);
          expect(parseIpv4Header(b, at, b.length)).toEqual(repr);
          expect(ipv4ChecksumOk(b, at, 20)).toBe(true);
          b[at + 8]! ^= 1;
          expect(ipv4ChecksumOk(b, at, 20)).toBe(false);
        },
      ),
    );
  });

  test('icmp', () => {
    fc.assert(
      fc.property(u(8), u(8), u(16), u(16), fc.uint8Array({ maxLength: 99 }), (type, code, id, seq, payload) => {
        const b = new Uint8Array(16);
        emitIcmp({ type, code, id, seq }, b, at, [payload]);
        expect(parseIcmp(b, at, b.length)).toEqual({ type, code, id, seq });
        expect(icmpChecksumOk([b.subarray(at, at + 8), payload])).toBe(true);
      }),
    );
  });

  test('tcp header and options', () => {
    const options: fc.Arbitrary<TcpOptions> = fc.record(
      {
        mss: fc.integer({ min: 1, max: 65535 }),
        wscale: fc.nat({ max: 14 }),
        sackPermitted: fc.constant(true),
        sack: fc.array(fc.tuple(u(32), u(32)), { minLength: 1, maxLength: 2 }),
        fastOpen: fc.constantFrom(0, 4, 6, 8).map((n) => new Uint8Array(n).fill(n)),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        u(16),
        u(32),
        u(32),
        fc.nat({ max: 0x1ff }),
        u(16),
        options,
        fc.option(fc.tuple(u(32), u(32))),
        (port, seq, ack, flags, window, o, ts) => {
          const wanted: TcpOptions = ts ? { ...o, tsVal: ts[0], tsEcr: ts[1] } : o;
          const hlen = 20 + tcpOptionsLen(wanted);
          const repr = {
            sport: port,
            dport: 65535 - port,
            seq,
            ack,
            hlen: Math.min(hlen, 60),
            flags,
            window,
            urgent: 0,
          };
          const b = new Uint8Array(at + 80);
          emitTcp(repr, b, at);
          emitTcpOptions(wanted, b, at + 20);
          expect(parseTcp(b, at, b.length)).toEqual(repr);
          expect(parseTcpOptions(b, at + 20, at + hlen)).toEqual(wanted);
        },
      ),
    );
  });
});

describe('what is no header', () => {
  test.each([
    ['IPv4: version 6', parseIpv4Header, '65'.padEnd(40, '0')],
    ['IPv4: header length 16', parseIpv4Header, '44'.padEnd(40, '0')],
    ['IPv4: header length past the end', parseIpv4Header, '46'.padEnd(40, '0')],
    ['IPv4: 19 bytes', parseIpv4Header, '45'.padEnd(38, '0')],
    ['TCP: data offset 4', parseTcp, '00'.repeat(12) + '40' + '00'.repeat(7)],
    ['TCP: data offset past the end', parseTcp, '00'.repeat(12) + '60' + '00'.repeat(7)],
    ['ARP: not Ethernet', parseArp, '0002 0800 0604'.replaceAll(' ', '').padEnd(56, '0')],
    ['ARP: 27 bytes', parseArp, '0001 0800 0604'.replaceAll(' ', '').padEnd(54, '0')],
    ['UDP: 7 bytes', parseUdp, '00'.repeat(7)],
    ['ICMP: 7 bytes', parseIcmp, '00'.repeat(7)],
    ['Ethernet: 13 bytes', parseEthernet, '00'.repeat(13)],
  ] as const)('%s', (_name, parse, text) => {
    const b = hex(text);
    expect(parse(b, 0, b.length)).toBeUndefined();
  });

  test.each([
    ['length 0', '0200', {}],
    ['length 1', '0201', {}],
    ['length past the end', '020405', {}],
    ['a good option before a bad one is kept', '020405b4 0300', { mss: 1460 }],
    ['unknown kind skipped (RFC 9293 MUST-6)', 'fe04abcd 020405b4', { mss: 1460 }],
    ['unaligned (MUST-64)', '01 01 01 020405b4', { mss: 1460 }],
    ['EOL ends', '00 020405b4', {}],
    ['wrong length of a known kind is ignored', '030407 07 020405b4', { mss: 1460 }],
    ['MSS 0 is ignored', '02040000', {}],
  ])('TCP options: %s', (_name, text, expected) => {
    const b = hex(text);
    expect(parseTcpOptions(b, 0, b.length)).toEqual(expected);
  });

  test('random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat({ max: 80 }), (b, from) => {
        for (const parse of [parseEthernet, parseArp, parseIpv4Header, parseIcmp, parseUdp, parseTcp])
          parse(b, Math.min(from, b.length), b.length);
        parseTcpOptions(b, Math.min(from, b.length), b.length);
        tcpChecksumOk(1, 2, b.length, [b]);
      }),
      { numRuns: 2000 },
    );
  });
});
