import { TCP_ACK, TCP_AE, TCP_CWR, TCP_ECE, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN, TCP_URG } from '@skbus/wire';
import type {
  Direction,
  Ecn,
  IcmpPacket,
  IpInfo,
  Packet,
  PacketSpec,
  Place,
  Ports,
  Quoted,
  TcpFlags,
  TcpPacket,
} from './ast.ts';
import { parseTcpOptions } from './parse-options.ts';
import type { Tokens } from './tokens.ts';

export const FLAG_BITS: Readonly<Record<string, number>> = {
  F: TCP_FIN,
  S: TCP_SYN,
  R: TCP_RST,
  P: TCP_PSH,
  '.': TCP_ACK,
  U: TCP_URG,
  E: TCP_ECE,
  W: TCP_CWR,
  A: TCP_AE,
};

const ECN: readonly string[] = ['noecn', 'ect0', 'ect1', 'ect01', 'ce'];

/** From the direction on. */
export function parsePacket(t: Tokens): PacketSpec {
  const direction: Direction = t.next().text === '<' ? 'in' : 'out';
  const at = t.peek();
  const ip = parseIpInfo(t);
  for (const outer of ['ipv4', 'ipv6', 'gre', 'GREv0', 'mpls'])
    if (t.is(outer)) t.fail(`encapsulation in ${outer} is not supported`);
  let packet: Packet;
  if (t.take('udp')) packet = parseUdp(t, ip);
  else if (t.take('icmp')) packet = parseIcmp(t, ip);
  else packet = parseTcp(t, ip);
  if (t.is('{')) t.fail('mutations of packets are not supported');
  if (direction === 'in') checkInbound(t, at, packet);
  return { kind: 'packet', direction, packet };
}

function checkInbound(t: Tokens, at: Place, p: Packet): void {
  if (p.ip.ecn === 'ect01') t.failAt(at, '[ect01] is for packets that are expected');
  if (p.proto === 'tcp' && p.options === 'any') t.failAt(at, '<...> is for packets that are expected');
}

function parseIpInfo(t: Tokens): IpInfo {
  const info: IpInfo = {};
  const close = t.is('[') ? ']' : t.is('(') ? ')' : undefined;
  if (close === undefined) return info;
  t.next();
  do {
    const word = t.next();
    if (ECN.includes(word.text)) info.ecn = word.text as Ecn;
    else if (word.text === 'tos') info.tos = t.integer('a TOS', 0xff);
    else if (word.text === 'ttl') info.ttl = t.integer('a TTL', 0xff);
    else if (word.text === 'flowlabel') info.flowlabel = t.integer('a flow label', 0xf_ffff);
    else t.failAt(word, `expected noecn, ect0, ect1, ect01, ce, tos, ttl or flowlabel, found '${word.text}'`);
  } while (t.take(','));
  t.expect(close);
  return info;
}

function parsePorts(t: Tokens): Ports | undefined {
  if (t.peek().kind !== 'int' || t.peek(1).text !== '>') return undefined;
  const src = t.integer('a port', 0xffff);
  t.expect('>');
  return { src, dst: t.integer('a port', 0xffff) };
}

function parseUdp(t: Tokens, ip: IpInfo): Packet {
  const ports = parsePorts(t);
  t.expect('(', "'(' and a length");
  const len = t.integer('a length', 0xffff);
  t.expect(')');
  return { proto: 'udp', ip, ports, len };
}

function parseTcp(t: Tokens, ip: IpInfo): TcpPacket {
  const ports = parsePorts(t);
  const flags = parseFlags(t);
  const { seq, len } = parseSeq(t);
  const p: TcpPacket = {
    ...{ proto: 'tcp', ip, ports, flags, seq, len },
    ...{ ack: undefined, window: undefined, urgent: undefined, ipId: undefined, options: [] },
  };
  if (t.take('ack')) p.ack = t.integer('an acknowledgement number');
  if (t.take('win')) p.window = t.integer('a window', 0xffff);
  if (t.take('urg')) p.urgent = t.integer('an urgent pointer', 0xffff);
  if (t.take('ip_id')) p.ipId = t.integer('an IP id', 0xffff);
  // A packet that comes next begins with a time, never with '<'.
  if (t.take('<')) p.options = parseTcpOptions(t);
  return p;
}

/** Letters, `.` for ACK, and a digit for Accurate ECN's counter, in any order (`P.5`, `P5.`), up to the sequence number. */
function parseFlags(t: Tokens): TcpFlags {
  const flags: TcpFlags = { bits: 0, ace: undefined };
  const at = t.peek();
  if (t.take('-')) return flags;
  if (!isFlags(t)) t.failAt(at, `expected the flags of a TCP packet, found '${at.text}'`);
  while (isFlags(t)) {
    const token = t.next();
    for (const c of token.text) {
      const bit = c === '.' ? TCP_ACK : FLAG_BITS[c];
      if (bit !== undefined) flags.bits |= bit;
      else if (flags.ace === undefined && c >= '0' && c <= '7') flags.ace = Number(c);
      else
        t.failAt(token, `'${c}' is no TCP flag (S F R P . U E W A, one of 0 to 7 for the ACE counter, or - for none)`);
    }
  }
  return flags;
}

const isFlags = (t: Tokens): boolean =>
  t.is('.') || ['word', 'float'].includes(t.peek().kind) || (t.peek().kind === 'int' && t.peek(1).text !== ':');

/** `1:1001(1000)` */
function parseSeq(t: Tokens): { seq: number; len: number } {
  const at = t.peek();
  const seq = t.integer('a sequence number');
  t.expect(':');
  const end = t.integer('a sequence number');
  t.expect('(');
  const len = t.integer('a length', 0xffff);
  t.expect(')');
  if ((seq + len) >>> 0 !== end) t.failAt(at, `${seq}:${end} is ${(end - seq) >>> 0} bytes and not ${len}`);
  return { seq, len };
}

function parseIcmp(t: Tokens, ip: IpInfo): IcmpPacket {
  const type = t.expectKind('word', "an ICMP message's type").text;
  const p: IcmpPacket = {
    ...{ proto: 'icmp', ip, type },
    ...{ code: undefined, mtu: undefined, id: undefined, quoted: undefined },
  };
  if (t.peek().kind === 'word' && !t.is('mtu') && !t.is('id')) p.code = t.next().text;
  if (t.take('mtu')) p.mtu = t.integer('an MTU', 0xffff);
  if (t.take('id')) p.id = t.integer('an id', 0xffff);
  if (t.take('[')) p.quoted = parseQuoted(t);
  return p;
}

function parseQuoted(t: Tokens): Quoted {
  for (const proto of ['udp', 'raw'] as const) {
    if (!t.take(proto)) continue;
    t.expect('(');
    const len = t.integer('a length', 0xffff);
    t.expect(')');
    t.expect(']');
    return { proto, len };
  }
  const q = parseSeq(t);
  t.expect(']');
  return { proto: 'tcp', ...q };
}
