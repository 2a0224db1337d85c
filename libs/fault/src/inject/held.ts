import type { Millis, SkBuff } from '@skbus/skb';
import type { FaultOp, Seam } from '../rule.ts';

/** So many are held at most, as a netem's queue; more are lost. */
const HELD_MAX = 1000;

export interface Held {
  rule: string;
  seam: Seam;
  /** Absent: a message. */
  skb: SkBuff | undefined;
  sinceMs: Millis;
  /** A text of a message for a person. */
  shown: (() => string) | undefined;
  resume(now: Millis): void;
  edited(op: FaultOp, now: Millis): void;
}

/** What waits at breakpoints until somebody lets it go, in the order in which it came. */
export class HeldItems {
  private readonly items = new Map<number, Held>();
  private serial = 0;
  /** How many of them are skbs. */
  skbs = 0;

  /** False: there is no room. */
  add(h: Held): boolean {
    if (this.items.size >= HELD_MAX) return false;
    this.items.set(++this.serial, h);
    if (h.skb !== undefined) this.skbs++;
    return true;
  }

  get(serial: number): Held | undefined {
    return this.items.get(serial);
  }

  /** The rule's, with their numbers. Without a rule: all. */
  of(rule?: string): [number, Held][] {
    return [...this.items].filter(([, h]) => rule === undefined || h.rule === rule);
  }

  /** Takes the rule's oldest one out. */
  shift(rule: string): Held | undefined {
    for (const [serial, h] of this.items) {
      if (h.rule !== rule) continue;
      this.items.delete(serial);
      if (h.skb !== undefined) this.skbs--;
      return h;
    }
    return undefined;
  }
}
