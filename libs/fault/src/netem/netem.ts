import { SeededRng, type Millis, type Rng } from '@skbus/skb';
import { NetemEngine } from './engine.ts';
import { parseNetem, type NetemError } from './parse.ts';
import type { NetemSpec } from './spec.ts';

/**
 * What netem decides for one packet (net/sched/sch_netem.c:netem_enqueue): when each copy leaves, and how it is changed.
 * No copy: it is lost.
 */
export interface NetemVerdict {
  /** In the order in which they are queued: of two that leave at the same time the first goes first. */
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
  /** Congestion experienced instead of lost (`loss … ecn`). What cannot be marked is lost. */
  markCe: boolean;
}

/** One netem of one rule, with its memory (correlations, Gilbert's state, the rate's clock). */
export interface Netem {
  /** Each copy counts for `limit` until left(). `canMark`: whether it may say that it met congestion, if that is known. */
  enqueue(lengthBytes: number, now: Millis, canMark?: boolean): NetemVerdict;
  /** A copy has left: it no longer counts for `limit`. */
  left(): void;
}

/** All randomness comes from `rng`: the same numbers, the same packets at the same times, the same decisions. */
export const createNetem = (spec: NetemSpec, rng: Rng): Netem => new NetemEngine(spec, rng);

/** From its text. A seed in the text is stronger than the one given. */
export function compileNetem(
  text: string,
  seed: number,
): { netem: Netem; error?: undefined } | { netem?: undefined; error: NetemError } {
  const { spec, error } = parseNetem(text);
  return spec ? { netem: createNetem(spec, new SeededRng(spec.seed ?? seed)) } : { error };
}
