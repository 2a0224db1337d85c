import {
  NUD_DELAY,
  NUD_FAILED,
  NUD_INCOMPLETE,
  NUD_NOARP,
  NUD_NONE,
  NUD_PERMANENT,
  NUD_PROBE,
  NUD_REACHABLE,
  NUD_STALE,
} from '@skbus/skb';

/**
 * The states of a neighbour (include/net/neighbour.h), and how protocol and timers move between them:
 *
 * ```
 *   NONE ──packet──▶ INCOMPLETE ──reply──▶ REACHABLE ──reachable_time──▶ STALE
 *    ▲                   │ mcast probes       ▲  ▲  └──and used──┐         │ packet
 *    │ gc                ▼ unanswered         │  └─confirmed─────▼         ▼
 *    └──────────────── FAILED ◀──unanswered── PROBE ◀──delay_probe── DELAY
 * ```
 *
 * PERMANENT and NOARP are left only by administration.
 */
export const NUD_CONNECTED = NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE;
/** There is a link-layer address to send to. */
export const NUD_VALID = NUD_CONNECTED | NUD_PROBE | NUD_STALE | NUD_DELAY;
export const NUD_IN_TIMER = NUD_INCOMPLETE | NUD_REACHABLE | NUD_DELAY | NUD_PROBE;

/** Every transition that is not administrative. */
export const LEGAL_NUD: ReadonlyMap<number, number> = new Map([
  [NUD_NONE, NUD_INCOMPLETE | NUD_REACHABLE | NUD_STALE | NUD_FAILED],
  [NUD_INCOMPLETE, NUD_REACHABLE | NUD_STALE | NUD_FAILED],
  [NUD_REACHABLE, NUD_STALE | NUD_DELAY],
  [NUD_STALE, NUD_REACHABLE | NUD_DELAY],
  [NUD_DELAY, NUD_REACHABLE | NUD_STALE | NUD_PROBE],
  [NUD_PROBE, NUD_REACHABLE | NUD_STALE | NUD_FAILED],
  [NUD_FAILED, NUD_INCOMPLETE | NUD_REACHABLE | NUD_STALE],
  [NUD_NOARP, 0],
  [NUD_PERMANENT, 0],
]);

export const isLegalNud = (from: number, to: number): boolean => ((LEGAL_NUD.get(from) ?? 0) & to) !== 0;

const NAMES: Record<number, string> = {
  [NUD_NONE]: 'NONE',
  [NUD_INCOMPLETE]: 'INCOMPLETE',
  [NUD_REACHABLE]: 'REACHABLE',
  [NUD_STALE]: 'STALE',
  [NUD_DELAY]: 'DELAY',
  [NUD_PROBE]: 'PROBE',
  [NUD_FAILED]: 'FAILED',
  [NUD_NOARP]: 'NOARP',
  [NUD_PERMANENT]: 'PERMANENT',
};

/** iproute2's word for a state. */
export const nudName = (state: number): string => NAMES[state] ?? `0x${state.toString(16)}`;
