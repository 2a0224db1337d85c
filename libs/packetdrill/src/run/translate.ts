import { TCP_ACK, TCP_AE, TCP_CWR, TCP_ECE, TCP_SYN } from '@skbus/wire';
import type { IcmpPacket, Packet, Quoted, TcpFlags, TcpOption, TcpPacket } from '../lang/ast.ts';
import { decodeQuoted, encodeQuoted } from '../wire/codec.ts';
import { ICMP_TYPES, icmpCode, icmpCodeName, icmpTypeName } from '../wire/icmp-names.ts';
import { ecnBits, ecnName, type LiveIcmp, type LiveIp, type LivePacket, type LiveTcp } from '../wire/live.ts';
import type { Conn, Conns } from './conn.ts';

const ACE_BITS: readonly (readonly [number, number])[] = [
  [4, TCP_AE],
  [2, TCP_CWR],
  [1, TCP_ECE],
];

/** The header's bits: `.5` sets the three bits of the ACE counter. */
export function flagBits(f: TcpFlags): number {
  let { bits } = f;
  if (f.ace !== undefined) for (const [value, bit] of ACE_BITS) if ((f.ace & value) !== 0) bits |= bit;
  return bits;
}

/** Between the script's numbers and the wire's. */
export class Translator {
  private readonly conns: Conns;
  /** What is added to the remote host's sequence numbers. */
  private readonly remoteShift: number;
  private ipId = 0;
  private readonly dropTs: boolean;

  constructor(conns: Conns, remoteShift: number, dropTs = false) {
    this.dropTs = dropTs;
    this.conns = conns;
    this.remoteShift = remoteShift;
  }

  /** A packet of the script on its way to the stack; a string says why it cannot be sent. */
  toLive(c: Conn, p: Packet): LivePacket | string {
    const ip = this.ipOf(p);
    switch (p.proto) {
      case 'tcp':
        return this.tcpToLive(c, p, ip);
      case 'udp': {
        const ports = { sport: p.ports?.src ?? c.remotePort, dport: p.ports?.dst ?? c.localPort };
        return { ip, proto: 'udp', ...ports, payload: new Uint8Array(p.len) };
      }
      case 'icmp':
        return this.icmpToLive(c, p, ip);
      default:
        return p satisfies never;
    }
  }

  private ipOf(p: Packet): LiveIp {
    const tos = p.ip.tos ?? (p.ip.ecn === undefined ? 0 : ecnBits(p.ip.ecn));
    const id = p.proto === 'tcp' && p.ipId !== undefined ? p.ipId : this.ipId++ & 0xffff;
    return { saddr: this.conns.remoteIp, daddr: this.conns.localIp, tos, ttl: p.ip.ttl ?? 255, id, df: false };
  }

  private tcpToLive(c: Conn, p: TcpPacket, ip: LiveIp): LivePacket | string {
    const flags = flagBits(p.flags);
    const hasAck = (flags & TCP_ACK) !== 0;
    const syn = (flags & TCP_SYN) !== 0;
    if (syn) c.remoteScriptIsn ??= p.seq;
    const ours = (n: number): number => (n + c.localShift(syn)) >>> 0;
    const options: TcpOption[] = [];
    for (const o of p.options === 'any' ? [] : p.options) {
      if (o.kind === 'ts' && this.dropTs) continue;
      if (o.kind === 'sack') options.push({ kind: 'sack', blocks: o.blocks.map(([l, r]) => [ours(l), ours(r)]) });
      else if (o.kind === 'ts' && hasAck) {
        const ecr = c.tsVals.get(o.ecr) ?? interpolate(c, o.ecr);
        if (ecr === undefined) return `the stack never sent the timestamp ${o.ecr} that this packet echoes`;
        options.push({ ...o, ecr });
      } else options.push(o);
    }
    const ack = p.ack ?? 0;
    return {
      ip,
      proto: 'tcp',
      sport: p.ports?.src ?? c.remotePort,
      dport: p.ports?.dst ?? c.localPort,
      seq: (p.seq + c.remoteShift(syn) + this.remoteShift) >>> 0,
      ack: hasAck ? ours(ack) : ack,
      flags,
      window: p.window ?? 0,
      urgent: p.urgent ?? 0,
      options,
      payload: new Uint8Array(p.len),
    };
  }

  private icmpToLive(c: Conn, p: IcmpPacket, ip: LiveIp): LivePacket | string {
    const named = ICMP_TYPES[p.type] ?? Number(/^type_(\d+)$/.exec(p.type)?.[1] ?? Number.NaN);
    if (Number.isNaN(named) || named > 255) return `'${p.type}' is no ICMP type`;
    const code = icmpCode(named, p.code);
    if (code === undefined) return `'${p.code}' is no code of ICMP's ${p.type}`;
    const message = { ip, proto: 'icmp', type: named, code, id: p.id ?? 0, low: p.mtu ?? 0 } as const;
    const q = p.quoted;
    if (q?.proto === 'raw') return { ...message, payload: new Uint8Array(Math.max(0, q.len - 8)) };
    const quoted: Quoted =
      q?.proto === 'udp'
        ? q
        : { proto: 'tcp', seq: ((q?.proto === 'tcp' ? q.seq : 0) + c.localShift(false)) >>> 0, len: q?.len ?? 0 };
    const tuple = { saddr: ip.daddr, daddr: ip.saddr, sport: c.localPort, dport: c.remotePort };
    return { ...message, payload: encodeQuoted({ ...tuple, quoted }) };
  }

  /** The stack's packet as a script would write it. */
  toScript(c: Conn, p: LivePacket, withPorts = false): Packet {
    const { tos } = p.ip;
    const ip = tos === 0 ? {} : tos > 3 ? { tos } : { ecn: ecnName(tos) };
    switch (p.proto) {
      case 'udp': {
        const ports = withPorts ? { src: p.sport, dst: p.dport } : undefined;
        return { proto: 'udp', ip, ports, len: p.payload.length };
      }
      case 'icmp':
        return icmpToScript(c, p, ip);
      case 'tcp':
        return this.tcpToScript(c, p, ip, withPorts);
      default:
        return p satisfies never;
    }
  }

  private tcpToScript(c: Conn, p: LiveTcp, ip: Packet['ip'], withPorts: boolean): TcpPacket {
    const hasAck = (p.flags & TCP_ACK) !== 0;
    const syn = (p.flags & TCP_SYN) !== 0;
    const theirs = (seq: number): number => (seq - c.remoteShift(syn) - this.remoteShift) >>> 0;
    return {
      proto: 'tcp',
      ip,
      ports: withPorts ? { src: p.sport, dst: p.dport } : undefined,
      flags: { bits: p.flags, ace: undefined },
      seq: (p.seq - c.localShift(syn)) >>> 0,
      len: p.payload.length,
      ack: hasAck ? theirs(p.ack) : undefined,
      window: p.window,
      urgent: p.urgent === 0 ? undefined : p.urgent,
      ipId: undefined,
      options: p.options.map((o) => {
        if (o.kind === 'sack') return { kind: 'sack', blocks: o.blocks.map(([l, r]) => [theirs(l), theirs(r)]) };
        if (o.kind !== 'ts') return o;
        const val = c.tsBase === undefined ? o.val : (o.val - c.tsBase.live + c.tsBase.script) >>> 0;
        return { ...o, val };
      }),
    };
  }
}

/** An echo of a value between those that were seen: the clock ticked in between. */
function interpolate(c: Conn, ecr: number): number | undefined {
  return c.tsBase === undefined ? undefined : (ecr - c.tsBase.script + c.tsBase.live) >>> 0;
}

/** Before the packet is compared: from the stack's SYN we learn where its sequence numbers begin. */
export function learnIsn(c: Conn, expected: TcpPacket, live: LiveTcp): void {
  if ((live.flags & TCP_SYN) === 0 || (flagBits(expected.flags) & TCP_SYN) === 0 || !c.awaitsSyn) return;
  c.localIsn = live.seq;
  c.localScriptIsn = expected.seq;
  c.awaitsSyn = false;
}

function icmpToScript(c: Conn, p: LiveIcmp, ip: Packet['ip']): IcmpPacket {
  const isError = p.type === 3 || p.type === 11 || p.type === 12;
  const quoted = isError ? decodeQuoted(p.payload)?.quoted : { proto: 'raw' as const, len: p.payload.length + 8 };
  return {
    proto: 'icmp',
    ip,
    type: icmpTypeName(p.type),
    code: icmpCodeName(p.type, p.code),
    mtu: p.type === 3 && p.code === 4 ? p.low : undefined,
    id: !isError && p.id > 0 ? p.id : undefined,
    quoted: quoted?.proto === 'tcp' ? { ...quoted, seq: (quoted.seq - c.localShift(false)) >>> 0 } : quoted,
  };
}
