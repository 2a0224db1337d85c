import type { Ipv4Addr, Millis, Rng } from '@skbus/skb';
import { SipHash } from './siphash.ts';

/**
 * What an attacker off the path must not guess: initial sequence numbers and timestamp offsets (RFC 6528,
 * net/core/secure_seq.c) and where the search for a port starts (RFC 6056, net/ipv4/inet_hashtables.c).
 */
export class Secrets {
  private readonly sip: SipHash;
  private readonly mix: number;

  constructor(rng: Rng, secret?: Uint8Array) {
    const key = new Uint8Array(16);
    if (secret !== undefined) key.set(secret.subarray(0, 16));
    else for (let i = 0; i < 16; i++) key[i] = rng.u32();
    this.sip = new SipHash(key);
    this.mix = this.sip.hash4(0, 0, 0, 0x6d6978) | 0;
  }

  /** RFC 6528: a keyed hash of the four-tuple plus a clock of 4 µs. */
  isn(saddr: Ipv4Addr, daddr: Ipv4Addr, sport: number, dport: number, now: Millis): number {
    const h = this.sip.hash4(saddr, daddr, (sport << 16) | dport, 0x69736e);
    return (h + Math.floor(now * 250)) >>> 0;
  }

  /** Where this pair of hosts' timestamp clock starts (secure_tcp_ts_off). */
  tsOffset(saddr: Ipv4Addr, daddr: Ipv4Addr): number {
    return this.sip.hash4(saddr, daddr, 0, 0x7473);
  }

  /** RFC 6056 3.3.3: the same destination starts its search for a port at the same place (secure_ipv4_port_ephemeral). */
  portOffset(saddr: Ipv4Addr, daddr: Ipv4Addr, dport: number): number {
    return this.sip.hash4(saddr, daddr, dport, 0x706f7274);
  }

  /** Spreads the established hash, so that nobody can aim at one chain. */
  tupleHash(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): number {
    let h = Math.imul(laddr ^ this.mix ^ raddr, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15) ^ ((lport << 16) | rport), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13) ^ this.mix, 0xc2b2ae35);
    return (h ^ (h >>> 16)) & 0x7fffffff;
  }
}
