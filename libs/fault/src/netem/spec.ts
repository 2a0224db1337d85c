import type { Millis } from '@skbus/skb';

/** What the words of tc-netem(8) say. Probabilities and correlations are 0..1. */
export interface NetemSpec {
  /** So many packets wait at most. */
  limit: number;
  delay?: NetemDelay;
  loss?: NetemLoss;
  /** Those that can be marked are marked instead of lost. */
  ecn?: true;
  duplicate?: Chance;
  reorder?: Chance & {
    /** Only each gap-th packet can go ahead. */
    gap: number;
  };
  corrupt?: Chance;
  rate?: NetemRate;
  slot?: NetemSlot;
  /** Of its own random numbers. */
  seed?: number;
}

export interface Chance {
  p: number;
  /** How much each random number is like the one before. */
  correlation: number;
}

/** `uniform` is what there is without a table. */
export type Distribution = 'uniform' | 'normal' | 'pareto' | 'paretonormal';

export interface NetemDelay {
  delayMs: Millis;
  jitterMs: Millis;
  correlation: number;
  distribution: Distribution;
}

export type NetemLoss =
  | ({ model: 'random' } & Chance)
  /** Four states: 1 good, 2 good within a burst, 3 lost within a burst, 4 lost alone. pXY: from X to Y. */
  | { model: 'state'; p13: number; p31: number; p32: number; p23: number; p14: number }
  /** Gilbert and Elliott's: p to the bad state, r back, and how much each loses. */
  | { model: 'gemodel'; p: number; r: number; lossBad: number; lossGood: number };

export interface NetemRate {
  bytesPerSec: number;
  /** Added to each packet; may be negative. */
  packetOverhead: number;
  /** A packet fills whole cells; 0: there are none. */
  cellSize: number;
  cellOverhead: number;
}

/** What is due leaves together, when a slot comes. */
export interface NetemSlot {
  /** Time to the next one: uniform between the two, or distributed. */
  every: { minMs: Millis; maxMs: Millis } | { distribution: Distribution; delayMs: Millis; jitterMs: Millis };
  /** At most so much in one; 0: as much as there is. */
  packets: number;
  bytes: number;
}

/** Without any words. */
export const NETEM_LIMIT_DEFAULT = 1000;
