import { below, type Ipv4Addr, type LayerEnv, type Millis, SECOND } from '@skbus/skb';
import { ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED } from '@skbus/wire';
import { NR_ICMP_TYPES } from './icmp-types.ts';

export interface RateSysctl {
  /** Least time between two limited messages to one host. */
  icmpRatelimitMs: Millis;
  /** One bit per limited type; 0x1818: unreachable, source quench, time exceeded, parameter problem. */
  icmpRatemask: number;
  icmpMsgsPerSec: number;
  icmpMsgsBurst: number;
}

/** XRLIM_BURST_FACTOR: messages a host may get at once after a quiet time. */
const BURST = 6;
const PEERS_MAX = 4096;
/** Credit is given in steps of at least HZ/50. */
const REFILL_MIN_MS = 20;

interface Peer {
  tokens: Millis;
  lastMs: Millis;
}

/** net/ipv4/icmp.c's two limits: a bucket for all messages together, and one per host (inet_peer_xrlim_allow). */
export class IcmpRatelimit {
  private readonly env: LayerEnv;
  private readonly sysctl: RateSysctl;
  private readonly peers = new Map<Ipv4Addr, Peer>();
  private credit = 0;
  private stampMs: Millis = Number.NEGATIVE_INFINITY;

  constructor(env: LayerEnv, sysctl: RateSysctl) {
    this.env = env;
    this.sysctl = sysctl;
  }

  /** icmpv4_mask_allow(): path MTU discovery is never limited, nor are types outside the mask. */
  exempt(type: number, code: number): boolean {
    if (type > NR_ICMP_TYPES) return true;
    if (type === ICMP_DEST_UNREACH && code === ICMP_FRAG_NEEDED) return true;
    return ((1 << type) & this.sysctl.icmpRatemask) === 0;
  }

  /** icmp_global_allow() */
  globalAllow(now: Millis): boolean {
    if (this.credit > 0) return true;
    const delta = Math.min(now - this.stampMs, SECOND);
    const incr = delta < REFILL_MIN_MS ? 0 : Math.floor((this.sysctl.icmpMsgsPerSec * delta) / SECOND);
    if (incr === 0) {
      this.env.mib.inc('IcmpOutRateLimitGlobal');
      return false;
    }
    this.stampMs = now;
    this.credit = Math.min(this.credit + incr, this.sysctl.icmpMsgsBurst);
    return true;
  }

  /** icmpv4_xrlim_allow() and icmp_global_consume(): the random step hides from others how much is left. */
  peerAllow(daddr: Ipv4Addr, now: Millis): boolean {
    const timeout = this.sysctl.icmpRatelimitMs;
    if (timeout > 0) {
      const p = this.peer(daddr, now);
      p.tokens = Math.min(p.tokens + now - p.lastMs, BURST * timeout);
      p.lastMs = now;
      if (p.tokens < timeout) {
        this.env.mib.inc('IcmpOutRateLimitHost');
        return false;
      }
      p.tokens -= timeout;
    }
    this.credit -= below(this.env.rng, 3);
    return true;
  }

  private peer(daddr: Ipv4Addr, now: Millis): Peer {
    const known = this.peers.get(daddr);
    if (known !== undefined) return known;
    if (this.peers.size >= PEERS_MAX) {
      for (const oldest of this.peers.keys()) {
        this.peers.delete(oldest);
        break;
      }
    }
    const p = { tokens: 0, lastMs: now - 60 * SECOND };
    this.peers.set(daddr, p);
    return p;
  }
}
