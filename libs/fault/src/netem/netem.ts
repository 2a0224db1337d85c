import type { Millis } from '@skbus/skb';

/**
 * What netem decides for one packet (net/sched/sch_netem.c:netem_enqueue): when each copy leaves, and how it is changed.
 * No copy: it is lost.
 */
export interface NetemVerdict {
  copies: readonly NetemCopy[];
  /** Over `limit`: dropped for want of room, not by chance. */
  overlimit: boolean;
}

export interface NetemCopy {
  /** Absolute; not before now. */
  atMs: Millis;
  /** Goes ahead of what waits (reorder). */
  ahead: boolean;
  /** Bit to flip, counted from the first byte of the packet; -1: none. */
  corruptBit: number;
  /** Congestion experienced instead of lost (`loss … ecn`). */
  markCe: boolean;
}

/** One netem of one rule, with its memory (correlations, Gilbert's state, the rate's clock). */
export interface Netem {
  enqueue(lengthBytes: number, now: Millis): NetemVerdict;
  /** A copy has left: it no longer counts for `limit`. */
  left(): void;
}
