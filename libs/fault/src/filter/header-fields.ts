import type { FieldType, FilterField, HeaderName, HeaderPlace } from './field.ts';
import { placeReader } from './header-place.ts';
import type { PacketView } from './packet-view.ts';

type Extra = Omit<Partial<HeaderPlace>, 'header' | 'at' | 'size'>;

/** A field that is stored in a header. */
function stored(
  name: string,
  type: FieldType,
  [header, at, size]: readonly [HeaderName, number, HeaderPlace['size']],
  about: string,
  extra: Extra = {},
): FilterField {
  const place: HeaderPlace = { header, at, size, ...extra };
  const field: FilterField = { name, type, about, place, read: [placeReader(place)] };
  if (type === 'uint') field.max = greatest(place);
  return field;
}

function greatest({ size, mask, shift = 0 }: HeaderPlace): number {
  const all = mask ?? 2 ** (8 * size) - 1;
  return shift >= 0 ? Math.floor(all / 2 ** shift) : all * 2 ** -shift;
}

/** One name for several fields: a packet has all of them (any-of semantics). */
function anyOf(name: string, about: string, of: readonly FilterField[]): FilterField {
  const field: FilterField = { name, type: of[0]!.type, about, read: of.flatMap((f) => f.read!) };
  if (of[0]!.max !== undefined) field.max = of[0]!.max;
  return field;
}

const flag = (
  name: string,
  at: readonly [HeaderName, number, HeaderPlace['size']],
  mask: number,
  about: string,
  extra: Extra = {},
) => stored(name, 'bool', at, about, { mask, ...extra });

/** Echo and timestamp messages and their like have an identifier and a sequence number. */
const ICMP_QUERIES: ReadonlySet<number> = new Set([0, 8, 13, 14, 15, 16, 17, 18]);
const query = (v: PacketView): boolean => ICMP_QUERIES.has(v.b[v.icmp]!);
const fragNeeded = (v: PacketView): boolean => v.b[v.icmp] === 3 && v.b[v.icmp + 1] === 4;

const ETH = {
  dst: stored('eth.dst', 'mac', ['eth', 0, 6], 'destination address'),
  src: stored('eth.src', 'mac', ['eth', 6, 6], 'source address'),
};

const ARP = [
  stored('arp.hw.type', 'uint', ['arp', 0, 2], 'hardware type'),
  stored('arp.proto.type', 'uint', ['arp', 2, 2], 'protocol type'),
  stored('arp.hw.size', 'uint', ['arp', 4, 1], 'hardware address length'),
  stored('arp.proto.size', 'uint', ['arp', 5, 1], 'protocol address length'),
  stored('arp.opcode', 'uint', ['arp', 6, 2], '1: request, 2: reply'),
  stored('arp.src.hw_mac', 'mac', ['arp', 8, 6], 'sender’s Ethernet address'),
  stored('arp.src.proto_ipv4', 'ipv4', ['arp', 14, 4], 'sender’s IP address'),
  stored('arp.dst.hw_mac', 'mac', ['arp', 18, 6], 'target’s Ethernet address'),
  stored('arp.dst.proto_ipv4', 'ipv4', ['arp', 24, 4], 'target’s IP address'),
];

const IP = {
  src: stored('ip.src', 'ipv4', ['ip', 12, 4], 'source address', { flow: 'saddr' }),
  dst: stored('ip.dst', 'ipv4', ['ip', 16, 4], 'destination address', { flow: 'daddr' }),
};

const IP_FIELDS = [
  stored('ip.version', 'uint', ['ip', 0, 1], 'version', { mask: 0xf0, shift: 4 }),
  stored('ip.hdr_len', 'uint', ['ip', 0, 1], 'header length in bytes', { mask: 0x0f, shift: -2 }),
  stored('ip.dsfield', 'uint', ['ip', 1, 1], 'the whole byte once called type of service', { flow: 'tos' }),
  stored('ip.dsfield.dscp', 'uint', ['ip', 1, 1], 'differentiated services code point', {
    mask: 0xfc,
    shift: 2,
    flow: 'tos',
  }),
  stored('ip.dsfield.ecn', 'uint', ['ip', 1, 1], '0: not capable, 1 and 2: capable, 3: congestion experienced', {
    mask: 0x03,
    flow: 'tos',
  }),
  stored('ip.len', 'uint', ['ip', 2, 2], 'total length'),
  stored('ip.id', 'uint', ['ip', 4, 2], 'identification'),
  stored('ip.flags', 'uint', ['ip', 6, 1], 'the three flags as a number', { mask: 0xe0, shift: 5 }),
  flag('ip.flags.rb', ['ip', 6, 1], 0x80, 'reserved bit'),
  flag('ip.flags.df', ['ip', 6, 1], 0x40, 'don’t fragment', { flow: 'df' }),
  flag('ip.flags.mf', ['ip', 6, 1], 0x20, 'more fragments'),
  stored('ip.frag_offset', 'uint', ['ip', 6, 2], 'fragment offset in units of 8 bytes', { mask: 0x1fff }),
  stored('ip.ttl', 'uint', ['ip', 8, 1], 'time to live', { flow: 'ttl' }),
  stored('ip.proto', 'uint', ['ip', 9, 1], '1: ICMP, 6: TCP, 17: UDP', { flow: 'proto' }),
  stored('ip.checksum', 'uint', ['ip', 10, 2], 'header checksum as it stands there'),
  IP.src,
  IP.dst,
  anyOf('ip.addr', 'source or destination address', [IP.src, IP.dst]),
];

const ICMP = [
  stored('icmp.type', 'uint', ['icmp', 0, 1], '0: echo reply, 3: unreachable, 8: echo request, 11: time exceeded'),
  stored('icmp.code', 'uint', ['icmp', 1, 1], 'code, by type'),
  stored('icmp.checksum', 'uint', ['icmp', 2, 2], 'checksum as it stands there'),
  stored('icmp.ident', 'uint', ['icmp', 4, 2], 'identifier of echo and timestamp', { when: query }),
  stored('icmp.seq', 'uint', ['icmp', 6, 2], 'sequence number of echo and timestamp', { when: query }),
  stored('icmp.mtu', 'uint', ['icmp', 6, 2], 'next-hop MTU of fragmentation needed', { when: fragNeeded }),
];

const TCP = {
  srcport: stored('tcp.srcport', 'uint', ['tcp', 0, 2], 'source port'),
  dstport: stored('tcp.dstport', 'uint', ['tcp', 2, 2], 'destination port'),
};

/** SACK has up to four blocks; this is the same edge of each. */
const sackEdges = (name: string, at: number, about: string): FilterField =>
  anyOf(
    name,
    about,
    [0, 1, 2, 3].map((i) => stored(name, 'uint', ['tcp', at + 8 * i, 4], about, { option: 5, least: 10 + 8 * i })),
  );

const TCP_FIELDS = [
  TCP.srcport,
  TCP.dstport,
  anyOf('tcp.port', 'source or destination port', [TCP.srcport, TCP.dstport]),
  stored('tcp.seq_raw', 'uint', ['tcp', 4, 4], 'sequence number as it stands there'),
  stored('tcp.ack_raw', 'uint', ['tcp', 8, 4], 'acknowledgement number as it stands there'),
  stored('tcp.hdr_len', 'uint', ['tcp', 12, 1], 'header length in bytes', { mask: 0xf0, shift: 2 }),
  stored('tcp.flags', 'uint', ['tcp', 12, 2], 'all twelve flag bits as a number', { mask: 0xfff }),
  flag('tcp.flags.ae', ['tcp', 12, 2], 0x100, 'accurate ECN (once nonce sum)'),
  flag('tcp.flags.cwr', ['tcp', 12, 2], 0x80, 'congestion window reduced'),
  flag('tcp.flags.ece', ['tcp', 12, 2], 0x40, 'ECN echo'),
  flag('tcp.flags.urg', ['tcp', 12, 2], 0x20, 'urgent pointer counts'),
  flag('tcp.flags.ack', ['tcp', 12, 2], 0x10, 'acknowledgement number counts'),
  flag('tcp.flags.push', ['tcp', 12, 2], 0x08, 'push'),
  flag('tcp.flags.reset', ['tcp', 12, 2], 0x04, 'reset'),
  flag('tcp.flags.syn', ['tcp', 12, 2], 0x02, 'synchronize'),
  flag('tcp.flags.fin', ['tcp', 12, 2], 0x01, 'no more data'),
  stored('tcp.window_size_value', 'uint', ['tcp', 14, 2], 'window as it stands there, not scaled'),
  stored(
    'tcp.window_size',
    'uint',
    ['tcp', 14, 2],
    'the same: a seam has not seen the scale (as Wireshark without the handshake)',
  ),
  stored(
    'tcp.checksum',
    'uint',
    ['tcp', 16, 2],
    'checksum as it stands there; a sum over the addresses only before offload',
  ),
  stored('tcp.urgent_pointer', 'uint', ['tcp', 18, 2], 'urgent pointer'),
  stored('tcp.options.mss_val', 'uint', ['tcp', 2, 2], 'maximum segment size', { option: 2, least: 4 }),
  stored('tcp.options.wscale.shift', 'uint', ['tcp', 2, 1], 'window scale', { option: 3, least: 3 }),
  stored('tcp.options.timestamp.tsval', 'uint', ['tcp', 2, 4], 'timestamp value', { option: 8, least: 10 }),
  stored('tcp.options.timestamp.tsecr', 'uint', ['tcp', 6, 4], 'timestamp echo', { option: 8, least: 10 }),
  sackEdges('tcp.options.sack_le', 2, 'left edge of any SACK block'),
  sackEdges('tcp.options.sack_re', 6, 'right edge of any SACK block'),
];

const UDP = {
  srcport: stored('udp.srcport', 'uint', ['udp', 0, 2], 'source port'),
  dstport: stored('udp.dstport', 'uint', ['udp', 2, 2], 'destination port'),
};

/** What stands in a header at a fixed place, or in a TCP option. */
export const HEADER_FIELDS: readonly FilterField[] = [
  ETH.dst,
  ETH.src,
  anyOf('eth.addr', 'source or destination address', [ETH.dst, ETH.src]),
  stored('eth.type', 'uint', ['eth', 12, 2], '0x800: IP, 0x806: ARP'),
  ...ARP,
  ...IP_FIELDS,
  ...ICMP,
  ...TCP_FIELDS,
  UDP.srcport,
  UDP.dstport,
  anyOf('udp.port', 'source or destination port', [UDP.srcport, UDP.dstport]),
  stored('udp.length', 'uint', ['udp', 4, 2], 'header and data'),
  stored('udp.checksum', 'uint', ['udp', 6, 2], 'checksum as it stands there; 0: none'),
];
