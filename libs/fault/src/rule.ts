import type { Millis } from '@skbus/skb';

/**
 * A fault rule: where, what of it, what happens to it, how often. Its text form is what people write and what is kept
 * (`at tcp rx match 'tcp.flags.syn == 1' drop first 2 seed 7`); rule-text.ts turns one into the other and back.
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

/** `rx`: what enters a layer. `tx`: what leaves it. */
export type SeamDir = 'rx' | 'tx';

/**
 * One place where something crosses into or out of a layer. `func` names it: a hand-over (`tcp_v4_rcv`, `ip_queue_xmit`), the socket
 * seam (`sk_cmd`, `sk_evt`), a control message by its verb (`ctl.neigh_update`, `ctl.route`), or a cable (`wire`).
 */
export interface Seam {
  layer: string;
  dir: SeamDir;
  func: string;
}

/** Which seams a rule sits at; what is absent does not matter. */
export interface SeamPattern {
  layer: string;
  dir?: SeamDir;
  /** Also a trace point of the layer: then the rule acts when that is passed. */
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
  /** Something a layer does wrong by itself, by name; what names there are, each layer says. */
  | { kind: 'layer'; name: string; args: readonly string[] }
  /** Something that happens to the process: kill, hang, slow, restart, cut. Done by who supervises it. */
  | { kind: 'service'; name: string; args: readonly string[] };

/** All given limits must hold. Counting starts with what matches. */
export interface FaultLimit {
  /** Only the nth one (from 1). */
  nth?: number;
  first?: number;
  /** Every nth one. */
  every?: number;
  /** 0..1 */
  probability?: number;
  /** Not before this long after the rule was set. */
  afterMs?: Millis;
  /** Not longer than this after that. */
  forMs?: Millis;
  /** Once for each connection (addresses and ports, either way round). */
  oncePerConnection?: boolean;
}
