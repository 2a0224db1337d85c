import type { Ipv4Addr, Millis, NetDevice } from '@skbus/skb';

/** How packets leave by a route. */
export type DstOutput = 'unicast' | 'broadcast' | 'multicast' | 'loopback' | 'noarp';

/** A route found, ready for use (struct rtable). */
export interface Dst {
  /** What was asked. */
  readonly daddr: Ipv4Addr;
  readonly wantSaddr: Ipv4Addr;
  readonly wantTos: number;
  readonly wantOif: number;
  /** What came out. */
  readonly saddr: Ipv4Addr;
  readonly dev: NetDevice;
  /** RTN_* */
  readonly type: number;
  readonly output: DstOutput;
  /** 0: the destination is on the link. */
  readonly gateway: Ipv4Addr;
  readonly nextHop: Ipv4Addr;
  readonly mtu: number;
  /** The path MTU is too small to believe (RTAX_MTU locked): send without DF. */
  readonly mtuLocked: boolean;
  /** When a learnt path MTU ends. */
  readonly expiresMs: Millis;
  /** The next identification for packets with DF. */
  ident: number;
  next: Dst | undefined;
}
