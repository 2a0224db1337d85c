import type { Ecn, Quoted, TcpOption } from '../lang/ast.ts';

/** What IPv4 says of a packet; addresses as numbers. */
export interface LiveIp {
  saddr: number;
  daddr: number;
  tos: number;
  ttl: number;
  id: number;
  df: boolean;
}

/** A packet as it is on the wire: real ports, sequence numbers and timestamps. */
export type LivePacket = { ip: LiveIp } & (LiveTcp | LiveUdp | LiveIcmp);

export interface LiveTcp {
  proto: 'tcp';
  sport: number;
  dport: number;
  seq: number;
  ack: number;
  /** TCP_FIN … TCP_AE. */
  flags: number;
  window: number;
  urgent: number;
  options: TcpOption[];
  payload: Uint8Array;
}

export interface LiveUdp {
  proto: 'udp';
  sport: number;
  dport: number;
  payload: Uint8Array;
}

export interface LiveIcmp {
  proto: 'icmp';
  type: number;
  code: number;
  /** Echo's identifier. */
  id: number;
  /** Echo's sequence number, FRAG_NEEDED's next-hop MTU. */
  low: number;
  /** The quoted packet, or the echoed data. */
  payload: Uint8Array;
}

/** The packet that an ICMP error is about, as the stack under test sent it. */
export interface QuotedTuple {
  saddr: number;
  daddr: number;
  sport: number;
  dport: number;
  quoted: Quoted;
}

const ECN_BITS: Readonly<Record<Exclude<Ecn, 'ect01'>, number>> = { noecn: 0, ect1: 1, ect0: 2, ce: 3 };

export const ecnBits = (e: Ecn): number => (e === 'ect01' ? ECN_BITS.ect0 : ECN_BITS[e]);

export function ecnMatches(e: Ecn, tos: number): boolean {
  return e === 'ect01' ? (tos & 3) === 1 || (tos & 3) === 2 : (tos & 3) === ECN_BITS[e];
}

export const ecnName = (tos: number): Ecn => (['noecn', 'ect1', 'ect0', 'ce'] as const)[tos & 3]!;
