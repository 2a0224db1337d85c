import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { TcpOption } from '../lang/ast.ts';
import { decodePacket, decodeQuoted, encodePacket, encodeQuoted } from './codec.ts';
import type { LiveIp, LivePacket } from './live.ts';
import { decodeTcpOptions, encodeTcpOptions } from './tcp-options.ts';

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });

const ip: fc.Arbitrary<LiveIp> = fc.record({ saddr: u32, daddr: u32, tos: u8, ttl: u8, id: u16, df: fc.boolean() });

const counter = fc.integer({ min: 0, max: 0xff_ffff });
const ecn = fc
  .tuple(fc.boolean(), fc.array(counter, { minLength: 1, maxLength: 3 }))
  .map(([swap, values]): TcpOption => {
    const order = swap ? (['e1b', 'ceb', 'e0b'] as const) : (['e0b', 'ceb', 'e1b'] as const);
    return { kind: 'ecn', fields: values.map((value, i) => ({ name: order[i]!, value })) };
  });

const option: fc.Arbitrary<TcpOption> = fc.oneof(
  fc.constantFrom<TcpOption>({ kind: 'nop' }, { kind: 'eol' }, { kind: 'sackOK' }),
  u16.map((value): TcpOption => ({ kind: 'mss', value })),
  u8.map((value): TcpOption => ({ kind: 'wscale', value })),
  fc.record({ val: u32, ecr: u32 }).map((ts): TcpOption => ({ kind: 'ts', ...ts })),
  fc
    .array(fc.tuple(u32, u32), { minLength: 1, maxLength: 4 })
    .map((blocks): TcpOption => ({ kind: 'sack', blocks: blocks as [number, number][] })),
  fc
    .tuple(fc.constantFrom('fo' as const, 'foexp' as const, 'md5' as const), bytes(16))
    .map(([kind, data]): TcpOption => ({ kind, data })),
  ecn,
);

/** At most 40 bytes, a multiple of four. */
const options = fc.array(option, { maxLength: 6 }).map((all) => {
  const fit: TcpOption[] = [];
  for (const o of all) if (encodeTcpOptions([...fit, o]).length <= 40) fit.push(o);
  while (encodeTcpOptions(fit).length % 4 !== 0) fit.push({ kind: 'nop' });
  return fit;
});

const packet: fc.Arbitrary<LivePacket> = fc.oneof(
  fc
    .record({
      sport: u16,
      dport: u16,
      seq: u32,
      ack: u32,
      flags: fc.integer({ min: 0, max: 0x1ff }),
      window: u16,
      urgent: u16,
    })
    .chain((h) => fc.record({ ip, options, payload: bytes(100) }).map((r) => ({ ...h, ...r, proto: 'tcp' as const }))),
  fc.record({ ip, proto: fc.constant('udp' as const), sport: u16, dport: u16, payload: bytes(100) }),
  fc.record({ ip, proto: fc.constant('icmp' as const), type: u8, code: u8, id: u16, low: u16, payload: bytes(100) }),
);

describe('the wire codec', () => {
  test('what was encoded is decoded as it was, sums and all', () => {
    fc.assert(fc.property(packet, (p) => expect(decodePacket(encodePacket(p))).toEqual(p)));
  });

  test('options keep their order, their padding and their rests', () => {
    fc.assert(fc.property(options, (o) => expect(decodeTcpOptions(encodeTcpOptions(o))).toEqual(o)));
  });

  test('any bytes are a packet or a sentence', () => {
    fc.assert(fc.property(bytes(80), (b) => ['string', 'object'].includes(typeof decodePacket(b))));
    fc.assert(fc.property(bytes(40), (b) => expect(decodeTcpOptions(b).length).toBeLessThanOrEqual(40)));
  });

  test('a flipped bit is a wrong checksum', () => {
    fc.assert(
      fc.property(packet, fc.nat(), (p, n) => {
        const b = encodePacket(p);
        const at = 20 + (n % (b.length - 20));
        b[at]! ^= 1 << (n & 7);
        const got = decodePacket(b);
        // A zero UDP checksum says that there is none.
        if (typeof got !== 'string') expect(p.proto).toBe('udp');
      }),
    );
  });

  test('what an ICMP error quotes can be read again', () => {
    const tuple = { saddr: 1, daddr: 2, sport: 3, dport: 4 };
    for (const quoted of [
      { proto: 'tcp', seq: 0xffff_fff0, len: 1000 },
      { proto: 'udp', len: 10 },
    ] as const)
      expect(decodeQuoted(encodeQuoted({ ...tuple, quoted }))).toEqual({ ...tuple, quoted });
  });

  test.each([
    [{ kind: 'ecn', fields: [{ name: 'e1b', value: 1 }] }, [174, 5, 0, 0, 1]],
    [{ kind: 'ecn', fields: [{ name: 'e0b', value: 0x10203 }] }, [172, 5, 1, 2, 3]],
    [{ kind: 'foexp', data: Uint8Array.of(7) }, [254, 5, 0xf9, 0x89, 7]],
    [{ kind: 'fo', data: new Uint8Array(0) }, [34, 2]],
  ] as [TcpOption, number[]][])('%j', (o, raw) => {
    expect([...encodeTcpOptions([o])]).toEqual(raw);
    expect(decodeTcpOptions(Uint8Array.from(raw))).toEqual([o]);
  });
});
