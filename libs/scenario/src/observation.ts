import type { Millis } from '@skbus/skb';
import type { Side } from './plan.ts';

/** A transfer as the program saw it that received, or that was told how much arrived. */
export interface StreamSeen {
  name: string;
  expected: number;
  got: number;
  /** Every byte that came was the right one. */
  right: boolean;
}

export interface SideSeen {
  /** How much counters grew. */
  counters: Record<string, number>;
  /** skbs freed, by reason. */
  drops: Record<string, number>;
  /** Sockets of TCP by state. */
  connections: Record<string, number>;
  /** States by address. */
  neighbours: Record<string, string>;
}

/** What a run looked like; the expectations are about this. */
export interface Observation {
  /** All programs have come to their end. */
  done: boolean;
  durationMs: Millis;
  streams: StreamSeen[];
  replies: number;
  rttMs: Millis;
  /** What system calls failed with. */
  errors: string[];
  recoverMs: Millis;
  rsts: number;
  sides: Record<Side, SideSeen>;
  /** By rule. */
  hits: Record<string, number>;
  restarts: Record<string, number>;
}

/** Told of what happens while it happens. */
export type Tell = (atMs: Millis, what: string) => void;
