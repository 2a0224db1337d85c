import { below, SeededRng, type Rng } from '@skbus/skb';
import {
  emitArp,
  emitEthernet,
  emitIcmp,
  emitIpv4Header,
  emitTcp,
  emitTcpOptions,
  emitUdp,
  ETHERNET_HLEN,
  finish,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  IPV4_HLEN,
  pseudoHeaderSum,
  put16,
  sumBytes,
  TCP_HLEN,
  tcpOptionsLen,
  udpChecksum,
  type TcpOptions,
} from '@skbus/wire';

/** Ports nobody has a dissector for, so that what follows the header is data to everybody. */
const PORTS = [40001, 40002, 40003, 50000, 50001, 65000] as const;
const HOSTS = [0x0a4d0001, 0x0a4d0002, 0x0a4d0102, 0xc0a80101, 0xcb007105] as const;
const MACS = [0x02000a4d0001, 0x02000a4d0002, 0x001122334455, 0xffffffffffff] as const;
const WORDS = [
  'GET /index.html HTTP/1.1\r\n',
  'hello',
  'HELLO world',
  '\x00\x01\x02\x03',
  '\xde\xad\xbe\xef',
  'abcabd',
];

const pick = <T>(rng: Rng, of: readonly T[]): T => of[below(rng, of.length)]!;
const chance = (rng: Rng, one: number): boolean => below(rng, one) === 0;

/** Ethernet frames of every kind that the stack speaks, all well formed: the same seed makes the same ones. */
export function makeFrames(seed: number, count: number): Uint8Array[] {
  const rng = new SeededRng(seed);
  const out: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const kind = below(rng, 10);
    if (kind === 0) out.push(arpFrame(rng));
    else if (kind === 1) out.push(ipFrame(rng, 1, icmpMessage(rng)));
    else if (kind < 4) out.push(ipFrame(rng, 17, udpDatagram(rng)));
    else out.push(ipFrame(rng, 6, tcpSegment(rng)));
  }
  return out;
}

function payload(rng: Rng): Uint8Array {
  if (chance(rng, 3)) return new Uint8Array(0);
  const text = pick(rng, WORDS).repeat(1 + below(rng, 4));
  return Uint8Array.from(text, (c) => c.codePointAt(0)!);
}

function eth(rng: Rng, type: number, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(ETHERNET_HLEN + body.length);
  emitEthernet({ dst: pick(rng, MACS), src: pick(rng, MACS.slice(0, 3)), type }, frame, 0);
  frame.set(body, ETHERNET_HLEN);
  return frame;
}

function arpFrame(rng: Rng): Uint8Array {
  const body = new Uint8Array(28);
  const [sha, tha] = [pick(rng, MACS), pick(rng, MACS)];
  emitArp({ op: 1 + below(rng, 2), sha, spa: pick(rng, HOSTS), tha, tpa: pick(rng, HOSTS) }, body, 0);
  return eth(rng, 0x0806, body);
}

interface Layer4 {
  bytes: Uint8Array;
  /** Stores the checksum, which TCP and UDP take over the addresses too. */
  seal(saddr: number, daddr: number): void;
}

function ipFrame(rng: Rng, proto: number, l4: Layer4): Uint8Array {
  const saddr = pick(rng, HOSTS);
  const daddr = pick(rng, HOSTS);
  if (!chance(rng, 12)) l4.seal(saddr, daddr);
  const options = chance(rng, 8) ? 4 * (1 + below(rng, 3)) : 0;
  const hlen = IPV4_HLEN + options;
  const fragment = chance(rng, 8);
  const ip = new Uint8Array(hlen + l4.bytes.length);
  ip.fill(1, IPV4_HLEN, hlen); // no-operation options
  const repr = {
    hlen,
    tos: below(rng, 256),
    totalLen: ip.length,
    id: below(rng, 65536),
    df: !fragment && chance(rng, 2),
    mf: fragment && chance(rng, 2),
    fragOffset: fragment ? 8 * below(rng, 200) : 0,
    ttl: pick(rng, [1, 2, 63, 64, 128, 255]),
    proto,
    saddr,
    daddr,
  };
  emitIpv4Header(repr, ip, 0);
  ip.set(l4.bytes, hlen);
  return eth(rng, 0x0800, ip);
}

function icmpMessage(rng: Rng): Layer4 {
  const body = payload(rng);
  const bytes = new Uint8Array(8 + body.length);
  const type = pick(rng, [ICMP_ECHO, ICMP_ECHOREPLY]);
  emitIcmp({ type, code: 0, id: below(rng, 9), seq: below(rng, 65536) }, bytes, 0, [body]);
  bytes.set(body, 8);
  return { bytes, seal: () => {} };
}

function udpDatagram(rng: Rng): Layer4 {
  const body = payload(rng);
  const bytes = new Uint8Array(8 + body.length);
  emitUdp({ sport: pick(rng, PORTS), dport: pick(rng, PORTS), len: bytes.length, checksum: 0 }, bytes, 0);
  bytes.set(body, 8);
  return { bytes, seal: (s, d) => put16(bytes, 6, udpChecksum(s, d, bytes.length, [bytes])) };
}

function tcpOptions(rng: Rng): TcpOptions {
  const o: TcpOptions = {};
  if (chance(rng, 3)) o.mss = pick(rng, [536, 1300, 1460, 8960]);
  if (chance(rng, 3)) o.wscale = below(rng, 15);
  if (chance(rng, 4)) o.sackPermitted = true;
  if (chance(rng, 2)) [o.tsVal, o.tsEcr] = [rng.u32(), below(rng, 3)];
  if (chance(rng, 4)) o.sack = Array.from({ length: 1 + below(rng, 2) }, () => [below(rng, 1000), rng.u32()]);
  return o;
}

function tcpSegment(rng: Rng): Layer4 {
  const options = tcpOptions(rng);
  const hlen = TCP_HLEN + Math.min(tcpOptionsLen(options), 40);
  const body = payload(rng);
  const bytes = new Uint8Array(hlen + body.length);
  const flags = chance(rng, 3) ? below(rng, 512) : pick(rng, [0x02, 0x12, 0x10, 0x18, 0x11, 0x04]);
  emitTcp(
    {
      sport: pick(rng, PORTS),
      dport: pick(rng, PORTS),
      seq: chance(rng, 4) ? 0xffffffff : rng.u32(),
      ack: rng.u32(),
      hlen,
      flags,
      window: pick(rng, [0, 1, 29200, 65535]),
      urgent: chance(rng, 5) ? below(rng, 65536) : 0,
    },
    bytes,
    0,
  );
  emitTcpOptions(options, bytes, TCP_HLEN);
  bytes.set(body, hlen);
  return {
    bytes,
    seal: (s, d) => put16(bytes, 16, finish(sumBytes(bytes, 0, bytes.length, pseudoHeaderSum(s, d, 6, bytes.length)))),
  };
}

/** A classic pcap file of Ethernet frames, one a millisecond. */
export function pcapOf(frames: readonly Uint8Array[]): Uint8Array {
  const size = frames.reduce((n, f) => n + 16 + f.length, 24);
  const file = new DataView(new ArrayBuffer(size));
  const bytes = new Uint8Array(file.buffer);
  file.setUint32(0, 0xa1b2c3d4);
  file.setUint16(4, 2);
  file.setUint16(6, 4);
  file.setUint32(16, 262144);
  file.setUint32(20, 1); // LINKTYPE_ETHERNET
  let at = 24;
  for (const [i, f] of frames.entries()) {
    file.setUint32(at, 1_700_000_000 + Math.floor(i / 1000));
    file.setUint32(at + 4, (i % 1000) * 1000);
    file.setUint32(at + 8, f.length);
    file.setUint32(at + 12, f.length);
    bytes.set(f, at + 16);
    at += 16 + f.length;
  }
  return bytes;
}
