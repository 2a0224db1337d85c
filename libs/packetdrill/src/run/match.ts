import { TCP_ACK } from '@skbus/wire';
import type { Packet, TcpOption, TcpPacket } from '../lang/ast.ts';
import { printFlags, printOption } from '../lang/print.ts';
import { ecnMatches, type LiveIp } from '../wire/live.ts';
import { flagBits } from './translate.ts';

/** How a packet differs from what the script says, in words; empty: not at all. */
export function differences(expected: Packet, actual: Packet, ip: LiveIp): string[] {
  if (expected.proto !== actual.proto) return [`expected ${expected.proto}, and it is ${actual.proto}`];
  const found = ipDifferences(expected, ip);
  if (expected.proto === 'tcp' && actual.proto === 'tcp') found.push(...tcpDifferences(expected, actual));
  if (expected.proto === 'udp') same(found, 'length', expected.len, (actual as { len: number }).len);
  if (expected.proto === 'icmp' && actual.proto === 'icmp') {
    same(found, 'type', expected.type, actual.type);
    same(found, 'code', expected.code ?? '0', actual.code ?? '0');
    if (expected.mtu !== undefined) same(found, 'mtu', expected.mtu, actual.mtu);
    if (expected.id !== undefined) same(found, 'id', expected.id, actual.id);
    const { quoted } = expected;
    if (quoted?.proto === 'tcp') same(found, 'quoted sequence number', quoted.seq, seqOf(actual.quoted));
    if (quoted?.proto === 'raw') same(found, 'length', quoted.len, actual.quoted?.len);
  }
  return found;
}

const seqOf = (q: (Packet & { proto: 'icmp' })['quoted']): number | undefined =>
  q?.proto === 'tcp' ? q.seq : undefined;

function same<T>(found: string[], what: string, expected: T, actual: T): void {
  if (expected !== actual) found.push(`${what}: expected ${String(expected)}, and it is ${String(actual ?? 'absent')}`);
}

function ipDifferences({ ip, proto }: Packet, live: LiveIp): string[] {
  const found: string[] = [];
  if (ip.ecn !== undefined && !ecnMatches(ip.ecn, live.tos)) found.push(`ECN: expected ${ip.ecn}, TOS is ${live.tos}`);
  if (ip.tos !== undefined) same(found, 'TOS', ip.tos, live.tos);
  if (ip.ttl !== undefined) same(found, 'TTL', ip.ttl, live.ttl);
  if (ip.flowlabel !== undefined) found.push(`a flow label is for IPv6, and this is ${proto} over IPv4`);
  return found;
}

function tcpDifferences(expected: TcpPacket, actual: TcpPacket): string[] {
  const found: string[] = [];
  const want = flagBits(expected.flags);
  const { bits } = actual.flags;
  if (want !== bits) same(found, 'flags', printFlags({ bits: want, ace: undefined }), printFlags(actual.flags));
  same(found, 'sequence number', expected.seq, actual.seq);
  same(found, 'length', expected.len, actual.len);
  if ((want & TCP_ACK) !== 0 || expected.ack !== undefined) same(found, 'ack', expected.ack ?? 0, actual.ack ?? 0);
  if (expected.window !== undefined) same(found, 'window', expected.window, actual.window);
  if (expected.urgent !== undefined) same(found, 'urgent pointer', expected.urgent, actual.urgent ?? 0);
  if (expected.options !== 'any' && actual.options !== 'any')
    found.push(...optionDifferences(expected.options, actual.options));
  return found;
}

function optionDifferences(expected: readonly TcpOption[], actual: readonly TcpOption[]): string[] {
  const same =
    expected.length === actual.length && expected.every((o, i) => printOption(o) === printOption(actual[i]!));
  if (same) return [];
  const list = (os: readonly TcpOption[]): string => (os.length === 0 ? 'none' : `<${os.map(printOption).join(',')}>`);
  return [`options: expected ${list(expected)}, and they are ${list(actual)}`];
}
