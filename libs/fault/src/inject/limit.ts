import { SeededRng, type Millis } from '@skbus/skb';
import type { FaultLimit } from '../rule.ts';

/** Connections that a rule remembers; the oldest is forgotten first. */
const CONNECTIONS_MAX = 65_536;
/** Keeps the coin of `probability` apart from the dice of a netem with the same seed. */
const COIN_SALT = 0x5bd1_e995;

/** What a restarted service is told about a rule's past. */
export interface RuleCounters {
  /** How many matched. */
  matched: number;
  /** How many of them counted: in the rule's time, and the first of their connection. */
  counted: number;
  /** How often it acted. */
  hits: number;
}

/** Decides which of those that match a rule acts on, and counts. */
export class LimitState implements RuleCounters {
  matched = 0;
  counted = 0;
  hits = 0;
  private readonly limit: FaultLimit;
  private readonly nth: ReadonlySet<number> | undefined;
  private fromMs: Millis;
  private toMs: Millis;
  private readonly coin: SeededRng | undefined;
  private readonly connections: Set<string> | undefined;

  constructor(limit: FaultLimit, seed: number, sinceMs: Millis, past?: RuleCounters) {
    this.limit = limit;
    this.nth = limit.nth && new Set(limit.nth);
    this.fromMs = sinceMs + (limit.afterMs ?? 0);
    this.toMs = limit.forMs === undefined ? Number.POSITIVE_INFINITY : this.fromMs + limit.forMs;
    this.coin = limit.probability === undefined ? undefined : new SeededRng((seed ^ COIN_SALT) >>> 0);
    this.connections = limit.oncePerConnection === true ? new Set() : undefined;
    if (past !== undefined) ({ matched: this.matched, counted: this.counted, hits: this.hits } = past);
  }

  /** When the rule begins and ends to act. */
  get window(): { fromMs: Millis; toMs: Millis } {
    return { fromMs: this.fromMs, toMs: this.toMs };
  }

  /** The clock jumped. */
  shiftBy(ms: Millis): void {
    this.fromMs += ms;
    this.toMs += ms;
  }

  /** One that matches. `connection` is asked only when it matters; '': belongs to none. */
  take(now: Millis, connection: () => string): boolean {
    this.matched++;
    if (now < this.fromMs || now >= this.toMs) return false;
    if (this.connections !== undefined && !this.isFirstOf(connection())) return false;
    const n = ++this.counted;
    const { first, every, probability } = this.limit;
    if (this.nth !== undefined && !this.nth.has(n)) return false;
    if (first !== undefined && n > first) return false;
    if (every !== undefined && n % every !== 0) return false;
    if (this.coin !== undefined && this.coin.u32() / 0x1_0000_0000 >= probability!) return false;
    return true;
  }

  private isFirstOf(connection: string): boolean {
    const seen = this.connections!;
    if (connection === '' || seen.has(connection)) return false;
    if (seen.size >= CONNECTIONS_MAX) seen.delete(seen.values().next().value!);
    seen.add(connection);
    return true;
  }
}
