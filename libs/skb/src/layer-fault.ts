import type { Rng } from './rng.ts';
import type { SkBuff } from './skbuff.ts';
import type { Millis } from './time.ts';

/** A rule's hold on something that a layer does wrong by itself (libs/fault: LAYER_FAULTS has the names and parameters). */
export interface FaultCase {
  /** By the names of the parameters; addresses and times (ms) as numbers, what was not given is absent. */
  readonly params: Readonly<Record<string, number>>;
  /** The device that it is about, where the rule names one. */
  readonly dev: string | undefined;
  /** From the rule's seed. */
  readonly rng: Rng;
  /** Something came up that the fault would change: whether the rule's limits let it. A yes is counted and logged. */
  takes(now: Millis, skb?: SkBuff): boolean;
  /** Calls `run` at that time, as a timer of the layer; also when the fault has ended meanwhile. */
  later(at: Millis, run: (now: Millis) => void): void;
}

/** Ends a fault that is there. */
export type EndFault = (now: Millis) => void;

/** What an engine offers: a fault that is there for a time (begin), or one that happens to packets (hit). */
export interface LayerFault {
  begin?(c: FaultCase, now: Millis): EndFault;
  hit?(c: FaultCase, skb: SkBuff, now: Millis): void;
}

/** Which socket a packet (its transport header at `data`) or the message of that id belongs to, and its state: ESTABLISHED, … */
export type SockOf = (
  skb: SkBuff | undefined,
  dir: 'rx' | 'tx',
  id: number,
) => { id: number; state: string } | undefined;

/** An engine's faults by name. */
export type LayerFaults = Readonly<Record<string, LayerFault>>;

/** The cases of one fault that are there; a hot path asks `on`, and finds undefined while there is none. */
export class FaultCases {
  /** The oldest one has the say. */
  on: FaultCase | undefined = undefined;
  private readonly all: FaultCase[] = [];
  private readonly changed: ((now: Millis) => void) | undefined;

  constructor(changed?: (now: Millis) => void) {
    this.changed = changed;
  }

  /** As LayerFault.begin(). */
  readonly begin = (c: FaultCase, now: Millis): EndFault => {
    this.all.push(c);
    this.update(now);
    return (at) => {
      this.all.splice(this.all.indexOf(c), 1);
      this.update(at);
    };
  };

  /** All of them, where each is about something else. */
  get list(): readonly FaultCase[] {
    return this.all;
  }

  private update(now: Millis): void {
    [this.on] = this.all;
    this.changed?.(now);
  }
}
