import { ETHERNET_HLEN, IPV4_HLEN, TCP_HLEN, TCP_RST, UDP_HLEN, get16 } from '@skbus/wire';
import type { FieldType, FilterField, NumberReader } from './field.ts';
import type { PacketView } from './packet-view.ts';

type Span = (v: PacketView) => boolean;

const bytes = (name: string, type: FieldType, about: string, span: Span): FilterField => ({ name, type, about, span });

const number = (name: string, max: number, about: string, read: NumberReader): FilterField => ({
  name,
  type: 'uint',
  about,
  max,
  read: [read],
});

const option = (name: string, kind: number, least: number, about: string): FilterField => ({
  name,
  type: 'none',
  about,
  present: (v) => v.tcpOption(kind, least) >= 0,
});

/** How long the frame is, or will be once every header is written: the same at every seam. */
function frameLen(v: PacketView): number {
  v.locate();
  if (v.eth >= 0) return v.end - v.eth;
  const inner = v.ip >= 0 ? v.ip : v.arp;
  if (inner >= 0) return v.end - inner + ETHERNET_HLEN;
  const data = v.tcp >= 0 ? v.tcp : v.udp >= 0 ? v.udp : v.icmp;
  return data < 0 ? -1 : v.end - data + IPV4_HLEN + ETHERNET_HLEN;
}

function outermost(v: PacketView): number {
  v.locate();
  for (const at of [v.eth, v.arp, v.ip, v.icmp, v.tcp, v.udp]) if (at >= 0) return at;
  return -1;
}

/** What follows the header of a reset is no stream but its cause (RFC 9293 3.5.3), and Wireshark does not call it payload. */
function tcpPayload(v: PacketView): boolean {
  const hlen = v.tcpHeaderLen();
  if (hlen < 0 || (v.b[v.tcp + 13]! & TCP_RST) !== 0) return false;
  return v.tcp + hlen < v.ipEnd && v.span(v.tcp + hlen, v.ipEnd);
}

function udpPayload(v: PacketView): boolean {
  if (v.locate().udp < 0) return false;
  const end = Math.min(v.ipEnd, v.udp + get16(v.b, v.udp + 4));
  return end > v.udp + UDP_HLEN && v.span(v.udp + UDP_HLEN, end);
}

function tcpOptions(v: PacketView): boolean {
  const hlen = v.tcpHeaderLen();
  return hlen > TCP_HLEN && v.span(v.tcp + TCP_HLEN, v.tcp + hlen);
}

function sackCount(v: PacketView): number {
  const at = v.tcpOption(5, 10);
  return at < 0 ? -1 : Math.floor((v.b[at + 1]! - 2) / 8);
}

/** Headers by name, and what is worked out from them. */
export const PROTOCOL_FIELDS: readonly FilterField[] = [
  bytes('frame', 'protocol', 'the packet from its first header', (v) => v.span(outermost(v), v.end)),
  number('frame.len', 0xffffffff, 'bytes with all headers, of which some may not be written yet', frameLen),
  bytes('eth', 'protocol', 'Ethernet', (v) => v.span(v.locate().eth, v.end)),
  bytes('arp', 'protocol', 'ARP', (v) => v.span(v.locate().arp, v.arp + 28)),
  {
    ...bytes('ip', 'protocol', 'IP, written already or to be', (v) => v.span(v.locate().ip, v.ipEnd)),
    present: (v) => v.locate().ip >= 0 || v.flow !== undefined,
  },
  bytes('icmp', 'protocol', 'ICMP', (v) => v.span(v.locate().icmp, v.ipEnd)),
  bytes('tcp', 'protocol', 'TCP', (v) => v.span(v.locate().tcp, v.ipEnd)),
  number('tcp.len', 0xffffffff, 'payload bytes', (v) =>
    v.tcpHeaderLen() < 0 ? -1 : v.ipEnd - v.tcp - v.tcpHeaderLen(),
  ),
  bytes('tcp.payload', 'bytes', 'payload, if there is any; what a reset carries is none', tcpPayload),
  bytes('tcp.options', 'bytes', 'all options', tcpOptions),
  option('tcp.options.mss', 2, 4, 'has a maximum segment size'),
  option('tcp.options.wscale', 3, 3, 'has a window scale'),
  option('tcp.options.sack_perm', 4, 2, 'permits SACK'),
  option('tcp.options.sack', 5, 10, 'has SACK blocks'),
  number('tcp.options.sack.count', 255, 'how many SACK blocks', sackCount),
  option('tcp.options.timestamp', 8, 10, 'has a timestamp'),
  bytes('udp', 'protocol', 'UDP', (v) => v.span(v.locate().udp, v.ipEnd)),
  bytes('udp.payload', 'bytes', 'payload, if there is any', udpPayload),
];
