import type { Millis, SkBuff } from '@skbus/skb';

/** Something that a layer does wrong by itself: for a time, or for each packet that a rule acts on. */
export interface LayerFault {
  /** `zero-window`; with its arguments, for a person. */
  usage: string;
  begin?(args: readonly string[], now: Millis): void;
  end?(now: Millis): void;
  hit?(args: readonly string[], skb: SkBuff | undefined, now: Millis): void;
}
