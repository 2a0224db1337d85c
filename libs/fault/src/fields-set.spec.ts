import { describe, expect, test } from '@jest/globals';
import { CHECKSUM_NONE, CHECKSUM_PARTIAL, CHECKSUM_UNNECESSARY, SkBuff } from '@skbus/skb';
import {
  finish,
  fold,
  get16,
  get32,
  icmpChecksumOk,
  ipv4ChecksumOk,
  pseudoHeaderSum,
  put16,
  sumSlices,
  tcpChecksumOk,
  udpChecksumOk,
} from '@skbus/wire';
import fc from 'fast-check';
import { checkFields, setFields, truncateSkb } from './fields-set.ts';
import { FILTER_FIELDS } from './filter/fields.ts';
import { compileFilter, type HeaderStart } from './filter/filter.ts';
import { makeFrames } from './testing/frames.ts';

const SEAM = { layer: 'nic', dir: 'rx', func: 'wire' } as const;

const frameSkb = (frame: Uint8Array, cut = frame.length): SkBuff =>
  new SkBuff(frame.slice(0, cut), 0, cut, cut < frame.length ? [frame.slice(cut)] : []);

function is(text: string, skb: SkBuff, starts: HeaderStart = 'eth'): boolean {
  const { filter, error } = compileFilter(text);
  if (error) throw new Error(`${text}: ${error.message}`);
  return filter.matches({ seam: SEAM, skb, starts });
}

/** Whether every checksum of a frame is right; a fragment's transport has none that could be. */
function sumsOk(skb: SkBuff): { ip: boolean; transport: boolean } {
  const b = skb.bytes();
  if (get16(b, 12) !== 0x800) return { ip: true, transport: true };
  const hlen = (b[14]! & 15) * 4;
  const [s, d, proto] = [get32(b, 26), get32(b, 30), b[23]!];
  const body = b.subarray(14 + hlen);
  const ip = ipv4ChecksumOk(b, 14, hlen);
  if ((get16(b, 20) & 0x1fff) !== 0) return { ip, transport: true };
  if (proto === 1) return { ip, transport: icmpChecksumOk([body]) };
  if (proto === 17) return { ip, transport: get16(body, 6) === 0 || udpChecksumOk(s, d, body.length, [body]) };
  return { ip, transport: tcpChecksumOk(s, d, body.length, [body]) };
}

const FRAMES = makeFrames(42, 400).filter((f) => Object.values(sumsOk(frameSkb(f))).every(Boolean));
/** Setting these changes what is summed up, or where a header is, so that no sum would be the right one. */
const SHAPE =
  /version|hdr_len|\.len|\.length|frag_offset|flags\.mf|ip\.flags$|ip\.proto|checksum|eth\.type|icmp\.type|icmp\.code/;
const PLACED = FILTER_FIELDS.filter((f) => f.place !== undefined);
const VALUES: Record<string, string> = { ipv4: '10.9.8.7', mac: '02:aa:bb:cc:dd:ee', bool: '1', uint: '4' };

describe('every field that stands in a header', () => {
  test.each(PLACED.map((f) => [f.name, f] as const))('%s', (name, field) => {
    const value = VALUES[field.type]!;
    const wanted = /hdr_len/.test(name) ? '24' : /ecn|wscale|ip\.flags$/.test(name) ? '3' : value;
    const having = FRAMES.filter((f) => is(field.type === 'bool' ? `${name} == 0` : name, frameSkb(f)));
    if (having.length === 0) {
      expect(name).toBe('icmp.mtu');
      return;
    }
    for (const frame of having.slice(0, 40)) {
      const skb = frameSkb(frame, Math.min(frame.length, 30));
      expect(setFields(skb, 'eth', { [name]: wanted }, 'fix')).toBe(true);
      expect(is(`${name} == ${wanted}`, skb)).toBe(true);
      expect(skb.len).toBe(frame.length);
      if (!SHAPE.test(name)) expect(sumsOk(skb)).toEqual({ ip: true, transport: true });
      else if (/^ip\.(len|version|hdr_len)|^ip\.flags|frag_offset/.test(name)) expect(sumsOk(skb).ip).toBe(true);
    }
  });
});

describe('checksums', () => {
  const tcp = FRAMES.find((f) => is('tcp.flags == 0x10 && tcp.len > 0 && ip.hdr_len == 20', frameSkb(f)))!;
  const udp = FRAMES.find((f) => is('udp && ip.hdr_len == 20', frameSkb(f)))!;

  test('keep: they are of the packet as it was', () => {
    const skb = frameSkb(tcp);
    skb.ipSummed = CHECKSUM_UNNECESSARY;
    expect(setFields(skb, 'eth', { 'ip.ttl': '9', 'tcp.window_size_value': '7' }, 'keep')).toBe(true);
    expect(sumsOk(skb)).toEqual({ ip: false, transport: false });
    expect(skb.ipSummed).toBe(CHECKSUM_NONE);
  });

  test('fix: one that was wrong stays wrong', () => {
    const skb = frameSkb(tcp);
    setFields(skb, 'eth', { 'tcp.checksum': '0x1234' }, 'fix');
    expect(is('tcp.checksum == 0x1234', skb)).toBe(true);
    setFields(skb, 'eth', { 'tcp.flags.fin': '1' }, 'fix');
    expect(sumsOk(skb)).toEqual({ ip: true, transport: false });
  });

  test('several at once, also both addresses and the ports', () => {
    const fields = {
      'ip.src': '1.2.3.4',
      'ip.dst': '5.6.7.8',
      'ip.dsfield.ecn': '3',
      'tcp.srcport': '1',
      'tcp.flags': '0xfff',
    };
    const skb = frameSkb(tcp);
    expect(setFields(skb, 'eth', fields, 'fix')).toBe(true);
    expect(sumsOk(skb)).toEqual({ ip: true, transport: true });
    expect(
      is(
        'ip.src == 1.2.3.4 && ip.dst == 5.6.7.8 && ip.dsfield.ecn == 3 && tcp.srcport == 1 && tcp.flags == 0xfff',
        skb,
      ),
    ).toBe(true);
  });

  test('a datagram without a checksum keeps having none', () => {
    const skb = frameSkb(udp);
    setFields(skb, 'eth', { 'udp.checksum': '0' }, 'fix');
    setFields(skb, 'eth', { 'ip.src': '1.2.3.4', 'udp.dstport': '53' }, 'fix');
    expect(is('udp.checksum == 0 && udp.dstport == 53', skb)).toBe(true);
  });

  /** As it leaves tcp: no IP header, and a sum over the addresses only. */
  function onItsWayOut(): SkBuff {
    const skb = frameSkb(tcp);
    skb.pull(34);
    const [saddr, daddr] = [get32(tcp, 26), get32(tcp, 30)];
    put16(skb.buf, 34 + 16, fold(pseudoHeaderSum(saddr, daddr, 6, skb.len)));
    skb.ipSummed = CHECKSUM_PARTIAL;
    skb.csumStart = 34;
    skb.csumOffset = 16;
    skb.flow = { saddr, daddr, proto: 6, tos: 0, ttl: 0, df: true, connected: true, oif: 0 };
    return skb;
  }

  /** What the device makes of it. */
  function sent(skb: SkBuff): boolean {
    if (skb.ipSummed === CHECKSUM_PARTIAL) put16(skb.buf, 34 + 16, finish(sumSlices([skb.bytes()])));
    return tcpChecksumOk(skb.flow!.saddr, skb.flow!.daddr, skb.len, [skb.bytes()]);
  }

  test.each([
    ['tcp.window_size_value', '7'],
    ['ip.dst', '9.9.9.9'],
    ['tcp.seq_raw', '4294967295'],
  ])('%s of a segment whose sum is left to the device: right or wrong in the end, as asked', (name, value) => {
    for (const csum of ['fix', 'keep'] as const) {
      const skb = onItsWayOut();
      expect(sent(skb)).toBe(true);
      const again = onItsWayOut();
      expect(setFields(again, 'tcp', { [name]: value }, csum)).toBe(true);
      expect(is(`${name} == ${value}`, again, 'tcp')).toBe(true);
      expect(sent(again)).toBe(csum === 'fix');
    }
  });

  test('a checksum that is set is what is sent', () => {
    const skb = onItsWayOut();
    setFields(skb, 'tcp', { 'tcp.checksum': '0xbeef' }, 'fix');
    expect([skb.ipSummed, get16(skb.buf, 34 + 16)]).toEqual([CHECKSUM_NONE, 0xbeef]);
  });

  test('what IP is going to write', () => {
    const skb = onItsWayOut();
    setFields(skb, 'tcp', { 'ip.ttl': '3', 'ip.flags.df': '0', 'ip.dsfield.dscp': '46', 'ip.dsfield.ecn': '1' }, 'fix');
    expect(skb.flow).toMatchObject({ ttl: 3, df: false, tos: (46 << 2) | 1 });
  });
});

describe('no', () => {
  test.each([
    ['tcp.flags.sin', '1', 'did you mean tcp.flags.syn?'],
    ['tcp.port', '1', 'tcp.port is several fields'],
    ['tcp.len', '1', 'stands in no header'],
    ['tcp.payload', '1', 'stands in no header'],
    ['skb.len', '1', 'stands in no header'],
    ['ip.ttl', '256', 'at most 255'],
    ['ip.ttl', 'x', 'is a number'],
    ['ip.src', '10.0.0.0/8', 'is one address'],
    ['eth.src', '1', 'is an Ethernet address'],
    ['tcp.hdr_len', '21', 'units of 4'],
    ['tcp.hdr_len', '64', 'at most 60'],
  ])('%s = %s', (name, value, message) => expect(checkFields({ [name]: value })).toContain(message));

  test('a packet that has not all of them stays as it is', () => {
    fc.assert(
      fc.property(fc.constantFrom(...FRAMES), fc.constantFrom(...PLACED), (frame, field) => {
        fc.pre(!is(field.name, frameSkb(frame)));
        const skb = frameSkb(frame);
        const fields = { 'eth.src': '02:00:00:00:00:99', [field.name]: VALUES[field.type]! };
        expect(setFields(skb, 'eth', fields, 'fix')).toBe(false);
        expect(skb.bytes()).toEqual(frame);
      }),
    );
  });
});

describe('truncate', () => {
  const tcp = FRAMES.find((f) => is('tcp.flags == 0x18 && tcp.len > 40', frameSkb(f)))!;

  test('cuts fragments and head; the headers say what they said', () => {
    for (const cut of [20, 60, tcp.length]) {
      for (const bytes of [0, 10, 54, 70, tcp.length, 9999]) {
        const skb = frameSkb(tcp, cut);
        truncateSkb(skb, 'eth', bytes);
        expect(skb.bytes()).toEqual(tcp.slice(0, bytes));
      }
    }
    const skb = frameSkb(tcp);
    truncateSkb(skb, 'eth', tcp.length - 1);
    expect(get16(skb.buf, 16)).toBe(tcp.length - 14);
  });

  test('its checksum is not right any more, and whether it has to be cut is looked at again', () => {
    const skb = frameSkb(tcp);
    skb.ipSummed = CHECKSUM_UNNECESSARY;
    Object.assign(skb, { gsoSize: 10, gsoSegs: 9, gsoType: 1 });
    const hlen = tcp.length - (is('tcp.len > 0', skb) ? payloadOf(tcp) : 0);
    truncateSkb(skb, 'eth', hlen + 25);
    expect([skb.ipSummed, skb.gsoSize, skb.gsoSegs]).toEqual([CHECKSUM_NONE, 10, 3]);
    truncateSkb(skb, 'eth', hlen + 10);
    expect([skb.gsoSize, skb.gsoSegs, skb.gsoType]).toEqual([0, 0, 0]);
  });
});

function payloadOf(frame: Uint8Array): number {
  const hlen = (frame[14]! & 15) * 4;
  return frame.length - 14 - hlen - (frame[14 + hlen + 12]! >>> 4) * 4;
}
