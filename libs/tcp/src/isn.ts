import type { Ipv4Addr, Millis, Rng } from '@skbus/skb';
import { SipHash } from './siphash.ts';

/** Bytes of the secret from which all others are made. */
export const SECRET_BYTES = 16;

/**
 * What an attacker off the path must not guess: initial sequence numbers and timestamp offsets (RFC 6528,
 * net/core/secure_seq.c), where the search for a port starts (RFC 6056, net/ipv4/inet_hashtables.c), SYN cookies.
 */
export class Secrets {
  private sip!: SipHash;
  private mix = 0;
  /** The two keys of SYN cookies (syncookie_secret). */
  cookie!: readonly [SipHash, SipHash];
  private readonly rng: Rng;

  constructor(rng: Rng, secret?: Uint8Array) {
    this.rng = rng;
    this.rekey(secret ?? this.randomKey());
  }

  /** Begins anew with another secret; whoever keeps hashes of the old one must forget them. */
  rekey(secret: Uint8Array): void {
    this.sip = new SipHash(secret);
    this.mix = this.sip.hash4(0, 0, 0, 0x6d6978) | 0;
    this.cookie = [new SipHash(this.derive(0x636b30)), new SipHash(this.derive(0x636b31))];
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
  portOffset(saddr: Ipv4Addr, daddr: Ipv4Addr, dport: number): { low: number; high: number } {
    const low = this.sip.hash4(saddr, daddr, dport, 0x706f7274);
    return { low, high: this.sip.high };
  }

  /** Which listener of an SO_REUSEPORT group takes a connection (inet_ehashfn). */
  reuseportHash(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): number {
    return this.sip.hash4(laddr, raddr, (lport << 16) | rport, 0x72657573);
  }

  /** Another key, as unguessable as this one. */
  derive(label: number): Uint8Array {
    const key = new Uint8Array(SECRET_BYTES);
    const view = new DataView(key.buffer);
    for (let i = 0; i < SECRET_BYTES; i += 4) view.setUint32(i, this.sip.hash4(label, i, 0, 0x6b6579), true);
    return key;
  }

  /** A key that only chance knows. */
  randomKey(): Uint8Array {
    return randomBytes(this.rng, new Uint8Array(SECRET_BYTES));
  }

  /** Spreads the established hash, so that nobody can aim at one chain. */
  tupleHash(laddr: Ipv4Addr, lport: number, raddr: Ipv4Addr, rport: number): number {
    let h = Math.imul(laddr ^ this.mix ^ raddr, 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15) ^ ((lport << 16) | rport), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13) ^ this.mix, 0xc2b2ae35);
    return (h ^ (h >>> 16)) & 0x7fffffff;
  }
}

function randomBytes(rng: Rng, out: Uint8Array): Uint8Array {
  for (let i = 0; i < out.length; i++) out[i] = rng.u32();
  return out;
}
