import type { Millis } from '@skbus/skb';

/**
 * A fault rule: where, what of it, what happens to it, how often. Its text form is what people write and what is kept
 * (`at tcp rx match 'tcp.flags.syn == 1' drop first 2 seed 7`); text/ turns one into the other and back.
 *
 * The rules at a seam are a pipeline in the order they were added, like qdiscs one behind the other: each sees what those
 * before it let through, and when. A rule that drops or holds ends the way of what it takes.
 */
export interface FaultRule {
  /** Unique in a stack; chosen by who adds the rule, or made from a counter. */
  id: string;
  at: SeamPattern;
  /** A display filter (filter/); empty: everything. */
  match: string;
  action: FaultAction;
  limit: FaultLimit;
  /** All of the rule's randomness comes from here; the same seed decides the same way in every mode. */
  seed: number;
}

/** The direction of travel: `rx` from the cable to the program, `tx` the other way. */
export type SeamDir = 'rx' | 'tx';

/**
 * One place where something crosses into or out of a layer. `func` names it: a hand-over (`tcp_v4_rcv`, `ip_queue_xmit`), the socket
 * seam (`sk_cmd`, `sk_evt`), a control message by its verb (`ctl.neigh_update`, `ctl.route_query`), or the device (`wire`).
 */
export interface Seam {
  layer: string;
  dir: SeamDir;
  func: string;
}

/**
 * Which seams a rule sits at. Without `func`: where the layer receives from the side of the cable (rx), transmits towards
 * it (tx), or both; so every packet crosses one such place per layer and direction. The seams on the layer's other side,
 * and control messages, are named by `func`.
 */
export interface SeamPattern {
  layer: string;
  dir?: SeamDir;
  /** `ctl.*`: every control message. */
  func?: string;
}

/** What happens to what matches. Netem's words are kept as text: their grammar is netem's (netem/). */
export type FaultAction =
  | { kind: 'netem'; spec: string }
  /** `reason`: a name of enum skb_drop_reason; FAULT_INJECTED unless told otherwise. */
  | { kind: 'drop'; reason: string }
  /** Cuts it to so many bytes, counted from where the layer's view starts. */
  | { kind: 'truncate'; bytes: number }
  /** Header fields by the filter's names; `csum` keep: the checksum stays as it was, and is wrong now. */
  | { kind: 'set'; fields: Readonly<Record<string, string>>; csum: 'fix' | 'keep' }
  /** A breakpoint: stays until somebody steps or releases it. */
  | { kind: 'hold' }
  /** What to do to which ordinals: what replayOf() makes of a log. */
  | { kind: 'script'; steps: ReadonlyMap<number, readonly FaultOp[]> }
  /** Something a layer does wrong by itself: a name of LAYER_FAULTS, and its parameters. */
  | { kind: 'layer'; name: string; args: readonly string[] }
  /** Something that happens to the process: kill, hang, slow, restart, cut. Done by who supervises it. */
  | { kind: 'service'; name: string; args: readonly string[] };

/** One thing done to one item: what an action comes to, with its dice thrown. */
export type FaultOp =
  | { op: 'drop'; reason: string }
  | { op: 'send'; copies: readonly SendCopy[] }
  | { op: 'truncate'; bytes: number }
  | { op: 'set'; fields: Readonly<Record<string, string>>; csum: 'fix' | 'keep' }
  | { op: 'hold' }
  | { op: 'layer'; name: string; args: readonly string[] }
  /** A fault of the layer is over. */
  | { op: 'end'; name: string }
  | { op: 'service'; name: string; args: readonly string[] };

/** One of the packets that one becomes. */
export interface SendCopy {
  delayMs: Millis;
  /** Bit to flip, counted from the first byte; absent: none. */
  flip?: number;
  /** Congestion experienced. */
  ce?: boolean;
}

/** All given limits must hold. Counting starts with what matches, in its time, and is the first of its connection. */
export interface FaultLimit {
  /** Only these (from 1). */
  nth?: readonly number[];
  first?: number;
  /** Every nth one. */
  every?: number;
  /** 0..1, thrown for what the counts let through. */
  probability?: number;
  /** Not before this long after the rule was set. */
  afterMs?: Millis;
  /** Not longer than this after that. */
  forMs?: Millis;
  /** A fault of a layer that is there for a time: on for so long, off for so long, and so on. */
  flapMs?: Millis;
  /** Once for each connection (addresses and ports, either way round). */
  oncePerConnection?: boolean;
}
