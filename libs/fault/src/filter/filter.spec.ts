import { describe, expect, test } from '@jest/globals';
import { SkBuff, type FlowI4 } from '@skbus/skb';
import fc from 'fast-check';
import { makeFrames } from '../testing/frames.ts';
import { completeField, FILTER_FIELDS } from './fields.ts';
import { compileFilter, formatFilterError, type FilterSubject, type HeaderStart } from './filter.ts';

const SEAM = { layer: 'tcp', dir: 'rx', func: 'tcp_v4_rcv' } as const;

function matches(text: string, subject: Omit<FilterSubject, 'seam'>, seam: FilterSubject['seam'] = SEAM): boolean {
  const { filter, error } = compileFilter(text);
  if (error) throw new Error(formatFilterError(text, error));
  return filter.matches({ seam, ...subject });
}

/** Ethernet, IP and the start of a SYN from 10.77.0.1:50000 to 10.77.0.2:80, with payload "hello". */
function syn(): Uint8Array {
  const hex = `02000a4d0002 02000a4d0001 0800  45000041 1c464000 40060a1f 0a4d0001 0a4d0002
    c3500050 3ade68b1 00000000 a002faf0 0bb40000  020405b4 0402080a 0000ea60 00000000 01030307 68656c6c6f`;
  return Uint8Array.from(hex.match(/[0-9a-f]{2}/g)!, (h) => Number.parseInt(h, 16));
}

const HEADERS: Record<string, number> = { eth: 0, ip: 14, tcp: 34 };

/** The same packet as a layer sees it; `cut`: from there on in fragments. */
function seen(starts: HeaderStart, bytes = syn(), cut = bytes.length): Omit<FilterSubject, 'seam'> {
  const frags = cut < bytes.length ? [bytes.slice(cut, cut + 7), bytes.slice(cut + 7)].filter((f) => f.length > 0) : [];
  const skb = new SkBuff(bytes.slice(0, cut), HEADERS[starts] ?? 0, cut, frags);
  if (starts !== 'eth') skb.macHeader = 0;
  if (starts === 'tcp') skb.networkHeader = 14;
  return { skb, starts };
}

describe('errors point at the word', () => {
  test.each([
    ['tcp.flags.sin == 1', 0, 13, 'did you mean tcp.flags.syn?'],
    ['tcp && ip.adr == 1.2.3.4', 7, 6, 'did you mean ip.addr?'],
    ['ip.ttl == 300', 10, 3, 'at most 255'],
    ['ip.ttl == 12x', 10, 3, "'12x' is none"],
    ['ip.ttl == "64"', 10, 4, 'leave the quotes out'],
    ['ip.src == 10.77.0', 10, 7, 'is an IPv4 address'],
    ['eth.src == 02:00', 11, 5, 'is an Ethernet address'],
    ['tcp.payload contains hello', 21, 5, 'is neither'],
    ['tcp.seq == 1', 0, 7, 'use tcp.seq_raw'],
    ['tcp.stream eq 0', 0, 10, 'sk.id'],
    ['tcp.analysis.retransmission', 0, 27, 'sees one packet'],
    ['tcp.port == ', 12, 1, 'expected a value or a field, not the end'],
    ['(tcp', 4, 1, "expected ')', not the end"],
    ['tcp udp', 4, 3, "not 'udp'"],
    ['tcp == = 1', 7, 1, "'=' means nothing here"],
    ['tcp.payload == "a', 15, 1, 'the string is not closed'],
    [String.raw`tcp.payload == "a\q"`, 17, 2, 'is no escape'],
    ['tcp.payload[x] == 1', 11, 3, 'is no slice'],
    ['tcp.payload[3-1] == 1', 11, 5, 'holds no byte'],
    ['tcp.payload[0', 11, 1, 'not closed'],
    ['tcp.port[0] == 1', 0, 8, 'cannot be sliced'],
    ['tcp.port in {80, 10.0.0.1}', 17, 8, 'is a number'],
    ['ip.src in {10.0.0.0/8..10.0.0.1}', 11, 10, 'a range needs'],
    ['tcp.payload matches "("', 20, 3, 'Unterminated group'],
    ['tcp.port contains 1', 9, 8, 'no run of bytes'],
    ['tcp.options.sack == 1', 20, 1, 'has no value to compare'],
    ['tcp.payload > "a"', 12, 1, 'same length'],
    ['80 == tcp.port', 0, 2, 'begins with a field'],
    ['tcp.srcport == ip.src', 15, 6, 'different types'],
    ['any tcp.port', 12, 1, "a comparison after 'any'"],
    ['!'.repeat(300), 200, 1, 'nested deeper'],
  ])('%s', (text, column, length, message) => {
    const { error } = compileFilter(text);
    expect(error).toMatchObject({ column, length });
    expect(error!.message).toContain(message);
  });

  test('printed with a caret', () => {
    const text = 'tcp && ip.ttl == 300';
    expect(formatFilterError(text, compileFilter(text).error!)).toBe(
      ['300 is too big for ip.ttl, which is at most 255', '    tcp && ip.ttl == 300', '                     ^~~'].join(
        '\n',
      ),
    );
  });
});

describe('what Wireshark has not', () => {
  const subject = { ...seen('tcp'), sk: { id: 7, state: 'SYN_RECV' } };
  test.each([
    ['', true],
    ['skb.layer == tcp && skb.dir == rx && skb.func == tcp_v4_rcv', true],
    ['skb.layer == "ip"', false],
    ['skb.layer in {ip tcp}', true],
    ['skb.func matches "^TCP_.*rcv$"', true],
    ['sk.state == SYN_RECV && sk.id == 7', true],
    ['sk.state == ESTABLISHED', false],
    ['skb.len == 45 && frame.len == 79', true],
    ['skb.mark == 0 && skb.id == 0 && skb.gso_size == 0', true],
    ['tcp.port in {79 80 1000..2000}', true],
    ['tcp.port in {1..79, 81..49999}', false],
  ])('%s', (text, expected) => expect(matches(text, subject)).toBe(expected));

  test('of a message without an skb only the seam and the socket are known', () => {
    const message = { starts: 'none' as const, sk: { id: 1, state: 'LISTEN' } };
    expect(matches('sk.state == LISTEN && skb.layer == tcp', message)).toBe(true);
    expect(matches('ip || tcp || skb.len >= 0 || frame.len >= 0 || skb.mark == 0', message)).toBe(false);
    expect(matches('sk.state != LISTEN || sk.id != 1', { starts: 'none' })).toBe(false);
  });
});

describe('at every seam', () => {
  const SAME =
    'ip.src == 10.77.0.1 && tcp.dstport == 80 && tcp.len == 5 && tcp.options.mss_val == 1460 && frame.len == 79';
  test.each(['eth', 'ip', 'tcp', 'none'] as const)('starts at %s', (starts) => {
    expect(matches(SAME, seen(starts))).toBe(true);
    expect(matches('eth.dst == 02:00:0a:4d:00:02 && tcp.payload == "hello"', seen(starts))).toBe(true);
  });

  test('before IP has written its header, the flow says what it will be', () => {
    const flow: FlowI4 = {
      saddr: 0x0a4d0001,
      daddr: 0x0a4d0002,
      proto: 6,
      tos: 0x2a,
      ttl: 0,
      df: true,
      connected: true,
      oif: 0,
    };
    const bytes = syn().slice(34);
    const skb = new SkBuff(bytes, 0, bytes.length);
    skb.flow = flow;
    const sent = { skb, starts: 'tcp' as const };
    expect(matches('ip && ip.dst == 10.77.0.0/24 && ip.proto == 6 && ip.flags.df == 1', sent)).toBe(true);
    expect(matches('ip.dsfield.ecn == 2 && ip.dsfield.dscp == 10 && frame.len == 79', sent)).toBe(true);
    expect(matches('ip.ttl == 64 || ip.ttl != 64 || ip.id >= 0 || eth', sent)).toBe(false);
  });

  test('Ethernet’s padding is no payload', () => {
    const padded = new Uint8Array(90);
    padded.set(syn());
    expect(matches('tcp.len == 5 && frame.len == 90 && tcp.payload == "hello"', seen('eth', padded))).toBe(true);
  });

  test('what an ICMP error quotes is not the packet', () => {
    const ip = syn().slice(14);
    const error = Uint8Array.from([
      ...ip.slice(0, 9),
      1,
      ...ip.slice(10, 20),
      11,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      ...ip.slice(0, 28),
    ]);
    const skb = new SkBuff(error, 0, error.length);
    expect(matches('icmp.type == 11 && !tcp && ip.proto != 6', { skb, starts: 'ip' })).toBe(true);
    expect(matches('icmp.ident == 0 || icmp.seq == 0 || icmp.mtu == 0', { skb, starts: 'ip' })).toBe(false);
  });
});

describe('whatever the bytes are', () => {
  const PROBES = FILTER_FIELDS.map((f) => compileFilter(f.name).filter!);
  const starts = fc.constantFrom<HeaderStart>('eth', 'arp', 'ip', 'icmp', 'tcp', 'udp', 'none');

  test('fragments make no difference, and the skb stays as it is', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 200 }), (seed, cut) => {
        const frame = makeFrames(seed, 1)[0]!;
        const whole = { seam: SEAM, ...seen('eth', frame) };
        const pieces = { seam: SEAM, ...seen('eth', frame, Math.min(cut, frame.length)) };
        const before = pieces.skb!.frags.length;
        for (const p of PROBES) expect([p.text, p.matches(pieces)]).toEqual([p.text, p.matches(whole)]);
        for (const text of [
          'tcp.payload[2:] contains "l"',
          'frame contains 0a:4d',
          'tcp.hdr_len > 20',
          'eth[3] == 4d',
        ]) {
          const { filter } = compileFilter(text);
          expect([text, filter!.matches(pieces)]).toEqual([text, filter!.matches(whole)]);
        }
        expect(pieces.skb!.frags).toHaveLength(before);
      }),
      { numRuns: 300 },
    );
  });

  test('nothing throws', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 120 }),
      fc.nat().map((seed) => makeFrames(seed, 1)[0]!),
    );
    const header = fc.integer({ min: -1, max: 130 });
    fc.assert(
      fc.property(
        bytes,
        starts,
        fc.nat({ max: 130 }),
        fc.nat({ max: 130 }),
        header,
        header,
        (b, starts, data, cut, mac, net) => {
          const at = Math.min(cut, b.length);
          const skb = new SkBuff(b.slice(0, at), Math.min(data, at), at, [b.slice(at)]);
          skb.macHeader = Math.min(mac, at);
          skb.networkHeader = Math.min(net, at);
          for (const p of PROBES) p.matches({ seam: SEAM, skb, starts });
        },
      ),
      { numRuns: 500 },
    );
  });

  test('no text throws', () => {
    const words = [
      'tcp',
      'ip.addr',
      '==',
      '!=',
      'in',
      '{',
      '}',
      '(',
      ')',
      '&&',
      'or',
      '!',
      '[0:2]',
      '1..2',
      '"x"',
      "'",
      '&',
      '10.0.0.0/8',
    ];
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(fc.constantFrom(...words)).map((w) => w.join(' ')),
        ),
        (text) => {
          const { error } = compileFilter(text);
          if (error) expect(error.column).toBeLessThanOrEqual(text.length);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('the field table', () => {
  test('each name once, with a word about it and one way to read it', () => {
    expect(new Set(FILTER_FIELDS.map((f) => f.name)).size).toBe(FILTER_FIELDS.length);
    for (const f of FILTER_FIELDS) {
      expect(f.about).not.toBe('');
      expect([f.name, [f.read, f.span, f.text, f.type === 'none' && f.present].filter(Boolean).length]).toEqual([
        f.name,
        1,
      ]);
    }
  });

  test('completes', () => {
    expect(completeField('tcp.flags.s').map((f) => f.name)).toEqual(['tcp.flags.syn']);
  });
});
